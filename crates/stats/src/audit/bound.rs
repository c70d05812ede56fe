//! The lower bound on epsilon that an audit certifies.

use crate::StatsError;
use crate::interval::{check_significance, last_inside};

/// What experiment a bound rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditKind {
    /// Trainings with and without one target, each with noise of its own.
    IndependentTrainings,
    /// One training whose canaries were included by independent fair coins.
    OneRun,
    /// The same, if what is claimed is Gaussian differential privacy.
    OneRunGaussian,
}

/// A mechanism that is `(epsilon', delta)` private for an `epsilon' < epsilon` gives such a bound with probability
/// at most `significance`.
///
/// Of kind [`AuditKind::OneRunGaussian`], that holds of mechanisms that are Gaussian private for some mu, and says
/// nothing of others.
/// Only the audits of this module make one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct EpsilonLowerBound {
    /// The bound; 0 says nothing.
    pub epsilon: f64,
    /// The delta of the guarantee that it bounds.
    pub delta: f64,
    /// The chance of exceeding the true epsilon.
    pub significance: f64,
    /// What it rests on.
    pub kind: AuditKind,
}

impl EpsilonLowerBound {
    /// The largest bound over choices that were stated beforehand, each at its share of the significance (Bonferroni).
    ///
    /// # Panics
    /// Without choices.
    pub(super) fn largest<T>(
        choices: &[T],
        significance: f64,
        bound_at: impl Fn(&T, f64) -> Result<Self, StatsError>,
    ) -> Result<Self, StatsError> {
        check_significance(significance)?;
        let each = significance / choices.len() as f64;
        let mut best = bound_at(&choices[0], each)?;
        for choice in &choices[1..] {
            let bound = bound_at(choice, each)?;
            if bound.epsilon > best.epsilon {
                best = bound;
            }
        }
        Ok(Self { significance, ..best })
    }
}

pub(super) fn check_delta(delta: f64) -> Result<(), StatsError> {
    if (0.0..1.0).contains(&delta) { Ok(()) } else { Err(StatsError::DeltaOutOfRange { delta }) }
}

/// The largest value of at least 0 that is found to be rejected, or 0 where 0 is not.
///
/// `rejected` is asked at doubling values, then by bisection; what is returned was itself rejected.
pub(super) fn largest_rejected(rejected: impl Fn(f64) -> bool) -> f64 {
    let (mut inside, mut beyond) = (0.0, 1.0);
    if !rejected(inside) {
        return 0.0;
    }
    while rejected(beyond) {
        (inside, beyond) = (beyond, 2.0 * beyond);
    }
    last_inside(inside, beyond, |value| !rejected(value))
}
