//! What a grid found, as it is kept in `grid.json`.

use serde::{Deserialize, Serialize};

use crate::results::ExactRow;

/// What a grid found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Version of this layout.
    pub(crate) schema: u32,
    /// Name of the grid.
    pub(crate) name: String,
    /// Version of userprint.
    pub(crate) version: String,
    /// Processor and number of threads.
    pub(crate) machine: String,
    /// Seeds of the runs, pooled.
    pub(crate) seeds: Vec<u64>,
    /// Seconds of all stages together; shared ones once.
    pub(crate) wall_s: f64,
    /// Users by membership, in the first run.
    pub(crate) n_held_in: u32,
    /// See [`Self::n_held_in`].
    pub(crate) n_held_out: u32,
    /// Parameters of the model.
    pub(crate) n_parameters: u64,
    /// Whether variants differ in how the target is made alone.
    pub(crate) is_of_mitigations: bool,
    /// The ways to make the target.
    pub(crate) variants: Vec<VariantOutcome>,
    /// The attacks.
    pub(crate) rows: Vec<RowOutcome>,
    /// The corpus of the published AUROCs in rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) published_on: Option<String>,
    /// The claims.
    pub(crate) claims: Vec<ClaimOutcome>,
    /// The corpus, where it was to be described.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) corpus: Option<CorpusOutcome>,
}

/// What a corpus is, before it is split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CorpusOutcome {
    pub(crate) n_users: u64,
    /// Users with as many documents as a split keeps.
    pub(crate) n_kept_users: u64,
    /// The fewest documents of a user that a split keeps.
    pub(crate) min_documents: u64,
    pub(crate) n_documents: u64,
    pub(crate) n_words: u64,
    /// Documents a user at the percentiles 0, 25, 50, 75 and 100.
    pub(crate) documents: [u64; 5],
    /// Words a document at the same.
    pub(crate) words: [u64; 5],
    /// Documents that repeat an earlier one of their user.
    pub(crate) n_copies: u64,
    /// Documents that are near-copies of an earlier one of their user.
    pub(crate) n_near_copies: u64,
    /// How many users have up to twice so many documents, less one: powers of 2.
    pub(crate) users_by_documents: Vec<(u64, u64)>,
    /// The same of documents by words.
    pub(crate) documents_by_words: Vec<(u64, u64)>,
}

/// One way to make the target: means over seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VariantOutcome {
    pub(crate) name: String,
    /// Validation losses of the target, nats per token.
    pub(crate) held_in_loss: f64,
    /// See [`Self::held_in_loss`].
    pub(crate) held_out_loss: f64,
    /// Held-in users detected, a run.
    pub(crate) n_detected: f64,
    /// Held-out users detected wrongly, a run.
    pub(crate) n_wrongly_detected: f64,
    /// Seconds of fine-tuning, a run.
    pub(crate) train_s: f64,
    /// Epsilon that the training promises, and whether to users.
    pub(crate) promise: Option<(f64, bool)>,
    /// Standard deviation of the noise on a step's mean gradient, in clip norms, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) noise: Option<f64>,
    /// Why runs must not be used.
    pub(crate) void: Vec<String>,
    /// The attack and the losses along training, of each seed, where checkpoints were kept.
    pub(crate) curves: Vec<Vec<CurvePoint>>,
    /// The attack by number of attack examples: means over seeds.
    pub(crate) knowledge: Vec<KnowledgeOutcome>,
    /// Gradient norms of examples, of the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) norms: Option<NormsOutcome>,
    /// Proposition 1 of each held-in user of a synthetic population, in the first run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exact: Vec<ExactRow>,
}

/// Norms of single examples' gradients under the target: quartiles of those of canary users and of others, and the chance that
/// one of a canary user is the higher.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NormsOutcome {
    pub(crate) canaries: [f64; 3],
    pub(crate) others: [f64; 3],
    pub(crate) canary_is_higher: f64,
}

/// The attack with so many examples of each user.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KnowledgeOutcome {
    pub(crate) n_examples: u32,
    /// Mean over draws.
    pub(crate) auroc: f64,
    /// Standard deviation over draws.
    pub(crate) std_dev: f64,
}

/// The attack and the losses at one kept checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CurvePoint {
    pub(crate) epoch: f64,
    pub(crate) auroc: f64,
    /// 95 % interval over users.
    pub(crate) auroc_interval: [f64; 2],
    pub(crate) held_in_loss: f64,
    pub(crate) held_out_loss: f64,
}

/// One attack on one variant, runs pooled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RowOutcome {
    pub(crate) name: String,
    pub(crate) variant: String,
    /// Users on both sides, counted once a run.
    pub(crate) n_held_in: usize,
    /// See [`Self::n_held_in`].
    pub(crate) n_held_out: usize,
    pub(crate) auroc: f64,
    /// 95 % interval over users.
    pub(crate) auroc_interval: [f64; 2],
    /// True positive rates at 1 % and 5 %, means over runs; null where there are too few held-out users.
    pub(crate) tpr: [Option<f64>; 2],
    /// AUROC less that of the first row, with its 95 % interval over users; none for the first, or where they are one.
    pub(crate) difference: Option<(f64, [f64; 2])>,
    pub(crate) published: Option<f64>,
    /// What the coins of canaries certify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audit: Option<AuditOutcome>,
}

/// A lower bound on epsilon of users, from canaries that coins included; runs pooled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AuditOutcome {
    pub(crate) n_canaries: u64,
    pub(crate) n_guesses: u64,
    pub(crate) n_correct: u64,
    /// Delta of the bounds.
    pub(crate) delta: f64,
    /// The bound at significance .05.
    pub(crate) epsilon: f64,
    /// The bound at significance .001.
    pub(crate) epsilon_strict: f64,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It holds at its level.
    Reproduced,
    /// The opposite holds.
    Contradicted,
    /// Neither.
    Undecided,
}

/// A claim with its tests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClaimOutcome {
    pub(crate) says: String,
    pub(crate) verdict: Verdict,
    /// What the claim is about, such as a difference of AUROCs.
    pub(crate) estimate: Option<f64>,
    /// Its 95 % interval.
    pub(crate) interval: Option<[f64; 2]>,
    /// p-value of the claim.
    pub(crate) p_value: Option<f64>,
    /// p-value of the opposite, over all claims by Holm's method.
    pub(crate) opposite_p_value: Option<f64>,
    /// Distinct users behind it.
    pub(crate) n_users: Option<usize>,
    /// Users that would decide it four times in five, if they are like these.
    pub(crate) n_users_needed: Option<u64>,
    /// Why there is no test.
    pub(crate) undefined: Option<String>,
    /// What was found, where the claim is not about AUROCs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<String>,
}
