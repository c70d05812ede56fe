//! What lower bounds say of a privacy claim.

use super::bound::check_delta;
use super::gaussian::gaussian_epsilon;
use super::{AuditKind, EpsilonLowerBound};
use crate::StatsError;

/// A claim is warned of if the bound at this significance exceeds it.
pub const WARN_SIGNIFICANCE: f64 = 0.05;

/// A claim fails if the bound at this significance exceeds it.
pub const FAIL_SIGNIFICANCE: f64 = 0.001;

/// A claim of `(epsilon, delta)`-differential privacy, for the unit that the coins or trainings included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrivacyClaim {
    epsilon: f64,
    delta: f64,
    of: ClaimOf,
}

/// What mechanisms a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClaimOf {
    Any,
    Gaussian,
}

impl PrivacyClaim {
    /// Takes the claim's two numbers; an infinite epsilon claims nothing.
    ///
    /// # Errors
    /// [`StatsError::EpsilonOutOfRange`] if epsilon is negative or NaN, [`StatsError::DeltaOutOfRange`] outside `[0, 1)`.
    ///
    /// ```
    /// assert!(userprint_stats::audit::PrivacyClaim::new(-1.0, 1e-5).is_err());
    /// ```
    pub fn new(epsilon: f64, delta: f64) -> Result<Self, StatsError> {
        check_delta(delta)?;
        if epsilon >= 0.0 {
            Ok(Self { epsilon, delta, of: ClaimOf::Any })
        } else {
            Err(StatsError::EpsilonOutOfRange { epsilon })
        }
    }

    /// What mu-Gaussian differential privacy claims at `delta`.
    ///
    /// # Errors
    /// [`StatsError::MuOutOfRange`] if mu is negative or not finite, [`StatsError::DeltaOutOfRange`] outside `[0, 1)`,
    /// [`StatsError::InfiniteEpsilon`] at delta 0, unless mu is 0.
    ///
    /// # Reference
    /// Dong, Roth & Su, arXiv:1905.02383, Corollary 2.13.
    /// ```
    /// let claim = userprint_stats::audit::PrivacyClaim::gaussian(1.0, 1e-5)?;
    /// assert_eq!(format!("{:.4}", claim.epsilon()), "4.3772");
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn gaussian(mu: f64, delta: f64) -> Result<Self, StatsError> {
        if !(0.0..f64::INFINITY).contains(&mu) {
            return Err(StatsError::MuOutOfRange { mu });
        }
        Ok(Self { epsilon: gaussian_epsilon(mu, delta)?, delta, of: ClaimOf::Gaussian })
    }

    /// The epsilon that is claimed.
    ///
    /// ```
    /// assert_eq!(userprint_stats::audit::PrivacyClaim::new(2.0, 1e-5)?.epsilon(), 2.0);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// The delta at which it is claimed.
    ///
    /// ```
    /// assert_eq!(userprint_stats::audit::PrivacyClaim::new(2.0, 1e-5)?.delta(), 1e-5);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn delta(&self) -> f64 {
        self.delta
    }
}

/// What an audit says of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// No bound exceeds the claim, which proves nothing: a better attack may find more.
    Consistent,
    /// The bound at [`WARN_SIGNIFICANCE`] exceeds the claim: one true claim in twenty looks like this.
    Warn,
    /// The bound at [`FAIL_SIGNIFICANCE`] exceeds the claim: the claim is false, or the audit was not run as it must.
    Fail,
}

/// The bounds of one audit at the two significances that a verdict needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditBounds {
    warn: EpsilonLowerBound,
    fail: EpsilonLowerBound,
}

