//! Adam or stochastic gradient descent over a model's parameters.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use serde::{Deserialize, Serialize};
use userprint_kernels::adam::{AdamConfig, AdamSlot, adam};
use userprint_model::{CausalLm, backend::is_host};

use crate::{Gradients, TrainError};

/// How gradients become updates; every parameter is treated alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Adam with betas .9 and .999, epsilon 1e-8 and decoupled weight decay.
    ///
    /// `w ← (1 − lr · weight_decay) w − lr · m̂ / (√v̂ + ε)`, as `torch.optim.AdamW` over all parameters, biases and norms too;
    /// see [`adam`].
    AdamW {
        /// Share of a parameter that goes at a learning rate of 1; 0 is Adam.
        weight_decay: f64,
    },
    /// Stochastic gradient descent.
    ///
    /// `u ← momentum · u + g`, `w ← w − lr · u`, with `u = 0` at the start: `torch.optim.SGD` with dampening 0.
    Sgd {
        /// Share of the last update's direction that stays; 0 keeps no state.
        momentum: f64,
    },
}

impl OptimizerConfig {
    /// Adam without weight decay.
    pub const ADAM: Self = Self::AdamW { weight_decay: 0.0 };

    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`TrainError::Setting`] names the value.
    ///
    /// ```
    /// use userprint_train::OptimizerConfig;
    /// assert!(OptimizerConfig::Sgd { momentum: 0.9 }.check().is_ok());
    /// let error = OptimizerConfig::Sgd { momentum: 1.0 }.check().unwrap_err();
    /// assert_eq!(error.to_string(), "momentum is 1, expected a share of at least 0 and below 1");
    /// ```
    pub fn check(&self) -> Result<(), TrainError> {
        let (key, found, is_in_range, expected) = match *self {
            Self::AdamW { weight_decay } => {
                let is_in_range = weight_decay.is_finite() && weight_decay >= 0.0;
                ("weight_decay", weight_decay, is_in_range, "a number of at least 0")
            }
            Self::Sgd { momentum } => {
                ("momentum", momentum, (0.0..1.0).contains(&momentum), "a share of at least 0 and below 1")
            }
        };
        if is_in_range {
            return Ok(());
        }
        Err(TrainError::Setting { key, found: found.to_string(), expected: expected.to_owned() })
    }

    /// What is kept of each parameter from step to step.
    pub(crate) fn kinds(&self) -> &'static [&'static str] {
        match self {
            Self::AdamW { .. } => &[FIRST, SECOND],
            Self::Sgd { momentum: 0.0 } => &[],
            Self::Sgd { .. } => &[VELOCITY],
        }
    }
}

/// Mean of gradients.
const FIRST: &str = "first";
/// Mean of squared gradients.
const SECOND: &str = "second";
/// Direction of the last update.
const VELOCITY: &str = "velocity";

/// An optimiser under way.
#[derive(Debug)]
pub struct Optimizer<B: AutodiffBackend> {
    /// How gradients become updates.
    pub config: OptimizerConfig,
    /// Updates done.
    pub step: u64,
    /// What is kept of each parameter, flat, by kind and path: `first.wte.weight`.
    pub(crate) kept: BTreeMap<String, Tensor<B::InnerBackend, 1>>,
}

impl<B: AutodiffBackend> Optimizer<B> {
    /// Before the first update.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, step: 0, kept: BTreeMap::new() }
    }

    /// The same on another device.
    pub(crate) fn on_device(&self, device: &B::Device) -> Self {
        let kept = self.kept.iter().map(|(key, tensor)| (key.clone(), tensor.clone().to_device(device)));
        Self { config: self.config, step: self.step, kept: kept.collect() }
    }

    /// One update of every parameter that has a gradient.
    pub fn update(&mut self, lm: CausalLm<B>, gradients: Gradients<B>, learning_rate: f64) -> CausalLm<B> {
        self.step += 1;
        let mut updater =
            Updater { path: Vec::new(), optimizer: self, learning_rate, gradients: gradients.by_path };
        CausalLm { config: lm.config, module: lm.module.map(&mut updater) }
    }

    /// The parameter at a path after this step.
    fn updated(
        &mut self,
        path: &str,
        weight: Tensor<B::InnerBackend, 1>,
        gradient: Tensor<B::InnerBackend, 1>,
        learning_rate: f64,
    ) -> Tensor<B::InnerBackend, 1> {
        let key = |kind: &str| format!("{kind}.{path}");
        let mut take = |kind| {
            let kept = self.kept.remove(&key(kind));
            kept.unwrap_or_else(|| Tensor::zeros(gradient.dims(), &gradient.device()))
        };
        match self.config {
            OptimizerConfig::AdamW { weight_decay } => {
                let config = AdamConfig { weight_decay, ..AdamConfig::STANDARD };
                let slot = AdamSlot { weight, first: take(FIRST), second: take(SECOND) };
                let on_host = is_host::<B::InnerBackend>();
                let slot = adam(slot, gradient, learning_rate, self.step, config, on_host);
                self.kept.extend([(key(FIRST), slot.first), (key(SECOND), slot.second)]);
                slot.weight
            }
            OptimizerConfig::Sgd { momentum: 0.0 } => weight - gradient.mul_scalar(learning_rate),
            OptimizerConfig::Sgd { momentum } => {
                let velocity = take(VELOCITY).mul_scalar(momentum) + gradient;
                self.kept.insert(key(VELOCITY), velocity.clone());
                weight - velocity.mul_scalar(learning_rate)
            }
        }
    }
}

struct Updater<'a, B: AutodiffBackend> {
    path: Vec<String>,
    optimizer: &'a mut Optimizer<B>,
    learning_rate: f64,
    gradients: BTreeMap<String, Tensor<B::InnerBackend, 1>>,
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
        let n = shape.iter().product::<usize>();
        let weight = self.optimizer.updated(&path, weight.reshape([n]), gradient, self.learning_rate);
        let weight = Tensor::from_inner(weight.reshape(shape)).require_grad();
        Param::from_mapped_value(id, weight, mapper)
    }
}
