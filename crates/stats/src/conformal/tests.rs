//! Against the count that defines them, and under exchangeability.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn values() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-6i8..6).prop_map(|v| f64::from(v) / 2.0), 1..25)
}

proptest! {
    #[test]
    fn agrees_with_the_count(values in values(), calibration in values()) {
        let p_values = conformal_p_values(&values, &calibration).unwrap();
        for (value, p_value) in values.iter().zip(p_values) {
            let as_high = calibration.iter().filter(|c| *c >= value).count();
            prop_assert_eq!(p_value, (1 + as_high) as f64 / (1 + calibration.len()) as f64);
        }
    }

    #[test]
    fn monotone_maps_and_orders_do_not_matter(values in values(), calibration in values()) {
        let map = |x: &[f64]| x.iter().rev().map(|v| v.exp() - 2.0).collect::<Vec<_>>();
        let mut mapped = conformal_p_values(&map(&values), &map(&calibration)).unwrap();
        mapped.reverse();
        prop_assert_eq!(mapped, conformal_p_values(&values, &calibration).unwrap());
    }
}

/// Zeros of both signs are equal, whichever is sorted first.
#[test]
fn zeros_tie() {
    assert_eq!(conformal_p_values(&[0.0, -0.0], &[0.0, -0.0, -1.0]), Ok(vec![0.75, 0.75]));
}

/// 20 000 independent calibration sets: `P[p <= s] <= s` at every `s`, with ties and without.
///
/// Beyond 5 standard errors has chance below 3e-7 at each of 36.
#[test]
fn super_uniform_under_the_null() {
    let mut rng = ChaCha8Rng::seed_from_u64(2005);
    for levels in [4.0, 1e9] {
        let mut at_most = [0u32; 19];
        for _ in 0..20_000 {
            let mut draw = || (rng.random::<f64>() * levels).floor();
            let (value, calibration): (f64, Vec<f64>) = (draw(), (0..19).map(|_| draw()).collect());
            let p_value = conformal_p_values(&[value], &calibration).unwrap()[0];
            for (i, count) in at_most.iter_mut().enumerate() {
                *count += u32::from(p_value <= (i + 1) as f64 / 20.0);
            }
        }
        for (i, count) in at_most.into_iter().enumerate() {
            let (s, share) = ((i + 1) as f64 / 20.0, f64::from(count) / 20_000.0);
            let error = 5.0 * (s * (1.0 - s) / 20_000.0f64).sqrt();
            assert!(share <= s + error, "{share} at {s}");
            assert!(levels < 10.0 || share >= s - error, "{share} at {s}"); // exactly uniform without ties
        }
    }
}

#[test]
fn bad_input() {
    let error = conformal_p_values(&[], &[1.0]).unwrap_err();
    assert_eq!(error.to_string(), "column `values` is empty");
    let error = conformal_p_values(&[1.0], &[1.0, f64::NAN]).unwrap_err();
    assert_eq!(error.to_string(), "row 1 of `calibration` is NaN, expected a finite number");
}
