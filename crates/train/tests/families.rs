//! The gradients of one training step of every family, and of adapters, against PyTorch's.

use std::path::{Path, PathBuf};

use burn::backend::Autodiff;
use userprint_model::backend::Cpu;
use userprint_model::checkpoint::{Arrangement, NamedTensors};
use userprint_model::families::FAMILIES;
use userprint_model::weights::Weights;
use userprint_model::{Batch, CausalLm, ModelConfig, Params, adapter, checkpoint};
use userprint_train::gradients;

type Backend = Autodiff<Cpu>;

/// Norm of the difference over the norm of PyTorch's gradient, at most.
const TOLERANCE: f64 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/families").join(name)
}

fn load(family: &str) -> (CausalLm<Backend>, ModelConfig) {
    checkpoint::load(&fixture(family), &Default::default()).unwrap_or_else(|e| panic!("{family}: {e}"))
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// What PyTorch found: the loss, the batch, and the gradients by key.
struct Golden {
    loss: f64,
    batch: Batch<Backend>,
    gradients: Weights,
}

impl Golden {
    fn read(path: &Path) -> Self {
        let gradients = Weights::open_file(path).unwrap_or_else(|e| panic!("{e}"));
        let of = |key: &str| gradients.metadata().get(key).expect("metadata of the fixture").as_str();
        let blocks: Vec<Vec<u32>> = serde_json::from_str(of("batch")).expect("blocks of token ids");
        let batch = Batch::new(&blocks, &Default::default());
        Self { loss: of("loss").parse().expect("a number"), batch, gradients }
    }

    /// Biases of keys have no gradient, as they shift all scores of a query alike: theirs is rounding here and there.
    #[track_caller]
    fn check(&self, family: &str, loss: f64, found: &NamedTensors) {
        assert!((loss / self.loss - 1.0).abs() < 1e-5, "{family}: loss {loss}, PyTorch says {}", self.loss);
        let read = |key: &str| self.gradients.get(key).expect("a key of the file").read().expect("it reads");
        let f64s = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let norms = self.gradients.keys().map(|key| norm(f64s(&read(key)).into_iter()));
        let largest = norms.fold(0.0, f64::max);
        assert_eq!(found.len(), self.gradients.keys().count(), "{family}: tensors with a gradient");
        for key in self.gradients.keys() {
            let (shape, values) = found.get(key).unwrap_or_else(|| panic!("{family}: no gradient of {key}"));
            assert_eq!(*shape, self.gradients.get(key).expect("a key of the file").shape, "{family}, {key}");
            let expected = f64s(&read(key));
            let apart = norm(f64s(values).iter().zip(&expected).map(|(a, b)| a - b));
            let size = norm(expected.into_iter());
            let allowed = if size < 1e-6 * largest { 1e-6 * largest } else { TOLERANCE * size };
            assert!(apart <= allowed, "{family}, {key}: {apart:e} apart, {allowed:e} is allowed");
        }
    }
}

/// The gradients of a model under the keys of its checkpoint.
fn arranged(lm: &CausalLm<Backend>, config: &ModelConfig, batch: &Batch<Backend>) -> (f64, NamedTensors) {
    let mut found = gradients(lm, batch);
    let mut arranged = Arrangement::new(config);
    Params::for_each(&lm.module, |path, shape, _| {
        if let Some(gradient) = found.by_path.remove(path) {
            arranged.put(path, shape, gradient.into_data().to_vec().expect("f32 on the processor"));
        }
    });
    (found.loss_nats, arranged.tensors)
}

#[test]
fn gradients_agree() {
    // GPT-Neo has golden numbers of its own (`golden.rs`).
    for family in FAMILIES.iter().map(|family| family.model_type).filter(|name| *name != "gpt_neo") {
        let golden = Golden::read(&fixture(family).join("gradients.safetensors"));
        let (lm, config) = load(family);
        let (loss, mut found) = arranged(&lm, &config, &golden.batch);
        // In files the head of GPT-NeoX is called otherwise than in PyTorch's module.
        if let Some(head) = found.remove("embed_out.weight") {
            found.insert("lm_head.weight".to_owned(), head);
        }
        golden.check(family, loss, &found);
    }
}

/// The base is frozen: only factors have gradients, and they are PEFT's.
#[test]
fn gradients_of_adapters_agree() {
    let golden = Golden::read(&fixture("lora/llama/gradients.safetensors"));
    let (base, config) = load("llama");
    let lm = adapter::load(&fixture("lora/llama"), &base, &config).unwrap_or_else(|e| panic!("{e}"));
    let CausalLm { config: decoder, module } = lm.clone();
    let lm = CausalLm { config: decoder, module: Params::require_gradients(module, lm.trained()) };
    let mut found = gradients(&lm, &golden.batch);
    let mut tensors = NamedTensors::new();
    Params::for_each(&lm.module, |path, shape, _| {
        let Some(gradient) = found.by_path.remove(path) else { return };
        let (module, factor) = path.split_once(".adapter.").expect("adapters alone have gradients");
        let module = config.family.module(module).0;
        let key = format!("base_model.model.{module}.lora_{}.weight", factor.to_uppercase());
        tensors.insert(key, (shape.to_vec(), gradient.into_data().to_vec().expect("f32 on the processor")));
    });
    golden.check("llama with an adapter", found.loss_nats, &tensors);
}
