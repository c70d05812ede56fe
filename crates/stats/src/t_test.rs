//! Welch's t-test: whether held-in values are higher on average than held-out ones.

use crate::column::check_column;
use crate::rank_test::joined;
use crate::roc::check_sides;
use crate::student::upper_tail;
use crate::{Alternative, Side, StatsError};

/// Welch's t-test of two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TTest {
    /// Mean of held-in less mean of held-out, over its standard error.
    pub t: f64,
    /// Degrees of freedom by Welch and Satterthwaite.
    pub degrees_of_freedom: f64,
    /// Chance of a `t` at least as far on the side of the alternative if the means are equal.
    pub p_value: f64,
}

/// Welch's t-test, variances not assumed equal.
///
/// `t = (mean_in - mean_out) / sqrt(a + b)` with `a = s_in² / n`, `b = s_out² / m`, and
/// `(a + b)² / (a² / (n - 1) + b² / (m - 1))` degrees of freedom.
///
/// # Errors
/// [`StatsError::EmptySide`], [`StatsError::NotFinite`], [`StatsError::TooFewValues`] below 2 a side,
/// [`StatsError::NoVariance`] where neither side varies, [`StatsError::Overflow`] where squares are beyond `f64`.
///
/// # Reference
/// Welch, Biometrika 34(1/2), 1947.
/// ```
/// use userprint_stats::{Alternative, welch};
/// let test = welch(&[3.0, 4.0, 5.0], &[1.0, 2.0, 3.0], Alternative::Greater)?;
/// assert!((test.t - 6f64.sqrt()).abs() < 1e-12 && (test.degrees_of_freedom - 4.0).abs() < 1e-12);
/// assert!((test.p_value - 0.0352).abs() < 1e-4);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn welch(held_in: &[f64], held_out: &[f64], alternative: Alternative) -> Result<TTest, StatsError> {
    check_sides(held_in, held_out)?;
    let of_held_in = Moments::new(Side::HeldIn, held_in)?;
    let of_held_out = Moments::new(Side::HeldOut, held_out)?;
    let (a, b) = (of_held_in.variance_of_mean, of_held_out.variance_of_mean);
    if a + b == 0.0 {
        return Err(StatsError::NoVariance);
    }
    // Each share of the sum is squared, not the variances, which might underflow.
    let share = a / (a + b);
    let inverse_freedom =
        share * share / (of_held_in.n - 1.0) + (1.0 - share) * (1.0 - share) / (of_held_out.n - 1.0);
    let t = (of_held_in.mean - of_held_out.mean) / (a + b).sqrt();
    let degrees_of_freedom = inverse_freedom.recip();
    let tail =
        |t: f64| upper_tail(t, degrees_of_freedom).filter(|_| t.is_finite()).ok_or(StatsError::Overflow);
    let p_value = joined(alternative, tail(t)?, tail(-t)?);
    Ok(TTest { t, degrees_of_freedom, p_value })
}

/// Student's t-test of whether a mean is above 0, as that of differences between pairs.
///
/// `t = mean / (s / sqrt(n))` with `n - 1` degrees of freedom; [`Alternative::Greater`] is a mean above 0.
///
/// # Errors
/// [`StatsError::EmptyColumn`], [`StatsError::NotFiniteInColumn`], [`StatsError::TooFewRows`] below 2,
/// [`StatsError::NoVariance`] where all values are alike, [`StatsError::Overflow`] where squares are beyond `f64`.
///
/// # Reference
/// Student, Biometrika 6(1), 1908.
/// ```
/// use userprint_stats::{Alternative, one_sample_t};
/// let test = one_sample_t(&[1.0, 2.0, 3.0], Alternative::Greater)?;
/// assert!((test.t - 12f64.sqrt()).abs() < 1e-12 && test.degrees_of_freedom == 2.0);
/// // With 2 degrees of freedom the tail is (1 - t / sqrt(2 + t²)) / 2.
/// assert!((test.p_value - (1.0 - (12.0f64 / 14.0).sqrt()) / 2.0).abs() < 1e-12);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn one_sample_t(values: &[f64], alternative: Alternative) -> Result<TTest, StatsError> {
    check_column("values", values)?;
    if values.len() < 2 {
        return Err(StatsError::TooFewRows { found: values.len(), needed: 2 });
    }
    let Moments { n, mean, variance_of_mean } = Moments::new(Side::HeldIn, values)?;
    if variance_of_mean == 0.0 {
        return Err(StatsError::NoVariance);
    }
    let (t, degrees_of_freedom) = (mean / variance_of_mean.sqrt(), n - 1.0);
    let tail =
        |t: f64| upper_tail(t, degrees_of_freedom).filter(|_| t.is_finite()).ok_or(StatsError::Overflow);
    let p_value = joined(alternative, tail(t)?, tail(-t)?);
    Ok(TTest { t, degrees_of_freedom, p_value })
}

#[derive(Debug)]
struct Moments {
    n: f64,
    mean: f64,
    variance_of_mean: f64,
}

impl Moments {
    fn new(side: Side, values: &[f64]) -> Result<Self, StatsError> {
        if values.len() < 2 {
            return Err(StatsError::TooFewValues { side, found: values.len(), needed: 2 });
        }
        let n = values.len() as f64;
        // Counted from the first value, so that values that are all alike vary by exactly 0.
        let first = values[0];
        let mean = values.iter().map(|value| value - first).sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - first - mean).powi(2)).sum();
        Ok(Self { n, mean: first + mean, variance_of_mean: squares / (n - 1.0) / n })
    }
}

#[cfg(test)]
mod tests;
