//! Known answers, properties and bad input of the three bounds; their soundness is simulated in `tests/soundness.rs`.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::StatsError;

/// The bounds of jax-privacy, made by `fixtures/generate/audits.py`.
fn golden(kind: &str) -> Vec<Value> {
    let golden: Value =
        serde_json::from_str(include_str!("../../../../fixtures/audits/golden.json")).unwrap();
    let cases = golden[kind].as_array().unwrap().clone();
    assert!(cases.len() >= 40, "{kind}");
    cases
}

fn count(case: &Value, name: &str) -> u64 {
    case[name].as_u64().unwrap()
}

fn number(case: &Value, name: &str) -> f64 {
    case[name].as_f64().unwrap()
}

/// The oracle's roots are off by up to 1e-6, to either side.
#[track_caller]
fn check_epsilon(found: f64, case: &Value) {
    let expected = number(case, "epsilon");
    assert!((found - expected).abs() <= 2e-6, "{found} for {case}");
}

#[test]
fn one_run_agrees_with_jax_privacy() {
    for case in golden("one_run") {
        let audit =
            OneRunAudit::new(count(&case, "canaries"), count(&case, "guesses"), count(&case, "correct"))
                .unwrap();
        let bound = audit.epsilon_lower_bound(number(&case, "delta"), number(&case, "significance")).unwrap();
        check_epsilon(bound.epsilon, &case);
    }
}

#[test]
fn one_run_gaussian_agrees_with_jax_privacy() {
    for case in golden("one_run_gaussian") {
        let audit =
            OneRunAudit::new(count(&case, "canaries"), count(&case, "guesses"), count(&case, "correct"))
                .unwrap();
        let mu = audit.mu_lower_bound(number(&case, "significance")).unwrap();
        check_epsilon(mu.epsilon_lower_bound(number(&case, "delta")).unwrap().epsilon, &case);
    }
}

#[test]
fn independent_trials_agree_with_jax_privacy() {
    for case in golden("independent_trials") {
        let counts = TrialCounts::one_per_training(
            [count(&case, "true_positives"), count(&case, "trainings_in")],
            [count(&case, "false_positives"), count(&case, "trainings_out")],
        )
        .unwrap();
        let bound =
            counts.epsilon_lower_bound(number(&case, "delta"), number(&case, "significance")).unwrap();
        check_epsilon(bound.epsilon, &case);
    }
}

#[test]
fn known_answers() {
    let one_run = |counts: [u64; 3], delta| {
        let [m, r, v] = counts;
        OneRunAudit::new(m, r, v).unwrap().epsilon_lower_bound(delta, 0.05).unwrap().epsilon
    };
    for (counts, delta, expected) in [
        ([1000, 600, 600], 1e-5, 5.270399),
        ([1000, 600, 500], 1e-5, 1.425271),
        ([100, 100, 100], 0.0, 3.492965),
        ([1000, 600, 300], 1e-5, 0.0),
    ] {
        assert!((one_run(counts, delta) - expected).abs() < 1e-6, "{counts:?}");
    }
    let mu = OneRunAudit::new(1000, 100, 90).unwrap().mu_lower_bound(0.05).unwrap();
    assert!((mu.epsilon_lower_bound(1e-6).unwrap().epsilon - 2.768683).abs() < 1e-6);
    let trials = TrialCounts::one_per_training([500, 500], [0, 500]).unwrap();
    let epsilon = trials.epsilon_lower_bound(0.0, 0.01).unwrap().epsilon;
    assert!((epsilon - 4.541915810224092).abs() < 1e-12, "{epsilon}");
}

