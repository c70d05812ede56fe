//! Error rates and sample sizes by simulation, and bad input.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};

use super::*;

/// Normals of variance 1 and mean 0 against `shift`: the log-likelihood ratio of `x` is `shift (x - shift / 2)`.
fn run(test: Sprt, mean: f64, shift: f64, rng: &mut ChaCha8Rng) -> (Decision, u32) {
    let mut test = test;
    for observed in 1.. {
        let x = mean + Normal::standard().inverse_cdf(rng.random_range(1e-12..1.0));
        match test.observe(shift * (x - shift / 2.0)).unwrap() {
            Decision::Open => {}
            decision => return (decision, observed),
        }
    }
    unreachable!()
}

/// 4000 users a side: rates above Wald's bounds by 5 standard errors have chance below 3e-7 each.
///
/// The mean number of observations exceeds the approximation, which leaves out overshoot, and by less than a half here.
#[test]
fn error_rates_and_sample_sizes_are_as_promised() {
    let mut rng = ChaCha8Rng::seed_from_u64(1945);
    for (a, b, shift) in [(0.05, 0.05, 0.5), (0.01, 0.2, 0.8), (0.1, 0.02, 0.3)] {
        let test = Sprt::new(a, b).unwrap();
        let mut simulate = |mean: f64, wrong: Decision| {
            let runs: Vec<_> = (0..4000).map(|_| run(test, mean, shift, &mut rng)).collect();
            let errors = runs.iter().filter(|run| run.0 == wrong).count() as f64 / 4000.0;
            (errors, runs.iter().map(|run| f64::from(run.1)).sum::<f64>() / 4000.0)
        };
        let (false_positives, n_held_out) = simulate(0.0, Decision::HeldIn);
        let (false_negatives, n_held_in) = simulate(shift, Decision::HeldOut);
        let most = |rate: f64| rate + 5.0 * (rate / 4000.0).sqrt();
        assert!(
            false_positives <= most(a / (1.0 - b)) && false_positives > a / 3.0,
            "{false_positives} of {a}"
        );
        assert!(
            false_negatives <= most(b / (1.0 - a)) && false_negatives > b / 3.0,
            "{false_negatives} of {b}"
        );
        assert!(false_positives + false_negatives <= most(a + b));
        let drift = shift * shift / 2.0;
        for (found, expected) in [
            (n_held_in, test.expected_observations(Side::HeldIn, drift).unwrap()),
            (n_held_out, test.expected_observations(Side::HeldOut, -drift).unwrap()),
        ] {
            assert!(found > expected * 0.95 && found < expected * 1.5 + 1.0, "{found}, expected {expected}");
        }
    }
}

proptest! {
    #[test]
    fn a_decision_is_for_good(increments in prop::collection::vec(-3.0f64..3.0, 0..30)) {
        let mut test = Sprt::new(0.05, 0.1).unwrap();
        let mut decided = Decision::Open;
        let mut sum = 0.0;
        for increment in increments {
            sum += increment;
            let decision = test.observe(increment).unwrap();
            if decided == Decision::Open {
                prop_assert_eq!(decision == Decision::HeldIn, sum >= 18f64.ln());
                prop_assert_eq!(decision == Decision::HeldOut, sum <= (0.1f64 / 0.95).ln());
                decided = decision;
            }
            prop_assert_eq!((decision, test.decision()), (decided, decided));
        }
    }
}

#[test]
fn bad_input() {
    for rate in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(Sprt::new(rate, 0.05).is_err() && Sprt::new(0.05, rate).is_err());
    }
    let error = Sprt::new(0.6, 0.5).unwrap_err();
    let expected = "a false positive rate of 0.6 and a false negative rate of 0.5 do not sum to less than 1";
    assert_eq!(error.to_string(), expected);
    let mut test = Sprt::new(0.05, 0.05).unwrap();
    assert_eq!(test.observe(f64::NAN), Err(StatsError::IncrementIsNan));
    assert_eq!(test.observe(f64::NEG_INFINITY), Ok(Decision::HeldOut));
    assert_eq!(test.observe(f64::INFINITY), Ok(Decision::HeldOut));
    assert!(test.expected_observations(Side::HeldIn, -1.0).is_err());
    assert!(test.expected_observations(Side::HeldOut, f64::NEG_INFINITY).is_err());
}
