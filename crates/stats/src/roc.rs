//! ROC curves: how well a statistic separates held-in from held-out.

use crate::column::{check_column, check_length};
use crate::levels::{Count, Pairs};
use crate::{Interval, Side, StatsError, clopper_pearson};

/// The most values a side may have: twice the number of pairs then fits into 64 bits.
const MAX_VALUES: usize = 1 << 31;

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
    /// Ascending, zeros positive.
    held_in: Vec<f64>,
    /// Ascending, zeros positive.
    held_out: Vec<f64>,
    pairs: Pairs,
}

impl Roc {
    /// Sorts the two samples; `O((n + m) log(n + m))`, one thread a side.
    ///
    /// # Errors
    /// [`StatsError::EmptySide`], [`StatsError::TooManyValues`] above 2^31 a side, or [`StatsError::NotFinite`] with the
    /// side and the position.
    ///
    /// ```
    /// use userprint_stats::{Roc, Side, StatsError};
    /// let error = Roc::new(&[], &[1.0]).unwrap_err();
    /// assert_eq!(error, StatsError::EmptySide { side: Side::HeldIn });
    /// let error = Roc::new(&[1.0], &[0.0, f64::NAN]).unwrap_err();
    /// assert_eq!(error.to_string(), "held-out value 1 is NaN, expected a finite number");
    /// ```
    pub fn new(held_in: &[f64], held_out: &[f64]) -> Result<Self, StatsError> {
        check_sides(held_in, held_out)?;
        Ok(Self::of_checked(held_in.to_vec(), held_out.to_vec()))
    }

    /// The same from one column of statistics and one of memberships.
    ///
    /// # Errors
    /// [`StatsError::EmptyColumn`], [`StatsError::NotFiniteInColumn`] with the row, [`StatsError::ColumnLength`],
    /// [`StatsError::EmptySide`], [`StatsError::TooManyValues`].
    ///
    /// ```
    /// let roc = userprint_stats::Roc::from_labels(&[2.0, 1.0, 3.0], &[true, false, true])?;
    /// assert_eq!(roc.auroc(), 1.0);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn from_labels(statistic: &[f64], held_in: &[bool]) -> Result<Self, StatsError> {
        check_column("statistic", statistic)?;
        check_length("held_in", held_in.len(), statistic.len())?;
        let n_held_in = held_in.iter().filter(|&&held_in| held_in).count();
        check_sizes(n_held_in, statistic.len() - n_held_in)?;
        let side = |wanted: bool, n: usize| {
            let mut values = Vec::with_capacity(n);
            values.extend(statistic.iter().zip(held_in).filter(|row| *row.1 == wanted).map(|row| *row.0));
            values
        };
        Ok(Self::of_checked(side(true, n_held_in), side(false, statistic.len() - n_held_in)))
    }

    fn of_checked(mut held_in: Vec<f64>, mut held_out: Vec<f64>) -> Self {
        rayon::join(|| sort(&mut held_in), || sort(&mut held_out));
        let pairs = Pairs::count(levels(&held_in, &held_out).map(|(_, count)| count));
        Self { held_in, held_out, pairs }
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
        // Held-out against held-in values below a level: the curve turned by half and mirrored, of the same area.
        let mut hull = vec![[0, 0]];
        let mut below = Count::default();
        for (_, count) in self.levels() {
            below = below.add(count);
            let point = [i128::from(below.held_in), i128::from(below.held_out)];
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
        let mut at_least = Count { held_in: self.held_in.len() as u64, held_out: self.held_out.len() as u64 };
        let all = at_least;
        let mut points: Vec<RocPoint> = self
            .levels()
            .map(|(threshold, count)| {
                let point = RocPoint {
                    threshold,
                    fpr: at_least.held_out as f64 / all.held_out as f64,
                    tpr: at_least.held_in as f64 / all.held_in as f64,
                };
                at_least = at_least.less(count);
                point
            })
            .collect();
        points.push(RocPoint { threshold: f64::INFINITY, fpr: 0.0, tpr: 0.0 });
        points.reverse();
        points
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
        Ok(self.detected_at_fpr(fpr)? as f64 / self.held_in.len() as f64)
    }

    /// Exact interval of the TPR at the threshold that [`Roc::tpr_at_fpr`] takes, as if it had been fixed beforehand.
    ///
    /// Clopper and Pearson's on the held-in users.
    /// The threshold came from the held-out users, and what varies with it is left out here:
    /// [`Resamples::of_tpr_at_fpr`](crate::Resamples::of_tpr_at_fpr) has it.
    ///
    /// # Errors
    /// Those of [`Roc::tpr_at_fpr`], and [`StatsError::SignificanceOutOfRange`].
    ///
    /// # Reference
    /// Clopper & Pearson, Biometrika 26(4), 1934.
    /// ```
    /// let roc = userprint_stats::Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0])?;
    /// let interval = roc.tpr_at_fpr_interval(0.25, 0.05)?;
    /// assert_eq!(format!("{:.3} {:.3}", interval.lower, interval.upper), "0.194 0.994"); // 3 of 4
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn tpr_at_fpr_interval(&self, fpr: f64, significance: f64) -> Result<Interval, StatsError> {
        clopper_pearson(self.detected_at_fpr(fpr)? as u64, self.held_in.len() as u64, significance)
    }

    /// How many held-in values lie above the highest held-out value that must not be taken for held-in.
    fn detected_at_fpr(&self, fpr: f64) -> Result<usize, StatsError> {
        let n_allowed = self.allowed_at_fpr(fpr)?;
        Ok(match self.held_out.iter().rev().nth(n_allowed) {
            Some(&barred) => self.held_in.len() - self.held_in.partition_point(|&value| value <= barred),
            None => self.held_in.len(),
        })
    }

    /// The most false positives that keep the rate.
    pub(crate) fn allowed_at_fpr(&self, fpr: f64) -> Result<usize, StatsError> {
        let n_held_out = self.held_out.len();
        if !(0.0..=1.0).contains(&fpr) {
            return Err(StatsError::FprOutOfRange { fpr });
        }
        if fpr < 1.0 / n_held_out as f64 {
            return Err(StatsError::FprBelowResolution { fpr, n_held_out });
        }
        Ok(most_allowed(fpr, n_held_out))
    }

    /// Both sides in ascending order.
    pub(crate) fn sorted_sides(&self) -> (&[f64], &[f64]) {
        (&self.held_in, &self.held_out)
    }

    /// The distinct values, ascending, with how many of each side have them.
    pub(crate) fn levels(&self) -> impl Iterator<Item = (f64, Count)> {
        levels(&self.held_in, &self.held_out)
    }

    pub(crate) fn pairs(&self) -> Pairs {
        self.pairs
    }
}

