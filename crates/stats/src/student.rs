//! Student's t: tails and quantiles, at any degrees of freedom.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::interval::last_inside;
use crate::normal;

/// From here up quantiles come from the normal ones by an expansion, whose relative error is below 1e-11 for
/// probabilities from 1e-6 up and below 1e-8 from 1e-30 up.
const NEARLY_NORMAL: f64 = 3_000.0;

/// `P[T >= t]`; none unless the degrees of freedom are finite and above 0.
pub(crate) fn upper_tail(t: f64, freedom: f64) -> Option<f64> {
    StudentsT::new(0.0, 1.0, freedom).ok().map(|distribution| distribution.sf(t))
}

/// The `t` with `P[T >= t] = probability`, for a probability below one half.
pub(crate) fn upper_quantile(probability: f64, freedom: f64) -> Option<f64> {
    if freedom < NEARLY_NORMAL || freedom.is_nan() {
        let distribution = StudentsT::new(0.0, 1.0, freedom).ok()?;
        let quantile = -distribution.inverse_cdf(probability);
        // statrs gives up early far out in the tail of few degrees of freedom.
        let is_right = (distribution.sf(quantile) / probability - 1.0).abs() < 1e-6;
        let is_beyond = |t: f64| distribution.sf(t) < probability;
        return Some(if is_right { quantile } else { last_inside(0.0, f64::MAX, is_beyond) });
    }
    // Cornish and Fisher's expansion: Abramowitz & Stegun, 1964, equation 26.7.5.
    let z = -normal::quantile(probability);
    let square = z * z;
    let first = (square + 1.0) / 4.0;
    let second = ((5.0 * square + 16.0) * square + 3.0) / 96.0;
    let third = (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / 384.0;
    Some(z * (1.0 + (first + (second + third / freedom) / freedom) / freedom))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::golden::{cases, check_close};

    #[derive(Debug, Deserialize)]
    struct Case {
        freedom: f64,
        t: f64,
        upper_tail: f64,
        quantile_of: f64,
        quantile: f64,
    }

    #[test]
    fn no_tail_without_freedom() {
        for freedom in [0.0, -1.0, f64::NAN] {
            assert_eq!((upper_tail(1.0, freedom), upper_quantile(0.1, freedom)), (None, None));
        }
    }

    #[test]
    fn agrees_with_scipy() {
        for case in cases::<Case>("t_tails") {
            let tail = upper_tail(case.t, case.freedom).unwrap();
            let quantile = upper_quantile(case.quantile_of, case.freedom).unwrap();
            // The tail loses digits in the difference of two log-gammas as large as the degrees of freedom.
            check_close(tail, case.upper_tail, 1e-12 + 4e-15 * case.freedom, &case);
            check_close(quantile, case.quantile, 1e-10, &case);
        }
    }
}