#[test]
fn a_million_canaries() {
    for (guesses, correct) in [(1_000_000, 1_000_000), (1_000_000, 510_000), (100_000, 90_000)] {
        let audit = OneRunAudit::new(1_000_000, guesses, correct).unwrap();
        let pure = audit.epsilon_lower_bound(0.0, 0.05).unwrap().epsilon;
        let approximate = audit.epsilon_lower_bound(1e-9, 0.05).unwrap().epsilon;
        assert!(0.0 < approximate && approximate < pure && pure.is_finite(), "{approximate} {pure}");
        let mu = audit.mu_lower_bound(0.05).unwrap();
        assert!(mu.mu > 0.0 && mu.epsilon_lower_bound(1e-9).unwrap().epsilon.is_finite());
    }
}

#[test]
fn at_the_bound_the_p_value_is_the_significance() {
    let audit = OneRunAudit::new(1000, 600, 500).unwrap();
    let bound = audit.epsilon_lower_bound(1e-5, 0.05).unwrap();
    assert!((audit.p_value(bound.epsilon, 1e-5).unwrap() - 0.05).abs() < 1e-9);
}

#[track_caller]
fn check_error<T: std::fmt::Debug>(result: Result<T, StatsError>, expected: &str) {
    assert_eq!(result.unwrap_err().to_string(), expected);
}

#[test]
fn bad_counts_are_refused() {
    check_error(OneRunAudit::new(10, 0, 0), "there are no guesses");
    check_error(OneRunAudit::new(0, 1, 0), "1 guesses for 0 canaries");
    check_error(OneRunAudit::new(10, 11, 0), "11 guesses for 10 canaries");
    check_error(OneRunAudit::new(10, 5, 6), "6 of 5 guesses are correct");
    check_error(
        OneRunAudit::new(u64::MAX, u64::MAX, 6),
        "expected at most 1000000000000 trials, found 18446744073709551615",
    );
    check_error(TrialCounts::one_per_training([0, 0], [0, 1]), "there are no held-in values");
    check_error(TrialCounts::one_per_training([0, 1], [0, 0]), "there are no held-out values");
    check_error(TrialCounts::one_per_training([0, 1], [2, 1]), "2 successes in 1 trials");
}

#[test]
fn bad_numbers_are_refused() {
    let audit = OneRunAudit::new(10, 10, 10).unwrap();
    let trials = TrialCounts::one_per_training([9, 9], [0, 9]).unwrap();
    for delta in [-1e-9, 1.0, f64::NAN, f64::INFINITY] {
        let expected = format!("expected a delta of at least 0 and below 1, found {delta}");
        check_error(audit.p_value(0.0, delta), &expected);
        check_error(audit.epsilon_lower_bound(delta, 0.05), &expected);
        check_error(trials.epsilon_lower_bound(delta, 0.05), &expected);
        check_error(audit.mu_lower_bound(0.05).unwrap().epsilon_lower_bound(delta), &expected);
        check_error(PrivacyClaim::new(1.0, delta), &expected);
    }
    for significance in [0.0, 1.0, -0.1, f64::NAN] {
        let expected = format!("expected a significance above 0 and below 1, found {significance}");
        check_error(audit.epsilon_lower_bound(0.0, significance), &expected);
        check_error(audit.mu_lower_bound(significance), &expected);
        check_error(trials.epsilon_lower_bound(0.0, significance), &expected);
    }
    for epsilon in [-0.1, f64::NAN] {
        let expected = format!("expected an epsilon of at least 0, found {epsilon}");
        check_error(audit.p_value(epsilon, 0.0), &expected);
        check_error(PrivacyClaim::new(epsilon, 0.0), &expected);
    }
    check_error(audit.p_value(f64::INFINITY, 0.0), "expected an epsilon of at least 0, found inf");
    let mu = audit.mu_lower_bound(0.05).unwrap();
    assert!(matches!(mu.epsilon_lower_bound(0.0), Err(StatsError::InfiniteEpsilon { mu }) if mu > 0.0));
    let nothing = OneRunAudit::new(10, 10, 5).unwrap().mu_lower_bound(0.05).unwrap();
    assert_eq!(nothing.epsilon_lower_bound(0.0).unwrap().epsilon, 0.0);
}

