//! What a guarantee for one example says of a user with several.

use crate::steps::checked_probability;
use crate::{Accountant, AccountingError, DpEvent, NeighboringRelation};

/// An epsilon for groups, and what it was made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupEpsilon {
    /// For the whole group, at the delta that was asked for.
    pub epsilon: f64,
    /// Of one unit.
    pub unit_epsilon: f64,
    /// Of one unit, smaller than the group's.
    pub unit_delta: f64,
}

/// Epsilon for `group_size` units added or removed together, from an accountant for one.
///
/// `(ε, δ)` for one unit is `(k ε, δ (e^{kε} − 1) / (e^ε − 1))` for `k`; the unit's delta is the largest found that
/// meets the target. Loose: where the event is known, [`DpEvent::for_group`] with a
/// [`PldAccountant`](crate::PldAccountant) is sharper, and never worse by more than its grid.
///
/// # Errors
/// [`AccountingError::GroupSize`] for 0; else as [`Accountant::epsilon`].
///
/// # Reference
/// Vadhan, The Complexity of Differential Privacy, 2017, Lemma 2.2, with the sum not rounded up.
/// TensorFlow Privacy states its user-level epsilon in this way.
/// ```
/// use userprint_privacy::{DpEvent, RdpAccountant, group};
/// // 5 epochs of 10,000 examples in batches of 64; 3 examples a user.
/// let training = DpEvent::gaussian(1.0).poisson_sampled(0.0064).repeated(782);
/// let user = group::epsilon(&RdpAccountant::default(), &training, 3, 1e-6)?;
/// assert!((user.epsilon - 6.425).abs() < 1e-3);
/// # Ok::<(), userprint_privacy::AccountingError>(())
/// ```
pub fn epsilon(
    accountant: &dyn Accountant,
    event: &DpEvent,
    group_size: u32,
    target_delta: f64,
) -> Result<GroupEpsilon, AccountingError> {
    if group_size == 0 {
        return Err(AccountingError::GroupSize { found: group_size });
    }
    let size = f64::from(group_size);
    let at = |log_delta: f64| {
        let unit_delta = log_delta.exp();
        let unit_epsilon = accountant.epsilon(event, unit_delta)?;
        Ok(GroupEpsilon { epsilon: size * unit_epsilon, unit_epsilon, unit_delta })
    };
    let target = target_delta.ln();
    let first = accountant.epsilon(event, target_delta)?;
    if group_size == 1 || !first.is_finite() {
        return Ok(GroupEpsilon { epsilon: size * first, unit_epsilon: first, unit_delta: target_delta });
    }
    let meets = |unit: &GroupEpsilon| unit.unit_delta.ln() + log_growth(unit.unit_epsilon, size) <= target;
    // The unit's delta is at most a k-th of the group's.
    let (mut high, mut stride) = (target - size.ln(), 1.0);
    let mut found = at(high)?;
    while !meets(&found) {
        if high - stride < LEAST_LOG_DELTA {
            return Ok(GroupEpsilon { epsilon: f64::INFINITY, ..found });
        }
        high -= stride;
        stride *= 2.0;
        found = at(high)?;
    }
    let (mut low, mut high) = (high, (high + 0.5 * stride).min(target - size.ln()));
    while high - low > 1e-9 {
        let middle = at(0.5 * (low + high))?;
        if meets(&middle) {
            low = 0.5 * (low + high);
            found = middle;
        } else {
            high = 0.5 * (low + high);
        }
    }
    Ok(found)
}

/// Deltas below `e^` this are no numbers any more.
const LEAST_LOG_DELTA: f64 = -650.0;

/// `log (e^{kε} − 1) / (e^ε − 1)`.
fn log_growth(epsilon: f64, size: f64) -> f64 {
    if epsilon == 0.0 {
        return size.ln();
    }
    (size - 1.0) * epsilon + (-(-size * epsilon).exp()).ln_1p() - (-(-epsilon).exp()).ln_1p()
}

impl DpEvent {
    /// What the event is to `group_size` examples of one user, each sampled by its own coin.
    ///
    /// A Gaussian step moves by the group's size; a Poisson-sampled one by a binomial number of examples.
    /// An accountant's epsilon for it holds for the whole user.
    ///
    /// # Errors
    /// [`AccountingError::GroupSize`] for 0, and [`AccountingError::Unsupported`] for mixtures and for
    /// compositions on one sample.
    /// ```
    /// use userprint_privacy::{Accountant, DpEvent, PldAccountant, group};
    /// let (training, accountant) = (DpEvent::gaussian(2.0).poisson_sampled(0.01).repeated(300), PldAccountant::default());
    /// let sharp = accountant.epsilon(&training.for_group(3)?, 1e-6)?;
    /// assert!(sharp < group::epsilon(&accountant, &training, 3, 1e-6)?.epsilon);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn for_group(&self, group_size: u32) -> Result<Self, AccountingError> {
        if group_size == 0 {
            return Err(AccountingError::GroupSize { found: group_size });
        }
        match self {
            Self::NonPrivate => Ok(Self::NonPrivate),
            Self::Gaussian { noise_multiplier } => {
                Ok(Self::gaussian(noise_multiplier / f64::from(group_size)))
            }
            Self::PoissonSampled { .. } => self.sampled_group(1.0, group_size),
            Self::SelfComposed { event, count } => Ok(event.for_group(group_size)?.repeated(*count)),
            Self::Composed { events } => {
                let events =
                    events.iter().map(|event| event.for_group(group_size)).collect::<Result<_, _>>()?;
                Ok(Self::Composed { events })
            }
            Self::MixtureOfGaussians { .. } => unsupported("a group under a mixture of Gaussians"),
        }
    }

    fn sampled_group(&self, probability: f64, group_size: u32) -> Result<Self, AccountingError> {
        match self {
            Self::PoissonSampled { sampling_probability, event } => {
                let sampling_probability = checked_probability(*sampling_probability)?;
                event.sampled_group(probability * sampling_probability, group_size)
            }
            Self::Gaussian { noise_multiplier } => {
                Ok(Self::example_sampled(*noise_multiplier, probability, group_size))
            }
            Self::NonPrivate => Ok(Self::NonPrivate.poisson_sampled(probability)),
            _ => unsupported("a group under several events on one Poisson sample"),
        }
    }
}

fn unsupported(event: &'static str) -> Result<DpEvent, AccountingError> {
    Err(AccountingError::Unsupported { event, relation: NeighboringRelation::AddOrRemove })
}
