//! The head's gradients in tiles against plain autodiff, padding, and what the mean is over.

use std::collections::BTreeMap;
use std::path::Path;

use burn::backend::Autodiff;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use userprint_model::Batch;
use userprint_model::backend::Cpu;
use userprint_model::{CausalLm, checkpoint};
use userprint_train::{Gradients, gradients};

type Backend = Autodiff<Cpu>;

fn lm() -> CausalLm<Backend> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/gpt_neo");
    checkpoint::load(&folder, &Default::default()).expect("the checkpoint loads").0
}

/// Documents of these lengths, no two tokens in a row alike.
fn documents(lengths: &[usize]) -> Vec<Vec<u32>> {
    let token = |document: usize, position: usize| ((document * 131 + position * 37) % 319 + 1) as u32;
    let tokens = |(document, &n): (usize, &usize)| (0..n).map(|position| token(document, position)).collect();
    lengths.iter().enumerate().map(tokens).collect()
}

fn batch(documents: &[Vec<u32>]) -> Batch<Backend> {
    Batch::new(documents, &Default::default())
}

/// The loss and the gradient of each parameter, on the host.
#[derive(Clone)]
struct Found {
    loss: f64,
    by_path: BTreeMap<String, Vec<f64>>,
}

fn found(documents: &[Vec<u32>]) -> Found {
    on_host(gradients(&lm(), &batch(documents)))
}

fn on_host(gradients: Gradients<Backend>) -> Found {
    let by_path = gradients.by_path.into_iter();
    let by_path = by_path.map(|(path, gradient)| (path, gradient.into_data().iter::<f64>().collect()));
    Found { loss: gradients.loss_nats, by_path: by_path.collect() }
}

/// `Σ_k weights_k parts_k`, loss and gradients.
fn weighted(parts: &[(f64, Found)]) -> Found {
    let mut sum = Found { loss: 0.0, by_path: BTreeMap::new() };
    for (weight, part) in parts {
        sum.loss += weight * part.loss;
        for (path, gradient) in &part.by_path {
            let total = sum.by_path.entry(path.clone()).or_insert_with(|| vec![0.0; gradient.len()]);
            total.iter_mut().zip(gradient).for_each(|(total, value)| *total += weight * value);
        }
    }
    sum
}

#[track_caller]
fn assert_close(found: &Found, expected: &Found, tolerance: f64) {
    let difference = (found.loss - expected.loss).abs();
    assert!(difference <= tolerance * expected.loss, "loss {}, expected {}", found.loss, expected.loss);
    assert!(found.by_path.keys().eq(expected.by_path.keys()), "other parameters have gradients");
    for (path, gradient) in &found.by_path {
        let expected = &expected.by_path[path];
        assert_eq!(gradient.len(), expected.len(), "{path}");
        for (index, (found, expected)) in gradient.iter().zip(expected).enumerate() {
            let difference = (found - expected).abs();
            assert!(difference <= tolerance, "{path}[{index}]: {found}, expected {expected}");
        }
    }
}

/// Autodiff through `log_softmax` of all logits, padding masked by weights of 0.
fn by_autodiff(documents: &[Vec<u32>]) -> Found {
    let lm = lm();
    let batch = batch(documents);
    let [b, t] = batch.ids.dims();
    let mut targets = vec![0i64; b * t];
    let mut weights = vec![0f32; b * t];
    for (row, document) in documents.iter().enumerate() {
        for (position, &target) in document[1..].iter().enumerate() {
            targets[row * t + position] = i64::from(target);
            weights[row * t + position] = 1.0 / batch.n_tokens as f32;
        }
    }
    let device = batch.ids.device();
    let hidden = lm.hidden(&batch).reshape([b * t, lm.config.width]);
    let log_p = log_softmax(hidden.matmul(lm.head().weight.transpose()), 1);
    let targets = Tensor::from_data(TensorData::new(targets, [b * t, 1]), &device);
    let weights = Tensor::<Backend, 2>::from_data(TensorData::new(weights, [b * t, 1]), &device);
    let loss = (log_p.gather(1, targets) * weights).sum().neg();
    let loss_nats = loss.clone().into_data().iter::<f64>().sum();
    let mut reader = Reader { path: Vec::new(), grads: loss.backward(), by_path: BTreeMap::new() };
    lm.module.visit(&mut reader);
    Found { loss: loss_nats, by_path: reader.by_path }
}

struct Reader {
    path: Vec<String>,
    grads: <Backend as AutodiffBackend>::Gradients,
    by_path: BTreeMap<String, Vec<f64>>,
}

impl ModuleVisitor<Backend> for Reader {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Backend, D>>) {
        let gradient = param.val().grad(&self.grads).expect("every parameter has a gradient");
        self.by_path.insert(self.path.join("."), gradient.into_data().iter::<f64>().collect());
    }
}

#[test]
fn the_head_in_tiles_agrees_with_autodiff() {
    for lengths in [&[5, 24, 2, 13][..], &[96], &[9, 9, 9]] {
        let documents = documents(lengths);
        assert_close(&found(&documents), &by_autodiff(&documents), 1e-5);
    }
}

#[test]
fn what_stands_in_the_padding_does_not_matter() {
    let documents = documents(&[5, 24, 2, 13]);
    let expected = found(&documents);
    for filler in [7, 319] {
        let mut batch = batch(&documents);
        let mut ids: Vec<i64> = batch.ids.to_data().iter::<i64>().collect();
        let t = ids.len() / documents.len();
        for (row, document) in documents.iter().enumerate() {
            ids[row * t + document.len() - 1..(row + 1) * t].fill(filler);
        }
        batch.ids = Tensor::from_data(TensorData::new(ids, [documents.len(), t]), &batch.ids.device());
        assert_close(&on_host(gradients(&lm(), &batch)), &expected, 1e-6);
    }
}

#[test]
fn the_order_of_a_batch_does_not_matter() {
    let mut documents = documents(&[5, 24, 2, 13]);
    let expected = found(&documents);
    documents.reverse();
    assert_close(&found(&documents), &expected, 1e-6);
    documents.swap(0, 2);
    assert_close(&found(&documents), &expected, 1e-6);
}

/// A batch is the mean of its parts by their predicted tokens, however far the parts are padded in it.
#[test]
fn the_mean_is_over_tokens() {
    let documents = documents(&[5, 9, 3, 80]);
    let (short, long) = documents.split_at(3);
    let n_tokens = |documents: &[Vec<u32>]| documents.iter().map(|d| d.len() - 1).sum::<usize>() as f64;
    let share = n_tokens(short) / n_tokens(&documents);
    let all = found(&documents);
    assert_close(&all, &weighted(&[(share, found(short)), (1.0 - share, found(long))]), 1e-6);

    let alone: Vec<Found> = documents.chunks(1).map(found).collect();
    let by_tokens = alone.iter().zip(&documents);
    let by_tokens: Vec<(f64, Found)> = by_tokens
        .map(|(part, document)| {
            (n_tokens(std::slice::from_ref(document)) / n_tokens(&documents), part.clone())
        })
        .collect();
    assert_close(&all, &weighted(&by_tokens), 1e-6);
    let over_documents = alone.iter().map(|part| part.loss).sum::<f64>() / 4.0;
    assert!((all.loss - over_documents).abs() > 1e-2, "the mean over documents is {over_documents}");
}

/// Nothing is padded in a batch of equal lengths, and no places are looked up.
#[test]
fn equal_lengths_need_no_places() {
    assert!(batch(&documents(&[12, 12])).places.is_none());
    assert!(batch(&documents(&[12, 11])).places.is_some());
}