#[test]
fn bad_statistics_and_coins_are_refused() {
    let coins = CoinFlips::recorded(vec![true, false]).unwrap();
    check_error(
        CoinFlippedCanaries::new(&coins, &[1.0, f64::NAN]),
        "row 1 of `statistic` is NaN, expected a finite number",
    );
    check_error(CoinFlippedCanaries::new(&coins, &[1.0]), "column `statistic` has 1 rows, expected 2");
    check_error(CoinFlippedCanaries::new(&coins, &[]), "column `statistic` is empty");
    check_error(CoinFlips::toss(0, 1), "column `coins` is empty");
    check_error(CoinFlips::recorded(Vec::new()), "column `coins` is empty");
    let unfair: Vec<bool> = (0..1000).map(|n| n % 5 > 0).collect();
    check_error(CoinFlips::recorded(unfair), "800 heads in 1000 flips of a coin that should be fair");
    let canaries = CoinFlippedCanaries::new(&coins, &[1.0, 2.0]).unwrap();
    check_error(canaries.guess(GuessCounts { n_in: 0, n_out: 0 }), "there are no guesses");
    check_error(canaries.guess(GuessCounts { n_in: 2, n_out: 1 }), "3 guesses for 2 canaries");
    check_error(canaries.epsilon_lower_bound(&[], 0.0, 0.05), "there are no guesses");
    let huge = GuessCounts { n_in: usize::MAX, n_out: usize::MAX };
    check_error(canaries.guess(huge), "18446744073709551615 guesses for 2 canaries");
}

#[test]
fn bad_trainings_are_refused() {
    let training =
        |includes_target, statistic| Training { run: u64::from(includes_target), includes_target, statistic };
    check_error(IndependentTrials::new(&[]), "there are no held-in values");
    check_error(IndependentTrials::new(&[training(true, 1.0)]), "there are no held-out values");
    check_error(
        IndependentTrials::new(&[training(true, 1.0), training(false, f64::INFINITY)]),
        "held-out value 1 is inf, expected a finite number",
    );
    let trials = IndependentTrials::new(&[training(true, 1.0), training(false, 0.0)]).unwrap();
    check_error(trials.epsilon_lower_bound(&[], 0.0, 0.05), "column `thresholds` is empty");
    check_error(
        trials.epsilon_lower_bound(&[0.5, f64::NAN], 0.0, 0.05),
        "row 1 of `thresholds` is NaN, expected a finite number",
    );
    check_error(
        IndependentTrials::new(&[training(true, 1.0), training(false, 0.0), training(true, 2.0)]),
        "trainings 0 and 2 are both run 1, expected a training of its own for each trial",
    );
}

#[test]
fn verdicts() {
    let audit = OneRunAudit::new(1000, 600, 500).unwrap();
    let bounds = AuditBounds::at_both(|significance| audit.epsilon_lower_bound(1e-5, significance)).unwrap();
    let verdict = |epsilon, delta| PrivacyClaim::new(epsilon, delta).and_then(|claim| bounds.verdict(claim));
    // A bound that is as large as the claim does not exceed it.
    assert_eq!(verdict(bounds.warn().epsilon, 1e-5), Ok(Verdict::Consistent));
    assert_eq!(verdict(bounds.warn().epsilon - 1e-9, 1e-5), Ok(Verdict::Warn));
    assert_eq!(verdict(bounds.fail().epsilon, 1e-5), Ok(Verdict::Warn));
    assert_eq!(verdict(bounds.fail().epsilon - 1e-9, 1e-5), Ok(Verdict::Fail));
    assert_eq!(verdict(f64::INFINITY, 1e-5), Ok(Verdict::Consistent));
    assert_eq!(verdict(1.0, 0.0), Ok(Verdict::Fail));
    check_error(
        verdict(1.0, 1e-4),
        "the claim is at delta 0.0001, the audit at 0.00001, expected a claim at no larger delta",
    );
}

