//! Why a statistic is undefined.

use std::fmt;

/// Which of the two samples is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Users that were trained on.
    HeldIn,
    /// Users that were not.
    HeldOut,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeldIn => "held-in",
            Self::HeldOut => "held-out",
        })
    }
}

/// Why a statistic is undefined.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// One of the samples has no value.
    #[error("there are no {side} values")]
    EmptySide {
        /// The empty sample.
        side: Side,
    },
    /// A value of one of the samples is NaN or infinite.
    #[error("{side} value {index} is {value}, expected a finite number")]
    NotFinite {
        /// The sample.
        side: Side,
        /// Position in the sample.
        index: usize,
        /// What was found.
        value: f64,
    },
    /// A false positive rate is no rate.
    #[error("expected a false positive rate between 0 and 1, found {fpr}")]
    FprOutOfRange {
        /// What was found.
        fpr: f64,
    },
    /// A false positive rate is finer than the held-out sample can show.
    #[error("{n_held_out} held-out values cannot show a false positive rate of {fpr}, below 1/{n_held_out}")]
    FprBelowResolution {
        /// What was asked.
        fpr: f64,
        /// Size of the held-out sample.
        n_held_out: usize,
    },
    /// A significance is no probability strictly between 0 and 1.
    #[error("expected a significance above 0 and below 1, found {significance}")]
    SignificanceOutOfRange {
        /// What was found.
        significance: f64,
    },
    /// Fewer resamples or permutations than the answer needs.
    #[error("expected at least {needed} resamples, found {found}")]
    TooFewResamples {
        /// What was found.
        found: usize,
        /// The least that is enough.
        needed: usize,
    },
    /// There is no stratum to pool.
    #[error("there are no strata")]
    NoStrata,
    /// The columns of a stratum differ in length.
    #[error("stratum {stratum} has {user} users, {held_in} memberships and {statistic} statistics")]
    UnequalColumns {
        /// Position of the stratum.
        stratum: usize,
        /// Length of the column `user`.
        user: usize,
        /// Length of the column `held_in`.
        held_in: usize,
        /// Length of the column `statistic`.
        statistic: usize,
    },
    /// A stratum has rows on one side only.
    #[error("stratum {stratum} has no {side} rows")]
    EmptyStratumSide {
        /// Position of the stratum.
        stratum: usize,
        /// The empty side.
        side: Side,
    },
    /// A statistic of a stratum is NaN or infinite.
    #[error("row {row} of stratum {stratum} is {value}, expected a finite number")]
    NotFiniteInStratum {
        /// Position of the stratum.
        stratum: usize,
        /// Position in the stratum.
        row: usize,
        /// What was found.
        value: f64,
    },
    /// A user is held-in and held-out within one stratum.
    #[error("user {user} is on both sides of stratum {stratum}")]
    UserOnBothSides {
        /// Position of the stratum.
        stratum: usize,
        /// The user.
        user: u32,
    },
    /// Resampling users kept leaving every stratum without a side.
    #[error("{attempts} draws of users in a row left no stratum with both sides")]
    NoPairs {
        /// How many draws were tried for one resample.
        attempts: u32,
    },
    /// The observed value of a permutation test is NaN or infinite.
    #[error("the observed value is {value}, expected a finite number")]
    ObservedNotFinite {
        /// What was found.
        value: f64,
    },
    /// A permuted value is NaN or infinite.
    #[error("permuted value {index} is {value}, expected a finite number")]
    PermutedNotFinite {
        /// Position among the permuted values.
        index: usize,
        /// What was found.
        value: f64,
    },
}
