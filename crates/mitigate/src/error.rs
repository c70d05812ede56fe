//! Why a defence is refused.

use userprint_privacy::AccountingError;

use crate::PrivacyUnit;

/// Why a defence is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MitigateError {
    /// A step needs at least one example.
    #[error("the batch size is 0, expected at least 1")]
    BatchSize,
    /// A gradient cannot be clipped to this norm.
    #[error("the clip norm is {found}, expected a finite number above 0")]
    ClipNorm {
        /// What was given.
        found: f64,
    },
    /// A coin that never falls, or no coin at all.
    #[error("the sampling probability is {found}, expected a number above 0 and at most 1")]
    SamplingProbability {
        /// What was given.
        found: f64,
    },
    /// No such noise.
    #[error("the noise multiplier is {found}, expected a finite number from 0 on")]
    NoiseMultiplier {
        /// What was given.
        found: f64,
    },
    /// A clip norm that cannot adapt so.
    #[error("{name} of the adaptive clip norm is {found}, expected {expected}")]
    AdaptiveClip {
        /// Which setting.
        name: &'static str,
        /// What was given.
        found: f64,
        /// What would do.
        expected: String,
    },
    /// A rule that samples by no coins has no clip norm that adapts.
    #[error("the clip norm of a rule without secret coins cannot adapt, expected private training")]
    NothingToAdapt,
    /// Users without any example.
    #[error("the examples per user are 0, expected at least 1")]
    ExamplesPerUser,
    /// An accountant gave no number.
    #[error("the privacy of the training cannot be accounted")]
    Accounting(#[from] AccountingError),
    /// Such a delta promises nothing.
    #[error("delta is {found}, expected a number above 0 and below one over the number of units, {n_units}")]
    Delta {
        /// What was given.
        found: f64,
        /// How many units there are.
        n_units: u64,
    },
    /// A stored claim says more than its own numbers give.
    #[error(
        "the stored claim of epsilon {stored} does not follow from its rule and steps, which give {found}, with its unit, relation and public facts"
    )]
    StoredClaim {
        /// What the file says.
        stored: f64,
        /// What its rule and steps give; infinite where they give nothing.
        found: f64,
    },
    /// A plan for nobody.
    #[error("the number of {unit}s is 0, expected at least 1")]
    NothingToSample {
        /// What is sampled.
        unit: PrivacyUnit,
    },
    /// A batch larger than the data.
    #[error("the expected batch is {found}, expected at most the {n_sampled} that are sampled from")]
    LargeBatch {
        /// What was given.
        found: u64,
        /// How many there are.
        n_sampled: u64,
    },
    /// Only the full batch is at its own floor.
    #[error("the factor above the floor of the noise is {found}, expected a finite number above 1")]
    BatchFactor {
        /// What was given.
        found: f64,
    },
    /// A plan for no training.
    #[error("the length of the training is 0, expected at least 1 epoch or step")]
    NoSteps,
    /// A cap that the data do not keep.
    #[error(
        "{n_users} users with at most {examples_per_user} examples cannot have {n_examples}; cap the users first"
    )]
    AboveCap {
        /// How many examples there are.
        n_examples: u64,
        /// How many users.
        n_users: u64,
        /// The cap.
        examples_per_user: u32,
    },
}
