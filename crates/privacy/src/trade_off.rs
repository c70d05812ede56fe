//! The trade-off curve: what any attack on one user can reach, over independent trainings.

use crate::gaussian;
use crate::gdp::MuGdp;
use crate::pld::Profile;
use crate::{AccountingError, caps};

/// Strips of the area's sum.
const STRIPS: u32 = 1_000;

/// How well any test can tell that one user was there, from a guarantee for that user.
///
/// A curve of the largest true-positive rate at each false-positive rate, over *independent trainings* and at
/// thresholds fixed beforehand. It says nothing of the users of one training taken together.
///
/// # Reference
/// Dong, Roth & Su, arXiv:1905.02383, Section 2; `max_tpr(x) = 1 − f(x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeOff {
    curve: Curve,
}

#[derive(Clone, Debug, PartialEq)]
enum Curve {
    EpsilonDelta {
        epsilon: f64,
        delta: f64,
    },
    Gaussian {
        mu: f64,
    },
    /// Points `(ε, δ(ε))`, ascending in epsilon from 0.
    Profile(Vec<(f64, f64)>),
}

impl TradeOff {
    /// That of `(ε, δ)`.
    ///
    /// # Errors
    /// [`AccountingError::Epsilon`] for a negative or infinite epsilon, [`AccountingError::Delta`] for a delta
    /// outside [0, 1].
    /// ```
    /// use userprint_privacy::TradeOff;
    /// let curve = TradeOff::epsilon_delta(1.0, 1e-5)?;
    /// assert!((curve.max_tpr(0.01)? - 0.027193).abs() < 1e-6);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn epsilon_delta(epsilon: f64, delta: f64) -> Result<Self, AccountingError> {
        if !(epsilon.is_finite() && epsilon >= 0.0) {
            return Err(AccountingError::Epsilon { found: epsilon });
        }
        if !(0.0..=1.0).contains(&delta) {
            return Err(AccountingError::Delta { found: delta });
        }
        Ok(Self { curve: Curve::EpsilonDelta { epsilon, delta } })
    }

    /// That of `μ`-Gaussian privacy.
    ///
    /// ```
    /// use userprint_privacy::{DpEvent, MuGdp, TradeOff};
    /// let mu = MuGdp::exact(&DpEvent::gaussian(1.0))?;
    /// // Φ(Φ⁻¹(.05) + 1)
    /// assert!((TradeOff::gaussian(&mu).max_tpr(0.05)? - 0.259511).abs() < 1e-6);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn gaussian(mu: &MuGdp) -> Self {
        Self { curve: Curve::Gaussian { mu: mu.mu() } }
    }

    /// That of a whole profile `δ(ε)`, which is sharper than any one of its points.
    ///
    /// # Reference
    /// Dong, Roth & Su, arXiv:1905.02383, Proposition 2.12.
    /// ```
    /// use userprint_privacy::{Accountant, DpEvent, PldAccountant, TradeOff};
    /// let (accountant, event) = (PldAccountant::default(), DpEvent::gaussian(1.0).poisson_sampled(0.01).repeated(500));
    /// let whole = TradeOff::profile(&accountant.profile(&event)?);
    /// let point = TradeOff::epsilon_delta(accountant.epsilon(&event, 1e-5)?, 1e-5)?;
    /// assert!(whole.max_tpr(0.01)? < point.max_tpr(0.01)?);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn profile(profile: &Profile) -> Self {
        Self { curve: Curve::Profile(profile.points().to_vec()) }
    }

    /// The largest true-positive rate of any test with this false-positive rate.
    ///
    /// # Errors
    /// [`AccountingError::Rate`] for a rate outside [0, 1].
    /// ```
    /// use userprint_privacy::TradeOff;
    /// assert_eq!(TradeOff::epsilon_delta(0.0, 0.0)?.max_tpr(0.3)?, 0.3);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn max_tpr(&self, fpr: f64) -> Result<f64, AccountingError> {
        if !(0.0..=1.0).contains(&fpr) {
            return Err(AccountingError::Rate { found: fpr });
        }
        Ok(self.at(fpr))
    }

    /// [`TradeOff::max_tpr`] of a rate.
    pub(crate) fn at(&self, fpr: f64) -> f64 {
        match &self.curve {
            Curve::EpsilonDelta { epsilon, delta } => max_tpr_at(*epsilon, *delta, fpr),
            Curve::Gaussian { mu } => gaussian::max_tpr(*mu, fpr),
            Curve::Profile(points) => {
                points.iter().map(|&(epsilon, delta)| max_tpr_at(epsilon, delta, fpr)).fold(1.0, f64::min)
            }
        }
    }

    pub(crate) fn as_epsilon_delta(&self) -> Option<(f64, f64)> {
        match self.curve {
            Curve::EpsilonDelta { epsilon, delta } => Some((epsilon, delta)),
            _ => None,
        }
    }

    /// [`TradeOff::max_tpr`] at each of many rates.
    ///
    /// # Errors
    /// As there.
    /// ```
    /// use userprint_privacy::TradeOff;
    /// let curve = TradeOff::epsilon_delta(1.0, 0.0)?.max_tprs(&[0.0, 0.5, 1.0])?;
    /// assert_eq!((curve[0], curve[2]), (0.0, 1.0));
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn max_tprs(&self, fprs: &[f64]) -> Result<Vec<f64>, AccountingError> {
        fprs.iter().map(|&fpr| self.max_tpr(fpr)).collect()
    }

    /// The least type II error, `1 − max_tpr`, at a type I error.
    ///
    /// # Errors
    /// As [`TradeOff::max_tpr`].
    /// ```
    /// use userprint_privacy::TradeOff;
    /// assert_eq!(TradeOff::epsilon_delta(0.0, 0.25)?.least_type_two_error(0.5)?, 0.25);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn least_type_two_error(&self, type_one_error: f64) -> Result<f64, AccountingError> {
        self.max_tpr(type_one_error).map(|tpr| 1.0 - tpr)
    }

    /// The area below the curve.
    pub(crate) fn area(&self) -> f64 {
        match &self.curve {
            Curve::EpsilonDelta { epsilon, delta } => caps::area(*epsilon, *delta),
            Curve::Gaussian { mu } => gaussian::area(*mu),
            // The midpoint rule errs upwards for a concave curve. Strips are narrow near 0, where it is steep.
            Curve::Profile(_) => {
                let edge = |i: u32| (f64::from(i) / f64::from(STRIPS)).powi(3);
                let strip = |i: u32| self.at(0.5 * (edge(i) + edge(i + 1))) * (edge(i + 1) - edge(i));
                (0..STRIPS).map(strip).sum::<f64>().min(1.0)
            }
        }
    }
}

/// `min(e^ε x + δ, 1 − e^{−ε} (1 − δ − x))`, within [x, 1].
fn max_tpr_at(epsilon: f64, delta: f64, fpr: f64) -> f64 {
    // e^ε may be beyond the numbers.
    let rising = if fpr > 0.0 { epsilon.exp() * fpr + delta } else { delta };
    let falling = 1.0 - (-epsilon).exp() * (1.0 - delta - fpr);
    rising.min(falling).clamp(fpr, 1.0)
}
