//! Private steps: Poisson samples of units, each unit's gradient clipped, the sum noised.

mod parts;
mod sampled;
mod self_check;

use burn::tensor::Tensor;
use userprint_mitigate::{AdaptiveClip, Claim, TrainingRule};
use userprint_model::CausalLm;

use self::parts::{PrivateParts, SoundParts};
use self::sampled::SampledUnits;
use crate::gradients::ByPath;
use crate::peers::{Peers, StepSum};
use crate::{NoiseKey, PoissonSampler, TrainBackend, TrainData, TrainError, TrainSettings};

/// Private steps on one set of data.
#[derive(Debug)]
pub(crate) struct PrivateSteps<'a, B: TrainBackend> {
    units: SampledUnits<'a>,
    parts: Box<dyn PrivateParts<B>>,
    key: NoiseKey,
    rule: TrainingRule,
    /// Of the next step.
    clip_norm: f64,
    adaptive_clip: Option<AdaptiveClip>,
    /// What a sum is divided by, whatever was sampled.
    expected_size: f64,
    microbatch_size: usize,
    /// Path and size of each parameter that training moves.
    trained: Vec<(String, usize)>,
}

impl<'a, B: TrainBackend> PrivateSteps<'a, B> {
    /// Steps of a private rule.
    ///
    /// # Panics
    /// For another rule.
    pub(crate) fn new(
        lm: &CausalLm<B>,
        data: &'a TrainData<'a>,
        settings: &TrainSettings,
        key: &NoiseKey,
    ) -> Result<Self, TrainError> {
        let TrainingRule::DpSgd {
            sampling,
            sampling_probability,
            clip_norm,
            noise_multiplier,
            adaptive_clip,
        } = settings.rule
        else {
            panic!("{:?} is not a private rule", settings.rule)
        };
        let units = SampledUnits::new(data, sampling, settings.block_tokens)?;
        let sampler = PoissonSampler::new(key, units.len(), sampling_probability)?;
        let expected_size = sampler.expected_size();
        let activation_checkpointing = settings.activation_checkpointing;
        let key = key.clone();
        let parts = SoundParts {
            key: key.clone(),
            sampler,
            sampling,
            clip_norm,
            noise_multiplier,
            adaptive_clip,
            activation_checkpointing,
        };
        Ok(Self {
            units,
            parts: Box::new(parts),
            key,
            rule: settings.rule,
            clip_norm,
            adaptive_clip,
            expected_size,
            microbatch_size: settings.microbatch_size as usize,
            trained: lm.trained_sizes(),
        })
    }

    /// Steps in which each unit is sampled once on average.
    pub(crate) fn per_epoch(&self) -> f64 {
        self.units.len() as f64 / self.expected_size
    }

    /// What the next step clips to, where that adapts.
    pub(crate) fn adapted_clip_norm(&self) -> Option<f64> {
        self.adaptive_clip.map(|_| self.clip_norm)
    }

    /// Goes on with the clip norm that a state has.
    pub(crate) fn set_clip_norm(&mut self, clip_norm: f64) {
        self.clip_norm = clip_norm;
    }

    /// What so many steps are worth; `None` where they are worth nothing.
    pub(crate) fn claim(&self, steps: u64, delta: Option<f64>) -> Result<Option<Claim>, TrainError> {
        let Some(unit) = self.rule.privacy_unit() else { return Ok(None) };
        let delta = delta.ok_or_else(|| TrainError::Setting {
            key: "delta",
            found: "missing".to_owned(),
            expected: format!(
                "a number above 0 and below one over the number of {unit}s: noise makes a claim"
            ),
        })?;
        Ok(Claim::of(self.rule, steps, self.units.count(unit), delta)?)
    }

    /// The noised mean gradient of a step; the clip norm of the next follows.
    pub(crate) fn gradients(&mut self, peers: &mut Peers<B>, step: u64) -> Result<StepSum<B>, TrainError> {
        let mut sum = self.noised_mean(peers, step, &self.parts.sample(step), self.microbatch_size)?;
        let norms = std::mem::take(&mut sum.norms);
        if let Some(adaptive) = self.adaptive_clip {
            let halves = norms.iter().map(|&norm| if norm <= self.clip_norm { 0.5 } else { -0.5 });
            let count = self.parts.noised_count(step, halves.sum());
            self.clip_norm = adaptive.next(self.clip_norm, count, self.expected_size);
        }
        Ok(sum)
    }

    /// The noised mean gradient of a step that sampled these units.
    ///
    /// Noise goes into the first peer's share, once, and so into the sum that all have.
    fn noised_mean(
        &self,
        peers: &mut Peers<B>,
        step: u64,
        sample: &[usize],
        microbatch_size: usize,
    ) -> Result<StepSum<B>, TrainError> {
        let mut units: Vec<Vec<Vec<u32>>> =
            sample.iter().map(|&unit| self.units.sequences(&self.key, step, unit)).collect();
        // Passes of units of like length.
        units.sort_by_key(|unit| unit.iter().map(Vec::len).max());
        let clipped = |lm: &CausalLm<B>, batch: &_| self.parts.clipped_sum(lm, batch, self.clip_norm);
        let mut sum = peers.clipped_sum(&units, microbatch_size, step, clipped)?;
        if units.is_empty() {
            sum.by_peer[0] = self.zeros(&peers.first().lm);
        }
        self.parts.add_noise(step, self.clip_norm, &mut sum.by_peer[0]);
        peers.all_reduce(&mut sum)?;
        // How much was sampled is as secret as what was.
        (sum.factor, sum.n_tokens) = (1.0 / self.parts.denominator(sample.len()), None);
        Ok(sum)
    }

    fn zeros(&self, lm: &CausalLm<B>) -> ByPath<B> {
        let zeros = |n: &usize| Tensor::zeros([*n], &lm.device());
        self.trained.iter().map(|(path, n)| (path.clone(), zeros(n))).collect()
    }
}
