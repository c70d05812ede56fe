//! One Adam update, with decoupled weight decay.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use multiversion::multiversion;
use rayon::prelude::*;

/// Numbers that one task works on.
const TASK: usize = 1 << 16;

/// The constants of Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Decay of the mean of gradients.
    pub beta_1: f32,
    /// Decay of the mean of squared gradients.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Share of a parameter that goes at a learning rate of 1; 0 is plain Adam.
    pub weight_decay: f64,
}

impl AdamConfig {
    /// .9, .999 and 1e-8, as in the paper and in PyTorch, without weight decay.
    pub const STANDARD: Self = Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
}

/// A parameter and its two moments, flat.
#[derive(Clone, Debug)]
pub struct AdamSlot<B: Backend> {
    /// The parameter.
    pub weight: Tensor<B, 1>,
    /// Mean of gradients.
    pub first: Tensor<B, 1>,
    /// Mean of squared gradients.
    pub second: Tensor<B, 1>,
}

/// Update number `step` (from 1) of a parameter.
///
/// `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`,
/// `w ← (1 − lr · λ) w − lr · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε)`, with `λ` the weight decay.
///
/// On a host backend (`on_host`) it is one pass over the four arrays, shared among threads; elsewhere it is tensor operations.
///
/// # Reference
/// Kingma & Ba, arXiv:1412.6980v9, Algorithm 1; decoupled decay from Loshchilov & Hutter, arXiv:1711.05101v3, Algorithm 2.
/// There it is `η λ`, with `η` the schedule without the peak rate; here it is `lr λ`, as in `torch.optim.AdamW`.
pub fn adam<B: Backend>(
    slot: AdamSlot<B>,
    gradient: Tensor<B, 1>,
    learning_rate: f64,
    step: u64,
    config: AdamConfig,
    on_host: bool,
) -> AdamSlot<B> {
    let exponent = i32::try_from(step).unwrap_or(i32::MAX);
    let correction_1 = 1.0 - f64::from(config.beta_1).powi(exponent);
    let correction_2 = 1.0 - f64::from(config.beta_2).powi(exponent);
    let rate = learning_rate / correction_1;
    let factors =
        Factors { rate, root: correction_2.sqrt(), kept: 1.0 - learning_rate * config.weight_decay };
    if on_host {
        one_pass(slot, gradient, factors, config)
    } else {
        by_operations(slot, gradient, factors, config)
    }
}

/// What a step multiplies and divides by, the same for each number of a parameter.
#[derive(Clone, Copy)]
struct Factors {
    /// The learning rate over the first moment's correction.
    rate: f64,
    /// Root of the second moment's correction.
    root: f64,
    /// Share of the parameter that weight decay leaves.
    kept: f64,
}

fn by_operations<B: Backend>(
    slot: AdamSlot<B>,
    gradient: Tensor<B, 1>,
    factors: Factors,
    config: AdamConfig,
) -> AdamSlot<B> {
    let (beta_1, beta_2) = (config.beta_1, config.beta_2);
    let first = slot.first.mul_scalar(beta_1) + gradient.clone().mul_scalar(1.0 - beta_1);
    let second = slot.second.mul_scalar(beta_2) + (gradient.clone() * gradient).mul_scalar(1.0 - beta_2);
    let denominator = second.clone().sqrt().div_scalar(factors.root).add_scalar(config.epsilon);
    let weight = slot.weight.mul_scalar(factors.kept) - first.clone().mul_scalar(factors.rate) / denominator;
    AdamSlot { weight, first, second }
}

fn one_pass<B: Backend>(
    slot: AdamSlot<B>,
    gradient: Tensor<B, 1>,
    factors: Factors,
    config: AdamConfig,
) -> AdamSlot<B> {
    let device = gradient.device();
    let (mut weight, mut first, mut second) = (host(slot.weight), host(slot.first), host(slot.second));
    let gradient = host(gradient);
    let weights = weight.par_chunks_mut(TASK).zip(gradient.par_chunks(TASK));
    let parts = weights.zip(first.par_chunks_mut(TASK)).zip(second.par_chunks_mut(TASK));
    parts.for_each(|(((weight, gradient), first), second)| {
        update(weight, gradient, [first, second], factors, config);
    });
    let back = |values: Vec<f32>| {
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n]), &device)
    };
    AdamSlot { weight: back(weight), first: back(first), second: back(second) }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn update(
    weight: &mut [f32],
    gradient: &[f32],
    [first, second]: [&mut [f32]; 2],
    factors: Factors,
    config: AdamConfig,
) {
    let (beta_1, beta_2, epsilon) = (config.beta_1, config.beta_2, config.epsilon);
    let (rate, root, kept) = (factors.rate as f32, factors.root as f32, factors.kept as f32);
    for (((w, g), m), v) in weight.iter_mut().zip(gradient).zip(first).zip(second) {
        *m = beta_1 * *m + (1.0 - beta_1) * g;
        *v = beta_2 * *v + (1.0 - beta_2) * g * g;
        *w = kept * *w - rate * *m / (v.sqrt() / root + epsilon);
    }
}

fn host<B: Backend>(tensor: Tensor<B, 1>) -> Vec<f32> {
    let data = tensor.into_data().convert::<f32>();
    data.into_vec().expect("converted to f32 just above")
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;

    fn run(weight_decay: f64, on_host: bool) -> Vec<f32> {
        let config = AdamConfig { weight_decay, ..AdamConfig::STANDARD };
        let tensor = |values: &[f32]| Tensor::<Flex, 1>::from_floats(values, &Default::default());
        let zero = tensor(&[0.0; 3]);
        let mut slot = AdamSlot { weight: tensor(&[1.0, -2.0, 0.5]), first: zero.clone(), second: zero };
        for step in 1..=5 {
            let gradient = slot.weight.clone().mul_scalar(2.0).add_scalar(step as f32 * 0.1);
            slot = adam(slot, gradient, 0.01, step, config, on_host);
        }
        slot.weight.into_data().to_vec().unwrap()
    }

    fn by_definition(weight_decay: f64) -> Vec<f64> {
        [1.0f64, -2.0, 0.5]
            .map(|start| {
                let (mut w, mut m, mut v) = (start, 0.0, 0.0);
                for t in 1..=5 {
                    let g = 2.0 * w + 0.1 * f64::from(t);
                    m = 0.9 * m + 0.1 * g;
                    v = 0.999 * v + 0.001 * g * g;
                    w -= 0.01 * weight_decay * w;
                    w -= 0.01 * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
                }
                w
            })
            .to_vec()
    }

    #[test]
    fn both_forms_agree_with_the_definition() {
        for (weight_decay, on_host) in [(0.0, true), (0.0, false), (0.5, true), (0.5, false)] {
            for (fast, slow) in run(weight_decay, on_host).iter().zip(by_definition(weight_decay)) {
                assert!(
                    (f64::from(*fast) - slow).abs() < 1e-6,
                    "decay {weight_decay}, on_host {on_host}: {fast} against {slow}"
                );
            }
        }
    }
}
