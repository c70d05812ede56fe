//! Against scipy, under the null, and bad input.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use statrs::distribution::{ContinuousCDF, Normal};

use super::*;
use crate::golden::{alternative, cases, check_close};

#[derive(Debug, Deserialize)]
struct Case {
    held_in: Vec<f64>,
    held_out: Vec<f64>,
    #[serde(deserialize_with = "alternative")]
    alternative: Alternative,
    t: f64,
    degrees_of_freedom: f64,
    p_value: f64,
}

#[test]
fn agrees_with_scipy() {
    for case in cases::<Case>("t_tests") {
        let found = welch(&case.held_in, &case.held_out, case.alternative).unwrap();
        assert!((found.t - case.t).abs() < 1e-12 * (1.0 + case.t.abs()), "{found:?} {case:?}");
        check_close(found.degrees_of_freedom, case.degrees_of_freedom, 1e-12, &case);
        check_close(found.p_value, case.p_value, 1e-10, &case);
    }
}

proptest! {
    #[test]
    fn shifts_and_scales_change_nothing(
        a in prop::collection::vec(-9.0f64..9.0, 2..12),
        b in prop::collection::vec(-9.0f64..9.0, 2..12),
        scale in 0.01f64..100.0,
    ) {
        let found = welch(&a, &b, Alternative::Greater).unwrap();
        let map = |x: &[f64]| x.iter().map(|v| v * scale + 3.0).collect::<Vec<_>>();
        let mapped = welch(&map(&a), &map(&b), Alternative::Greater).unwrap();
        prop_assert!((found.p_value - mapped.p_value).abs() < 1e-6);
        let swapped = welch(&b, &a, Alternative::Less).unwrap();
        prop_assert!((found.p_value - swapped.p_value).abs() < 1e-9);
        prop_assert!((found.t + swapped.t).abs() < 1e-9 * (1.0 + found.t.abs()));
    }
}

/// 4000 experiments of normals of unequal variance: beyond 5 standard errors of .05 has chance below 1e-6 a case.
#[test]
fn keeps_its_significance() {
    let mut rng = ChaCha8Rng::seed_from_u64(1947);
    for (n, m, scale) in [(10, 10, 1.0), (10, 40, 3.0), (40, 10, 3.0)] {
        let rejects = |rng: &mut ChaCha8Rng| {
            let mut draw = || Normal::standard().inverse_cdf(rng.random_range(1e-12..1.0));
            let held_in: Vec<f64> = (0..n).map(|_| scale * draw()).collect();
            let held_out: Vec<f64> = (0..m).map(|_| draw()).collect();
            welch(&held_in, &held_out, Alternative::TwoSided).unwrap().p_value <= 0.05
        };
        let rejected = (0..4000).filter(|_| rejects(&mut rng)).count();
        assert!((131..=269).contains(&rejected), "{rejected} of 4000, {n} and {m} at {scale}");
    }
}

#[test]
fn bad_input() {
    let text = |a: &[f64], b: &[f64]| welch(a, b, Alternative::TwoSided).unwrap_err().to_string();
    assert_eq!(text(&[1.0], &[1.0, 2.0]), "expected at least 2 held-in values, found 1");
    // .1 and -2.3 are no sums of powers of two, so that their mean is another number.
    for (held_in, held_out) in [(1.0, 2.0), (0.1, 0.1), (0.1, 0.2), (-2.3, -2.3)] {
        for (n, m) in [(2, 2), (3, 7), (3, 10), (49, 10)] {
            let found = welch(&vec![held_in; n], &vec![held_out; m], Alternative::Greater);
            assert_eq!(found, Err(StatsError::NoVariance), "{n} of {held_in}, {m} of {held_out}");
        }
    }
    assert_eq!(text(&[1.0, 2.0], &[2.0, f64::INFINITY]), "held-out value 1 is inf, expected a finite number");
    assert_eq!(
        text(&[1e300, -1e300], &[2.0, 1.0]),
        "values are too large for their squares to be represented"
    );
    assert!(welch(&[1e-200, 2e-200], &[0.0, 0.0], Alternative::Less).is_err());
}
