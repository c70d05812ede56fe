//! Gaussian differential privacy: one number for a whole trade-off curve.

use crate::error::check_target_delta;
use crate::pld::Profile;
use crate::steps::Steps;
use crate::{AccountingError, DpEvent, NeighboringRelation, gaussian};

/// A `μ` that may be claimed: the event is at most as telling as `N(μ, 1)` against `N(0, 1)`.
///
/// [`CentralLimitMu`] is another type, and there is no way from it to this one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MuGdp {
    mu: f64,
    kind: MuKind,
}

/// How a `μ` was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MuKind {
    /// The event is a composition of Gaussian mechanisms, `μ = sqrt(Σ 1/σ²)`.
    Exact,
    /// The least `μ` above the profile of the privacy loss, wherever that has delta from `least_delta` on.
    ///
    /// Below, the profile of a subsampled mechanism is above every Gaussian's, and no `μ` bounds it.
    FromPld {
        /// The range of delta that the claim is for begins here.
        least_delta: f64,
    },
}

impl MuGdp {
    /// That of a composition of Gaussian mechanisms.
    ///
    /// # Errors
    /// [`AccountingError::Unsupported`] for any other event.
    /// ```
    /// use userprint_privacy::{DpEvent, MuGdp};
    /// let mu = MuGdp::exact(&DpEvent::gaussian(10.0).repeated(100))?;
    /// assert_eq!(mu.mu(), 1.0);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn exact(event: &DpEvent) -> Result<Self, AccountingError> {
        let relation = NeighboringRelation::AddOrRemove;
        let unsupported = |event| AccountingError::Unsupported { event, relation };
        let Steps::Private(steps) = Steps::of(event)? else {
            return Err(unsupported("an exact mu of what is not private"));
        };
        let mut squared = steps.iter().map(|step| step.mixture.mu().map(|mu| step.count * mu * mu));
        let sum = squared.try_fold(0.0, |sum, squared| Some(sum + squared?));
        let sum = sum.ok_or(unsupported("an exact mu of what is no composition of Gaussian mechanisms"))?;
        Ok(Self { mu: sum.sqrt(), kind: MuKind::Exact })
    }

    /// The least `μ` whose profile is nowhere below this one as far as that has delta from `least_delta` on.
    ///
    /// # Errors
    /// [`AccountingError::TargetDelta`] for a `least_delta` that is not between 0 and 1, [`AccountingError::ProfileEnds`] if
    /// the profile does not go down to it, as that of what is not private.
    ///
    /// # Reference
    /// Dong, Roth & Su, arXiv:1905.02383, Corollary 2.13 (the profile of `μ`).
    /// ```
    /// use userprint_privacy::{DpEvent, MuGdp, PldAccountant};
    /// let event = DpEvent::gaussian(1.0).poisson_sampled(0.01).repeated(1_000);
    /// let mu = MuGdp::from_profile(&PldAccountant::default().profile(&event)?, 1e-6)?;
    /// assert!((0.4..0.6).contains(&mu.mu()));
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn from_profile(profile: &Profile, least_delta: f64) -> Result<Self, AccountingError> {
        check_target_delta(least_delta)?;
        let points = profile.points();
        let ends_at = points.last().map_or(1.0, |point| point.1);
        if ends_at >= least_delta {
            return Err(AccountingError::ProfileEnds { least_delta, ends_at });
        }
        // Between two points the profile is at most the left one's delta, and a Gaussian's at least its own right one.
        let pairs = points.iter().zip(&points[1..]).take_while(|((_, delta), _)| *delta >= least_delta);
        let raised = |mu: f64, (left, right): (&(f64, f64), &(f64, f64))| {
            let is_above = gaussian::delta(mu, right.0) >= left.1;
            if is_above { mu } else { gaussian::mu_through(right.0, left.1) }
        };
        let mu = pairs.fold(0.0, raised);
        Ok(Self { mu, kind: MuKind::FromPld { least_delta } })
    }

    /// The value.
    ///
    /// ```
    /// use userprint_privacy::{DpEvent, MuGdp};
    /// assert_eq!(MuGdp::exact(&DpEvent::gaussian(2.0))?.mu(), 0.5);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn mu(&self) -> f64 {
        self.mu
    }

    /// How it was found.
    ///
    /// ```
    /// use userprint_privacy::{DpEvent, MuGdp, MuKind};
    /// assert_eq!(MuGdp::exact(&DpEvent::gaussian(2.0))?.kind(), MuKind::Exact);
    /// # Ok::<(), userprint_privacy::AccountingError>(())
    /// ```
    pub fn kind(&self) -> MuKind {
        self.kind
    }
}

/// What `μ` tends to for many steps; approximate, and on either side of the truth.
///
/// Good for a quick look. It bounds nothing, and nothing here takes it for a claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CentralLimitMu {
    /// Not a bound.
    pub approximate: f64,
}

/// `μ ≈ q sqrt(T (e^{1/σ²} − 1))` for `T` Poisson-sampled Gaussian steps, the squares of several added up.
///
/// # Errors
/// [`AccountingError::Unsupported`] for what is neither Gaussian nor a Poisson-sampled Gaussian.
///
/// # Reference
/// Bu et al., arXiv:1911.11607, Theorem 5 and Section 3.
/// ```
/// use userprint_privacy::{DpEvent, gdp};
/// let event = DpEvent::gaussian(1.0).poisson_sampled(0.01).repeated(1_000);
/// let mu = gdp::central_limit_mu(&event)?;
/// assert!((mu.approximate - 0.01 * (1_000.0 * (1.0_f64.exp() - 1.0)).sqrt()).abs() < 1e-12);
/// # Ok::<(), userprint_privacy::AccountingError>(())
/// ```
pub fn central_limit_mu(event: &DpEvent) -> Result<CentralLimitMu, AccountingError> {
    let relation = NeighboringRelation::AddOrRemove;
    let unsupported = |event| AccountingError::Unsupported { event, relation };
    let Steps::Private(steps) = Steps::of(event)? else {
        return Err(unsupported("a central limit of what is not private"));
    };
    let mut squared = steps.iter().map(|step| {
        let mixture = &step.mixture;
        let of_sampled = |q: f64| q * q * (1.0 / (mixture.noise * mixture.noise)).exp_m1();
        let once = mixture.mu().map(|mu| mu * mu).or(mixture.sampling_probability().map(of_sampled));
        once.map(|squared| step.count * squared)
    });
    let sum = squared.try_fold(0.0, |sum, squared| Some(sum + squared?));
    let sum = sum.ok_or(unsupported("a central limit of a mixture of Gaussians"))?;
    Ok(CentralLimitMu { approximate: sum.sqrt() })
}
