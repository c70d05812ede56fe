//! Error rates where the densities are true, where they are not, and what the attack saves.

use expect_test::expect;
use proptest::prelude::*;
use rand::RngExt;

use super::*;
use crate::normal::normal;

/// What users and examples are drawn from; the spread within a user is 1.
#[derive(Clone, Copy)]
struct World {
    n_users: u32,
    n_examples: u32,
    shift: f64,
    user_deviation: f64,
    /// Log-normal rests instead of normal ones.
    is_skewed: bool,
}

impl World {
    fn rows(&self, seed: Seed) -> ExampleStatistics {
        let mut rng = seed.rng();
        let mut rows = ExampleStatistics::default();
        for user in 0..self.n_users {
            let held_in = user % 2 == 0;
            let effect = self.user_deviation * normal(&mut rng) + if held_in { self.shift } else { 0.0 };
            for _ in 0..self.n_examples {
                let rest = normal(&mut rng);
                rows.user.push(UserIdx(user));
                rows.held_in.push(held_in);
                rows.n_tokens.push(1);
                rows.statistic.push(effect + if self.is_skewed { rest.exp() } else { rest });
            }
        }
        rows
    }

    /// Mean realised rates, share undecided and examples used, over some runs.
    fn mean(&self, boundary: Boundary, n_runs: u64) -> [f64; 4] {
        let settings = SequentialSettings { fpr: 0.1, fnr: 0.1, most_examples: 60, boundary };
        let mut sums = [0.0; 4];
        for run in 0..n_runs {
            let found = sequential(&self.rows(Seed(61).indexed(run)), &settings, Seed(run)).unwrap();
            let row = [found.fpr.value(), found.fnr.value(), found.undecided.value(), found.mean_examples];
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value / n_runs as f64;
            }
        }
        sums
    }
}

const PLAIN: World =
    World { n_users: 160, n_examples: 60, shift: 0.8, user_deviation: 0.0, is_skewed: false };
const CORRELATED: World =
    World { n_users: 160, n_examples: 60, shift: 0.8, user_deviation: 0.5, is_skewed: false };
const SKEWED: World =
    World { n_users: 160, n_examples: 60, shift: 0.8, user_deviation: 0.3, is_skewed: true };

/// Five standard errors of a mean over 25 runs of 80 users a side, at a rate of .1: fits and thresholds are shared by
/// the users of a run, which doubles the variance at most (beta law of a threshold from 40 users). A false alarm has
/// chance below 1e-5.
const SLACK: f64 = 5.0 * 0.3 * 1.5 / 44.7;

/// Examples are independent and normal: Wald's rates hold, for both densities.
#[test]
fn wald_holds_where_its_densities_are_true() {
    for boundary in [Boundary::WaldIndependent, Boundary::WaldUserEffect] {
        let [fpr, fnr, undecided, used] = PLAIN.mean(boundary, 25);
        assert!(fpr < 0.1 + SLACK && fnr < 0.1 + SLACK, "{boundary:?} {fpr} {fnr}");
        assert!(undecided < 0.01 && used < 12.0, "{boundary:?} {undecided} {used}");
    }
}

/// Users differ by half of the spread within a user: examples taken as independent break the promise twice over.
/// With the users' effect in the density it holds, at the price of users left undecided.
#[test]
fn users_with_effects_break_the_plain_test() {
    let [fpr, fnr, ..] = CORRELATED.mean(Boundary::WaldIndependent, 25);
    assert!(fpr > 0.15 && fnr > 0.15, "{fpr} {fnr}");
    let [fpr, fnr, undecided, _] = CORRELATED.mean(Boundary::WaldUserEffect, 25);
    let bound = 0.1 / 0.9 + SLACK;
    assert!(fpr < bound && fnr < bound && undecided > 0.1, "{fpr} {fnr} {undecided}");
}

/// Calibrated thresholds hold whatever the densities, here also for rests that are far from normal.
///
/// Judged on users drawn as held-out ones but labelled held-in, so that no threshold is made of them: among the
/// users that a threshold is made of the rate holds by counting alone. Ten of them share a half and its threshold,
/// whose true rate is beta(4, 37), so the mean over 400 halves has a standard error of .0052. Five of them: a false
/// alarm has chance below 1e-6.
#[test]
fn calibrated_holds_for_users_it_has_not_seen() {
    for world in [PLAIN, CORRELATED, SKEWED] {
        let settings =
            SequentialSettings { fpr: 0.1, fnr: 0.1, most_examples: 60, boundary: Boundary::Calibrated };
        let (mut n_called, mut n_found) = (0, 0);
        for run in 0..200 {
            let mut rows = world.rows(Seed(68).indexed(run));
            let is_impostor = |user: UserIdx| user.0.is_multiple_of(8);
            for (user, value) in rows.user.iter().zip(&mut rows.statistic) {
                *value -= if is_impostor(*user) { world.shift } else { 0.0 };
            }
            let found = sequential(&rows, &settings, Seed(run)).unwrap();
            for (user, decision) in found.user.iter().zip(&found.decision) {
                let is_called = *decision == Decision::HeldIn;
                n_called += u32::from(is_called && is_impostor(*user));
                n_found += u32::from(is_called && user.0 % 2 == 0 && !is_impostor(*user));
            }
        }
        let fpr = f64::from(n_called) / 4000.0;
        assert!(fpr < 0.1 + 5.0 * 0.0052, "{n_called} of 4000 impostors");
        assert!(n_found > 4000, "{n_found} of 12000 trained users found");
    }
}

