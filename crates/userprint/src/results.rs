//! `results.json`: what one run found. The fields are documented for readers of the file.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use userprint_data::CanaryKind;

use crate::privacy::Promise;

/// What one run found; the same inputs and seed give the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Version of this layout.
    pub(crate) schema: u32,
    /// Name of the experiment.
    pub(crate) name: String,
    /// Seed of every draw.
    pub(crate) seed: u64,
    /// Why the result must not be used; empty when it may.
    pub(crate) void: Vec<String>,
    /// Every validity check, void or not; those with a p-value hold a family-wise level of .01 together.
    pub(crate) checks: Vec<CheckRow>,
    /// Users that the headline attack detects.
    pub(crate) detection: Detection,
    /// Example statistic of the headline numbers.
    pub(crate) statistic: String,
    /// Aggregate over a user's attack examples of the headline numbers.
    pub(crate) aggregate: String,
    /// Chance that a random held-in user outranks a random held-out one; ties count half.
    pub(crate) auroc: f64,
    /// 95 % interval of `auroc` over users.
    pub(crate) auroc_interval: [f64; 2],
    /// Whether too few users, or an AUROC far from one half, leave the interval's coverage unchecked.
    pub(crate) is_interval_approximate: bool,
    /// `auroc` over resamples of users, as the paper reports it.
    pub(crate) auroc_bootstrap: BootstrapSummary,
    /// True positive rate by false positive rate; null where there are fewer than 1/rate held-out users.
    pub(crate) tpr_at_fpr: BTreeMap<String, Option<f64>>,
    /// AUROC with the reference in place of the target: exactly .5, or the plumbing is broken.
    pub(crate) placebo_auroc: f64,
    /// AUROC of the reference's own token-mean log-likelihood.
    pub(crate) null_auroc: f64,
    /// 99.9 % interval of `null_auroc`.
    pub(crate) null_interval: [f64; 2],
    /// AUROC of a bag-of-words classifier that sees no model, cross-fitted over users.
    pub(crate) blind_auroc: f64,
    /// Its permutation p-value.
    pub(crate) blind_p_value: f64,
    /// Validation losses, nats per token.
    pub(crate) validation_loss: ValidationLoss,
    /// Users by membership.
    pub(crate) users: UserCounts,
    /// Examples and tokens by use.
    pub(crate) examples: ExampleCounts,
    /// Every statistic with every aggregate, and attacks that learn from other users.
    pub(crate) attacks: Vec<AttackRow>,
    /// Attacks without a result, and why.
    pub(crate) attacks_left_out: Vec<LeftOutRow>,
    /// How factors of users go with the headline statistic and with being detected.
    pub(crate) exposure: Vec<FactorRow>,
    /// Proposition 1's bounds of each held-in user, by measured value; no user is named.
    pub(crate) bounds: Vec<BoundRow>,
    /// The same where the users' distributions are known, by exact exposure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exact: Vec<ExactRow>,
    /// AUROC by number of attack examples.
    pub(crate) knowledge: Vec<KnowledgePoint>,
    /// The attack one example at a time.
    pub(crate) sequential: SequentialSummary,
    /// The headline attack along fine-tuning: with each kept checkpoint in the place of the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) auroc_curve: Vec<AurocPoint>,
    /// The headline attack on canary users, tier by tier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) canaries: Vec<CanaryRow>,
    /// Losses along fine-tuning.
    pub(crate) training: Vec<CurvePoint>,
    /// Step of the checkpoint under attack: the least held-in validation loss, or the last where training was private.
    pub(crate) target_step: u64,
    /// What the training promises; absent where it promises nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) promise: Option<Promise>,
    /// The models.
    pub(crate) model: ModelSummary,
}

impl Results {
    /// Reads the `results.json` of a run folder.
    pub(crate) fn read(folder: &std::path::Path) -> anyhow::Result<Self> {
        let path = folder.join("results.json");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("{}: cannot be read; has the run got as far as its attack?", path.display())
        })?;
        serde_json::from_str(&text).with_context(|| format!("{}: not the results of a run", path.display()))
    }
}

