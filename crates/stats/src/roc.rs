//! ROC curves: how well a statistic separates held-in from held-out.

use crate::interval::newcombe;
use crate::levels::{Count, Levels, Pairs};
use crate::{Interval, Side, StatsError};

/// One point of a ROC curve: the rates when "held-in" means a statistic of at least `threshold`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// Decide held-in from here up; infinite at (0, 0), where nobody is.
    pub threshold: f64,
    /// Share of held-out values at or above the threshold.
    pub fpr: f64,
    /// Share of held-in values at or above the threshold.
    pub tpr: f64,
}

/// The ROC curve of two samples; higher means held-in.
#[derive(Clone, Debug)]
pub struct Roc {
    /// Distinct values, descending.
    threshold: Vec<f64>,
    /// Values at or above each threshold.
    at_least: Vec<Count>,
    pairs: Pairs,
    n_held_in: usize,
    n_held_out: usize,
}

impl Roc {
    /// Sorts the two samples; `O((n + m) log(n + m))`.
    ///
    /// # Errors
    /// [`StatsError::EmptySide`], or [`StatsError::NotFinite`] with the side and the position.
    ///
    /// ```
    /// use userprint_stats::{Roc, Side, StatsError};
    /// let error = Roc::new(&[], &[1.0]).unwrap_err();
    /// assert_eq!(error, StatsError::EmptySide { side: Side::HeldIn });
    /// let error = Roc::new(&[1.0], &[0.0, f64::NAN]).unwrap_err();
    /// assert_eq!(error.to_string(), "held-out value 1 is NaN, expected a finite number");
    /// ```
    pub fn new(held_in: &[f64], held_out: &[f64]) -> Result<Self, StatsError> {
        let (levels, counts) = counts_by_level(held_in, held_out)?;
        let pairs = Pairs::count(&counts);
        let mut total = Count::default();
        let at_least = counts.iter().rev().map(|count| {
            total.held_in += count.held_in;
            total.held_out += count.held_out;
            total
        });
        Ok(Self {
            threshold: levels.value.iter().rev().copied().collect(),
            at_least: at_least.collect(),
            pairs,
            n_held_in: held_in.len(),
            n_held_out: held_out.len(),
        })
    }

