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
    /// The target delta leaves nothing to bound.
    #[error("the target delta is {found}, expected a number above 0 and below 1")]
    TargetDelta {
        /// What was asked.
        found: f64,
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
