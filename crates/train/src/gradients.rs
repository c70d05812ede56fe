//! The mean loss of a batch and its gradients.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use userprint_kernels::head::{self, Head};
use userprint_model::backend::KernelBackend;
use userprint_model::{Batch, CausalLm};

/// A backend that records gradients and has the kernels, and whose inner backend has them too.
pub trait TrainBackend: AutodiffBackend<InnerBackend: KernelBackend> + KernelBackend {}

impl<B: AutodiffBackend<InnerBackend: KernelBackend> + KernelBackend> TrainBackend for B {}

/// A tensor for each parameter path, flat.
pub(crate) type ByPath<B> = BTreeMap<String, Tensor<<B as AutodiffBackend>::InnerBackend, 1>>;

/// Gradients by parameter path, flat, with the loss they belong to.
#[derive(Debug)]
pub struct Gradients<B: AutodiffBackend> {
    /// Mean loss of the batch, nats per token.
    pub loss_nats: f64,
    /// Gradient of each parameter.
    pub by_path: BTreeMap<String, Tensor<B::InnerBackend, 1>>,
}

impl<B: AutodiffBackend> Gradients<B> {
    /// Euclidean norm over all parameters.
    pub fn norm(&self) -> f64 {
        norm::<B>(&self.by_path)
    }

    /// Scales all gradients so that their norm is at most `clip_norm`; the answer is the norm before.
    pub fn clip(&mut self, clip_norm: f64) -> f64 {
        let norm = self.norm();
        self.by_path = scaled::<B>(std::mem::take(&mut self.by_path), clip_factor(norm, clip_norm));
        norm
    }
}

/// Euclidean norm over all paths.
pub(crate) fn norm<B: AutodiffBackend>(by_path: &ByPath<B>) -> f64 {
    let squares = by_path.values().map(|g| {
        let square = (g.clone() * g.clone()).sum();
        square.into_data().iter::<f64>().sum::<f64>()
    });
    squares.sum::<f64>().sqrt()
}

/// What a gradient of this norm is multiplied by, so that its norm is at most `clip_norm`.
pub(crate) fn clip_factor(norm: f64, clip_norm: f64) -> f64 {
    if norm > clip_norm { clip_norm / norm } else { 1.0 }
}

/// Every tensor times a factor.
pub(crate) fn scaled<B: AutodiffBackend>(by_path: ByPath<B>, factor: f64) -> ByPath<B> {
    if factor == 1.0 {
        return by_path;
    }
    by_path.into_iter().map(|(path, tensor)| (path, tensor.mul_scalar(factor))).collect()
}

/// Adds to each path's tensor; a path that is new is taken as it is.
pub(crate) fn add<B: AutodiffBackend>(to: &mut ByPath<B>, from: ByPath<B>) {
    for (path, tensor) in from {
        let sum = match to.remove(&path) {
            Some(sum) => sum + tensor,
            None => tensor,
        };
        to.insert(path, sum);
    }
}

/// The mean gradient of many sequences, by their tokens, as `of_batch` finds it in passes of at most `microbatch_size`.
pub(crate) fn accumulated<B: AutodiffBackend>(
    sequences: &[Vec<u32>],
    microbatch_size: usize,
    device: &B::Device,
    of_batch: impl Fn(&Batch<B>) -> Gradients<B>,
) -> Gradients<B> {
    let n_tokens = n_predicted(sequences) as f64;
    let mut sum = Gradients { loss_nats: 0.0, by_path: BTreeMap::new() };
    for pass in sequences.chunks(microbatch_size) {
        let share = n_predicted(pass) as f64 / n_tokens;
        let found = of_batch(&Batch::new(pass, device));
        sum.loss_nats += share * found.loss_nats;
        add::<B>(&mut sum.by_path, scaled::<B>(found.by_path, share));
    }
    sum
}

/// Tokens that sequences predict.
pub(crate) fn n_predicted(sequences: &[Vec<u32>]) -> u64 {
    sequences.iter().map(|sequence| sequence.len().saturating_sub(1) as u64).sum()
}

