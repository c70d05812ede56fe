//! P-values are super-uniform, false discoveries are bounded, bad input is refused.

use expect_test::expect;
use proptest::prelude::*;
use userprint_core::{Seed, UserIdx};
use userprint_stats::benjamini_hochberg;

use super::*;
use crate::normal::normal;

fn users(rows: &[(bool, f64)]) -> UserStatistics {
    UserStatistics {
        user: (0..).take(rows.len()).map(UserIdx).collect(),
        held_in: rows.iter().map(|row| row.0).collect(),
        statistic: rows.iter().map(|row| row.1).collect(),
        n_examples: vec![1; rows.len()],
    }
}

/// Both sides with few distinct values, so that ties are common.
fn rows() -> impl Strategy<Value = Vec<(bool, f64)>> {
    let row = (any::<bool>(), (0..12).prop_map(f64::from));
    prop::collection::vec(row, 2..30)
        .prop_filter("two sides", |rows| rows.iter().any(|row| row.0) && rows.iter().any(|row| !row.0))
}

proptest! {
    /// Each column, by counting over all pairs of users.
    #[test]
    fn agrees_with_the_definition(rows in rows(), rate in 0.01f64..0.99) {
        let found = per_user(&users(&rows), rate).unwrap();
        let n_out = rows.iter().filter(|row| !row.0).count();
        for (at, &(held_in, value)) in rows.iter().enumerate() {
            let others = rows.iter().enumerate().filter(|(other, row)| !row.0 && *other != at && row.1 >= value);
            let n_others = if held_in { n_out } else { n_out - 1 };
            prop_assert_eq!(found.p_value[at], (1 + others.count()) as f64 / (1 + n_others) as f64);
            let n_higher = rows.iter().filter(|row| row.1 > value).count();
            prop_assert_eq!(found.rank[at] as usize, 1 + n_higher);
            prop_assert_eq!(found.is_detected[at], found.q_value[at] <= rate);
        }
        prop_assert_eq!(&found.is_detected, &benjamini_hochberg(&found.p_value, rate).unwrap());
        let detected = rows.iter().zip(&found.is_detected).filter(|row| *row.1);
        let (ins, outs): (Vec<_>, Vec<_>) = detected.partition(|row| row.0.0);
        prop_assert_eq!((ins.len(), outs.len()), (found.n_held_in_detected, found.n_held_out_detected));
    }

    /// The bound on false discoveries that is promised always.
    #[test]
    fn false_discoveries_are_bounded(rows in rows(), rate in 0.01f64..0.99) {
        let found = per_user(&users(&rows), rate).unwrap();
        let n_detected = found.n_held_in_detected + found.n_held_out_detected;
        let bound = rate * n_detected as f64 * found.n_held_out as f64 / rows.len() as f64;
        prop_assert!(found.n_held_out_detected as f64 <= bound + 1e-9);
    }

    #[test]
    fn a_monotone_map_changes_nothing(rows in rows()) {
        let mapped: Vec<_> = rows.iter().map(|row| (row.0, (row.1 / 3.0).exp() - 7.0)).collect();
        prop_assert_eq!(per_user(&users(&rows), 0.2).unwrap(), per_user(&users(&mapped), 0.2).unwrap());
    }

    /// Nobody is detected below the number that is stated, and the number is the least: by trying all.
    #[test]
    fn the_least_number_detected_is_least(rows in rows(), rate in 0.01f64..0.99) {
        let found = per_user(&users(&rows), rate).unwrap();
        let all_tied = |k: usize| {
            let p_value: Vec<f64> =
                (0..rows.len()).map(|user| if user < k { found.least_p_value() } else { 1.0 }).collect();
            benjamini_hochberg(&p_value, rate).unwrap()[0]
        };
        prop_assert_eq!(found.least_detected(), (1..=rows.len()).find(|&k| all_tied(k)));
        let n_held_in = found.n_held_in_detected;
        if found.n_held_out_detected == 0 && n_held_in > 0 {
            prop_assert!(found.least_detected().is_some_and(|least| least <= n_held_in));
        }
    }
}

/// A held-in user who is like the held-out ones: the chance of `p <= x` is at most `x`.
///
/// 4000 experiments with 19 held-out users; at each of five levels the share may exceed the level by four standard
/// errors, so the chance of a false alarm is below 5 times 3.2e-5. Rounding the statistics makes ties.
#[test]
fn p_values_are_super_uniform_and_exact_without_ties() {
    for (rounding, is_exact) in [(1e9, true), (2.0, false)] {
        let mut p_values = Vec::new();
        for experiment in 0..4000 {
            let mut rng = Seed(11).indexed(experiment).rng();
            let rows: Vec<_> =
                (0..20).map(|user| (user == 0, (normal(&mut rng) * rounding).round() / rounding)).collect();
            p_values.push(per_user(&users(&rows), 0.05).unwrap().p_value[0]);
        }
        for level in [0.05, 0.1, 0.25, 0.5, 0.9] {
            let share = p_values.iter().filter(|&&p| p <= level + 1e-12).count() as f64 / 4000.0;
            let error = 4.0 * f64::sqrt(level * (1.0 - level) / 4000.0);
            assert!(share <= level + error, "{level} {share}");
            assert!(!is_exact || share >= level - error, "{level} {share}");
        }
    }
}