/// A held-out user that is judged by thresholds from exchangeable users crosses above with chance at most the rate.
///
/// By going through a whole half: of `n` sums each is compared with the others, and at most `rate n` exceed.
#[test]
fn a_threshold_is_crossed_as_often_as_allowed() {
    let mut rng = Seed(62).rng();
    for (n, rate) in [(10, 0.1), (10, 0.35), (20, 0.05), (7, 0.9)] {
        for distinct in [1e9, 3.0] {
            let sums: Vec<f64> =
                (0..n).map(|_| (rng.random::<f64>() * distinct).round() / distinct).collect();
            let threshold = Threshold::new(sums.clone(), Side::HeldOut, rate);
            let crosses = |own: &&f64| **own > threshold.beyond(Some(**own)).unwrap();
            let n_crossed = sums.iter().filter(crosses).count();
            assert!(n_crossed as f64 <= rate * f64::from(n) + 1e-9, "{n} {rate} {n_crossed}");
            // The rule by its definition: 1 + the others that are as high, over 1 + the others.
            for (user, own) in sums.iter().enumerate() {
                let others = sums.iter().enumerate().filter(|(other, sum)| *other != user && *sum >= own);
                let p_value = (1 + others.count()) as f64 / f64::from(n);
                assert_eq!(crosses(&own), p_value <= rate + 1e-12, "{n} {rate} {own}");
            }
        }
    }
}

/// Independent examples: the sequential attack needs less than half of what a fixed number costs.
#[test]
fn fewer_examples_for_the_same_errors() {
    let settings =
        SequentialSettings { fpr: 0.05, fnr: 0.05, most_examples: 60, boundary: Boundary::WaldUserEffect };
    let found = sequential(&PLAIN.rows(Seed(63)), &settings, Seed(1)).unwrap();
    let fixed = found.fixed_size.unwrap();
    assert!(found.mean_examples < 0.5 * fixed.mean_examples, "{found:?}");
    assert_eq!(fixed.mean_examples, f64::from(fixed.n_examples));
    assert_eq!(found.mean_examples_at_hand, 60.0);
    assert_eq!(found, sequential(&PLAIN.rows(Seed(63)), &settings, Seed(1)).unwrap());
}

/// With effects of users the later examples say little: undecided users use them all, more than a fixed number
/// would cost, and a limit loses few of the users found.
#[test]
fn a_limit_saves_what_undecided_users_cost() {
    let found = |most_examples: u32| {
        let settings =
            SequentialSettings { fpr: 0.1, fnr: 0.1, most_examples, boundary: Boundary::Calibrated };
        let found = sequential(&CORRELATED.rows(Seed(63)), &settings, Seed(1)).unwrap();
        assert!(found.n_examples.iter().all(|&n_examples| n_examples <= most_examples));
        found
    };
    let (unlimited, limited) = (found(60), found(8));
    assert!(unlimited.mean_examples > unlimited.fixed_size.unwrap().mean_examples, "{unlimited:?}");
    assert!(limited.mean_examples < unlimited.mean_examples / 4.0, "{limited:?}");
    assert!(limited.tpr.value() > unlimited.tpr.value() - 0.2, "{limited:?} {unlimited:?}");
}

/// Every number of the result, by going through its columns.
#[test]
fn the_summary_is_that_of_the_columns() {
    let settings =
        SequentialSettings { fpr: 0.1, fnr: 0.2, most_examples: 60, boundary: Boundary::Calibrated };
    let found = sequential(&CORRELATED.rows(Seed(64)), &settings, Seed(1)).unwrap();
    let count = |held_in: bool, decision: Decision| {
        let rows = found.held_in.iter().zip(&found.decision);
        rows.filter(|row| *row.0 == held_in && *row.1 == decision).count() as u64
    };
    assert_eq!(found.fpr.n_counted, count(false, Decision::HeldIn));
    assert_eq!(found.fnr.n_counted, count(true, Decision::HeldOut));
    assert_eq!(found.tpr.n_counted, count(true, Decision::HeldIn));
    assert_eq!(found.tnr.n_counted, count(false, Decision::HeldOut));
    assert_eq!(found.undecided.n_counted, count(true, Decision::Open) + count(false, Decision::Open));
    assert_eq!((found.fpr.n_users, found.fnr.n_users, found.undecided.n_users), (80, 80, 160));
    let used: u32 = found.n_examples.iter().sum();
    assert_eq!(found.mean_examples, f64::from(used) / 160.0);
    for (decision, &n_examples) in found.decision.iter().zip(&found.n_examples) {
        assert!(n_examples >= 1 && (*decision != Decision::Open || n_examples == 60));
    }
    assert!(found.fpr.interval.contains(found.fpr.value()), "{found:?}");
}