/// The largest count whose share of `n` is at most the rate, as shares are computed.
pub(crate) fn most_allowed(fpr: f64, n: usize) -> usize {
    let share = |count: usize| count as f64 / n as f64;
    let mut count = ((fpr * n as f64) as usize).min(n);
    while count < n && share(count + 1) <= fpr {
        count += 1;
    }
    while share(count) > fpr {
        count -= 1;
    }
    count
}

fn sort(values: &mut [f64]) {
    // So that zeros of both signs are one value to any comparison.
    values.iter_mut().for_each(|value| *value += 0.0);
    values.sort_unstable_by(f64::total_cmp);
}

fn levels(mut held_in: &[f64], mut held_out: &[f64]) -> impl Iterator<Item = (f64, Count)> {
    std::iter::from_fn(move || {
        let value = match (held_in.first(), held_out.first()) {
            (Some(&a), Some(&b)) => a.min(b),
            (Some(&value), None) | (None, Some(&value)) => value,
            (None, None) => return None,
        };
        Some((value, Count { held_in: skip(&mut held_in, value), held_out: skip(&mut held_out, value) }))
    })
}

/// Skips the leading values that equal `value` and counts them.
fn skip(sorted: &mut &[f64], value: f64) -> u64 {
    let n = sorted.iter().take_while(|&&next| next == value).count();
    *sorted = &sorted[n..];
    n as u64
}

/// Refuses an empty side, one too long, and values that are not finite.
pub(crate) fn check_sides(held_in: &[f64], held_out: &[f64]) -> Result<(), StatsError> {
    check_sizes(held_in.len(), held_out.len())?;
    for (side, values) in [(Side::HeldIn, held_in), (Side::HeldOut, held_out)] {
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(StatsError::NotFinite { side, index, value: values[index] });
        }
    }
    Ok(())
}

pub(crate) fn check_sizes(n_held_in: usize, n_held_out: usize) -> Result<(), StatsError> {
    for (side, found) in [(Side::HeldIn, n_held_in), (Side::HeldOut, n_held_out)] {
        if found == 0 {
            return Err(StatsError::EmptySide { side });
        }
        if found > MAX_VALUES {
            return Err(StatsError::TooManyValues { side, found, most: MAX_VALUES });
        }
    }
    Ok(())
}

/// Refuses sides of one value, which show no variance.
pub(crate) fn check_two_a_side(n_held_in: usize, n_held_out: usize) -> Result<(), StatsError> {
    for (side, found) in [(Side::HeldIn, n_held_in), (Side::HeldOut, n_held_out)] {
        if found < 2 {
            return Err(StatsError::TooFewValues { side, found, needed: 2 });
        }
    }
    Ok(())
}

/// Positive if `c` lies to the left of the way from `a` to `b`.
fn cross(a: [i128; 2], b: [i128; 2], c: [i128; 2]) -> i128 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

#[cfg(test)]
mod tests;