#[test]
fn gaussian_bounds_speak_of_gaussian_claims() {
    let audit = OneRunAudit::new(1000, 100, 90).unwrap();
    let bounds =
        AuditBounds::at_both(|significance| audit.mu_lower_bound(significance)?.epsilon_lower_bound(1e-6))
            .unwrap();
    let verdict = |mu| PrivacyClaim::gaussian(mu, 1e-6).and_then(|claim| bounds.verdict(claim));
    let [warn, fail] = [WARN_SIGNIFICANCE, FAIL_SIGNIFICANCE]
        .map(|significance| audit.mu_lower_bound(significance).unwrap().mu);
    assert_eq!(verdict(warn), Ok(Verdict::Consistent));
    assert_eq!(verdict(warn - 1e-6), Ok(Verdict::Warn));
    assert_eq!(verdict(fail - 1e-6), Ok(Verdict::Fail));
    check_error(
        bounds.verdict(PrivacyClaim::new(1.0, 1e-6).unwrap()),
        "the audit is of Gaussian mechanisms, the claim of an epsilon of 1 is of any",
    );
    for mu in [-1.0, f64::NAN, f64::INFINITY] {
        check_error(
            PrivacyClaim::gaussian(mu, 1e-6),
            &format!("expected a finite mu of at least 0, found {mu}"),
        );
    }
    assert!(PrivacyClaim::gaussian(1.0, 0.0).is_err());
}

#[test]
fn a_verdict_needs_bounds_at_its_significances() {
    let audit = OneRunAudit::new(1000, 100, 90).unwrap();
    check_error(
        AuditBounds::at_both(|_| audit.epsilon_lower_bound(0.0, 0.5)),
        "a bound at significance 0.05 was asked, found one at 0.5",
    );
}

/// Right guesses by sorting, the smaller number of two orders of ties: included rows first, or last.
fn correct_by_definition(heads: &[bool], statistic: &[f64], counts: GuessCounts) -> u64 {
    let mut least = u64::MAX;
    for first in [true, false] {
        let mut rows: Vec<usize> = (0..heads.len()).collect();
        rows.sort_by(|&a, &b| {
            statistic[b]
                .partial_cmp(&statistic[a])
                .unwrap()
                .then((heads[b] == first).cmp(&(heads[a] == first)))
        });
        let top = rows[..counts.n_in].iter().filter(|&&row| heads[row]).count();
        let bottom = rows[rows.len() - counts.n_out..].iter().filter(|&&row| !heads[row]).count();
        least = least.min((top + bottom) as u64);
    }
    least
}

