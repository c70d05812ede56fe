//! Why an attack has no result.

use std::fmt;

use userprint_core::Detail;
use userprint_stats::{Side, StatsError};

use crate::Aggregate;

/// Whose scores are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Model {
    /// The fine-tuned model under attack.
    Target,
    /// The model that calibrates.
    Reference,
    /// A further model that was trained on none of the users.
    MoreReference {
        /// Its position among them.
        index: usize,
    },
    /// The model under attack, on documents of users on neither side.
    PopulationTarget,
    /// The model that calibrates, on documents of users on neither side.
    PopulationReference,
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target => f.write_str("target"),
            Self::Reference => f.write_str("reference"),
            Self::MoreReference { index } => write!(f, "further reference {index}"),
            Self::PopulationTarget => f.write_str("population's target"),
            Self::PopulationReference => f.write_str("population's reference"),
        }
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
    /// A user has more than one row.
    #[error("row {row} repeats user {user_idx}")]
    UserRepeated {
        /// The row that repeats.
        row: usize,
        /// The user.
        user_idx: u32,
    },
    /// A user was not trained on as its coin says.
    #[error("row {row} has user {user_idx} on the other side than its coin")]
    CoinContradicted {
        /// The row.
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
    /// A model gave every text the log-likelihood 0: it scored nothing.
    #[error("every {model} log-likelihood is 0: the model gave no score and no error")]
    NothingScored {
        /// Whose scores.
        model: Model,
    },
    /// A row has not one value a token.
    #[error(
        "row {row} has {found} values in `{column}` of the {model}, expected one for each of {expected} tokens"
    )]
    UnequalTokens {
        /// Whose scores.
        model: Model,
        /// Name of the column.
        column: &'static str,
        /// The row.
        row: usize,
        /// Values in the row.
        found: usize,
        /// Tokens of the row.
        expected: usize,
    },
    /// A token's value is NaN, infinite or on the wrong side of 0.
    #[error(
        "`{column}` of the {model} is {value} at token {token} of row {row}, expected a finite number of {expected}"
    )]
    BadTokenValue {
        /// Whose scores.
        model: Model,
        /// Name of the column.
        column: &'static str,
        /// The row.
        row: usize,
        /// Position in the row.
        token: usize,
        /// What was found.
        value: f32,
        /// The range.
        expected: &'static str,
    },
    /// The log-probabilities of a row's tokens do not add up to its log-likelihood: rows have shifted.
    #[error(
        "the tokens of row {row} add up to {sum} nats under the {model}, its log-likelihood is {log_likelihood}"
    )]
    TokensDoNotSum {
        /// Whose scores.
        model: Model,
        /// The row.
        row: usize,
        /// Sum over the tokens, nats.
        sum: f64,
        /// The row's total, nats.
        log_likelihood: f64,
    },
    /// A text has no bytes after zlib, which leaves some of any text.
    #[error("row {row} has 0 bytes after zlib, expected at least 1")]
    NoBytes {
        /// The row.
        row: usize,
    },
    /// A further reference has no name of its own.
    #[error("reference {index} is named `{name}`, expected a name that no other has")]
    ReferenceName {
        /// Position of the reference.
        index: usize,
        /// Its name.
        name: String,
    },
    /// A percentage is none.
    #[error("expected a percentage from 1 to 100, found {found}")]
    PercentOutOfRange {
        /// What was found.
        found: u8,
    },
    /// A statistic needs the texts' lengths after zlib, which nobody measured.
    #[error("`{statistic}` needs the length of each text after zlib")]
    NoZlibBytes {
        /// Name of the statistic.
        statistic: String,
    },
    /// A statistic needs several references.
    #[error("`{statistic}` needs a reference beside the main one")]
    OneReference {
        /// Name of the statistic.
        statistic: String,
    },
    /// A statistic compares token by token, and the models cut a text into different tokens.
    #[error(
        "`{statistic}` compares token by token: row {row} has {target} tokens under the target and {reference} \
         under the reference"
    )]
    TokenisedApart {
        /// Name of the statistic.
        statistic: String,
        /// The row.
        row: usize,
        /// Tokens under the target.
        target: u32,
        /// Tokens under the reference.
        reference: u32,
    },
    /// A statistic needs finer scores than there are.
    #[error("`{statistic}` needs {needed:?} detail, the scores of the {model} have {found:?}")]
    TooCoarse {
        /// Name of the statistic.
        statistic: String,
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
        statistic: String,
        /// The row.
        row: usize,
    },
    /// The example statistics of a user have no finite aggregate.
    #[error("the {aggregate} of `{statistic}` over the examples of user {user_idx} is not finite")]
    UndefinedForUser {
        /// Name of the statistic.
        statistic: String,
        /// The aggregate.
        aggregate: Aggregate,
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
    /// There is nobody to compare with.
    #[error("there are no documents to compare with")]
    NoPopulation,
    /// Settings of RMIA are out of range.
    #[error("expected offline a from 0 to 1 and gamma above 0 and finite, found {offline_a} and {gamma}")]
    RmiaSettings {
        /// How far one probability follows the other.
        offline_a: f64,
        /// The factor.
        gamma: f64,
    },
    /// The population was scored by other references than the examples.
    #[error("the population was scored by the further references {found:?}, the examples by {expected:?}")]
    OtherReferences {
        /// Names for the population.
        found: Vec<String>,
        /// Names for the examples.
        expected: Vec<String>,
    },
    /// Too few shadow models to fit a distribution.
    #[error("{found} shadow models have no spread, expected at least {needed}")]
    TooFewShadows {
        /// How many there are.
        found: usize,
        /// The least that is enough.
        needed: usize,
    },
    /// A shadow model's statistics are not of the same users, in the same order.
    #[error("the statistics under shadow model {shadow} are of other users than the target's")]
    ShadowOfOtherUsers {
        /// Its position.
        shadow: usize,
    },
    /// All shadow models saw a user, or none did.
    #[error(
        "{} shadow model was trained on user {user_idx}, expected some that were and some that were not",
        if *is_seen { "every" } else { "no" }
    )]
    OneSidedShadows {
        /// The user.
        user_idx: u32,
        /// Whether all saw it.
        is_seen: bool,
    },
    /// A statistic would compare each shadow model with itself.
    #[error("`{statistic}` compares with the further references, which are the shadow models")]
    ShadowsAsReferences {
        /// Name of the statistic.
        statistic: String,
    },
    /// Statistics under the shadow models have no spread to measure distances in.
    #[error(
        "the shadow models' statistics{} have variance {variance}, expected a finite one above 0",
        user_idx.map(|user| format!(" of user {user}")).unwrap_or_default()
    )]
    NoSpread {
        /// The user, if it is the user's own spread.
        user_idx: Option<u32>,
        /// What was found.
        variance: f64,
    },
    /// Too few folds to hold users out.
    #[error("users cannot be held out in {found} folds, expected at least 2")]
    TooFewFolds {
        /// What was asked.
        found: usize,
    },
    /// A user has too few examples.
    #[error("user {user_idx} has {found} examples, expected at least {needed}")]
    TooFewExamples {
        /// The user.
        user_idx: u32,
        /// Examples of the user.
        found: usize,
        /// The least that is enough.
        needed: usize,
    },
    /// A ridge penalty is none.
    #[error("expected a finite ridge penalty above 0, found {found}")]
    Penalty {
        /// What was found.
        found: f64,
    },
    /// There is nothing to weigh.
    #[error("there are no features to weigh")]
    NoFeatures,
    /// A feature is NaN or infinite.
    #[error("feature {feature} is {value} in row {row}, expected a finite number")]
    BadFeature {
        /// Position of the feature.
        feature: usize,
        /// The row.
        row: usize,
        /// What was found.
        value: f64,
    },
    /// All users to learn from are on one side.
    #[error("held-in or held-out users are missing, expected both")]
    OneSide,
    /// Two features are not of the same users, in the same order and on the same sides.
    #[error("feature {feature} is of other users than feature 0, or on other sides")]
    OtherUsers {
        /// Position of the feature.
        feature: usize,
    },
    /// No feature varies over a training part.
    #[error("every feature is constant over the users to learn from")]
    ConstantFeatures,
    /// The spread of a feature is beyond `f64`.
    #[error("the standard deviation of feature {feature} is {std_dev}, expected a finite number")]
    FeatureSpread {
        /// Position of the feature.
        feature: usize,
        /// What was found.
        std_dev: f64,
    },
    /// The spread of weighted sums is beyond `f64`.
    #[error("the standard deviation of the weighted sums of a fold is {std_dev}, expected a finite number")]
    SumSpread {
        /// What was found.
        std_dev: f64,
    },
    /// A fit did not end at a minimum.
    #[error("the logistic regression did not converge, its loss is {loss}: features or penalty are extreme")]
    NotConverged {
        /// The loss that was reached.
        loss: f64,
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
    /// Fewer users on one side than what is asked needs.
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
    #[error(
        "the variance of the statistic among a user's examples is {variance}, expected a finite one above 0"
    )]
    NoSpreadOfExamples {
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