/// Mean next-token loss of a batch and its gradients, of adapters alone where the model has some.
///
/// The head's share comes from [`head::head_loss`] in tiles; autodiff carries it from the hidden states down.
pub fn gradients<B: TrainBackend>(lm: &CausalLm<B>, batch: &Batch<B>) -> Gradients<B> {
    let hidden = lm.hidden(batch);
    let Loss { loss_nats, d_hidden, d_weight } = Rows::mean(batch).loss(lm, &hidden);
    let mut by_path = ByPath::<B>::new();
    collect(lm, carried_back(hidden, d_hidden), &mut by_path);
    add::<B>(&mut by_path, d_weight);
    Gradients { loss_nats, by_path }
}

/// Which hidden states predict what, and what each counts.
pub(crate) struct Rows<B: AutodiffBackend> {
    /// Of the hidden states; none where all predict.
    pub(crate) places: Option<Tensor<B, 1, Int>>,
    pub(crate) targets: Tensor<B::InnerBackend, 1, Int>,
    pub(crate) weights: Tensor<B::InnerBackend, 1>,
}

/// A weighted loss with its gradients by the hidden states and by the head.
pub(crate) struct Loss<B: AutodiffBackend> {
    pub(crate) loss_nats: f64,
    /// Of all hidden states.
    pub(crate) d_hidden: Tensor<B::InnerBackend, 2>,
    /// By the head's path; empty where it is frozen.
    pub(crate) d_weight: ByPath<B>,
}

impl<B: TrainBackend> Rows<B> {
    /// All predictions of a batch, each as much as any other.
    pub(crate) fn mean(batch: &Batch<B>) -> Self {
        let targets = batch.targets.clone().inner();
        let weights = Tensor::full([batch.n_tokens], 1.0 / batch.n_tokens as f64, &targets.device());
        Self { places: batch.places.clone(), targets, weights }
    }

    pub(crate) fn loss(&self, lm: &CausalLm<B>, hidden: &Tensor<B, 2>) -> Loss<B> {
        let hidden = hidden.clone().inner();
        let [n, d] = hidden.dims();
        let places = self.places.clone().map(Tensor::inner);
        let rows = match &places {
            Some(places) => hidden.select(0, places.clone()),
            None => hidden,
        };
        let Head { weight, soft_cap } = lm.head();
        let head = Head { weight: weight.inner(), soft_cap };
        let found = head::head_loss(&rows, &head, &self.targets, &self.weights, lm.is_adapted());
        let d_hidden = match places {
            Some(places) => {
                let zeros = Tensor::zeros([n, d], &found.d_hidden.device());
                zeros.select_assign(0, places, found.d_hidden, IndexingUpdateOp::Add)
            }
            None => found.d_hidden,
        };
        let flat = |g: Tensor<B::InnerBackend, 2>| {
            let n = g.dims().iter().product::<usize>();
            (lm.head_path().to_owned(), g.reshape([n]))
        };
        let d_weight = found.d_weight.map(flat).into_iter().collect();
        Loss { loss_nats: found.loss.into_data().iter::<f64>().sum(), d_hidden, d_weight }
    }
}

/// Gradients by all that `y` was made of, where `dy` is that by `y`: those of `⟨y, dy⟩`.
pub(crate) fn carried_back<B: AutodiffBackend>(
    y: Tensor<B, 2>,
    dy: Tensor<B::InnerBackend, 2>,
) -> B::Gradients {
    (y * Tensor::from_inner(dy)).sum().backward()
}

/// Adds what a backward pass left of the parameters' gradients; the answer is what it left besides.
pub(crate) fn collect<B: AutodiffBackend>(
    lm: &CausalLm<B>,
    grads: B::Gradients,
    by_path: &mut ByPath<B>,
) -> B::Gradients {
    let mut collector = Collector { path: Vec::new(), grads, by_path: BTreeMap::new() };
    lm.module.visit(&mut collector);
    add::<B>(by_path, collector.by_path);
    collector.grads
}

struct Collector<B: AutodiffBackend> {
    path: Vec<String>,
    grads: B::Gradients,
    by_path: BTreeMap<String, Tensor<B::InnerBackend, 1>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Collector<B> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let tensor = param.val();
        if let Some(gradient) = tensor.grad_remove(&mut self.grads) {
            let n = tensor.dims().iter().product::<usize>();
            self.by_path.insert(self.path.join("."), gradient.reshape([n]));
        }
    }
}