impl AuditBounds {
    /// Asks for the bound at [`WARN_SIGNIFICANCE`] and at [`FAIL_SIGNIFICANCE`].
    ///
    /// # Errors
    /// Those of `bound_at`; [`StatsError::BoundAtOtherSignificance`] if it answers for another than was asked.
    ///
    /// ```
    /// use userprint_stats::audit::{AuditBounds, OneRunAudit};
    /// let audit = OneRunAudit::new(1000, 600, 500)?;
    /// let bounds = AuditBounds::at_both(|significance| audit.epsilon_lower_bound(1e-5, significance))?;
    /// assert!(bounds.fail().epsilon < bounds.warn().epsilon);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn at_both(
        bound_at: impl Fn(f64) -> Result<EpsilonLowerBound, StatsError>,
    ) -> Result<Self, StatsError> {
        let checked = |asked| {
            let bound = bound_at(asked)?;
            let found = bound.significance;
            if found == asked {
                Ok(bound)
            } else {
                Err(StatsError::BoundAtOtherSignificance { asked, found })
            }
        };
        Ok(Self { warn: checked(WARN_SIGNIFICANCE)?, fail: checked(FAIL_SIGNIFICANCE)? })
    }

    /// The bound at [`WARN_SIGNIFICANCE`], the larger one.
    ///
    /// ```
    /// use userprint_stats::audit::{AuditBounds, OneRunAudit};
    /// let audit = OneRunAudit::new(1000, 600, 500)?;
    /// let bounds = AuditBounds::at_both(|significance| audit.epsilon_lower_bound(1e-5, significance))?;
    /// assert_eq!(bounds.warn().significance, 0.05);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn warn(&self) -> EpsilonLowerBound {
        self.warn
    }

    /// The bound at [`FAIL_SIGNIFICANCE`].
    ///
    /// ```
    /// use userprint_stats::audit::{AuditBounds, OneRunAudit};
    /// let audit = OneRunAudit::new(1000, 600, 500)?;
    /// let bounds = AuditBounds::at_both(|significance| audit.epsilon_lower_bound(1e-5, significance))?;
    /// assert_eq!(bounds.fail().significance, 0.001);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn fail(&self) -> EpsilonLowerBound {
        self.fail
    }

    /// Sets the bounds beside a claim.
    ///
    /// A claim at a smaller delta than the bounds' is the stronger one, so what refutes it at their delta refutes it.
    ///
    /// # Errors
    /// [`StatsError::ClaimAtLargerDelta`]: a bound says nothing of guarantees at a larger delta than its own.
    /// [`StatsError::ClaimNotGaussian`]: bounds of kind [`AuditKind::OneRunGaussian`] speak of
    /// [`PrivacyClaim::gaussian`] alone.
    ///
    /// ```
    /// use userprint_stats::audit::{AuditBounds, OneRunAudit, PrivacyClaim, Verdict};
    /// let audit = OneRunAudit::new(1000, 600, 500)?; // at least 1.43 at .05, 1.19 at .001
    /// let bounds = AuditBounds::at_both(|significance| audit.epsilon_lower_bound(1e-5, significance))?;
    /// assert_eq!(bounds.verdict(PrivacyClaim::new(2.0, 1e-5)?)?, Verdict::Consistent);
    /// assert_eq!(bounds.verdict(PrivacyClaim::new(1.3, 1e-5)?)?, Verdict::Warn);
    /// assert_eq!(bounds.verdict(PrivacyClaim::new(1.0, 1e-5)?)?, Verdict::Fail);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn verdict(&self, claim: PrivacyClaim) -> Result<Verdict, StatsError> {
        let delta = self.warn.delta.min(self.fail.delta);
        if claim.delta > delta {
            return Err(StatsError::ClaimAtLargerDelta { claimed: claim.delta, audited: delta });
        }
        if claim.of == ClaimOf::Any && [self.warn.kind, self.fail.kind].contains(&AuditKind::OneRunGaussian) {
            return Err(StatsError::ClaimNotGaussian { epsilon: claim.epsilon });
        }
        Ok(if self.fail.epsilon > claim.epsilon {
            Verdict::Fail
        } else if self.warn.epsilon > claim.epsilon {
            Verdict::Warn
        } else {
            Verdict::Consistent
        })
    }
}
