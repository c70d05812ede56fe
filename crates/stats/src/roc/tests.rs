//! The curve against its definitions, known answers and bad input.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::*;
use crate::golden::cases;

/// The definition, over all pairs.
fn auroc_by_pairs(held_in: &[f64], held_out: &[f64]) -> f64 {
    let mut won = 0.0;
    for i in held_in {
        for o in held_out {
            won += if i > o { 1.0 } else { f64::from(i == o) / 2.0 };
        }
    }
    won / (held_in.len() * held_out.len()) as f64
}

/// The definition, over all thresholds.
fn tpr_by_thresholds(held_in: &[f64], held_out: &[f64], fpr: f64) -> f64 {
    let share = |values: &[f64], threshold: f64| {
        values.iter().filter(|&&v| v >= threshold).count() as f64 / values.len() as f64
    };
    let allowed = held_in.iter().chain(held_out).filter(|&&t| share(held_out, t) <= fpr);
    allowed.map(|&t| share(held_in, t)).fold(0.0, f64::max)
}

/// The area under the highest line between any two points left and right of each FPR.
fn hull_by_pairs(points: &[RocPoint]) -> f64 {
    let height = |x: f64| {
        let mut best = 0.0f64;
        for a in points.iter().filter(|a| a.fpr <= x) {
            for b in points.iter().filter(|b| b.fpr >= x) {
                let along = if b.fpr > a.fpr { (x - a.fpr) / (b.fpr - a.fpr) } else { 1.0 };
                best = best.max(a.tpr + along * (b.tpr - a.tpr)).max(if a.fpr == x { a.tpr } else { 0.0 });
            }
        }
        best
    };
    // The hull is linear between neighbouring FPRs.
    points.windows(2).map(|w| (w[1].fpr - w[0].fpr) * (height(w[0].fpr) + height(w[1].fpr)) / 2.0).sum()
}

#[track_caller]
fn check(held_in: &[f64], held_out: &[f64], expect: Expect) {
    let roc = Roc::new(held_in, held_out).unwrap();
    let tpr = roc.tpr_at_fpr(0.5).unwrap();
    expect.assert_eq(&format!("{:.4} {:.4} {tpr:.4}", roc.auroc(), roc.hull_auroc()));
}

#[test]
fn known_answer() {
    check(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0], expect!["0.6875 0.8125 0.7500"]);
}

#[test]
fn all_tied() {
    check(&[1.0, 1.0], &[1.0, 1.0], expect!["0.5000 0.5000 0.0000"]);
}

#[test]
fn separated() {
    check(&[2.0, 3.0], &[0.0, 1.0], expect!["1.0000 1.0000 1.0000"]);
}

#[test]
fn reversed() {
    check(&[0.0, 1.0], &[2.0, 3.0], expect!["0.0000 0.5000 0.0000"]);
}

#[test]
fn bad_values_are_named() {
    let text = |held_in: &[f64], held_out: &[f64]| Roc::new(held_in, held_out).unwrap_err().to_string();
    assert_eq!(text(&[1.0], &[]), "there are no held-out values");
    assert_eq!(text(&[], &[]), "there are no held-in values");
    assert_eq!(text(&[1.0, f64::INFINITY], &[1.0]), "held-in value 1 is inf, expected a finite number");
}

#[test]
fn low_rates_are_refused() {
    let roc = Roc::new(&[1.0; 3], &[0.0; 68]).unwrap();
    let error = roc.tpr_at_fpr(0.01).unwrap_err();
    assert_eq!(error, StatsError::FprBelowResolution { fpr: 0.01, n_held_out: 68 });
    assert_eq!(roc.tpr_at_fpr(1.0 / 68.0), Ok(1.0));
    for fpr in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(roc.tpr_at_fpr(fpr), Err(StatsError::FprOutOfRange { .. })), "{fpr}");
    }
    // 1/n as written in a recipe is at the resolution, not below it.
    for n in [10, 20, 100, 200, 1000] {
        let roc = Roc::new(&[1.0], &vec![0.0; n]).unwrap();
        let literal: f64 = format!("{}", 1.0 / n as f64).parse().unwrap();
        assert_eq!(roc.tpr_at_fpr(literal), Ok(1.0));
    }
}

#[test]
fn a_million_values() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut draw = |n: usize| (0..n).map(|_| rng.random::<f64>()).collect::<Vec<_>>();
    let auroc = Roc::new(&draw(500_000), &draw(500_000)).unwrap().auroc();
    // Standard deviation .00058: beyond .0035 with chance 1e-9.
    assert!((auroc - 0.5).abs() < 0.0035, "{auroc}");
}