/// Held-in examples lie lower: no evidence, no decision, and no direction turned round.
#[test]
fn a_fit_in_the_wrong_direction_decides_nothing() {
    let world = World { shift: -0.8, ..PLAIN };
    for boundary in [Boundary::WaldIndependent, Boundary::WaldUserEffect, Boundary::Calibrated] {
        let settings = SequentialSettings { fpr: 0.1, fnr: 0.1, most_examples: 60, boundary };
        let found = sequential(&world.rows(Seed(65)), &settings, Seed(1)).unwrap();
        assert_eq!((found.undecided.value(), found.mean_examples), (1.0, 60.0), "{boundary:?}");
    }
}

proptest! {
    /// The increments sum to the log-likelihood ratio of all examples at once.
    ///
    /// With a common effect of the user the covariance is `rest I + user J`, whose inverse is
    /// `(I - user J / (rest + n user)) / rest`.
    #[test]
    fn increments_sum_to_the_joint_ratio(
        values in prop::collection::vec(-5.0f64..5.0, 1..12),
        means in (-2.0f64..0.0, 0.0f64..2.0),
        variances in (0.0f64..3.0, 0.1f64..3.0)
    ) {
        let (user_variance, rest_variance) = variances;
        let density =
            Density { mean_held_in: means.1, mean_held_out: means.0, user_variance, rest_variance };
        let n = values.len() as f64;
        let square = |mean: f64| {
            let (sum, squares) = values.iter().fold((0.0, 0.0), |(sum, squares), value| {
                (sum + value - mean, squares + (value - mean).powi(2))
            });
            (squares - user_variance * sum * sum / (rest_variance + n * user_variance)) / rest_variance
        };
        let expected = (square(means.0) - square(means.1)) / 2.0;
        let found: f64 = density.increments(&values).iter().sum();
        prop_assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{} {}", found, expected);
    }

    /// Higher means held-in, example by example.
    #[test]
    fn a_higher_example_raises_the_sum(
        values in prop::collection::vec(-5.0f64..5.0, 1..8), at in 0usize..8, raise in 0.1f64..5.0
    ) {
        let density = Density { mean_held_in: 1.0, mean_held_out: 0.0, user_variance: 0.7, rest_variance: 0.4 };
        let mut raised = values.clone();
        raised[at % values.len()] += raise;
        let sum = |values: &[f64]| density.increments(values).iter().sum::<f64>();
        prop_assert!(sum(&raised) > sum(&values));
    }
}