proptest! {
    #[test]
    fn bounds_are_monotone(
        n in 1u64..300, wrong in 0u64..300, abstain in 0u64..300,
        delta in 0.0f64..1e-4, significance in 1e-4f64..0.5,
    ) {
        let correct = n - wrong.min(n);
        let bound = |m, v, delta, significance| {
            OneRunAudit::new(m, n, v).unwrap().epsilon_lower_bound(delta, significance).unwrap().epsilon
        };
        let epsilon = bound(n + abstain, correct, delta, significance);
        prop_assert!(epsilon.is_finite() && epsilon >= 0.0);
        prop_assert!(bound(n + abstain, correct, delta / 2.0, significance) >= epsilon);
        prop_assert!(bound(n + abstain, correct, delta, significance / 2.0) <= epsilon);
        prop_assert!(bound(n + abstain + 1, correct, delta, significance) <= epsilon + 1e-11);
        if correct > 0 {
            prop_assert!(bound(n + abstain, correct - 1, delta, significance) <= epsilon);
        }
    }

    /// So that a root found by doubling and halving is the only one.
    #[test]
    fn p_values_grow_with_epsilon(
        n in 1u64..200, wrong in 0u64..200, abstain in 0u64..200, delta in 0.0f64..1e-3, epsilon in 0.0f64..8.0,
    ) {
        let audit = OneRunAudit::new(n + abstain, n, n - wrong.min(n)).unwrap();
        let [smaller, larger] = [epsilon, epsilon + 0.01].map(|epsilon| audit.p_value(epsilon, delta).unwrap());
        prop_assert!((0.0..=1.0).contains(&smaller));
        // Above one half no bound is asked for here.
        prop_assert!(smaller <= larger * (1.0 + 1e-9) || larger > 0.5, "{smaller} {larger}");
    }

    #[test]
    fn mu_is_monotone(n in 1u64..200, wrong in 0u64..200, significance in 1e-4f64..0.5, delta in 1e-9f64..0.1) {
        let correct = n - wrong.min(n);
        let bound = |v, significance| OneRunAudit::new(n, n, v).unwrap().mu_lower_bound(significance).unwrap();
        let mu = bound(correct, significance);
        prop_assert!(mu.mu.is_finite() && mu.mu >= 0.0);
        let epsilon = mu.epsilon_lower_bound(delta).unwrap().epsilon;
        prop_assert!(epsilon.is_finite() && epsilon >= 0.0);
        prop_assert!(mu.epsilon_lower_bound(delta / 2.0).unwrap().epsilon >= epsilon);
        if correct > 0 {
            prop_assert!(bound(correct - 1, significance).mu <= mu.mu);
        }
    }

    #[test]
    fn trials_gain_by_right_decisions(
        n in 1u64..200, m in 1u64..200, tp in 0u64..200, fp in 0u64..200, delta in 0.0f64..0.5,
    ) {
        let (tp, fp) = (tp.min(n), fp.min(m));
        let bound = |tp, fp, delta| {
            TrialCounts::one_per_training([tp, n], [fp, m]).unwrap().epsilon_lower_bound(delta, 0.05).unwrap().epsilon
        };
        let epsilon = bound(tp, fp, delta);
        prop_assert!(epsilon.is_finite() && epsilon >= 0.0);
        prop_assert!(bound(tp, fp, delta / 2.0) >= epsilon);
        prop_assert!(tp == 0 || bound(tp - 1, fp, delta) <= epsilon);
        prop_assert!(fp == 0 || bound(tp, fp - 1, delta) >= epsilon);
    }

    /// Guesses depend on the order of the statistics alone, and ties go against them in any order of the rows.
    #[test]
    fn guesses_agree_with_the_definition(
        rows in prop::collection::vec((any::<bool>(), 0u8..6), 1..20), n_in in 0usize..20, n_out in 0usize..20,
        turn in 0usize..20,
    ) {
        let n_in = n_in.min(rows.len());
        let counts = GuessCounts { n_in, n_out: n_out.min(rows.len() - n_in) };
        prop_assume!(counts.n_in + counts.n_out > 0);
        let guess = |rows: &[(bool, u8)], map: fn(f64) -> f64| {
            let coins = CoinFlips::recorded(rows.iter().map(|row| row.0).collect()).unwrap();
            let statistic: Vec<f64> = rows.iter().map(|row| map(f64::from(row.1))).collect();
            CoinFlippedCanaries::new(&coins, &statistic).unwrap().guess(counts).unwrap()
        };
        let audit = guess(&rows, |value| value);
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        prop_assert_eq!(guess(&turned, |value| value), audit);
        prop_assert_eq!(guess(&rows, |value| value.exp() - 3.0), audit);
        let heads: Vec<bool> = rows.iter().map(|row| row.0).collect();
        let statistic: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
        prop_assert!(audit.n_correct() <= correct_by_definition(&heads, &statistic, counts));
        let distinct: std::collections::BTreeSet<u8> = rows.iter().map(|row| row.1).collect();
        if distinct.len() == rows.len() {
            prop_assert_eq!(audit.n_correct(), correct_by_definition(&heads, &statistic, counts));
        }
    }
}
