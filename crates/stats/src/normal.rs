//! The standard normal distribution: tails to full precision, and quantiles.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::StatsError;
use crate::interval::check_significance;

/// `P[Z >= z]`.
pub(crate) fn upper_tail(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

/// The `z` with `P[Z <= z] = probability`.
pub(crate) fn quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// The `z` with `P[|Z| >= z] = significance`.
pub(crate) fn two_sided_quantile(significance: f64) -> Result<f64, StatsError> {
    check_significance(significance)?;
    Ok(-quantile(significance / 2.0))
}
