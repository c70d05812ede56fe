//! A `training` section of the experiment file.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use userprint_mitigate::{ClipUnit, StopRule, TrainingRule};
use userprint_train::{Packing, Schedule, TrainSettings};

use super::RawExperiment;
use super::optimizer::OptimizerName;
use crate::privacy::{PrivacyChoice, RawPrivacy};
use crate::stages::pretrain::TrainingRecord;
use crate::stages::train;

/// Sequences in one pass of training: enough to keep two cores busy, few enough for their memory.
const DEFAULT_MICROBATCH_SIZE: u32 = 16;

/// A `training` section as it stands in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTraining {
    pub(crate) batch_size: Option<u32>,
    pub(crate) microbatch_size: Option<u32>,
    #[serde(default)]
    pub(crate) activation_checkpointing: bool,
    pub(crate) clip_norm: Option<f64>,
    /// A finished run whose least norm is the clip norm; replaced by the number when the file is read.
    pub(crate) clip_norm_from: Option<PathBuf>,
    pub(crate) clip_unit: Option<ClipUnit>,
    pub(crate) packing: Packing,
    pub(crate) block_tokens: usize,
    pub(crate) epochs: u32,
    pub(crate) max_steps: Option<u64>,
    pub(crate) learning_rate: f64,
    pub(crate) warmup_steps: u64,
    #[serde(default)]
    pub(crate) schedule: Schedule,
    #[serde(default)]
    pub(crate) optimizer: OptimizerName,
    pub(crate) weight_decay: Option<f64>,
    pub(crate) momentum: Option<f64>,
    pub(crate) evaluations: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint_every: Option<u64>,
    /// Keeps so many models instead, evenly spaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoints: Option<u32>,
    pub(crate) patience: Option<u32>,
    pub(crate) max_validation_examples: usize,
    pub(crate) privacy: Option<RawPrivacy>,
}

impl RawTraining {
    /// The least norm that a finished run saw of what is to be clipped.
    pub(super) fn recorded_norm(&self, run: &Path) -> anyhow::Result<f64> {
        if self.clip_norm.is_some() {
            bail!("there is a clip_norm too, expected one of them");
        }
        if self.privacy.is_some() {
            bail!("[privacy] needs a clip_norm that does not depend on the data: give a number");
        }
        let recorded = recorded_clip_unit(run)?;
        let unit = self.clip_unit.unwrap_or_default();
        if recorded != unit {
            bail!("{}: it clipped by {recorded}, expected by {unit} as here", run.display());
        }
        let record = TrainingRecord::read(&run.join(train::TARGET))?;
        record.least_norm.with_context(|| {
            format!(
                "{}: it recorded no norms; let it run with a clip_norm that nothing reaches, 1e30",
                run.display()
            )
        })
    }

    /// The key that says which models are kept, if any does.
    pub(super) fn key_of_checkpoints(&self) -> Option<&'static str> {
        let every = self.checkpoint_every.map(|_| "checkpoint_every");
        every.or(self.checkpoints.map(|_| "checkpoints"))
    }

    /// Without what changes rounding alone.
    pub(crate) fn beyond_rounding(&self) -> Self {
        Self { microbatch_size: None, activation_checkpointing: false, ..self.clone() }
    }

    pub(super) fn check(&self) -> anyhow::Result<(TrainSettings, Option<PrivacyChoice>)> {
        if self.max_validation_examples == 0 {
            bail!("max_validation_examples is 0, expected at least 1: validation picks the checkpoint");
        }
        let privacy = self.privacy.as_ref().map(|privacy| privacy.check(self.batch_size, self.clip_norm));
        let privacy = privacy.transpose().context("[privacy]")?;
        let rule = match &privacy {
            Some(_) if self.clip_unit.is_some() => {
                bail!("clip_unit is given beside [privacy], whose `sampling` says what is clipped")
            }
            Some(privacy) => privacy.provisional_rule()?,
            None => self.rule_without_privacy()?,
        };
        let settings = TrainSettings {
            rule,
            packing: self.packing,
            block_tokens: self.block_tokens,
            epochs: self.epochs,
            max_steps: self.max_steps.unwrap_or(u64::MAX),
            learning_rate: self.learning_rate,
            warmup_steps: self.warmup_steps,
            schedule: self.schedule,
            optimizer: self.optimizer()?,
            evaluations: self.evaluations,
            checkpoint_every: self.checkpoint_every,
            checkpoints: self.checkpoints,
            stop: self.patience.map_or(StopRule::Never, |evaluations| StopRule::Patience { evaluations }),
            microbatch_size: self.microbatch_size.unwrap_or(DEFAULT_MICROBATCH_SIZE),
            activation_checkpointing: self.activation_checkpointing,
            delta: None,
        };
        Ok((settings, privacy))
    }

    fn rule_without_privacy(&self) -> anyhow::Result<TrainingRule> {
        let batch_size = self.batch_size.context("batch_size is missing")?;
        Ok(match (self.clip_norm, self.clip_unit) {
            (Some(clip_norm), unit) => {
                TrainingRule::clipped(batch_size, unit.unwrap_or_default(), clip_norm)?
            }
            (None, Some(_)) => bail!("clip_unit is given without a clip_norm, expected both"),
            (None, None) => TrainingRule::plain(batch_size)?,
        })
    }
}

/// What a finished run clipped.
fn recorded_clip_unit(run: &Path) -> anyhow::Result<ClipUnit> {
    Ok(RawExperiment::read(&run.join("experiment.toml"))?.target.training.clip_unit.unwrap_or_default())
}
