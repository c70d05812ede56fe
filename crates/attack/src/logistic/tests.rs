//! Agrees with scikit-learn and with the definition of a minimum, and refuses bad input.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    c: f64,
    held_in: Vec<bool>,
    features: Vec<Vec<f64>>,
    weights: Vec<f64>,
    intercept: f64,
    lbfgs_weights: Vec<f64>,
    lbfgs_intercept: f64,
}

#[test]
fn agrees_with_scikit_learn() {
    let golden = include_str!("../../../../fixtures/learned/golden.json");
    let golden: Golden = serde_json::from_str(golden).unwrap();
    assert_eq!(golden.cases.len(), 8);
    for case in golden.cases {
        let fit = LogisticRegression::fit(&case.features, &case.held_in, 1.0 / case.c).unwrap();
        let apart = |weights: &[f64], intercept: f64| {
            let apart = fit.weights.iter().zip(weights).map(|(found, expect)| (found - expect).abs());
            apart.fold((fit.intercept - intercept).abs(), f64::max)
        };
        assert!(apart(&case.lbfgs_weights, case.lbfgs_intercept) < 1e-6, "{} {fit:?}", case.name);
        assert!(apart(&case.weights, case.intercept) < 1e-8, "{} {fit:?}", case.name);
    }
}

/// The sum that is minimised, term by term.
fn loss(features: &[Vec<f64>], held_in: &[bool], penalty: f64, weights: &[f64], intercept: f64) -> f64 {
    let mut sum = 0.0;
    for (row, &held_in) in held_in.iter().enumerate() {
        let logit: f64 =
            features.iter().zip(weights).map(|(column, weight)| column[row] * weight).sum::<f64>()
                + intercept;
        let probability = 1.0 / (1.0 + (-logit).exp());
        sum -= if held_in { probability.ln() } else { (1.0 - probability).ln() };
    }
    sum + penalty * weights.iter().map(|weight| weight * weight / 2.0).sum::<f64>()
}

proptest! {
    /// No neighbour has a lower sum, which is convex: so the minimum is found.
    #[test]
    fn finds_the_minimum(
        rows in prop::collection::vec((-3.0f64..3.0, -3.0f64..3.0), 4..30),
        penalty in 0.01f64..10.0,
        direction in (-1.0f64..1.0, -1.0f64..1.0, -1.0f64..1.0),
    ) {
        let held_in: Vec<bool> = (0..rows.len()).map(|row| row % 2 == 0).collect();
        let (a, b) = rows.into_iter().unzip();
        let features = [a, b];
        let fit = LogisticRegression::fit(&features, &held_in, penalty).unwrap();
        let least = loss(&features, &held_in, penalty, &fit.weights, fit.intercept);
        for step in [1e-3, -1e-3, 0.1, -0.1] {
            let weights = [fit.weights[0] + step * direction.0, fit.weights[1] + step * direction.1];
            let beside = loss(&features, &held_in, penalty, &weights, fit.intercept + step * direction.2);
            prop_assert!(least <= beside + 1e-12 * beside, "{least} {beside}");
        }
    }

    /// Swapping the sides turns every sign.
    #[test]
    fn antisymmetric(column in prop::collection::vec(-3.0f64..3.0, 4..30)) {
        let held_in: Vec<bool> = (0..column.len()).map(|row| row % 2 == 0).collect();
        let swapped: Vec<bool> = held_in.iter().map(|side| !side).collect();
        let [a, b] = [held_in, swapped].map(|sides| LogisticRegression::fit(std::slice::from_ref(&column), &sides, 1.0).unwrap());
        prop_assert!((a.weights[0] + b.weights[0]).abs() < 1e-8 && (a.intercept + b.intercept).abs() < 1e-8);
    }
}

/// Without a penalty the weights would have no end; with a small one they are large and finite.
#[test]
fn separated_sides_converge() {
    let fit =
        LogisticRegression::fit(&[vec![1.0, 2.0, -1.0, -2.0]], &[true, true, false, false], 1e-9).unwrap();
    assert!(fit.weights[0] > 10.0 && fit.weights[0].is_finite(), "{fit:?}");
}

#[test]
fn a_constant_feature_has_no_weight() {
    let features = [vec![7.0; 4], vec![1.0, 3.0, 2.0, 0.0]];
    let fit = LogisticRegression::fit(&features, &[true, true, false, false], 1.0).unwrap();
    assert!(fit.weights[0].abs() < 1e-9 && fit.weights[1] > 0.1, "{fit:?}");
}

#[test]
fn bad_input() {
    let sides = [true, false];
    let error = |features: &[Vec<f64>], held_in: &[bool], penalty| {
        LogisticRegression::fit(features, held_in, penalty).unwrap_err().to_string()
    };
    for penalty in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let expect = format!("expected a finite ridge penalty above 0, found {penalty}");
        assert_eq!(error(&[vec![1.0, 2.0]], &sides, penalty), expect);
    }
    assert_eq!(error(&[], &sides, 1.0), "there are no features to weigh");
    assert_eq!(error(&[vec![1.0]], &sides, 1.0), "column `features` has 1 entries, expected 2");
    let nan = error(&[vec![1.0, 2.0], vec![1.0, f64::NAN]], &sides, 1.0);
    assert_eq!(nan, "feature 1 is NaN in row 1, expected a finite number");
    for sides in [[true; 2], [false; 2]] {
        assert_eq!(
            error(&[vec![1.0, 2.0]], &sides, 1.0),
            "held-in or held-out users are missing, expected both"
        );
    }
    let huge = error(&[vec![f64::MAX, f64::MIN]], &sides, 1.0);
    assert!(huge.contains("did not converge"), "{huge}");
}