/// Canary users of one tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CanaryRow {
    /// What was planted.
    pub(crate) kind: CanaryKind,
    /// Its length.
    pub(crate) n_tokens: usize,
    /// Documents that each trained on at most; null is all.
    pub(crate) n_documents: Option<usize>,
    /// Canaries that the target was fine-tuned on.
    pub(crate) held_in: usize,
    /// Canaries that it was not.
    pub(crate) held_out: usize,
    /// Chance that a random held-in canary outranks a random held-out one; ties count half.
    pub(crate) auroc: Option<f64>,
    /// 95 % interval of `auroc` over users.
    pub(crate) auroc_interval: Option<[f64; 2]>,
    /// Why there is no AUROC.
    pub(crate) undefined: Option<String>,
}

/// One validity check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CheckRow {
    /// Name of the check.
    pub(crate) check: String,
    /// `passed`, `void` or `not checked`.
    pub(crate) outcome: String,
    /// What it found.
    pub(crate) found: String,
    /// Its p-value, where it is a test.
    pub(crate) p_value: Option<f64>,
    /// The same over all checks, by Holm's method; the run is void up to .01.
    pub(crate) adjusted_p_value: Option<f64>,
    /// Why the run is void, or why the check was not made.
    pub(crate) reason: Option<String>,
}

/// Users that are decided to be held-in, each by its p-value, at a false discovery rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Detection {
    /// The expected share of users decided wrongly among those detected.
    pub(crate) false_discovery_rate: f64,
    /// Held-in users detected.
    pub(crate) held_in: usize,
    /// Held-out users detected, wrongly.
    pub(crate) held_out: usize,
    /// The least p-value that so many held-out users allow.
    pub(crate) least_p_value: f64,
    /// The fewest users that can be detected at once with it; null where nobody can be.
    pub(crate) least_detected: Option<usize>,
}

/// How one factor goes with the headline statistic and with being detected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FactorRow {
    /// Name of the factor.
    pub(crate) factor: String,
    /// Spearman's correlation with the statistic among held-in users.
    pub(crate) held_in: AssociationRow,
    /// The same among held-out users, where training plays no part.
    pub(crate) held_out: AssociationRow,
    /// The same among all.
    pub(crate) all: AssociationRow,
    /// Chance that the factor of a detected held-in user is higher than that of one not detected.
    pub(crate) detected: AssociationRow,
}

/// An estimate with its interval, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AssociationRow {
    /// Users with a value.
    pub(crate) users: usize,
    /// The correlation or chance.
    pub(crate) estimate: Option<f64>,
    /// Its 95 % interval.
    pub(crate) interval: Option<[f64; 2]>,
    /// Its p-value over all factors, by Holm's method.
    pub(crate) adjusted_p_value: Option<f64>,
    /// Why there is no estimate.
    pub(crate) undefined: Option<String>,
}

/// Proposition 1 for one held-in user, nats per example up to where it was scored; the divergences are of the user's
/// words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BoundRow {
    /// The user's share of the fine-tuning tokens.
    pub(crate) share: f64,
    /// `log share + KL`.
    pub(crate) lower: f64,
    /// Mean log-likelihood ratio of the attack examples.
    pub(crate) measured: f64,
    /// `log(1 + share chi2)`, which is at most the paper's `share chi2`.
    pub(crate) upper: f64,
    /// Whether the measured value lies between them.
    pub(crate) is_inside: bool,
}

/// Proposition 1 for one held-in user of a synthetic population, nats per example: means over its attack examples, with the
/// mixture of all held-in users' distributions in the place of the target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExactRow {
    /// The user's share of the fine-tuning examples.
    pub(crate) share: f64,
    /// `log share + log r`, where `r` is the likelihood under the user over that under all others.
    pub(crate) lower: f64,
    /// Log-likelihood under the mixture less that under the mixture of all others.
    pub(crate) exposure: f64,
    /// `log(1 + share (r - 1))` of the mean `r`, which is at most the paper's `share chi2`.
    pub(crate) upper: f64,
    /// The exposure of a document over its tokens.
    pub(crate) exposure_per_token: f64,
    /// Log-likelihood under the target less that under the reference, nats per token of the model.
    pub(crate) measured: f64,
}

/// AUROC with so many attack examples a user.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KnowledgePoint {
    /// Attack examples drawn of each user.
    pub(crate) n_examples: u32,
    /// Users with fewer, of whom all are known.
    pub(crate) users_with_fewer: usize,
    /// Mean AUROC over the draws.
    pub(crate) auroc: f64,
    /// Standard deviation over the draws.
    pub(crate) auroc_std_dev: f64,
}

