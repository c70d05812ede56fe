//! `results.json`: what one run found. The fields are documented for readers of the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one run found; the same inputs and seed give the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Version of this layout.
    pub schema: u32,
    /// Name of the experiment.
    pub name: String,
    /// Seed of every draw.
    pub seed: u64,
    /// Why the result must not be used; empty when it may.
    pub void: Vec<String>,
    /// Example statistic of the headline numbers.
    pub statistic: String,
    /// Aggregate over a user's attack examples of the headline numbers.
    pub aggregate: String,
    /// Chance that a random held-in user outranks a random held-out one; ties count half.
    pub auroc: f64,
    /// 95 % interval of `auroc` over users.
    pub auroc_interval: [f64; 2],
    /// `auroc` over resamples of users, as the paper reports it.
    pub auroc_bootstrap: BootstrapSummary,
    /// True positive rate by false positive rate; null where there are fewer than 1/rate held-out users.
    pub tpr_at_fpr: BTreeMap<String, Option<f64>>,
    /// AUROC with the reference in place of the target: exactly .5, or the plumbing is broken.
    pub placebo_auroc: f64,
    /// AUROC of the reference's own token-mean log-likelihood.
    pub null_auroc: f64,
    /// 99.9 % interval of `null_auroc`; the run is void when it excludes .5.
    pub null_interval: [f64; 2],
    /// AUROC of a bag-of-words classifier that sees no model, cross-fitted over users.
    pub blind_auroc: f64,
    /// Its permutation p-value; the run is void below .001.
    pub blind_p_value: f64,
    /// Validation losses, nats per token.
    pub validation_loss: ValidationLoss,
    /// Users by membership.
    pub users: UserCounts,
    /// Examples and tokens by use.
    pub examples: ExampleCounts,
    /// Every statistic with every aggregate.
    pub attacks: Vec<AttackRow>,
    /// Losses along fine-tuning.
    pub training: Vec<CurvePoint>,
    /// Step of the checkpoint under attack: the least held-in validation loss.
    pub target_step: u64,
    /// The models.
    pub model: ModelSummary,
}

/// AUROC over resamples of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootstrapSummary {
    /// Number of resamples.
    pub resamples: u32,
    /// Mean over them.
    pub mean: f64,
    /// Standard deviation over them.
    pub std_dev: f64,
}

/// Validation losses, nats per token, of the target under attack and of the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationLoss {
    /// Target, held-in users.
    pub held_in: f64,
    /// Target, held-out users.
    pub held_out: f64,
    /// Reference, held-in users.
    pub reference_held_in: f64,
    /// Reference, held-out users.
    pub reference_held_out: f64,
}

/// Users by membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCounts {
    /// Pre-trained the reference.
    pub public: u32,
    /// Fine-tuned the target.
    pub held_in: u32,
    /// Never trained on.
    pub held_out: u32,
    /// Left out for having too few examples.
    pub dropped: u32,
}

/// Examples and tokens by use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExampleCounts {
    /// Examples that pre-trained the reference.
    pub pretrain: u64,
    /// Examples that fine-tuned the target.
    pub train: u64,
    /// Attack examples of held-in users.
    pub attack_held_in: u64,
    /// Attack examples of held-out users.
    pub attack_held_out: u64,
    /// Tokens scored under each model.
    pub scored_tokens: u64,
}

/// One statistic with one aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttackRow {
    /// Name of the example statistic.
    pub statistic: String,
    /// Name of the aggregate.
    pub aggregate: String,
    /// As in [`Results`].
    pub auroc: f64,
    /// As in [`Results`].
    pub auroc_interval: [f64; 2],
    /// As in [`Results`].
    pub tpr_at_fpr: BTreeMap<String, Option<f64>>,
}

/// Losses at one step of fine-tuning, nats per token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Optimiser steps done.
    pub step: u64,
    /// Passes over the training data.
    pub epoch: f64,
    /// Mean training loss since the last point; null before the first step.
    pub train_loss: Option<f64>,
    /// Validation loss of held-in users.
    pub held_in: f64,
    /// Validation loss of held-out users.
    pub held_out: f64,
}

/// The models' shape and where the reference came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// Model family, as in `config.json`.
    pub family: String,
    /// Number of parameters, tied ones once.
    pub n_parameters: u64,
    /// Vocabulary of the tokenizer.
    pub vocab_size: u64,
    /// Longest input in tokens.
    pub context: u64,
    /// Where the reference came from.
    pub reference: String,
}
