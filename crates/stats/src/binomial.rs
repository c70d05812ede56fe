//! Binomial intervals: where a rate lies, given how many of the trials succeeded.

use crate::interval::{check_significance, last_inside};
use crate::{Interval, StatsError};

/// The most trials that are answered; more would take seconds.
pub(crate) const MAX_TRIALS: u64 = 1_000_000_000_000;

/// Exact two-sided interval of a rate.
///
/// From the `p` at which `P[Bin(n, p) >= k] = significance / 2` to that at which `P[Bin(n, p) <= k] = significance / 2`;
/// 0 below no success and 1 above no failure.
/// It covers the rate with probability at least `1 - significance` whatever the rate.
///
/// # Errors
/// [`StatsError::NoTrials`], [`StatsError::TooManySuccesses`], [`StatsError::TooManyTrials`] above 10^12, and
/// [`StatsError::SignificanceOutOfRange`] unless `0 < significance < 1`.
///
/// # Reference
/// Clopper & Pearson, Biometrika 26(4), 1934.
/// ```
/// let interval = userprint_stats::clopper_pearson(18, 100, 0.05)?;
/// assert_eq!(format!("{:.3} {:.3}", interval.lower, interval.upper), "0.110 0.269");
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn clopper_pearson(successes: u64, trials: u64, significance: f64) -> Result<Interval, StatsError> {
    check_significance(significance)?;
    Ok(Interval {
        lower: binomial_lower_bound(successes, trials, significance / 2.0)?,
        upper: binomial_upper_bound(successes, trials, significance / 2.0)?,
    })
}

/// Exact one-sided lower bound of a rate: the `p` with `P[Bin(n, p) >= k] = significance`.
///
/// # Errors
/// Those of [`clopper_pearson`].
///
/// # Reference
/// Clopper & Pearson, Biometrika 26(4), 1934.
/// ```
/// // All of 100: p^100 = .05.
/// let lower = userprint_stats::binomial_lower_bound(100, 100, 0.05)?;
/// assert!((lower - 0.05f64.powf(0.01)).abs() < 1e-15);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn binomial_lower_bound(successes: u64, trials: u64, significance: f64) -> Result<f64, StatsError> {
    check_counts(successes, trials)?;
    check_significance(significance)?;
    if successes == 0 {
        return Ok(0.0);
    }
    let too_low = |p: f64| upper_tail(successes, trials, p, 1.0 - p) < significance;
    Ok(last_inside(1.0, 0.0, too_low))
}

/// Exact one-sided upper bound of a rate: the `p` with `P[Bin(n, p) <= k] = significance`.
///
/// # Errors
/// Those of [`clopper_pearson`].
///
/// # Reference
/// Clopper & Pearson, Biometrika 26(4), 1934.
/// ```
/// // None of 100: (1 - p)^100 = .05, about 3 / 100.
/// let upper = userprint_stats::binomial_upper_bound(0, 100, 0.05)?;
/// assert!((upper - (1.0 - 0.05f64.powf(0.01))).abs() < 1e-15);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn binomial_upper_bound(successes: u64, trials: u64, significance: f64) -> Result<f64, StatsError> {
    check_counts(successes, trials)?;
    check_significance(significance)?;
    if successes == trials {
        return Ok(1.0);
    }
    let too_high = |p: f64| upper_tail(trials - successes, trials, 1.0 - p, p) < significance;
    Ok(last_inside(0.0, 1.0, too_high))
}

fn check_counts(successes: u64, trials: u64) -> Result<(), StatsError> {
    if trials == 0 {
        return Err(StatsError::NoTrials);
    }
    if trials > MAX_TRIALS {
        return Err(StatsError::TooManyTrials { trials, most: MAX_TRIALS });
    }
    if successes > trials {
        return Err(StatsError::TooManySuccesses { successes, trials });
    }
    Ok(())
}

/// `P[Bin(n, p) >= k]`, with `q = 1 - p` given so that neither loses digits.
pub(crate) fn upper_tail(k: u64, n: u64, p: f64, q: f64) -> f64 {
    if k == 0 {
        1.0
    } else if k as f64 > n as f64 * p {
        far_tail(k, n, p, q)
    } else {
        1.0 - far_tail(n - k + 1, n, q, p)
    }
}

/// `P[Bin(n, p) >= k]` for `k` above the mean: the first term times the sum of falling ratios.
///
/// All terms are positive and each is smaller than the last, so nothing cancels; `O(sqrt(n))` of them count.
fn far_tail(k: u64, n: u64, p: f64, q: f64) -> f64 {
    let odds = p / q;
    let (mut sum, mut term) = (0.0, 1.0);
    for j in k..=n {
        sum += term;
        term *= (n - j) as f64 / (j + 1) as f64 * odds;
        if term < f64::EPSILON / 8.0 * sum {
            break;
        }
    }
    (probability(k, n, p, q) * sum).min(1.0)
}

/// `P[Bin(n, p) = k]` by Loader's saddle-point form, with full relative precision.
pub(crate) fn probability(k: u64, n: u64, p: f64, q: f64) -> f64 {
    let (k, n) = (k as f64, n as f64);
    if k == n {
        return power(p, q, n);
    }
    if k == 0.0 {
        return power(q, p, n);
    }
    let exponent = stirling_error(n)
        - stirling_error(k)
        - stirling_error(n - k)
        - deviance(k, n * p)
        - deviance(n - k, n * q);
    (n / (std::f64::consts::TAU * k * (n - k))).sqrt() * exponent.exp()
}

/// `p^n`, from `1 - p` where that is the smaller one.
fn power(p: f64, one_less_p: f64, n: f64) -> f64 {
    let log = if p < 0.5 { p.ln() } else { (-one_less_p).ln_1p() };
    (n * log).exp()
}

/// `ln n! - ln(sqrt(2 pi n) (n / e)^n)`.
fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        let log_factorial: f64 = (2..=n as u32).map(|i| f64::from(i).ln()).sum();
        return log_factorial - 0.5 * (std::f64::consts::TAU * n).ln() - n * (n.ln() - 1.0);
    }
    let square = n * n;
    let series = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    series.iter().rev().fold(0.0, |sum, coefficient| sum / square + coefficient) / n
}

/// `x ln(x / mean) + mean - x`, without cancellation where the two are close.
fn deviance(x: f64, mean: f64) -> f64 {
    if (x - mean).abs() > 0.1 * (x + mean) {
        return x * (x / mean).ln() + mean - x;
    }
    // With v = (x - mean) / (x + mean): ln(x / mean) = 2 atanh v.
    let v = (x - mean) / (x + mean);
    let mut sum = (x - mean) * v;
    let mut term = 2.0 * x * v;
    for j in 1.. {
        term *= v * v;
        let next = sum + term / f64::from(2 * j + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

#[cfg(test)]
mod tests;