/// The decision that is reported, over all users: 20 users without an effect, 10 of effect 3, and 99 held-out users.
///
/// The false discovery rate of Benjamini and Hochberg is the rate asked times the share of users without an effect,
/// 119 of 129 here. The mean of the false discovery proportion over 1500 experiments may exceed that by four of its
/// standard errors, so the chance of a false alarm is below 3.2e-5.
#[test]
fn the_false_discovery_rate_is_held() {
    let mut proportions = Vec::new();
    let mut n_found = 0;
    for experiment in 0..1500 {
        let mut rng = Seed(12).indexed(experiment).rng();
        let held_in = (0..30).map(|user| (true, f64::from(user / 20) * 3.0));
        let rows: Vec<_> = held_in.chain([(false, 0.0); 99]).collect();
        let drawn: Vec<_> =
            rows.iter().map(|&(held_in, shift)| (held_in, shift + normal(&mut rng))).collect();
        let found = per_user(&users(&drawn), 0.2).unwrap();
        let n_of = |has_effect: bool| {
            let detected = rows.iter().zip(&found.is_detected).filter(|row| *row.1);
            detected.filter(|row| (row.0.1 > 0.0) == has_effect).count()
        };
        n_found += n_of(true);
        proportions.push(n_of(false) as f64 / (n_of(true) + n_of(false)).max(1) as f64);
    }
    let n = proportions.len() as f64;
    let mean = proportions.iter().sum::<f64>() / n;
    let variance = proportions.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let (bound, error) = (0.2 * 119.0 / 129.0, f64::sqrt(variance / n));
    assert!(mean <= bound + 4.0 * error, "{mean} where {bound} is allowed, standard error {error}");
    // So high a rate of those with an effect that the test is not one of nobody detected.
    assert!(n_found > 5 * 1500, "{n_found} of 15000 trained users found");
}

/// scipy's q-values and ranks, made by `fixtures/generate/user_level.py`.
#[test]
fn agrees_with_scipy() {
    let golden = include_str!("../../../../fixtures/user_level/golden.json");
    let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
    for case in golden["per_user"].as_array().unwrap() {
        let numbers = |name: &str| -> Vec<f64> {
            case[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let held_in = case["held_in"].as_array().unwrap().iter().map(|value| value.as_bool().unwrap());
        let rows: Vec<_> = held_in.zip(numbers("statistic")).collect();
        let found = per_user(&users(&rows), 0.1).unwrap();
        assert_eq!(found.p_value, numbers("p_value"));
        assert_eq!(found.rank.iter().copied().map(f64::from).collect::<Vec<_>>(), numbers("rank"));
        for (found, expected) in found.q_value.iter().zip(numbers("q_value")) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
    }
}

#[test]
fn all_ties_detect_nobody() {
    let found = per_user(&users(&[(true, 1.0), (false, 1.0), (true, 1.0)]), 0.99).unwrap();
    assert_eq!((found.p_value, found.rank), (vec![1.0; 3], vec![1; 3]));
    assert_eq!(found.n_held_in_detected, 0);
}

#[test]
fn bad_input() {
    let error = |rows: &[(bool, f64)], rate| per_user(&users(rows), rate).unwrap_err();
    let both = [(true, 1.0), (false, 1.0)];
    for side in [Side::HeldIn, Side::HeldOut] {
        let rows = [(side == Side::HeldOut, 1.0)];
        assert_eq!(error(&rows, 0.05), AttackError::Stats(StatsError::EmptySide { side }));
    }
    for rate in [0.0, 1.0, -0.1, f64::NAN] {
        let found = error(&both, rate);
        assert!(matches!(found, AttackError::Stats(StatsError::RateOutOfRange { .. })), "{found:?}");
    }
    let nan = error(&[(true, f64::NAN), (false, 1.0)], 0.05);
    let AttackError::Stats(source) = nan else { unreachable!() };
    expect!["row 0 of `values` is NaN, expected a finite number"].assert_eq(&source.to_string());
    let mut uneven = users(&both);
    uneven.held_in.pop();
    let error = per_user(&uneven, 0.05).unwrap_err().to_string();
    expect!["column `held_in` has 1 entries, expected 2"].assert_eq(&error);
}