#[derive(Debug, Deserialize)]
struct Case {
    held_in: Vec<f64>,
    held_out: Vec<f64>,
    auroc: f64,
    tpr_at_half: f64,
}

#[test]
fn agrees_with_scikit_learn() {
    for case in cases::<Case>("aurocs") {
        let roc = Roc::new(&case.held_in, &case.held_out).unwrap();
        assert!((roc.auroc() - case.auroc).abs() < 1e-14, "{case:?}");
        let tpr = roc.tpr_at_fpr(0.5).unwrap();
        assert!((tpr - case.tpr_at_half).abs() < 1e-15, "{case:?}");
        let interval = roc.tpr_at_fpr_interval(0.5, 0.05).unwrap();
        let detected = (tpr * case.held_in.len() as f64).round() as u64;
        assert_eq!(interval, clopper_pearson(detected, case.held_in.len() as u64, 0.05).unwrap());
        assert!(interval.contains(tpr) && interval.lower < interval.upper);
    }
}

#[test]
fn labels_say_the_same_as_sides() {
    let statistic = [3.0, 1.0, -0.0, 2.0, 0.0];
    let roc = Roc::from_labels(&statistic, &[true, false, true, true, false]).unwrap();
    let sides = Roc::new(&[3.0, 0.0, 2.0], &[1.0, 0.0]).unwrap();
    assert_eq!((roc.auroc(), roc.points()), (sides.auroc(), sides.points()));
    let text =
        |statistic: &[f64], held_in: &[bool]| Roc::from_labels(statistic, held_in).unwrap_err().to_string();
    assert_eq!(text(&[], &[]), "column `statistic` is empty");
    assert_eq!(
        text(&[1.0, f64::NAN], &[true, false]),
        "row 1 of `statistic` is NaN, expected a finite number"
    );
    assert_eq!(text(&[1.0, 2.0], &[true]), "column `held_in` has 1 rows, expected 2");
    assert_eq!(text(&[1.0, 2.0], &[true, true]), "there are no held-out values");
}

/// Few distinct values, so that ties are common.
fn values() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-6i8..6).prop_map(|v| f64::from(v) / 2.0), 1..25)
}

proptest! {
    #[test]
    fn agrees_with_the_definitions(a in values(), b in values(), fpr in 0.0f64..=1.0) {
        let roc = Roc::new(&a, &b).unwrap();
        prop_assert!((roc.auroc() - auroc_by_pairs(&a, &b)).abs() < 1e-12);
        prop_assert!((roc.hull_auroc() - hull_by_pairs(&roc.points())).abs() < 1e-12);
        match roc.tpr_at_fpr(fpr) {
            Ok(tpr) => prop_assert_eq!(tpr, tpr_by_thresholds(&a, &b, fpr)),
            Err(_) => prop_assert!(fpr < 1.0 / b.len() as f64),
        }
    }

    #[test]
    fn swapping_sides_mirrors(a in values(), b in values()) {
        let auroc = |x: &[f64], y: &[f64]| Roc::new(x, y).unwrap().auroc();
        prop_assert!((auroc(&a, &b) + auroc(&b, &a) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_monotone_map_changes_nothing(a in values(), b in values()) {
        let map = |x: &[f64]| x.iter().map(|v| v.exp() + 3.0).collect::<Vec<_>>();
        let (plain, mapped) = (Roc::new(&a, &b).unwrap(), Roc::new(&map(&a), &map(&b)).unwrap());
        prop_assert_eq!(plain.auroc(), mapped.auroc());
        prop_assert_eq!(plain.hull_auroc(), mapped.hull_auroc());
    }

    #[test]
    fn the_curve_rises_and_its_area_is_the_auroc(a in values(), b in values()) {
        let roc = Roc::new(&a, &b).unwrap();
        let points = roc.points();
        prop_assert_eq!((points[0].fpr, points[0].tpr), (0.0, 0.0));
        prop_assert_eq!(points.last().map(|p| (p.fpr, p.tpr)), Some((1.0, 1.0)));
        let rises = |w: &[RocPoint]| {
            w[0].threshold > w[1].threshold && w[0].fpr <= w[1].fpr && w[0].tpr <= w[1].tpr
        };
        prop_assert!(points.windows(2).all(rises));
        let area: f64 =
            points.windows(2).map(|w| (w[1].fpr - w[0].fpr) * (w[0].tpr + w[1].tpr) / 2.0).sum();
        prop_assert!((area - roc.auroc()).abs() < 1e-12);
        prop_assert!(roc.hull_auroc() >= roc.auroc());
        prop_assert!(roc.auroc_interval(0.05).unwrap().contains(roc.auroc()));
    }
}
