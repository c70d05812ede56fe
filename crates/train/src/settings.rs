//! What changes the result of training.

use serde::{Deserialize, Serialize};
use userprint_mitigate::{ClipUnit, StopRule, TrainingRule};

use crate::{OptimizerConfig, Schedule, TrainError};

/// How documents become training sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// All documents of an epoch in one stream, a separator before each, cut into blocks.
    Blocks,
    /// One sequence a document, cut at the block length, padding masked.
    Documents,
}

/// What changes the result of training, besides the data, the start and the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Batch size and clipping.
    pub rule: TrainingRule,
    /// How documents become sequences.
    pub packing: Packing,
    /// Tokens of a sequence.
    pub block_tokens: usize,
    /// Passes over the data; 0 keeps the start.
    pub epochs: u32,
    /// Most steps, where the epochs are more.
    pub max_steps: u64,
    /// The highest learning rate, reached after the warm-up.
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// How the learning rate goes on after the warm-up.
    pub schedule: Schedule,
    /// How gradients become updates.
    pub optimizer: OptimizerConfig,
    /// How often validation losses are measured and the state is written, evenly spaced.
    pub evaluations: u32,
    /// Keeps the models of each so many steps, and of the last, in [`step_folder`](crate::step_folder)s.
    ///
    /// Validation losses are measured at these steps too, and count as those of [`evaluations`](Self::evaluations) do.
    /// The start, step 0, is not kept.
    pub checkpoint_every: Option<u64>,
    /// The same, for so many models, evenly spaced over the steps that are planned; fewer where there are fewer steps.
    pub checkpoints: Option<u32>,
    /// When to stop early.
    pub stop: StopRule,
    /// Most sequences in one pass through the model: gradients of larger batches add up over passes, which changes their
    /// rounding alone. A user with more documents is a pass of its own.
    pub microbatch_size: u32,
    /// Whether activations are computed again in the backward pass rather than kept: less memory, a third more time, and twice
    /// the time where gradients of examples or users are clipped.
    pub activation_checkpointing: bool,
    /// Delta of the claim that noise makes.
    pub delta: Option<f64>,
}

impl TrainSettings {
    /// Refuses settings that cannot train a model of this context.
    ///
    /// # Errors
    /// [`TrainError::Setting`] names the first one out of range; [`TrainError::Rule`] is about the rule.
    pub fn check(&self, context: usize) -> Result<(), TrainError> {
        let refuse = |key, found: String, expected: &str| {
            Err(TrainError::Setting { key, found, expected: expected.to_owned() })
        };
        self.rule.check()?;
        if self.clips_units() && self.packing == Packing::Blocks {
            return refuse(
                "packing",
                "blocks".to_owned(),
                "documents: a block mixes examples, and has one gradient for all of them",
            );
        }
        if self.block_tokens == 0 || self.block_tokens > context {
            return refuse(
                "block_tokens",
                self.block_tokens.to_string(),
                &format!("1 to the model's context of {context}"),
            );
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refuse("learning_rate", self.learning_rate.to_string(), "a positive number");
        }
        self.optimizer.check()?;
        if self.evaluations == 0 {
            return refuse("evaluations", "0".to_owned(), "at least 1");
        }
        if self.checkpoint_every == Some(0) {
            return refuse("checkpoint_every", "0".to_owned(), "at least 1");
        }
        if self.checkpoints == Some(0) {
            return refuse("checkpoints", "0".to_owned(), "at least 1");
        }
        if self.checkpoint_every.is_some() && self.checkpoints.is_some() {
            return refuse("checkpoints", "beside checkpoint_every".to_owned(), "one of them");
        }
        if self.microbatch_size == 0 {
            return refuse("microbatch_size", "0".to_owned(), "at least 1");
        }
        if self.rule.batch_size().is_none() && self.stop != StopRule::Never {
            return refuse(
                "patience",
                "set".to_owned(),
                "none where a step samples by coins: it would let held-in validation texts decide, which no noise hides",
            );
        }
        Ok(())
    }

    /// The step after which models are kept for their number alone, of a training of which so many are planned.
    pub fn kept_every(&self, planned: u64) -> Option<u64> {
        let evenly = self.checkpoints.map(|n| planned.div_ceil(u64::from(n)).max(1));
        self.checkpoint_every.or(evenly)
    }

    /// How many models a training keeps that makes all steps planned.
    ///
    /// ```
    /// use userprint_mitigate::{StopRule, TrainingRule};
    /// use userprint_train::{OptimizerConfig, Packing, Schedule, TrainSettings};
    /// let mut settings = TrainSettings {
    ///     rule: TrainingRule::plain(8)?, packing: Packing::Blocks, block_tokens: 64, epochs: 1, max_steps: u64::MAX,
    ///     learning_rate: 1e-3, warmup_steps: 0, schedule: Schedule::Linear, optimizer: OptimizerConfig::AdamW { weight_decay: 0.0 },
    ///     evaluations: 1, checkpoint_every: None, checkpoints: Some(20), stop: StopRule::Never, microbatch_size: 8,
    ///     activation_checkpointing: false, delta: None,
    /// };
    /// assert_eq!([1000, 7].map(|planned| settings.n_kept(planned)), [20, 7]);
    /// settings.checkpoints = None;
    /// assert_eq!(settings.n_kept(1000), 0);
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn n_kept(&self, planned: u64) -> u64 {
        self.kept_every(planned).map_or(0, |every| planned.div_ceil(every))
    }

    /// Whether gradients of examples or users are clipped.
    fn clips_units(&self) -> bool {
        self.clips_examples() || self.rule.batch_size().is_none()
    }

    /// Whether each example's gradient is clipped, and nothing else is done to it.
    pub(crate) fn clips_examples(&self) -> bool {
        matches!(self.rule, TrainingRule::Clipped { unit: ClipUnit::Example, .. })
    }
}
