//! Against scipy, the step rules as they are written, and error rates by simulation.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::*;
use crate::golden::{cases, check_close};

#[derive(Debug, Deserialize)]
struct Case {
    p_values: Vec<f64>,
    benjamini_hochberg: Vec<f64>,
    holm: Vec<f64>,
}

#[test]
fn agrees_with_scipy() {
    for case in cases::<Case>("multiple") {
        let q_values = benjamini_hochberg_adjusted(&case.p_values).unwrap();
        let adjusted = holm_adjusted(&case.p_values).unwrap();
        assert_eq!((q_values.len(), adjusted.len()), (case.p_values.len(), case.p_values.len()));
        for i in 0..case.p_values.len() {
            check_close(q_values[i], case.benjamini_hochberg[i], 1e-14, &case);
            check_close(adjusted[i], case.holm[i], 1e-14, &case);
        }
    }
}

/// Benjamini and Hochberg's rule: the largest k with `p_(k) <= k rate / m`.
fn step_up(p_values: &[f64], rate: f64) -> Vec<bool> {
    let mut sorted = p_values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let m = sorted.len() as f64;
    let last = (1..=sorted.len()).rev().find(|&k| sorted[k - 1] <= k as f64 * rate / m);
    p_values.iter().map(|&p| last.is_some_and(|k| p <= sorted[k - 1])).collect()
}

/// Holm's rule: reject from the smallest on until one exceeds `significance / (m - k + 1)`.
fn step_down(p_values: &[f64], significance: f64) -> Vec<bool> {
    let mut sorted = p_values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let m = sorted.len();
    let rejected = (0..m).take_while(|&k| sorted[k] <= significance / (m - k) as f64).count();
    p_values.iter().map(|&p| rejected > 0 && p <= sorted[rejected - 1]).collect()
}

/// Squares of 1024ths; the rates keep clear of their multiples, so that rounding decides nothing.
fn p_values() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((0u32..=1024).prop_map(|p| (f64::from(p) / 1024.0).powi(2)), 1..30)
}

proptest! {
    #[test]
    fn follows_the_step_rules(p_values in p_values(), rate in (1u32..640).prop_map(|r| (f64::from(r) + 0.37) / 650.0)) {
        prop_assert_eq!(benjamini_hochberg(&p_values, rate).unwrap(), step_up(&p_values, rate));
        prop_assert_eq!(holm(&p_values, rate).unwrap(), step_down(&p_values, rate));
    }

    #[test]
    fn order_does_not_matter(p_values in p_values(), by in 0usize..30) {
        let mut turned = p_values.clone();
        let by = by % p_values.len();
        turned.rotate_left(by);
        for adjust in [benjamini_hochberg_adjusted, holm_adjusted] {
            let mut adjusted = adjust(&p_values).unwrap();
            adjusted.rotate_left(by);
            prop_assert_eq!(adjusted, adjust(&turned).unwrap());
        }
    }

    #[test]
    fn holm_rejects_no_more_and_adjusting_never_lowers(p_values in p_values()) {
        let (q, h) = (benjamini_hochberg_adjusted(&p_values).unwrap(), holm_adjusted(&p_values).unwrap());
        for i in 0..p_values.len() {
            prop_assert!(p_values[i] <= q[i] && q[i] <= h[i] * (1.0 + 1e-15) && h[i] <= 1.0);
        }
    }
}

/// 4000 experiments of 20 hypotheses, 10 of them true.
///
/// The rate is exactly .1 x 10 / 20 = .05 for independent p-values, its mean over experiments has a standard error below
/// .002; Holm errs in at most 5 %. Beyond 5 standard errors has chance below 1e-6.
#[test]
fn error_rates_hold() {
    let mut rng = ChaCha8Rng::seed_from_u64(1995);
    let (mut false_share, mut any_false) = (0.0, 0.0);
    for _ in 0..4000 {
        let p_values: Vec<f64> =
            (0..20).map(|i| rng.random::<f64>().powi(if i < 10 { 1 } else { 8 })).collect();
        let rejected = benjamini_hochberg(&p_values, 0.1).unwrap();
        let count = |rejected: &[bool]| rejected.iter().filter(|&&r| r).count() as f64;
        false_share += count(&rejected[..10]) / count(&rejected).max(1.0);
        any_false += count(&holm(&p_values, 0.05).unwrap()[..10]).min(1.0);
    }
    let (rate, any) = (false_share / 4000.0, any_false / 4000.0);
    assert!((rate - 0.05).abs() < 0.01, "{rate}");
    assert!(any < 0.05 + 5.0 * (0.05f64 * 0.95 / 4000.0).sqrt() && any > 0.005, "{any}");
}

#[test]
fn bad_input() {
    assert_eq!(holm(&[], 0.05), Err(StatsError::EmptyColumn { name: "p-values" }));
    for value in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let error = benjamini_hochberg(&[0.5, value], 0.1).unwrap_err();
        assert_eq!(error.to_string(), format!("p-value 1 is {value}, expected a number between 0 and 1"));
        assert!(benjamini_hochberg(&[0.5], value).is_err() && holm(&[0.5], value).is_err());
    }
}
