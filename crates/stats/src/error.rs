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
    /// There is no trial.
    #[error("there are no trials")]
    NoTrials,
    /// More successes than trials.
    #[error("{successes} successes in {trials} trials")]
    TooManySuccesses {
        /// How many succeeded.
        successes: u64,
        /// Of how many.
        trials: u64,
    },
    /// More trials than can be summed over.
    #[error("expected at most {most} trials, found {trials}")]
    TooManyTrials {
        /// What was found.
        trials: u64,
        /// The most that is answered.
        most: u64,
    },
    /// A p-value is no probability.
    #[error("p-value {index} is {value}, expected a number between 0 and 1")]
    PValueOutOfRange {
        /// Position among the p-values.
        index: usize,
        /// What was found.
        value: f64,
    },
    /// A rate is no probability strictly between 0 and 1.
    #[error("expected a {name} above 0 and below 1, found {value}")]
    RateOutOfRange {
        /// Which rate.
        name: &'static str,
        /// What was found.
        value: f64,
    },
    /// Error rates that a toss of a coin keeps to, so that no test is needed for them.
    #[error(
        "a false positive rate of {false_positive_rate} and a false negative rate of {false_negative_rate} do not sum to less than 1"
    )]
    RatesTooHigh {
        /// Chance that a held-out user is called held-in.
        false_positive_rate: f64,
        /// Chance that a held-in user is called held-out.
        false_negative_rate: f64,
    },
    /// A column has no row.
    #[error("column `{name}` is empty")]
    EmptyColumn {
        /// The argument.
        name: &'static str,
    },
    /// A column has another number of rows than the first.
    #[error("column `{name}` has {found} rows, expected {expected}")]
    ColumnLength {
        /// The argument.
        name: &'static str,
        /// What was found.
        found: usize,
        /// Rows of the first column.
        expected: usize,
    },
    /// A value of a column is NaN or infinite.
    #[error("row {row} of `{name}` is {value}, expected a finite number")]
    NotFiniteInColumn {
        /// The argument.
        name: &'static str,
        /// Position in the column.
        row: usize,
        /// What was found.
        value: f64,
    },
    /// A column does not vary, so that nothing goes with it.
    #[error("column `{name}` is {value} in every row")]
    ConstantColumn {
        /// The argument.
        name: &'static str,
        /// Its only value.
        value: f64,
    },
    /// Fewer rows than the answer needs.
    #[error("expected at least {needed} rows, found {found}")]
    TooFewRows {
        /// What was found.
        found: usize,
        /// The least that is enough.
        needed: usize,
    },
    /// Fewer values on one side than the answer needs.
    #[error("expected at least {needed} {side} values, found {found}")]
    TooFewValues {
        /// The sample.
        side: Side,
        /// What was found.
        found: usize,
        /// The least that is enough.
        needed: usize,
    },
    /// More values on one side than can be counted.
    #[error("expected at most {most} {side} values, found {found}")]
    TooManyValues {
        /// The sample.
        side: Side,
        /// What was found.
        found: usize,
        /// The most that is answered.
        most: usize,
    },
    /// Nothing varies from user to user, or from resample to resample, so that no error can be told.
    #[error("nothing varies: all users, or all resamples, say the same")]
    NoVariance,
    /// All resamples lie on one side of the estimate, so that its bias is unbounded.
    #[error("{below} of {resamples} resamples lie below the estimate, which no bias correction explains")]
    OneSidedResamples {
        /// Resamples below the estimate, those that tie counting half.
        below: f64,
        /// All of them.
        resamples: usize,
    },
    /// Finite values whose squares are not.
    #[error("values are too large for their squares to be represented")]
    Overflow,
    /// A log-likelihood ratio is NaN.
    #[error("the increment is NaN, expected a log-likelihood ratio")]
    IncrementIsNan,
    /// Increments that lead away from the right decision.
    #[error("{side} users whose increments have mean {value} are not decided rightly")]
    WrongDrift {
        /// Whose increments.
        side: Side,
        /// Their mean.
        value: f64,
    },
    /// A delta of differential privacy is no probability below 1.
    #[error("expected a delta of at least 0 and below 1, found {delta}")]
    DeltaOutOfRange {
        /// What was found.
        delta: f64,
    },
    /// An epsilon of differential privacy is negative, NaN, or infinite where it must not be.
    #[error("expected an epsilon of at least 0, found {epsilon}")]
    EpsilonOutOfRange {
        /// What was found.
        epsilon: f64,
    },
    /// The mu of Gaussian differential privacy is negative or not finite.
    #[error("expected a finite mu of at least 0, found {mu}")]
    MuOutOfRange {
        /// What was found.
        mu: f64,
    },
    /// A Gaussian mechanism has no finite epsilon at delta 0.
    #[error("mu-Gaussian differential privacy with mu {mu} has no finite epsilon at delta 0")]
    InfiniteEpsilon {
        /// The mu.
        mu: f64,
    },
    /// A claim at a larger delta than an audit's, of which the audit says nothing.
    #[error("the claim is at delta {claimed}, the audit at {audited}, expected a claim at no larger delta")]
    ClaimAtLargerDelta {
        /// Delta of the claim.
        claimed: f64,
        /// Delta of the audit.
        audited: f64,
    },
    /// A bound that holds for Gaussian mechanisms, beside a claim that is not of one.
    #[error("the audit is of Gaussian mechanisms, the claim of an epsilon of {epsilon} is of any")]
    ClaimNotGaussian {
        /// Epsilon of the claim.
        epsilon: f64,
    },
    /// A bound is at another significance than was asked.
    #[error("a bound at significance {asked} was asked, found one at {found}")]
    BoundAtOtherSignificance {
        /// What was asked.
        asked: f64,
        /// What was found.
        found: f64,
    },
    /// Two trials of one training, which share its randomness.
    #[error(
        "trainings {first} and {second} are both run {run}, expected a training of its own for each trial"
    )]
    RepeatedTraining {
        /// What was given for both.
        run: u64,
        /// Position of the one.
        first: usize,
        /// Position of the other.
        second: usize,
    },
    /// Coins came out as fair ones do not.
    #[error("{heads} heads in {flips} flips of a coin that should be fair")]
    UnfairCoins {
        /// Canaries that were included.
        heads: u64,
        /// All canaries.
        flips: u64,
    },
    /// No coin is guessed.
    #[error("there are no guesses")]
    NoGuesses,
    /// More coins are guessed than were flipped.
    #[error("{guesses} guesses for {canaries} canaries")]
    MoreGuessesThanCanaries {
        /// Number of guesses.
        guesses: u64,
        /// Number of canaries.
        canaries: u64,
    },
    /// More guesses are right than there are.
    #[error("{correct} of {guesses} guesses are correct")]
    MoreCorrectThanGuesses {
        /// Right guesses.
        correct: u64,
        /// All guesses.
        guesses: u64,
    },
}
