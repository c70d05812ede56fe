//! One run against a claim of Gaussian differential privacy.

use super::bound::{check_delta, largest_rejected};
use super::{AuditKind, EpsilonLowerBound, OneRunAudit};
use crate::interval::check_significance;
use crate::{StatsError, normal};

/// A mechanism that is mu'-Gaussian private for a `mu' < mu` gives such a bound with probability at most `significance`.
///
/// It says nothing of mechanisms whose trade-off curve is no Gaussian one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MuLowerBound {
    /// The bound; 0 says nothing.
    pub mu: f64,
    /// The chance of exceeding the true mu.
    pub significance: f64,
}

impl MuLowerBound {
    /// The epsilon at `delta` of the mechanism that is exactly mu-Gaussian private.
    ///
    /// The root of `delta = Phi(mu / 2 - epsilon / mu) - e^epsilon Phi(-mu / 2 - epsilon / mu)`, or 0.
    ///
    /// # Errors
    /// [`StatsError::DeltaOutOfRange`] outside `[0, 1)`; [`StatsError::InfiniteEpsilon`] at delta 0, unless mu is 0.
    ///
    /// # Reference
    /// Dong, Roth & Su, arXiv:1905.02383, Corollary 2.13.
    /// ```
    /// let audit = userprint_stats::audit::OneRunAudit::new(1000, 100, 90)?;
    /// let bound = audit.mu_lower_bound(0.05)?.epsilon_lower_bound(1e-6)?;
    /// assert!((bound.epsilon - 2.768683).abs() < 1e-5);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn epsilon_lower_bound(&self, delta: f64) -> Result<EpsilonLowerBound, StatsError> {
        Ok(EpsilonLowerBound {
            epsilon: gaussian_epsilon(self.mu, delta)?,
            delta,
            significance: self.significance,
            kind: AuditKind::OneRunGaussian,
        })
    }
}

impl OneRunAudit {
    /// The largest mu such that mu-Gaussian differential privacy is rejected at `significance`; 0 where there is none.
    ///
    /// With `m` canaries, `k` guesses and `v` right ones, walk `i` from `v - 1` to 0 from `r = significance v / m` and
    /// `h = significance (k - v) / m`: `h' = max(h, Phi(Phi^-1(r) - mu))`, `r' = r + (h' - h) i / (k - i)`.
    /// Rejected if `r + h` comes above `k / m`.
    ///
    /// # Errors
    /// [`StatsError::SignificanceOutOfRange`] outside `(0, 1)`.
    ///
    /// # Reference
    /// Mahloujifar, Melis & Chaudhuri, arXiv:2410.22235, the algorithm `audit_rh_with_cap`.
    /// ```
    /// let bound = userprint_stats::audit::OneRunAudit::new(1000, 100, 90)?.mu_lower_bound(0.05)?;
    /// assert!(bound.mu > 0.6 && bound.mu < 0.61);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn mu_lower_bound(&self, significance: f64) -> Result<MuLowerBound, StatsError> {
        check_significance(significance)?;
        let mu = largest_rejected(|mu| self.rejects_gaussian(mu, significance));
        Ok(MuLowerBound { mu, significance })
    }

    fn rejects_gaussian(&self, mu: f64, significance: f64) -> bool {
        let (canaries, guesses) = (self.n_canaries() as f64, self.n_guesses() as f64);
        let share = |count: u64| significance * count as f64 / canaries;
        let mut right = share(self.n_correct());
        let mut wrong = share(self.n_guesses() - self.n_correct());
        for i in (0..self.n_correct()).rev() {
            let least_wrong = normal::upper_tail(mu - normal::quantile(right));
            if least_wrong <= wrong {
                return false; // neither sum can change any more
            }
            right = (right + (least_wrong - wrong) * i as f64 / (guesses - i as f64)).min(1.0);
            wrong = least_wrong;
            if right + wrong > guesses / canaries {
                return true;
            }
        }
        false
    }
}

/// The epsilon at `delta` of mu-Gaussian differential privacy, for a mu of at least 0.
pub(super) fn gaussian_epsilon(mu: f64, delta: f64) -> Result<f64, StatsError> {
    check_delta(delta)?;
    if delta == 0.0 && mu > 0.0 {
        return Err(StatsError::InfiniteEpsilon { mu });
    }
    Ok(largest_rejected(|epsilon| gaussian_delta(mu, epsilon) > delta))
}

/// The delta of mu-Gaussian differential privacy at an epsilon.
fn gaussian_delta(mu: f64, epsilon: f64) -> f64 {
    if mu == 0.0 {
        return 0.0;
    }
    let near = normal::ln_upper_tail(epsilon / mu - mu / 2.0);
    let far = epsilon + normal::ln_upper_tail(epsilon / mu + mu / 2.0);
    near.exp() * -(far - near).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_deltas() {
        // Phi(1/2 - 1) - e Phi(-1/2 - 1) = .308537538 - 2.718281828 * .066807201
        assert!((gaussian_delta(1.0, 1.0) - 0.126_936_737).abs() < 1e-8);
        // At epsilon 0 the total variation, 2 Phi(mu / 2) - 1.
        assert!((gaussian_delta(2.0, 0.0) - 0.682_689_492).abs() < 1e-9);
    }
}
