//! Why an accountant gives no number.

use crate::NeighboringRelation;

/// Why an accountant gives no number.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountingError {
    /// The noise multiplier is no positive finite number.
    #[error("the noise multiplier is {found}, expected a finite number above 0")]
    NoiseMultiplier {
        /// What the event says.
        found: f64,
    },
    /// The sampling probability is no probability.
    #[error("the sampling probability is {found}, expected a number from 0 to 1")]
    SamplingProbability {
        /// What the event says.
        found: f64,
    },
    /// A sensitivity of a mixture is no finite number from 0 on.
    #[error("sensitivity {index} of the mixture is {found}, expected a finite number from 0 on")]
    Sensitivity {
        /// Which of the list.
        index: usize,
        /// What the event says.
        found: f64,
    },
    /// The probability of a mixture's part is no probability.
    #[error("probability {index} of the mixture is {found}, expected a number from 0 to 1")]
    MixtureProbability {
        /// Which of the list.
        index: usize,
        /// What the event says.
        found: f64,
    },
    /// The probabilities of a mixture do not sum to 1.
    #[error("the probabilities of the mixture sum to {found}, expected 1")]
    ProbabilitySum {
        /// Their sum.
        found: f64,
    },
    /// A mixture has as many probabilities as sensitivities, and at least one.
    #[error(
        "the mixture has {sensitivities} sensitivities and {probabilities} probabilities, expected the same number, at least 1"
    )]
    MixtureLength {
        /// How many sensitivities.
        sensitivities: usize,
        /// How many probabilities.
        probabilities: usize,
    },
    /// A grid of privacy losses has no such spacing.
    #[error("the discretization is {found}, expected a number above 0 and at most 1")]
    Discretization {
        /// What was given.
        found: f64,
    },
    /// No such epsilon.
    #[error("epsilon is {found}, expected a finite number from 0 on")]
    Epsilon {
        /// What was asked.
        found: f64,
    },
    /// A guarantee has no such delta.
    #[error("delta is {found}, expected a number from 0 to 1")]
    Delta {
        /// What was given.
        found: f64,
    },
    /// No such false-positive rate.
    #[error("the rate is {found}, expected a number from 0 to 1")]
    Rate {
        /// What was asked.
        found: f64,
    },
    /// A group has somebody in it.
    #[error("the group has {found} units, expected at least 1")]
    GroupSize {
        /// What was asked.
        found: u32,
    },
    /// No noise reaches the epsilon that was asked for.
    #[error("no noise multiplier up to {largest} reaches epsilon {target_epsilon}; there epsilon is {found}")]
    OutOfReach {
        /// What was asked.
        target_epsilon: f64,
        /// The largest noise multiplier tried.
        largest: f64,
        /// Epsilon there.
        found: f64,
    },
    /// No noise worth the name is needed for the epsilon that was asked for.
    #[error(
        "a noise multiplier of {smallest} reaches epsilon {target_epsilon} already; is anything protected at all?"
    )]
    AnyNoise {
        /// What was asked.
        target_epsilon: f64,
        /// The smallest noise multiplier tried.
        smallest: f64,
    },
    /// The target delta leaves nothing to bound.
    #[error("the target delta is {found}, expected a number above 0 and below 1")]
    TargetDelta {
        /// What was asked.
        found: f64,
    },
    /// A profile says nothing of deltas so small.
    #[error("the profile ends at delta {ends_at:e}, above {least_delta:e}, which was asked for")]
    ProfileEnds {
        /// What was asked.
        least_delta: f64,
        /// Its least delta.
        ends_at: f64,
    },
    /// A Rényi order at which the divergence is not defined here.
    #[error("order {found} of the accountant is not a finite number above 1")]
    Order {
        /// What was given.
        found: f64,
    },
    /// An accountant needs at least one order.
    #[error("the accountant was given 0 orders, expected at least 1")]
    NoOrders,
    /// The accountant has no bound for this event, which is not to say that there is none.
    #[error("no bound for {event} under {relation:?}")]
    Unsupported {
        /// What the event is, in words.
        event: &'static str,
        /// Under which relation.
        relation: NeighboringRelation,
    },
}

pub(crate) fn check_target_delta(found: f64) -> Result<(), AccountingError> {
    let is_fine = found > 0.0 && found < 1.0;
    if is_fine { Ok(()) } else { Err(AccountingError::TargetDelta { found }) }
}
