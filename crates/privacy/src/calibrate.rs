//! The noise that a privacy target asks for.

use crate::{Accountant, AccountingError, DpEvent};

/// No noise multiplier above this is tried.
const LARGEST: f64 = 1.099_511_627_776e12;

/// No noise multiplier below this is tried.
const SMALLEST: f64 = 1e-6;

/// The answer is at most this much above the least noise, relative.
const TOLERANCE: f64 = 1e-6;

/// The least noise multiplier at which an event's epsilon is at most `target_epsilon`.
///
/// `event_of` says what is done with a noise multiplier; more noise must not cost more.
/// The accountant has certified the answer itself: epsilon there is at most the target, and above it at
/// `1e-6` less noise, relative.
///
/// # Errors
/// [`AccountingError::Epsilon`] for a target that is no number from 0 on,
/// [`AccountingError::OutOfReach`] where no noise will do, [`AccountingError::AnyNoise`] where `1e-6` is enough already,
/// and the errors of the accountant.
/// ```
/// use userprint_privacy::{Accountant, DpEvent, PldAccountant, calibrate};
/// let accountant = PldAccountant::default();
/// let training = |noise| DpEvent::gaussian(noise).poisson_sampled(0.025).repeated(1_200);
/// let noise = calibrate::noise_multiplier(&accountant, &training, 2.0, 1e-6)?;
/// assert!((noise - 2.106).abs() < 0.01);
/// assert!(accountant.epsilon(&training(noise), 1e-6)? <= 2.0);
/// # Ok::<(), userprint_privacy::AccountingError>(())
/// ```
pub fn noise_multiplier(
    accountant: &dyn Accountant,
    event_of: &dyn Fn(f64) -> DpEvent,
    target_epsilon: f64,
    target_delta: f64,
) -> Result<f64, AccountingError> {
    if !(target_epsilon.is_finite() && target_epsilon >= 0.0) {
        return Err(AccountingError::Epsilon { found: target_epsilon });
    }
    let at = |noise: f64| {
        let epsilon = accountant.epsilon(&event_of(noise), target_delta)?;
        Ok(Trial { noise, epsilon })
    };
    let mut enough = at(1.0)?;
    let mut short = enough;
    while enough.epsilon > target_epsilon {
        if enough.noise >= LARGEST {
            let (largest, found) = (enough.noise, enough.epsilon);
            return Err(AccountingError::OutOfReach { target_epsilon, largest, found });
        }
        short = enough;
        enough = at(enough.noise * 2.0)?;
    }
    while short.epsilon <= target_epsilon {
        if short.noise <= SMALLEST {
            return Err(AccountingError::AnyNoise { target_epsilon, smallest: short.noise });
        }
        enough = short;
        short = at((short.noise * 0.5).max(SMALLEST))?;
    }
    narrow(&at, short, enough, target_epsilon).map(|trial| trial.noise)
}

/// Epsilon at one noise multiplier.
#[derive(Clone, Copy, Debug)]
struct Trial {
    noise: f64,
    epsilon: f64,
}

/// Between too little noise and enough, by the Illinois method: epsilon is nearly a power of the noise, so the
/// secant goes through logarithms, and an end that stays counts half as far from the root each time.
fn narrow(
    at: &dyn Fn(f64) -> Result<Trial, AccountingError>,
    mut short: Trial,
    mut enough: Trial,
    target: f64,
) -> Result<Trial, AccountingError> {
    let far = |trial: Trial| (trial.epsilon / target).ln();
    let (mut above, mut below) = (far(short), far(enough));
    let mut was_enough = None;
    while enough.noise > short.noise * (1.0 + TOLERANCE) {
        let width = (enough.noise / short.noise).ln();
        let share = above / (above - below);
        // Not so close to an end that the other never comes in.
        let least = 0.4 * TOLERANCE / width;
        let share = if share.is_finite() { share.clamp(least, 1.0 - least) } else { 0.5 };
        let trial = at(short.noise * (share * width).exp())?;
        let is_enough = trial.epsilon <= target;
        let is_again = was_enough == Some(is_enough);
        if is_enough {
            (enough, below) = (trial, far(trial));
            above *= if is_again { 0.5 } else { 1.0 };
        } else {
            (short, above) = (trial, far(trial));
            below *= if is_again { 0.5 } else { 1.0 };
        }
        was_enough = Some(is_enough);
    }
    Ok(enough)
}
