//! Intervals: where a number lies, at a significance.

use crate::StatsError;
use crate::normal::two_sided_quantile;

/// A closed interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lowest value in it.
    pub lower: f64,
    /// The highest value in it.
    pub upper: f64,
}

impl Interval {
    /// The smallest interval that holds both.
    pub(crate) fn hull(self, other: Self) -> Self {
        Self { lower: self.lower.min(other.lower), upper: self.upper.max(other.upper) }
    }

    /// Whether a value lies in it, ends included.
    ///
    /// ```
    /// let interval = userprint_stats::Interval { lower: 0.25, upper: 0.5 };
    /// assert!(interval.contains(0.5) && !interval.contains(0.75) && !interval.contains(f64::NAN));
    /// ```
    pub fn contains(&self, value: f64) -> bool {
        (self.lower..=self.upper).contains(&value)
    }
}

pub(crate) fn check_significance(significance: f64) -> Result<(), StatsError> {
    if significance > 0.0 && significance < 1.0 {
        Ok(())
    } else {
        Err(StatsError::SignificanceOutOfRange { significance })
    }
}

/// Newcombe's score interval of an AUROC: all `theta` with `|theta - auroc| <= z sqrt(V(theta))`.
pub(crate) fn newcombe(
    auroc: f64,
    n_held_in: usize,
    n_held_out: usize,
    significance: f64,
) -> Result<Interval, StatsError> {
    let z = two_sided_quantile(significance)?;
    let variance = |theta: f64| hanley_mcneil_variance(theta, n_held_in as f64, n_held_out as f64);
    let outside = |theta: f64| (theta - auroc).abs() > z * variance(theta).sqrt();
    Ok(Interval { lower: last_inside(auroc, 0.0, outside), upper: last_inside(auroc, 1.0, outside) })
}

/// Wilson's score interval of a share seen among so many trials, `quantile` standard errors wide; trials may be fractional.
pub(crate) fn wilson(share: f64, trials: f64, quantile: f64) -> Interval {
    let ratio = quantile * quantile / trials;
    let centre = (share + ratio / 2.0) / (1.0 + ratio);
    let reach = (ratio * (share * (1.0 - share) + ratio / 4.0)).sqrt() / (1.0 + ratio);
    // Rounding may carry an end past what a share can be.
    Interval { lower: (centre - reach).max(0.0), upper: (centre + reach).min(1.0) }
}

/// Hanley and McNeil's variance with Newcombe's averaging of the two sample sizes in the bracket.
fn hanley_mcneil_variance(theta: f64, n_held_in: f64, n_held_out: f64) -> f64 {
    let mean_size = f64::midpoint(n_held_in, n_held_out);
    let bracket = 1.0 + (mean_size - 1.0) * ((1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta));
    theta * (1.0 - theta) * bracket / (n_held_in * n_held_out)
}

/// Bisects between a value that is inside and an end that is outside, or on the edge.
pub(crate) fn last_inside(start: f64, end: f64, outside: impl Fn(f64) -> bool) -> f64 {
    if !outside(end) {
        return end;
    }
    let (mut inside, mut beyond) = (start, end);
    loop {
        let middle = f64::midpoint(inside, beyond);
        if middle == inside || middle == beyond {
            return inside;
        }
        if outside(middle) {
            beyond = middle;
        } else {
            inside = middle;
        }
    }
}

/// The quantile of sorted values, interpolated between neighbours (type 7 of Hyndman and Fan).
pub(crate) fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let position = probability * (sorted.len() - 1) as f64;
    let below = position.floor();
    let index = below as usize;
    match sorted.get(index + 1) {
        Some(next) => sorted[index] + (position - below) * (next - sorted[index]),
        None => sorted[index],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pair_has_a_closed_form() {
        // V = theta (1 - theta), so at AUROC 1 the lower end is 1 / (1 + z²); z = 1.959963985.
        let interval = newcombe(1.0, 1, 1, 0.05).unwrap();
        assert!((interval.lower - 0.206_549_314).abs() < 1e-8, "{interval:?}");
        assert_eq!(interval.upper, 1.0);
    }

    #[test]
    fn ends_satisfy_the_equation() {
        for (auroc, n, m) in [(0.5, 10, 30), (0.8, 20, 20), (0.99, 68, 68), (0.03, 5, 400)] {
            let interval = newcombe(auroc, n, m, 0.05).unwrap();
            for end in [interval.lower, interval.upper] {
                // The published closed form: theta (1 - theta) (2N - 1 - (3N - 3) / ((2 - theta)(1 + theta))) / mn.
                let size = (n + m) as f64 / 2.0;
                let bracket = 2.0 * size - 1.0 - (3.0 * size - 3.0) / ((2.0 - end) * (1.0 + end));
                let variance = end * (1.0 - end) * bracket / (n * m) as f64;
                assert!(((end - auroc).abs() - 1.959_963_984_540_054 * variance.sqrt()).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn never_of_zero_width() {
        for auroc in [0.0, 1.0] {
            for n in [1, 20, 100_000] {
                let interval = newcombe(auroc, n, n, 0.05).unwrap();
                assert!(interval.lower < interval.upper && interval.contains(auroc), "{interval:?}");
            }
        }
    }

    #[test]
    fn significance_must_be_a_probability() {
        for significance in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(newcombe(0.5, 3, 3, significance).is_err());
        }
    }

    #[test]
    fn quantiles_interpolate() {
        let sorted = [0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!([0.0, 0.125, 0.5, 1.0].map(|p| quantile(&sorted, p)), [0.0, 0.5, 2.0, 4.0]);
        assert_eq!(quantile(&[7.0], 0.025), 7.0);
    }
}