    /// Chance that a random held-in value outranks a random held-out one; ties count half.
    ///
    /// `AUROC = U / (n m)`, `U = #{(i, o): i > o} + #{(i, o): i = o} / 2`: Mann-Whitney, not the hull's area.
    ///
    /// # Reference
    /// Hanley & McNeil, Radiology 143(1), 1982.
    /// ```
    /// let roc = userprint_stats::Roc::new(&[2.0, 3.0], &[1.0, 2.0])?;
    /// assert_eq!(roc.auroc(), 0.875);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn auroc(&self) -> f64 {
        self.pairs.share_won()
    }

    /// Area under the upper convex hull of the curve, at least [`Roc::auroc`].
    ///
    /// Any point of the hull is reached by tossing a coin between two thresholds, but choosing them by the
    /// sample that is judged flatters the attack: never compare it with a plain AUROC.
    ///
    /// # Reference
    /// Provost & Fawcett, Machine Learning 42, 2001.
    /// ```
    /// let roc = userprint_stats::Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0])?;
    /// assert_eq!(roc.hull_auroc(), 13.0 / 16.0);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn hull_auroc(&self) -> f64 {
        let mut hull = vec![[0, 0]];
        for count in &self.at_least {
            let point = [i128::from(count.held_out), i128::from(count.held_in)];
            while let [.., before, last] = hull[..]
                && cross(before, last, point) >= 0
            {
                hull.pop();
            }
            hull.push(point);
        }
        let twice_area: i128 =
            hull.windows(2).map(|step| (step[1][0] - step[0][0]) * (step[1][1] + step[0][1])).sum();
        twice_area as f64 / 2.0 / self.pairs.all as f64
    }

    /// All points of the curve, from (0, 0) to (1, 1), one a distinct value.
    ///
    /// ```
    /// let points = userprint_stats::Roc::new(&[2.0, 2.0], &[1.0, 2.0])?.points();
    /// let rates: Vec<_> = points.iter().map(|point| (point.threshold, point.fpr, point.tpr)).collect();
    /// assert_eq!(rates, [(f64::INFINITY, 0.0, 0.0), (2.0, 0.5, 1.0), (1.0, 1.0, 1.0)]);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn points(&self) -> Vec<RocPoint> {
        let origin = RocPoint { threshold: f64::INFINITY, fpr: 0.0, tpr: 0.0 };
        let steps = self.threshold.iter().zip(&self.at_least).map(|(&threshold, &count)| RocPoint {
            threshold,
            fpr: self.fpr(count),
            tpr: self.tpr(count),
        });
        std::iter::once(origin).chain(steps).collect()
    }

    /// The largest TPR at a threshold whose FPR is at most `fpr`; no credit between thresholds.
    ///
    /// # Errors
    /// [`StatsError::FprBelowResolution`] below `1 / n_held_out`: such a rate cannot be claimed with so few users.
    /// [`StatsError::FprOutOfRange`] outside `[0, 1]`.
    ///
    /// ```
    /// let roc = userprint_stats::Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0])?;
    /// assert_eq!(roc.tpr_at_fpr(0.25)?, 0.75);
    /// assert!(roc.tpr_at_fpr(0.1).is_err());
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn tpr_at_fpr(&self, fpr: f64) -> Result<f64, StatsError> {
        if !(0.0..=1.0).contains(&fpr) {
            return Err(StatsError::FprOutOfRange { fpr });
        }
        if fpr < 1.0 / self.n_held_out as f64 {
            return Err(StatsError::FprBelowResolution { fpr, n_held_out: self.n_held_out });
        }
        let n_allowed = self.at_least.partition_point(|&count| self.fpr(count) <= fpr);
        Ok(self.at_least[..n_allowed].last().map_or(0.0, |&count| self.tpr(count)))
    }

    /// Score interval of the AUROC.
    ///
    /// All `theta` with `|theta - AUROC| <= z sqrt(V(theta))`, where with `N = (n + m) / 2`
    /// `V(theta) = theta (1 - theta) [1 + (N - 1) ((1 - theta) / (2 - theta) + theta / (1 + theta))] / (n m)`.
    /// It has a width even at AUROC 0 and 1.
    ///
    /// # Errors
    /// [`StatsError::SignificanceOutOfRange`] unless `0 < significance < 1`.
    ///
    /// # Reference
    /// Newcombe, Statistics in Medicine 25(4), 2006, part 2, method 5; the variance is Hanley & McNeil's, 1982.
    /// ```
    /// let roc = userprint_stats::Roc::new(&[3.0; 20], &[1.0; 20])?;
    /// let interval = roc.auroc_interval(0.05)?;
    /// assert!(interval.upper == 1.0 && 0.8 < interval.lower && interval.lower < 0.9);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn auroc_interval(&self, significance: f64) -> Result<Interval, StatsError> {
        newcombe(self.auroc(), self.n_held_in, self.n_held_out, significance)
    }

    fn fpr(&self, count: Count) -> f64 {
        count.held_out as f64 / self.n_held_out as f64
    }

    fn tpr(&self, count: Count) -> f64 {
        count.held_in as f64 / self.n_held_in as f64
    }
}

/// Refuses an empty side and values that are not finite.
pub(crate) fn check_sides(held_in: &[f64], held_out: &[f64]) -> Result<(), StatsError> {
    for (side, values) in [(Side::HeldIn, held_in), (Side::HeldOut, held_out)] {
        if values.is_empty() {
            return Err(StatsError::EmptySide { side });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(StatsError::NotFinite { side, index, value: values[index] });
        }
    }
    Ok(())
}

/// The levels of both samples, held-in rows first, and empty counts for them.
pub(crate) fn levels_by_side(held_in: &[f64], held_out: &[f64]) -> Result<(Levels, Vec<Count>), StatsError> {
    check_sides(held_in, held_out)?;
    let levels = Levels::new(&[held_in, held_out].concat());
    let counts = levels.no_counts();
    Ok((levels, counts))
}

/// The levels of both samples and how many values each side has there, ascending.
pub(crate) fn counts_by_level(held_in: &[f64], held_out: &[f64]) -> Result<(Levels, Vec<Count>), StatsError> {
    let (levels, mut counts) = levels_by_side(held_in, held_out)?;
    for (row, &level) in levels.of_row.iter().enumerate() {
        if row < held_in.len() {
            counts[level].held_in += 1;
        } else {
            counts[level].held_out += 1;
        }
    }
    Ok((levels, counts))
}

/// Positive if `c` lies to the left of the way from `a` to `b`.
fn cross(a: [i128; 2], b: [i128; 2], c: [i128; 2]) -> i128 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

#[cfg(test)]
mod tests;