/// The attack one example at a time, which stops once a user is decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SequentialSummary {
    /// The rate of wrong decisions asked for on either side.
    pub(crate) rate_asked: f64,
    /// Held-out users called held-in.
    pub(crate) fpr: Option<ShareRow>,
    /// Held-in users called held-out.
    pub(crate) fnr: Option<ShareRow>,
    /// Held-in users called held-in.
    pub(crate) tpr: Option<ShareRow>,
    /// Users left undecided.
    pub(crate) undecided: Option<ShareRow>,
    /// Mean number of examples asked for.
    pub(crate) mean_examples: Option<f64>,
    /// Mean number of examples that could have been.
    pub(crate) mean_examples_at_hand: Option<f64>,
    /// Why there are no numbers.
    pub(crate) undefined: Option<String>,
}

/// A share of users with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShareRow {
    /// The share.
    pub(crate) share: f64,
    /// Its interval.
    pub(crate) interval: [f64; 2],
}

/// AUROC over resamples of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BootstrapSummary {
    /// Number of resamples.
    pub(crate) resamples: u32,
    /// Mean over them.
    pub(crate) mean: f64,
    /// Standard deviation over them.
    pub(crate) std_dev: f64,
}

/// Validation losses, nats per token, of the target under attack and of the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ValidationLoss {
    /// Target, held-in users.
    pub(crate) held_in: f64,
    /// Target, held-out users.
    pub(crate) held_out: f64,
    /// Reference, held-in users.
    pub(crate) reference_held_in: f64,
    /// Reference, held-out users.
    pub(crate) reference_held_out: f64,
    /// How much the gap, held-out less held-in, grew from reference to target.
    pub(crate) gap_growth: f64,
}

/// Users by membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserCounts {
    /// Pre-trained the reference.
    pub(crate) public: u32,
    /// Fine-tuned the target.
    pub(crate) held_in: u32,
    /// Never trained on.
    pub(crate) held_out: u32,
    /// Left out for having too few examples.
    pub(crate) dropped: u32,
}

/// Examples and tokens by use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExampleCounts {
    /// Examples that pre-trained the reference.
    pub(crate) pretrain: u64,
    /// Examples that fine-tuned the target.
    pub(crate) train: u64,
    /// Attack examples of held-in users.
    pub(crate) attack_held_in: u64,
    /// Attack examples of held-out users.
    pub(crate) attack_held_out: u64,
    /// Tokens scored under each model.
    pub(crate) scored_tokens: u64,
}

/// One statistic with one aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttackRow {
    /// Name of the example statistic.
    pub(crate) statistic: String,
    /// Name of the aggregate.
    pub(crate) aggregate: String,
    /// As in [`Results`].
    pub(crate) auroc: f64,
    /// As in [`Results`].
    pub(crate) auroc_interval: [f64; 2],
    /// As in [`Results`].
    pub(crate) tpr_at_fpr: BTreeMap<String, Option<f64>>,
}

/// An attack without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOutRow {
    /// Name of the statistic.
    pub(crate) statistic: String,
    /// Name of the aggregate; null where the statistic itself is undefined.
    pub(crate) aggregate: Option<String>,
    /// Why.
    pub(crate) reason: String,
}

/// The headline attack on the checkpoint of one step, on the same users as on the target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AurocPoint {
    /// Optimiser steps done.
    pub(crate) step: u64,
    /// Passes over the training data.
    pub(crate) epoch: f64,
    /// As in [`Results`].
    pub(crate) auroc: f64,
    /// As in [`Results`].
    pub(crate) auroc_interval: [f64; 2],
}

/// Losses at one step of fine-tuning, nats per token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CurvePoint {
    /// Optimiser steps done.
    pub(crate) step: u64,
    /// Passes over the training data.
    pub(crate) epoch: f64,
    /// Mean training loss since the last point; null before the first step.
    pub(crate) train_loss: Option<f64>,
    /// Validation loss of held-in users.
    pub(crate) held_in: f64,
    /// Validation loss of held-out users.
    pub(crate) held_out: f64,
}

/// The models' shape and where the reference came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModelSummary {
    /// Model family, as in `config.json`.
    pub(crate) family: String,
    /// Number of parameters, tied ones once.
    pub(crate) n_parameters: u64,
    /// Vocabulary of the tokenizer.
    pub(crate) vocab_size: u64,
    /// Longest input in tokens.
    pub(crate) context: u64,
    /// Where the reference came from.
    pub(crate) reference: String,
}
