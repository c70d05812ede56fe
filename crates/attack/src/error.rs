//! Why an attack has no result.

use std::fmt;

use userprint_core::Detail;
use userprint_stats::{Side, StatsError};

/// Whose scores are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Model {
    /// The fine-tuned model under attack.
    Target,
    /// The model that calibrates.
    Reference,
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Target => "target",
            Self::Reference => "reference",
        })
    }
}

/// Why an attack has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AttackError {
    /// A column has not one entry a row.
    #[error("column `{column}` has {found} entries, expected {expected}")]
    UnequalColumns {
        /// Name of the column.
        column: &'static str,
        /// Its length.
        found: usize,
        /// Number of rows.
        expected: usize,
    },
    /// A user is held-in in one row and held-out in another.
    #[error("row {row} puts user {user_idx} on the other side than a row before")]
    UserOnBothSides {
        /// The row that contradicts.
        row: usize,
        /// The user.
        user_idx: u32,
    },
    /// A log-likelihood is positive, NaN or infinite.
    #[error("the {model} log-likelihood of row {row} is {value}, expected a finite number of at most 0")]
    BadLogLikelihood {
        /// Whose score.
        model: Model,
        /// The row.
        row: usize,
        /// What was found.
        value: f64,
    },
    /// A row has no scored token.
    #[error("row {row} has no tokens scored by the {model}")]
    NoTokens {
        /// Whose score.
        model: Model,
        /// The row.
        row: usize,
    },
    /// A statistic needs finer scores than there are.
    #[error("`{statistic}` needs {needed:?} detail, the scores of the {model} have {found:?}")]
    TooCoarse {
        /// Name of the statistic.
        statistic: &'static str,
        /// Whose scores.
        model: Model,
        /// What the statistic needs.
        needed: Detail,
        /// What is there.
        found: Detail,
    },
    /// A statistic has no finite value for a row.
    #[error("`{statistic}` has no finite value for row {row}")]
    Undefined {
        /// Name of the statistic.
        statistic: &'static str,
        /// The row.
        row: usize,
    },
    /// The example statistics of a user have no finite aggregate.
    #[error("the {aggregate} of `{statistic}` over the examples of user {user_idx} is not finite")]
    UndefinedForUser {
        /// Name of the statistic.
        statistic: &'static str,
        /// Name of the aggregate.
        aggregate: &'static str,
        /// The user.
        user_idx: u32,
    },
    /// A blind classifier did not answer for each user.
    #[error("the blind classifier gave {found} scores for {expected} users")]
    BlindScores {
        /// Scores that it gave.
        found: usize,
        /// Number of users.
        expected: usize,
    },
    /// Fewer permutations than the test needs to be able to reject.
    #[error("{found} permutations are too few for a check of validity, expected at least {needed}")]
    TooFewPermutations {
        /// What was asked.
        found: u32,
        /// The least that is enough.
        needed: u32,
    },
    /// An entry of a column is NaN or infinite.
    #[error("row {row} of column `{column}` is {value}, expected a finite number")]
    NotFinite {
        /// Name of the column.
        column: &'static str,
        /// The row.
        row: usize,
        /// What was found.
        value: f64,
    },
    /// All held-in users are detected, or none, so that nothing can go with it.
    #[error("{n_detected} of {n_users} held-in users are detected, expected some and not all")]
    DetectionDoesNotVary {
        /// How many are detected.
        n_detected: usize,
        /// Of how many.
        n_users: usize,
    },
    /// A user has no example.
    #[error("there are no examples")]
    NoExamples,
    /// A share of the training tokens is none.
    #[error("expected a share above 0 and below 1, found {share}")]
    ShareOutOfRange {
        /// What was found.
        share: f64,
    },
    /// Fewer users on one side than the attack needs.
    #[error("there are {found} {side} users, expected at least {needed}")]
    TooFewUsers {
        /// The side.
        side: Side,
        /// What was found.
        found: usize,
        /// The least that is enough.
        needed: usize,
    },
    /// The example statistics of users do not vary, or by too much for a double, so that they have no density.
    #[error("the variance of the statistic among a user's examples is {variance}, expected a number above 0")]
    NoSpread {
        /// What was found; NaN where no user has two examples.
        variance: f64,
    },
    /// A rate is finer than the other users of a side can show.
    #[error("{found} other {side} users cannot show a rate of {rate}, below 1/(1 + {found})")]
    TooFewToCalibrate {
        /// The side.
        side: Side,
        /// What was asked.
        rate: f64,
        /// Number of users that the threshold comes from.
        found: usize,
    },
    /// The users' statistics have no ROC curve.
    #[error("the statistics of the users cannot be judged")]
    Stats(#[from] StatsError),
}
