//! The interval of an AUROC that is printed, and when it is only approximate.

use crate::interval::{check_significance, newcombe, wilson};
use crate::student::upper_quantile;
use crate::{Interval, Roc, StatsError};

/// The fewest users a side for which the coverage was checked.
const CHECKED_USERS: usize = 20;

/// How far from one half an AUROC may lie for the coverage to have been checked.
const CHECKED_DISTANCE: f64 = 0.4;

impl Roc {
    /// The interval of the AUROC to print: the wider, at each end, of two score intervals.
    ///
    /// The one is [`Roc::newcombe_interval`], which fails where the small side varies more than the large one.
    /// The other takes the AUROC `A` as a share of `A (1 - A) / V` trials and is Wilson's, `t` standard errors wide.
    /// `V = (q D + t² A (1 - A) / q) / (q + t²)` is DeLong's variance `D`, with as many further users as the quantile's
    /// square at the largest variance there is, `A (1 - A) / q`; `q` is the size of the smaller side, and `t` the quantile
    /// with Welch and Satterthwaite's degrees of freedom.
    ///
    /// It has a width even at AUROC 0 and 1.
    /// At significance .05 it covers at least .95 of the time, to the error of 10 000 simulated experiments, for 20 users or
    /// more a side and an AUROC from .1 to .9, at five shapes: normals of one variance and of two deviations to one,
    /// exponentials, five levels, a mixture of lognormals; `docs/results/coverage.md` has the table.
    /// No interval is safe at every shape: where 20 users vary four times as much as 200 others it covers .91.
    /// [`Roc::is_interval_approximate`] says whether that holds here.
    ///
    /// # Errors
    /// [`StatsError::SignificanceOutOfRange`] unless `0 < significance < 1`.
    ///
    /// # Reference
    /// Newcombe, Statistics in Medicine 25(4), 2006, part 2, method 5; DeLong, DeLong & Clarke-Pearson, Biometrics 44(3),
    /// 1988; Wilson, Journal of the American Statistical Association 22(158), 1927; the largest variance is Birnbaum &
    /// Klose's, Annals of Mathematical Statistics 28(4), 1957. That they are joined so is ours.
    /// ```
    /// let roc = userprint_stats::Roc::new(&[3.0; 20], &[1.0; 20])?;
    /// let interval = roc.auroc_interval(0.05)?;
    /// assert!(interval.upper == 1.0 && 0.8 < interval.lower && interval.lower < 0.9);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn auroc_interval(&self, significance: f64) -> Result<Interval, StatsError> {
        let by_size = self.newcombe_interval(significance)?;
        Ok(self.interval_of_placements(significance).map_or(by_size, |interval| interval.hull(by_size)))
    }

    /// Whether the coverage of [`Roc::auroc_interval`] was not checked for such a sample.
    ///
    /// It is with fewer than 20 users on a side, or with an AUROC further than .4 from one half.
    ///
    /// ```
    /// let roc = userprint_stats::Roc::new(&[3.0; 20], &[1.0; 20])?;
    /// assert!(roc.is_interval_approximate()); // AUROC 1
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn is_interval_approximate(&self) -> bool {
        let (held_in, held_out) = self.sorted_sides();
        held_in.len().min(held_out.len()) < CHECKED_USERS || (self.auroc() - 0.5).abs() > CHECKED_DISTANCE
    }

    /// Score interval of the AUROC, from its value and the sizes of the sides alone.
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
    /// let roc = userprint_stats::Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0])?;
    /// let interval = roc.newcombe_interval(0.05)?;
    /// assert!(interval.contains(0.5) && interval.contains(0.875));
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn newcombe_interval(&self, significance: f64) -> Result<Interval, StatsError> {
        let (held_in, held_out) = self.sorted_sides();
        newcombe(self.auroc(), held_in.len(), held_out.len(), significance)
    }

    /// Wilson's interval with DeLong's variance and further users at the largest; none where DeLong's says nothing.
    fn interval_of_placements(&self, significance: f64) -> Option<Interval> {
        check_significance(significance).ok()?;
        let users = self.influences().ok()?;
        let by_chance = self.auroc() * (1.0 - self.auroc());
        if by_chance == 0.0 {
            return None;
        }
        let [freedom_in, freedom_out] = [&users.held_in, &users.held_out].map(|side| side.len() as f64 - 1.0);
        let smaller = freedom_in.min(freedom_out) + 1.0;
        let [a, b] = users.variances();
        let freedom = if a + b > 0.0 {
            (a + b).powi(2) / (a * a / freedom_in + b * b / freedom_out)
        } else {
            smaller - 1.0
        };
        let t = upper_quantile(significance / 2.0, freedom)?;
        let variance = (smaller * (a + b) + t * t * by_chance / smaller) / (smaller + t * t);
        Some(wilson(self.auroc(), by_chance / variance, t))
    }
}

#[cfg(test)]
mod tests;
