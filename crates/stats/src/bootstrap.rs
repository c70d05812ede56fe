//! Bootstrap: how a number varies when the users are drawn again, within each side.

mod detected;
mod ranks;
mod times;

use crate::delong::check_paired;
use crate::interval::{check_significance, quantile};
use crate::normal;
use crate::{Interval, Roc, StatsError};

use detected::Detected;
use ranks::{Ranks, acceleration};
pub(crate) use times::resample_rng;
use times::{Times, over_resamples};

/// Mean and spread of an AUROC over resamples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Number of resamples.
    pub resamples: u32,
    /// Mean AUROC over the resamples.
    pub mean: f64,
    /// Standard deviation over the resamples, with `resamples - 1` in the denominator.
    pub std_dev: f64,
}

/// Draws each side again with replacement, at its own size, and takes the AUROC.
///
/// One value is one user, so this is a bootstrap over users.
/// In parallel; the result depends on the seed alone, not on the order of the users.
///
/// # Errors
/// Those of [`Roc::new`](crate::Roc::new), and [`StatsError::TooFewResamples`] below 2.
///
/// # Reference
/// Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8 (two samples).
/// ```
/// let bootstrap = userprint_stats::bootstrap_auroc(&[2.0, 3.0], &[0.0, 1.0], 50, 1)?;
/// assert_eq!((bootstrap.mean, bootstrap.std_dev), (1.0, 0.0));
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn bootstrap_auroc(
    held_in: &[f64],
    held_out: &[f64],
    resamples: u32,
    seed: u64,
) -> Result<Bootstrap, StatsError> {
    Ok(Resamples::of_auroc(&Roc::new(held_in, held_out)?, resamples, seed)?.summary())
}

/// A number and its values over resamples of the users within each side.
#[derive(Clone, Debug)]
pub struct Resamples {
    estimate: f64,
    /// Ascending.
    sorted: Vec<f64>,
    /// A sixth of the skewness of what users contribute, or why there is none.
    acceleration: Result<f64, StatsError>,
}

