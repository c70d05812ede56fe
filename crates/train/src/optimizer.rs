//! Adam over a model's parameters.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use userprint_kernels::adam::{AdamConfig, AdamSlot, adam};
use userprint_model::{CausalLm, backend::is_host};

use crate::Gradients;

/// The moments of one parameter: of its gradients, and of their squares.
type Moments<B> = (Tensor<B, 1>, Tensor<B, 1>);

/// Adam with betas .9 and .999 and epsilon 1e-8.
#[derive(Debug)]
pub struct Optimizer<B: AutodiffBackend> {
    /// Updates done.
    pub step: u64,
    /// Moments by parameter path.
    pub moments: BTreeMap<String, Moments<B::InnerBackend>>,
}

impl<B: AutodiffBackend> Default for Optimizer<B> {
    fn default() -> Self {
        Self { step: 0, moments: BTreeMap::new() }
    }
}

impl<B: AutodiffBackend> Optimizer<B> {
    /// One update of every parameter that has a gradient.
    pub fn update(&mut self, lm: CausalLm<B>, gradients: Gradients<B>, learning_rate: f64) -> CausalLm<B> {
        self.step += 1;
        let mut updater = Updater::<B> {
            path: Vec::new(),
            step: self.step,
            learning_rate,
            gradients: gradients.by_path,
            moments: &mut self.moments,
        };
        CausalLm { config: lm.config, module: lm.module.map(&mut updater) }
    }
}

struct Updater<'a, B: AutodiffBackend> {
    path: Vec<String>,
    step: u64,
    learning_rate: f64,
    gradients: BTreeMap<String, Tensor<B::InnerBackend, 1>>,
    moments: &'a mut BTreeMap<String, Moments<B::InnerBackend>>,
}

impl<B: AutodiffBackend> ModuleMapper<B> for Updater<'_, B> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let path = self.path.join(".");
        let Some(gradient) = self.gradients.remove(&path) else {
            return param;
        };
        let (id, tensor, mapper) = param.consume();
        let weight = tensor.inner();
        let shape = weight.dims();
        let (first, second) = self.moments.remove(&path).unwrap_or_else(|| {
            let zeros = || zeros_like(&gradient);
            (zeros(), zeros())
        });
        let n = shape.iter().product::<usize>();
        let slot = AdamSlot { weight: weight.reshape([n]), first, second };
        let on_host = is_host::<B::InnerBackend>();
        let slot = adam(slot, gradient, self.learning_rate, self.step, AdamConfig::STANDARD, on_host);
        self.moments.insert(path, (slot.first, slot.second));
        let weight = Tensor::from_inner(slot.weight.reshape(shape)).require_grad();
        Param::from_mapped_value(id, weight, mapper)
    }
}

fn zeros_like<B: Backend>(tensor: &Tensor<B, 1>) -> Tensor<B, 1> {
    Tensor::zeros(tensor.dims(), &tensor.device())
}
