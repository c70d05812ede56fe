//! Against scipy, all orders, by coverage, and bad input.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::*;
use crate::golden::{cases, check_close};
use crate::normal::quantile;

#[derive(Debug, Deserialize)]
struct Case {
    x: Vec<f64>,
    y: Vec<f64>,
    coefficient: f64,
    p_value: f64,
    interval: Option<[f64; 2]>,
}

#[test]
fn agrees_with_scipy() {
    for case in cases::<Case>("spearman") {
        let found = spearman(&case.x, &case.y, 0.05).unwrap();
        assert!((found.coefficient - case.coefficient).abs() < 1e-14, "{case:?}");
        check_close(found.p_value, case.p_value, 1e-11, &case);
        let n = case.x.len() as f64;
        if let Some([lower, upper]) = case.interval
            && found.coefficient.abs() <= 1.0 - 6.0 / (n * (n * n - 1.0))
        {
            assert!((found.interval.lower - lower).abs() < 1e-12, "{case:?}");
            assert!((found.interval.upper - upper).abs() < 1e-12, "{case:?}");
        }
    }
}

#[test]
fn perfect_order_has_a_width_and_a_chance() {
    for n in [4, 8, 9, 20, 300] {
        let x: Vec<f64> = (0..n).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| -x * x).collect();
        let found = spearman(&x, &y, 0.05).unwrap();
        assert_eq!((found.coefficient, found.interval.lower), (-1.0, -1.0));
        assert!(found.interval.upper > -1.0 && found.p_value > 0.0, "{found:?}");
        let orders: f64 = (1..=n).map(f64::from).product();
        assert!(n > 20 || (found.p_value * orders / 2.0 - 1.0).abs() < 1e-12, "{found:?}");
    }
}

#[test]
fn a_million_rows() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let x: Vec<f64> = (0..1_000_000).map(|_| rng.random()).collect();
    let y: Vec<f64> = x.iter().map(|x| x + rng.random::<f64>()).collect();
    // Uniform and sum of two uniforms: between .68 and .71; the standard error is below .001.
    let found = spearman(&x, &y, 0.05).unwrap();
    assert!((0.68..0.71).contains(&found.coefficient), "{found:?}");
    assert!(found.interval.upper - found.interval.lower < 0.005 && found.p_value > 0.0);
}

/// Pearson's coefficient of mid-ranks, each rank counted by all pairs.
fn by_definition(x: &[f64], y: &[f64]) -> f64 {
    let rank = |values: &[f64]| -> Vec<f64> {
        let below = |v: f64| values.iter().map(|&w| f64::from(w < v) + f64::from(w == v) / 2.0).sum::<f64>();
        values.iter().map(|&v| below(v) - values.len() as f64 / 2.0).collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (x, y) = (rank(x), rank(y));
    dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt()
}

fn columns() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let value = || (-5i8..5).prop_map(f64::from);
    prop::collection::vec((value(), value()), 4..20).prop_filter("varies", |rows| {
        rows.iter().any(|r| r.0 != rows[0].0) && rows.iter().any(|r| r.1 != rows[0].1)
    })
}

proptest! {
    #[test]
    fn agrees_with_the_definition(rows in columns()) {
        let (x, y): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
        let found = spearman(&x, &y, 0.1).unwrap();
        prop_assert!((found.coefficient - by_definition(&x, &y)).abs() < 1e-12);
        prop_assert!(found.interval.contains(found.coefficient) && found.interval.lower < found.interval.upper);
        prop_assert!(0.0 < found.p_value && found.p_value <= 1.0);
        let wide = spearman(&x, &y, 0.01).unwrap().interval;
        prop_assert!(wide.lower <= found.interval.lower && found.interval.upper <= wide.upper);
    }

    #[test]
    fn symmetric_monotone_and_odd(rows in columns()) {
        let (x, y): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
        let found = spearman(&x, &y, 0.1).unwrap();
        let cubes: Vec<f64> = y.iter().map(|y| y.powi(3) + 1.0).collect();
        let turned: Vec<f64> = y.iter().map(|y| -y).collect();
        prop_assert_eq!(spearman(&x, &cubes, 0.1).unwrap(), found);
        prop_assert_eq!(spearman(&y, &x, 0.1).unwrap().coefficient, found.coefficient);
        prop_assert_eq!(spearman(&x, &turned, 0.1).unwrap().coefficient, -found.coefficient);
    }
}

/// A coefficient of two normals whose plain correlation is `r` is `6 / pi asin(r / 2)`, Pearson 1907.
///
/// 2000 experiments a case: below .95 less 4 standard errors has chance below 3e-5 a case.
#[test]
fn interval_covers() {
    let mut rng = ChaCha8Rng::seed_from_u64(2000);
    for n in [10, 20, 100] {
        for r in [0.0, 0.3, 0.6, 0.85f64] {
            let truth = 6.0 / std::f64::consts::PI * (r / 2.0).asin();
            let covers = |rng: &mut ChaCha8Rng| {
                let mut draw = || quantile(rng.random_range(1e-12..1.0));
                let x: Vec<f64> = (0..n).map(|_| draw()).collect();
                let y: Vec<f64> = x.iter().map(|x| r * x + (1.0 - r * r).sqrt() * draw()).collect();
                spearman(&x, &y, 0.05).unwrap().interval.contains(truth)
            };
            let covered = (0..2000).filter(|_| covers(&mut rng)).count();
            assert!(covered >= 1861, "{covered} of 2000 at {r} of {n}");
        }
    }
}

/// 4000 independent columns a size: beyond 5 standard errors has chance below 3e-7 at each of 15.
#[test]
fn p_values_are_super_uniform_under_the_null() {
    let mut rng = ChaCha8Rng::seed_from_u64(1904);
    for (n, levels) in [(5, 1e9), (7, 3.0), (9, 1e9), (12, 4.0), (40, 1e9)] {
        let mut at_most = [0u32; 3];
        for _ in 0..4000 {
            let mut draw = |levels: f64| -> Vec<f64> {
                (0..n).map(|_| (rng.random::<f64>() * levels).floor()).collect()
            };
            let Ok(found) = spearman(&draw(levels), &draw(levels), 0.05) else { continue };
            for (s, count) in [0.01, 0.05, 0.2].into_iter().zip(&mut at_most) {
                *count += u32::from(found.p_value <= s);
            }
        }
        for (s, count) in [0.01, 0.05, 0.2f64].into_iter().zip(at_most) {
            let most = s + 5.0 * (s * (1.0 - s) / 4000.0).sqrt();
            assert!(f64::from(count) / 4000.0 <= most, "{count} of 4000 at {s}, {n} rows");
        }
    }
}

#[test]
fn bad_input() {
    let text = |x: &[f64], y: &[f64]| spearman(x, y, 0.05).unwrap_err().to_string();
    assert_eq!(text(&[1.0; 5], &[1.0, 2.0, 3.0, 4.0, 5.0]), "column `x` is 1 in every row");
    assert_eq!(text(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), "expected at least 4 rows, found 3");
    assert_eq!(text(&[1.0, 2.0, 3.0], &[1.0, 2.0]), "column `y` has 2 rows, expected 3");
    assert_eq!(text(&[1.0], &[]), "column `y` is empty");
    assert_eq!(text(&[1.0], &[f64::NAN]), "row 0 of `y` is NaN, expected a finite number");
    assert!(spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0], 0.0).is_err());
}
