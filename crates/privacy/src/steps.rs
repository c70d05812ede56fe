//! An event taken apart into steps that compose.

use crate::mixture::Mixture;
use crate::{AccountingError, DpEvent, NeighboringRelation};

/// One mechanism, `count` times with fresh randomness.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) mixture: Mixture,
    /// A product of counts; above 2^53 rounded.
    pub(crate) count: f64,
}

/// What an event comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Steps {
    /// Some part of it protects nothing.
    NotPrivate,
    /// These, each mixture once, in the order of the event.
    Private(Vec<Step>),
}

impl Steps {
    /// Takes the event apart and checks every value in it.
    ///
    /// # Errors
    /// Values out of range, and several events on one Poisson sample.
    pub(crate) fn of(event: &DpEvent) -> Result<Self, AccountingError> {
        match event {
            DpEvent::NonPrivate => Ok(Self::NotPrivate),
            DpEvent::Gaussian { noise_multiplier } => Mixture::gaussian(*noise_multiplier).map(Self::once),
            DpEvent::MixtureOfGaussians { noise_multiplier, sensitivities, probabilities } => {
                Mixture::new(*noise_multiplier, sensitivities, probabilities).map(Self::once)
            }
            DpEvent::PoissonSampled { sampling_probability, event } => {
                Self::of(event)?.sampled(checked_probability(*sampling_probability)?, event)
            }
            DpEvent::SelfComposed { event, count } => Ok(Self::of(event)?.repeated(*count as f64)),
            DpEvent::Composed { events } => {
                let mut all = Self::Private(vec![]);
                for event in events {
                    all = all.then(Self::of(event)?);
                }
                Ok(all)
            }
        }
    }

    /// A step that moves nothing is no step.
    fn once(mixture: Mixture) -> Self {
        let is_idle = mixture.largest_sensitivity() == 0.0;
        Self::Private(if is_idle { vec![] } else { vec![Step { mixture, count: 1.0 }] })
    }

    fn sampled(self, probability: f64, event: &DpEvent) -> Result<Self, AccountingError> {
        match self {
            // A unit that is left out entirely is protected entirely.
            _ if probability == 0.0 => Ok(Self::Private(vec![])),
            steps if probability == 1.0 => Ok(steps),
            Self::Private(steps) if steps.is_empty() => Ok(Self::Private(steps)),
            Self::NotPrivate => Ok(Self::NotPrivate),
            Self::Private(_) if is_composition(event) => Err(AccountingError::Unsupported {
                event: "several events on one Poisson sample",
                relation: NeighboringRelation::AddOrRemove,
            }),
            Self::Private(steps) => {
                let sampled = |step: Step| Self::once(step.mixture.sampled(probability));
                Ok(steps.into_iter().map(sampled).fold(Self::Private(vec![]), Self::then))
            }
        }
    }

    fn repeated(self, count: f64) -> Self {
        match self {
            _ if count == 0.0 => Self::Private(vec![]),
            Self::NotPrivate => Self::NotPrivate,
            Self::Private(mut steps) => {
                steps.iter_mut().for_each(|step| step.count *= count);
                Self::Private(steps)
            }
        }
    }

    fn then(self, other: Self) -> Self {
        let (Self::Private(mut steps), Self::Private(others)) = (self, other) else {
            return Self::NotPrivate;
        };
        for other in others {
            match steps.iter_mut().find(|step| step.mixture == other.mixture) {
                Some(same) => same.count += other.count,
                None => steps.push(other),
            }
        }
        Self::Private(steps)
    }
}

/// Whether an event is several, nested Poisson samples aside.
fn is_composition(event: &DpEvent) -> bool {
    match event {
        DpEvent::SelfComposed { .. } | DpEvent::Composed { .. } => true,
        DpEvent::PoissonSampled { event, .. } => is_composition(event),
        _ => false,
    }
}

pub(crate) fn checked_probability(found: f64) -> Result<f64, AccountingError> {
    let is_fine = (0.0..=1.0).contains(&found);
    if is_fine { Ok(found) } else { Err(AccountingError::SamplingProbability { found }) }
}