/// scipy's joint normal densities, made by `fixtures/generate/user_level.py`.
#[test]
fn increments_agree_with_scipy() {
    let golden = include_str!("../../../../fixtures/user_level/golden.json");
    let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
    for case in golden["joint_ratio"].as_array().unwrap() {
        let number = |name: &str| case[name].as_f64().unwrap();
        let density = Density {
            mean_held_in: number("mean_held_in"),
            mean_held_out: number("mean_held_out"),
            user_variance: number("user_variance"),
            rest_variance: number("rest_variance"),
        };
        let statistic = case["statistic"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
        let found: f64 = density.increments(&statistic.collect::<Vec<_>>()).iter().sum();
        let expected = number("log_ratio");
        assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{found} {expected}");
    }
}

/// By hand: means 1 and 5 and 0 and 2 of pairs, each 1 from its mean. `SSW = 8`, `SSB = 2 (4 + 4 + 1 + 1) = 20`,
/// `rest = 8 / 4`, `n_0 = (8 - 4) / 2`, `user = (20 / 2 - 2) / 2`.
#[test]
fn the_fit_by_hand() {
    let held_in: [&[f64]; 2] = [&[0.0, 2.0], &[4.0, 6.0]];
    let held_out: [&[f64]; 2] = [&[-1.0, 1.0], &[1.0, 3.0]];
    let found = Density::with_user_effect(&held_in, &held_out).unwrap();
    let expected = Density { mean_held_in: 3.0, mean_held_out: 1.0, user_variance: 4.0, rest_variance: 2.0 };
    assert_eq!(found, expected);
    let independent = Density::independent(&held_in, &held_out).unwrap();
    assert_eq!((independent.user_variance, independent.rest_variance), (0.0, 28.0 / 6.0));
}

/// The variances of a large world come out, also where users have different numbers of examples.
///
/// 2000 users a side: the standard errors are near .006 (rest) and .015 (effect), the tolerances five of them.
#[test]
fn the_fit_finds_the_variances() {
    let mut rng = Seed(66).rng();
    let mut side = |mean: f64| -> Vec<Vec<f64>> {
        (0..2000)
            .map(|user| {
                let effect = mean + 0.7 * normal(&mut rng);
                (0..2 + user % 17).map(|_| effect + normal(&mut rng)).collect()
            })
            .collect()
    };
    let (held_in, held_out) = (side(1.0), side(0.0));
    let [held_in, held_out] =
        [&held_in, &held_out].map(|side| side.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let found = Density::with_user_effect(&held_in, &held_out).unwrap();
    assert!((found.rest_variance - 1.0).abs() < 0.04, "{found:?}");
    assert!((found.user_variance - 0.49).abs() < 0.08, "{found:?}");
    assert!((found.mean_held_in - 1.0).abs() < 0.1 && found.mean_held_out.abs() < 0.1, "{found:?}");
    let independent = Density::independent(&held_in, &held_out).unwrap();
    assert!((independent.rest_variance - 1.49).abs() < 0.1, "{independent:?}");
}

/// A rate so near 1 that rounding allows one crossing more than there are users is refused for what the other rate
/// then is, and does not stop the program.
#[test]
fn a_rate_of_almost_one_is_no_panic() {
    let rows = World { n_users: 24, n_examples: 3, ..PLAIN }.rows(Seed(68));
    let (fpr, boundary) = (1.0 - 1e-11, Boundary::Calibrated);
    let settings = SequentialSettings { fpr, fnr: 1e-12, most_examples: 3, boundary };
    let error = sequential(&rows, &settings, Seed(1)).unwrap_err();
    assert!(matches!(error, AttackError::TooFewToCalibrate { side: Side::HeldIn, .. }), "{error}");
}

#[test]
fn bad_input() {
    let world = World { n_users: 8, n_examples: 3, ..PLAIN };
    let error = |rows: &ExampleStatistics, fpr: f64, boundary| {
        let settings = SequentialSettings { fpr, fnr: 0.3, most_examples: 3, boundary };
        match sequential(rows, &settings, Seed(1)).unwrap_err() {
            AttackError::Stats(error) => error.to_string(),
            error => error.to_string(),
        }
    };
    let rows = world.rows(Seed(67));
    let plain = Boundary::WaldUserEffect;
    expect!["expected a false positive rate above 0 and below 1, found 0"]
        .assert_eq(&error(&rows, 0.0, plain));
    expect!["expected a false positive rate above 0 and below 1, found NaN"].assert_eq(&error(
        &rows,
        f64::NAN,
        plain,
    ));
    expect!["a false positive rate of 0.7 and a false negative rate of 0.3 do not sum to less than 1"]
        .assert_eq(&error(&rows, 0.7, plain));
    expect!["2 other held-out users cannot show a rate of 0.3, below 1/(1 + 2)"].assert_eq(&error(
        &rows,
        0.3,
        Boundary::Calibrated,
    ));
    expect!["there are 3 held-out users, expected at least 4"].assert_eq(&error(
        &World { n_users: 7, ..world }.rows(Seed(1)),
        0.1,
        plain,
    ));
    expect!["the variance of the statistic among a user's examples is NaN, expected a finite one above 0"]
        .assert_eq(&error(&World { n_examples: 1, ..world }.rows(Seed(1)), 0.1, plain));
    let equal = ExampleStatistics { statistic: vec![2.0; 24], ..rows.clone() };
    for boundary in [Boundary::WaldIndependent, plain, Boundary::Calibrated] {
        expect!["the variance of the statistic among a user's examples is 0, expected a finite one above 0"]
            .assert_eq(&error(&equal, 0.1, boundary));
    }
    let huge =
        ExampleStatistics { statistic: (0..24).map(|row| f64::from(row) * 1e306).collect(), ..rows.clone() };
    expect!["the variance of the statistic among a user's examples is inf, expected a finite one above 0"]
        .assert_eq(&error(&huge, 0.1, plain));
    let none = SequentialSettings { fpr: 0.1, fnr: 0.1, most_examples: 0, boundary: plain };
    assert_eq!(sequential(&rows, &none, Seed(1)), Err(AttackError::NoExamples));
    let nan = ExampleStatistics { statistic: vec![f64::NAN; 24], ..rows };
    expect!["row 0 of column `statistic` is NaN, expected a finite number"]
        .assert_eq(&error(&nan, 0.1, plain));
}
