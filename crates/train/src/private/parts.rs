//! The parts of a private step that a claim rests on.

use std::fmt;

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use rand::RngExt;
use rand_distr::StandardNormal;
use userprint_mitigate::{AdaptiveClip, DpSampling, TrainingRule};
use userprint_model::CausalLm;

use crate::gradients::ByPath;
use crate::{
    ClippedSum, NoiseKey, PoissonSampler, TrainBackend, UnitBatch, add_gaussian_noise, clipped_sum,
    clipped_sum_recomputed,
};

/// The parts of a private step that a claim rests on.
///
/// Behind a trait, so that the self-checks try the very parts that training uses, and tests can show that broken ones are caught.
pub(crate) trait PrivateParts<B: TrainBackend>: fmt::Debug + Send + Sync {
    /// The units of a step.
    fn sample(&self, step: u64) -> Vec<usize>;

    /// The sum of the units' gradients, each clipped to `clip_norm`.
    fn clipped_sum(&self, lm: &CausalLm<B>, batch: &UnitBatch<B>, clip_norm: f64) -> ClippedSum<B>;

    /// Adds a step's noise to the sum of gradients clipped to `clip_norm`, in every coordinate.
    fn add_noise(&self, step: u64, clip_norm: f64, sum: &mut ByPath<B>);

    /// Adds a step's noise to a count, as [`AdaptiveClip::next`](userprint_mitigate::AdaptiveClip::next) takes it.
    fn noised_count(&self, step: u64, count: f64) -> f64;

    /// What the noised sum over so many sampled units is divided by.
    fn denominator(&self, n_sampled: usize) -> f64;

    /// The rule that these parts keep, by what they hold.
    fn rule(&self) -> TrainingRule;
}

/// The parts that keep the rule.
#[derive(Debug)]
pub(crate) struct SoundParts {
    pub(super) key: NoiseKey,
    pub(super) sampler: PoissonSampler,
    pub(super) sampling: DpSampling,
    /// Of the first step, where it adapts.
    pub(super) clip_norm: f64,
    pub(super) noise_multiplier: f64,
    pub(super) adaptive_clip: Option<AdaptiveClip>,
    pub(super) activation_checkpointing: bool,
}

impl<B: TrainBackend> PrivateParts<B> for SoundParts {
    fn sample(&self, step: u64) -> Vec<usize> {
        self.sampler.sample(step)
    }

    fn clipped_sum(&self, lm: &CausalLm<B>, batch: &UnitBatch<B>, clip_norm: f64) -> ClippedSum<B> {
        let of_units = if self.activation_checkpointing { clipped_sum_recomputed } else { clipped_sum };
        of_units(lm, batch, clip_norm)
    }

    fn add_noise(&self, step: u64, clip_norm: f64, sum: &mut ByPath<B>) {
        let multiplier = PrivateParts::<B>::rule(self).gradient_noise();
        let standard_deviation = multiplier.unwrap_or(0.0) * clip_norm;
        if standard_deviation == 0.0 {
            return;
        }
        for (path, tensor) in sum {
            let mut values = host::<B>(tensor);
            add_gaussian_noise(&self.key, step, path, standard_deviation, &mut values);
            let n = values.len();
            *tensor = Tensor::from_data(TensorData::new(values, [n]), &tensor.device());
        }
    }

    fn noised_count(&self, step: u64, count: f64) -> f64 {
        let adaptive = self.adaptive_clip.expect("counts are asked for where the clip norm adapts");
        let normal: f64 = self.key.generator("count", step, "").sample(StandardNormal);
        count + adaptive.count_noise * normal
    }

    fn denominator(&self, _: usize) -> f64 {
        self.sampler.expected_size()
    }

    fn rule(&self) -> TrainingRule {
        let sampling_probability = self.sampler.sampling_probability();
        let Self { sampling, clip_norm, noise_multiplier, adaptive_clip, .. } = *self;
        TrainingRule::DpSgd { sampling, sampling_probability, clip_norm, noise_multiplier, adaptive_clip }
    }
}

/// The values of a gradient.
pub(crate) fn host<B: AutodiffBackend>(tensor: &Tensor<B::InnerBackend, 1>) -> Vec<f32> {
    let data = tensor.to_data().convert::<f32>();
    data.into_vec().expect("converted to f32 just above")
}
