//! Against scipy and all pairs, and bad input.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::Side;
use crate::golden::{cases, check_close};

#[derive(Debug, Deserialize)]
struct Single {
    held_in: Vec<f64>,
    held_out: Vec<f64>,
    significance: f64,
    delong_variance: f64,
    logit_delong: Option<[f64; 2]>,
}

#[test]
fn agrees_with_all_pairs() {
    for case in cases::<Single>("aurocs") {
        let roc = Roc::new(&case.held_in, &case.held_out).unwrap();
        assert!((roc.delong_variance().unwrap() - case.delong_variance).abs() < 1e-15, "{case:?}");
        match (roc.logit_delong_interval(case.significance), case.logit_delong) {
            (Ok(found), Some([lower, upper])) => {
                check_close(found.lower, lower, 1e-12, &case);
                check_close(found.upper, upper, 1e-12, &case);
            }
            (found, None) => assert_eq!(found, Err(StatsError::NoVariance)),
            (Err(error), Some(_)) => panic!("{error}: {case:?}"),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Pair {
    held_in: Vec<bool>,
    first: Vec<f64>,
    second: Vec<f64>,
    difference: f64,
    interval: [f64; 2],
    p_value: f64,
}

#[test]
fn pairs_agree_with_the_covariance_matrix() {
    for case in cases::<Pair>("paired") {
        let found = paired_delong(&case.first, &case.second, &case.held_in, 0.05).unwrap();
        assert!((found.difference - case.difference).abs() < 1e-14, "{case:?}");
        assert!((found.first - found.second - found.difference).abs() < 1e-14);
        assert!((found.interval.lower - case.interval[0]).abs() < 1e-12, "{case:?}");
        assert!((found.interval.upper - case.interval[1]).abs() < 1e-12, "{case:?}");
        check_close(found.p_value, case.p_value, 1e-11, &case);
    }
}

/// A paper's example would need its data; this one is by hand, from placements of fourths.
#[test]
fn known_answer() {
    let roc = Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0]).unwrap();
    assert!((roc.delong_variance().unwrap() - 23.0 / 384.0).abs() < 1e-16);
}

fn rows() -> impl Strategy<Value = Vec<(bool, f64, f64)>> {
    let value = || (-4i8..4).prop_map(f64::from);
    prop::collection::vec((any::<bool>(), value(), value()), 8..30).prop_filter("two a side", |rows| {
        let n_held_in = rows.iter().filter(|row| row.0).count();
        n_held_in >= 2 && rows.len() - n_held_in >= 2
    })
}

proptest! {
    #[test]
    fn swapping_statistics_or_sides_mirrors(rows in rows()) {
        let column = |of: fn(&(bool, f64, f64)) -> f64| rows.iter().map(of).collect::<Vec<f64>>();
        let (first, second) = (column(|row| row.1), column(|row| row.2));
        let held_in: Vec<bool> = rows.iter().map(|row| row.0).collect();
        let held_out: Vec<bool> = rows.iter().map(|row| !row.0).collect();
        let Ok(found) = paired_delong(&first, &second, &held_in, 0.05) else { return Ok(()) };
        for other in [
            paired_delong(&second, &first, &held_in, 0.05).unwrap(),
            paired_delong(&first, &second, &held_out, 0.05).unwrap(),
        ] {
            prop_assert!((found.difference + other.difference).abs() < 1e-12);
            prop_assert!((found.interval.lower + other.interval.upper).abs() < 1e-12);
            prop_assert!((found.p_value - other.p_value).abs() < 1e-9);
        }
        prop_assert!(found.interval.contains(found.difference) && found.p_value <= 1.0);
    }

    #[test]
    fn order_and_monotone_maps_change_nothing(
        a in prop::collection::vec((-9i8..9).prop_map(f64::from), 2..20),
        b in prop::collection::vec((-9i8..9).prop_map(f64::from), 2..20),
    ) {
        let map = |x: &[f64]| x.iter().rev().map(|v| v.exp() - 1.0).collect::<Vec<_>>();
        let (plain, mapped) = (Roc::new(&a, &b).unwrap(), Roc::new(&map(&a), &map(&b)).unwrap());
        prop_assert_eq!(plain.delong_variance(), mapped.delong_variance());
    }
}

#[test]
fn bad_input() {
    let roc = |n: usize| Roc::new(&vec![1.0; n], &[0.0, 0.5]).unwrap();
    let error = roc(1).delong_variance().unwrap_err();
    assert_eq!(error, StatsError::TooFewValues { side: Side::HeldIn, found: 1, needed: 2 });
    assert_eq!(roc(3).logit_delong_interval(0.05), Err(StatsError::NoVariance));
    assert!(roc(3).logit_delong_interval(f64::NAN).is_err());
    let text = |second: &[f64], held_in: &[bool]| {
        paired_delong(&[1.0, 2.0, 3.0, 4.0], second, held_in, 0.05).unwrap_err().to_string()
    };
    let halves = [true, true, false, false];
    assert_eq!(text(&[1.0; 3], &halves), "column `second` has 3 rows, expected 4");
    assert_eq!(text(&[1.0; 4], &halves[1..]), "column `held_in` has 3 rows, expected 4");
    assert_eq!(
        text(&[1.0, f64::NAN, 1.0, 1.0], &halves),
        "row 1 of `second` is NaN, expected a finite number"
    );
    assert_eq!(text(&[1.0; 4], &[true; 4]), "there are no held-out values");
    // Every placement differs by a third, which is no sum of powers of two.
    let thirds = [[1.5, 2.5, 3.5, 1.0, 2.0, 3.0], [0.5, 1.5, 2.5, 1.0, 2.0, 3.0]];
    let of_three = [true, true, true, false, false, false];
    let found = paired_delong(&thirds[0], &thirds[1], &of_three, 0.05);
    assert_eq!(found, Err(StatsError::NoVariance));
    assert_eq!(text(&[2.0, 3.0, 4.0, 5.0], &halves), StatsError::NoVariance.to_string());
}
