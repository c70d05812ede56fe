//! Coverage of the printed interval, and its ends.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::golden::{cases, check_close};

#[derive(Debug, Deserialize)]
struct Case {
    held_in: Vec<f64>,
    held_out: Vec<f64>,
    significance: f64,
    newcombe: [f64; 2],
    printed: [f64; 2],
}

#[test]
fn agrees_with_the_formulas() {
    for case in cases::<Case>("aurocs") {
        let roc = Roc::new(&case.held_in, &case.held_out).unwrap();
        for (found, [lower, upper]) in [
            (roc.newcombe_interval(case.significance).unwrap(), case.newcombe),
            (roc.auroc_interval(case.significance).unwrap(), case.printed),
        ] {
            check_close(found.lower, lower, 1e-10, &case);
            check_close(found.upper, upper, 1e-10, &case);
        }
    }
}

#[test]
fn is_approximate_outside_what_was_checked() {
    let roc = |n: usize, held_in: f64| {
        let held_out: Vec<f64> = (0..n).map(|i| i as f64).collect();
        Roc::new(&vec![held_in; n], &held_out).unwrap()
    };
    assert!(roc(19, 9.0).is_interval_approximate() && !roc(20, 9.5).is_interval_approximate());
    assert!(!roc(100, 89.5).is_interval_approximate() && roc(100, 90.5).is_interval_approximate());
    assert!(!roc(100, 9.5).is_interval_approximate() && roc(100, 8.5).is_interval_approximate());
}

#[test]
fn never_of_zero_width() {
    for (n, m) in [(1, 1), (1, 30), (2, 2), (20, 20), (200, 20), (10_000, 10_000)] {
        for held_in in [-1.0, 0.0, 1.0] {
            let roc = Roc::new(&vec![held_in; n], &vec![0.0; m]).unwrap();
            for significance in [1e-9, 0.05, 0.99] {
                let interval = roc.auroc_interval(significance).unwrap();
                assert!(interval.lower < interval.upper && interval.contains(roc.auroc()), "{interval:?}");
                assert!(interval.lower >= 0.0 && interval.upper <= 1.0, "{interval:?}");
            }
        }
    }
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-9i8..9).prop_map(f64::from), 1..30)
}

proptest! {
    #[test]
    fn contains_the_auroc_nests_and_mirrors(a in values(), b in values()) {
        let (roc, mirrored) = (Roc::new(&a, &b).unwrap(), Roc::new(&b, &a).unwrap());
        let mut inner = roc.auroc_interval(0.5).unwrap();
        prop_assert!(inner.contains(roc.auroc()));
        for significance in [0.2, 0.05, 0.001, 1e-6] {
            let outer = roc.auroc_interval(significance).unwrap();
            prop_assert!(outer.lower <= inner.lower + 1e-12 && inner.upper <= outer.upper + 1e-12);
            prop_assert!(outer.lower >= 0.0 && outer.upper <= 1.0 && outer.lower < outer.upper);
            let turned = mirrored.auroc_interval(significance).unwrap();
            prop_assert!((outer.lower + turned.upper - 1.0).abs() < 1e-9);
            prop_assert!((outer.upper + turned.lower - 1.0).abs() < 1e-9);
            inner = outer;
        }
    }
}

#[test]
fn bad_input() {
    let roc = Roc::new(&[1.0, 2.0], &[0.0, 1.5]).unwrap();
    for significance in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
        assert!(matches!(roc.auroc_interval(significance), Err(StatsError::SignificanceOutOfRange { .. })));
        assert!(roc.newcombe_interval(significance).is_err());
    }
}
