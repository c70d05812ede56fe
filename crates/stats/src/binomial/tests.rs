//! Against scipy and mpmath, by coverage, and bad input.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::*;
use crate::golden::{cases, check_close};

#[derive(Debug, Deserialize)]
struct Case {
    successes: u64,
    trials: u64,
    significance: f64,
    lower: f64,
    upper: f64,
}

#[test]
fn known_answers() {
    let shown = |k, n| {
        let interval = clopper_pearson(k, n, 0.05).unwrap();
        format!("{:.4} {:.4}", interval.lower, interval.upper)
    };
    assert_eq!(shown(18, 100), "0.1103 0.2695");
    assert_eq!(shown(0, 100), "0.0000 0.0362");
    assert_eq!(shown(3, 68), "0.0092 0.1236");
}

/// Up to 10^9 trials, both ends to 13 digits, and the distance from 1 too where that is the small one.
#[test]
fn agrees_with_scipy_and_mpmath() {
    for case in cases::<Case>("binomial") {
        let interval = clopper_pearson(case.successes, case.trials, case.significance).unwrap();
        check_close(interval.lower, case.lower, 1e-13, &case);
        check_close(interval.upper, case.upper, 1e-13, &case);
    }
}

/// The definition: the sum of all terms, by logarithms of factorials.
fn tail_by_terms(k: u64, n: u64, p: f64) -> f64 {
    let log_factorial = |n: u64| (2..=n).map(|i| (i as f64).ln()).sum::<f64>();
    let term = |j: u64| {
        let log_choices = log_factorial(n) - log_factorial(j) - log_factorial(n - j);
        (log_choices + j as f64 * p.ln() + (n - j) as f64 * (-p).ln_1p()).exp()
    };
    (k..=n).map(term).sum()
}

/// At every rate the exact coverage, summed over all outcomes, is at least what was asked.
#[test]
fn covers_at_every_rate() {
    for trials in [1, 2, 7, 30] {
        let intervals: Vec<Interval> =
            (0..=trials).map(|k| clopper_pearson(k, trials, 0.1).unwrap()).collect();
        for step in 1..200 {
            let rate = f64::from(step) / 200.0;
            let chance = |k: u64| {
                let above = if k == trials { 0.0 } else { tail_by_terms(k + 1, trials, rate) };
                tail_by_terms(k, trials, rate) - above
            };
            let covered: f64 =
                (0..=trials).filter(|&k| intervals[k as usize].contains(rate)).map(chance).sum();
            assert!(covered >= 0.9 - 1e-12, "{covered} at {rate} of {trials}");
        }
    }
}

/// 2000 experiments at each rate: below .95 less 4 standard errors has chance below 3e-5 a rate.
#[test]
fn covers_in_simulation() {
    let mut rng = ChaCha8Rng::seed_from_u64(1934);
    for (trials, rate) in [(20, 0.5), (20, 0.02), (68, 0.05), (200, 0.99), (1000, 0.001)] {
        let covers = |rng: &mut ChaCha8Rng| {
            let successes = (0..trials).filter(|_| rng.random::<f64>() < rate).count() as u64;
            clopper_pearson(successes, trials, 0.05).unwrap().contains(rate)
        };
        let covered = (0..2000).filter(|_| covers(&mut rng)).count();
        assert!(covered >= 1861, "{covered} of 2000 at {rate} of {trials}");
    }
}

proptest! {
    #[test]
    fn ends_solve_their_equations(trials in 1u64..60, share in 0.0f64..=1.0, significance in 1e-9f64..0.99) {
        let successes = (share * trials as f64) as u64;
        let interval = clopper_pearson(successes, trials, significance).unwrap();
        if successes > 0 {
            let tail = tail_by_terms(successes, trials, interval.lower);
            prop_assert!((tail / (significance / 2.0) - 1.0).abs() < 1e-9, "{tail}");
        }
        if successes < trials {
            let tail = 1.0 - tail_by_terms(successes + 1, trials, interval.upper);
            prop_assert!((tail - significance / 2.0).abs() < 1e-11, "{tail}");
        }
    }

    #[test]
    fn nests_mirrors_and_contains_the_share(trials in 1u64..1_000_000, share in 0.0f64..=1.0) {
        let successes = (share * trials as f64) as u64;
        let [narrow, wide] = [0.2, 0.01].map(|s| clopper_pearson(successes, trials, s).unwrap());
        prop_assert!(wide.lower <= narrow.lower && narrow.upper <= wide.upper);
        prop_assert!(narrow.contains(successes as f64 / trials as f64) && narrow.lower < narrow.upper);
        let mirrored = clopper_pearson(trials - successes, trials, 0.2).unwrap();
        prop_assert!((mirrored.lower - (1.0 - narrow.upper)).abs() < 1e-15);
        prop_assert!((mirrored.upper - (1.0 - narrow.lower)).abs() < 1e-15);
    }
}

#[test]
fn bad_input() {
    assert_eq!(clopper_pearson(0, 0, 0.05), Err(StatsError::NoTrials));
    let error = clopper_pearson(3, 2, 0.05).unwrap_err();
    assert_eq!(error.to_string(), "3 successes in 2 trials");
    let error = clopper_pearson(3, u64::MAX, 0.05).unwrap_err();
    assert_eq!(error, StatsError::TooManyTrials { trials: u64::MAX, most: 1_000_000_000_000 });
    for significance in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(clopper_pearson(1, 2, significance).is_err());
        assert!(binomial_lower_bound(0, 2, significance).is_err());
        assert!(binomial_upper_bound(2, 2, significance).is_err());
    }
}

#[test]
fn the_largest_input_is_answered() {
    let interval = clopper_pearson(500_000_000_000, 1_000_000_000_000, 0.05).unwrap();
    // Normal to all digits that matter: z / (2 sqrt(n)), z = 1.959963985.
    assert!((interval.upper - 0.5 - 0.979_981_992_27e-6).abs() < 2e-12, "{interval:?}");
}
