//! Why a defence is refused.

use userprint_privacy::AccountingError;

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
}