impl Resamples {
    /// Resamples of [`Roc::auroc`].
    ///
    /// In parallel; the result depends on the seed alone, not on the order of the users.
    ///
    /// # Errors
    /// [`StatsError::TooFewResamples`] below 2.
    ///
    /// # Reference
    /// Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8 (two samples).
    /// ```
    /// use userprint_stats::{Resamples, Roc};
    /// let roc = Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0])?;
    /// let resamples = Resamples::of_auroc(&roc, 1000, 7)?;
    /// let interval = resamples.bca_interval(0.05)?;
    /// assert!(interval.lower < 11.0 / 16.0 && 11.0 / 16.0 < interval.upper);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn of_auroc(roc: &Roc, resamples: u32, seed: u64) -> Result<Self, StatsError> {
        let (held_in, held_out) = roc.sorted_sides();
        let ranks = Ranks::of_sorted(held_in, held_out);
        let sizes = [held_in.len(), held_out.len()];
        let values = over_resamples(sizes, resamples, seed, |times| ranks.auroc(times))?;
        let acceleration = roc.influences().and_then(|users| acceleration([&users.held_in, &users.held_out]));
        Ok(Self::new(roc.auroc(), values, acceleration))
    }

    /// Resamples of [`Roc::tpr_at_fpr`], the threshold chosen anew in each.
    ///
    /// # Errors
    /// Those of [`Roc::tpr_at_fpr`], and [`StatsError::TooFewResamples`] below 2.
    ///
    /// # Reference
    /// Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8 (two samples).
    /// ```
    /// use userprint_stats::{Resamples, Roc};
    /// let roc = Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0])?;
    /// assert!(Resamples::of_tpr_at_fpr(&roc, 0.25, 1000, 7)?.percentile_interval(0.05)?.contains(0.75));
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn of_tpr_at_fpr(roc: &Roc, fpr: f64, resamples: u32, seed: u64) -> Result<Self, StatsError> {
        let (held_in, held_out) = roc.sorted_sides();
        let estimate = roc.tpr_at_fpr(fpr)?;
        let detected = Detected { held_in, held_out, n_allowed: roc.allowed_at_fpr(fpr)? };
        let sizes = [held_in.len(), held_out.len()];
        let values = over_resamples(sizes, resamples, seed, |times| detected.tpr(times))?;
        Ok(Self::new(estimate, values, detected.acceleration(fpr)))
    }

    /// Resamples of the AUROC of one statistic less that of another, of the same users drawn for both.
    ///
    /// # Errors
    /// [`StatsError::EmptyColumn`], [`StatsError::NotFiniteInColumn`], [`StatsError::ColumnLength`],
    /// [`StatsError::EmptySide`], [`StatsError::TooManyValues`], and [`StatsError::TooFewResamples`] below 2.
    ///
    /// # Reference
    /// Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8 (two samples).
    /// ```
    /// use userprint_stats::Resamples;
    /// let held_in = [true, true, true, true, false, false, false, false];
    /// let first = [0.0, 4.0, 6.0, 7.0, 1.0, 2.0, 3.0, 5.0];
    /// let second = [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 4.0, 5.0];
    /// let resamples = Resamples::of_paired_auroc(&first, &second, &held_in, 1000, 7)?;
    /// assert_eq!(resamples.estimate(), 11.0 / 16.0 - 0.5);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn of_paired_auroc(
        first: &[f64],
        second: &[f64],
        held_in: &[bool],
        resamples: u32,
        seed: u64,
    ) -> Result<Self, StatsError> {
        let sides = check_paired(first, second, held_in)?;
        let sizes = [sides.held_in[0].len(), sides.held_out[0].len()];
        let ranks = [0, 1].map(|which| Ranks::new(&sides.held_in[which], &sides.held_out[which]));
        let difference = |times: &mut Times| ranks[0].auroc(times) - ranks[1].auroc(times);
        let values = over_resamples(sizes, resamples, seed, difference)?;
        let users = sides.influences().map(|[first, second]| first.minus(&second));
        let acceleration = users.and_then(|users| acceleration([&users.held_in, &users.held_out]));
        Ok(Self::new(difference(&mut Times::once(sizes)), values, acceleration))
    }

    fn new(estimate: f64, mut values: Vec<f64>, acceleration: Result<f64, StatsError>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self { estimate, sorted: values, acceleration }
    }

    /// The number itself, of the users as they are.
    ///
    /// ```
    /// use userprint_stats::{Resamples, Roc};
    /// let roc = Roc::new(&[2.0, 3.0], &[1.0, 2.0])?;
    /// assert_eq!(Resamples::of_auroc(&roc, 10, 7)?.estimate(), 0.875);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn estimate(&self) -> f64 {
        self.estimate
    }

    /// Mean and standard deviation over the resamples.
    ///
    /// ```
    /// use userprint_stats::{Resamples, Roc};
    /// let roc = Roc::new(&[2.0, 3.0], &[1.0, 2.0])?;
    /// let summary = Resamples::of_auroc(&roc, 1000, 7)?.summary();
    /// assert!((summary.mean - 0.875).abs() < 0.05 && summary.std_dev > 0.0);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn summary(&self) -> Bootstrap {
        let n = self.sorted.len() as f64;
        let mean = self.sorted.iter().sum::<f64>() / n;
        let squares: f64 = self.sorted.iter().map(|value| (value - mean).powi(2)).sum();
        Bootstrap { resamples: self.sorted.len() as u32, mean, std_dev: (squares / (n - 1.0)).sqrt() }
    }

    /// Percentile interval: between the quantiles of the resamples at half the significance from either end.
    ///
    /// # Errors
    /// [`StatsError::SignificanceOutOfRange`]; [`StatsError::TooFewResamples`] below `2 / significance`, where not even one
    /// resample would lie beyond each end; [`StatsError::NoVariance`] where all resamples are alike.
    ///
    /// # Reference
    /// Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
    /// ```
    /// use userprint_stats::{Resamples, Roc};
    /// let roc = Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0])?;
    /// assert!(Resamples::of_auroc(&roc, 1000, 7)?.percentile_interval(0.05)?.contains(11.0 / 16.0));
    /// let separated = Roc::new(&[2.0, 3.0], &[0.0, 1.0])?;
    /// assert!(Resamples::of_auroc(&separated, 1000, 7)?.percentile_interval(0.05).is_err());
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn percentile_interval(&self, significance: f64) -> Result<Interval, StatsError> {
        self.check(significance)?;
        Ok(self.between(significance / 2.0, 1.0 - significance / 2.0))
    }

    /// BCa interval: percentiles moved for bias and for a spread that changes with the number.
    ///
    /// The ends are the quantiles at `Phi(z0 + (z0 ± z) / (1 - a (z0 ± z)))`, where `z0` is the normal quantile of the share
    /// of resamples below the estimate, ties half, and `a` a sixth of the skewness of what leaving out one user changes.
    /// For AUROC that comes from placements, without computing it anew for each user.
    ///
    /// # Errors
    /// Those of [`Resamples::percentile_interval`]; [`StatsError::NoVariance`] also where no user's leaving changes
    /// anything; [`StatsError::TooFewValues`] with one user on a side; [`StatsError::OneSidedResamples`] where all
    /// resamples lie on one side of the estimate.
    ///
    /// # Reference
    /// Efron, Journal of the American Statistical Association 82(397), 1987; Efron & Tibshirani, 1993, equations 14.10,
    /// 14.14 and 15.36.
    /// ```
    /// use userprint_stats::{Resamples, Roc};
    /// let roc = Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0])?;
    /// assert!(Resamples::of_auroc(&roc, 1000, 7)?.bca_interval(0.05)?.contains(11.0 / 16.0));
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn bca_interval(&self, significance: f64) -> Result<Interval, StatsError> {
        self.check(significance)?;
        let acceleration = self.acceleration.clone()?;
        let (z0, z) = (self.bias_correction()?, normal::two_sided_quantile(significance)?);
        let moved = |z: f64| match 1.0 - acceleration * (z0 + z) {
            slope if slope > 0.0 => normal::upper_tail(-z0 - (z0 + z) / slope),
            // At very small significances: the end has moved past all resamples.
            _ => f64::from(u8::from(z0 + z > 0.0)),
        };
        Ok(self.between(moved(-z), moved(z)))
    }

    fn check(&self, significance: f64) -> Result<(), StatsError> {
        check_significance(significance)?;
        let (found, needed) = (self.sorted.len(), (2.0 / significance).ceil());
        if (found as f64) < needed {
            return Err(StatsError::TooFewResamples { found, needed: needed as usize });
        }
        if self.sorted.first() == self.sorted.last() {
            return Err(StatsError::NoVariance);
        }
        Ok(())
    }

    /// The normal quantile of the share of resamples below the estimate, ties half.
    fn bias_correction(&self) -> Result<f64, StatsError> {
        let resamples = self.sorted.len();
        let below = self.sorted.partition_point(|&value| value < self.estimate);
        let up_to = self.sorted.partition_point(|&value| value <= self.estimate);
        let below = (below + up_to) as f64 / 2.0;
        if below == 0.0 || below == resamples as f64 {
            return Err(StatsError::OneSidedResamples { below, resamples });
        }
        Ok(normal::quantile(below / resamples as f64))
    }

    fn between(&self, lower: f64, upper: f64) -> Interval {
        Interval { lower: quantile(&self.sorted, lower), upper: quantile(&self.sorted, upper) }
    }
}

#[cfg(test)]
mod tests;
