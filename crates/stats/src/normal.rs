//! The standard normal distribution: tails to full precision, and quantiles.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::StatsError;
use crate::interval::check_significance;

/// `P[Z >= z]`.
pub(crate) fn upper_tail(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

/// `ln P[Z >= z]`, also where the chance is smaller than any f64.
pub(crate) fn ln_upper_tail(z: f64) -> f64 {
    if z < 30.0 {
        return upper_tail(z).ln();
    }
    // The asymptotic series; the next term is below 1e-11 of the sum.
    let inverse_square = 1.0 / (z * z);
    let series = 1.0
        - inverse_square
            * (1.0 - 3.0 * inverse_square * (1.0 - 5.0 * inverse_square * (1.0 - 7.0 * inverse_square)));
    -z * z / 2.0 - (z * std::f64::consts::TAU.sqrt()).ln() + series.ln()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_meets_the_function() {
        for z in [30.0, 33.0, 36.0] {
            assert!((ln_upper_tail(z) - upper_tail(z).ln()).abs() < 1e-10, "{z}");
        }
    }
}
