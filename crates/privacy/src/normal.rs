//! The standard normal distribution: tails, their logarithms, quantiles.

use libm::erfc;
use statrs::function::erf::erfc_inv;

/// Chance that a standard normal is above `z`.
pub(crate) fn upper_tail(z: f64) -> f64 {
    0.5 * erfc(z * std::f64::consts::FRAC_1_SQRT_2)
}

/// `log` of that chance, also where it is smaller than any number.
pub(crate) fn ln_upper_tail(z: f64) -> f64 {
    if z < 6.0 { upper_tail(z).ln() } else { mills(z).ln() - 0.5 * z * z }
}

/// The `z` that a standard normal exceeds with this chance, strictly between 0 and 1.
pub(crate) fn upper_quantile(chance: f64) -> f64 {
    let mut z = std::f64::consts::SQRT_2 * erfc_inv(2.0 * chance);
    // The library's inverse has ten digits; a step of Newton's has the rest.
    for _ in 0..2 {
        let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        z += (upper_tail(z) - chance) / density;
    }
    z
}

/// Mills' ratio over `√2π`: chance of a standard normal above `x`, times `e^{x²/2}`.
pub(crate) fn mills(x: f64) -> f64 {
    if x < 6.0 {
        return upper_tail(x) * (0.5 * x * x).exp();
    }
    // Laplace's continued fraction x + 1/(x + 2/(x + 3/…)).
    let fraction = (1..=80).rev().fold(x, |tail, k| x + f64::from(k) / tail);
    1.0 / (fraction * (2.0 * std::f64::consts::PI).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_one_function() {
        for x in [5.999_999, 6.0, 6.000_001] {
            let by_tail = upper_tail(x) * (0.5 * x * x).exp();
            assert!((mills(x) / by_tail - 1.0).abs() < 1e-13, "{x}");
        }
    }

    #[test]
    fn logarithms_of_tails() {
        for z in [-3.0, 0.0, 2.0, 5.999, 6.0, 20.0, 37.0] {
            assert!((ln_upper_tail(z) / upper_tail(z).ln() - 1.0).abs() < 1e-13, "{z}");
        }
        // −z²/2 − log(z √2π) − 1/z²: at 1,000 the next term is 2.5e-12.
        let far = -500_000.0 - (1_000.0 * (2.0 * std::f64::consts::PI).sqrt()).ln() - 1e-6;
        assert!((ln_upper_tail(1_000.0) - far).abs() < 1e-9);
    }
}
