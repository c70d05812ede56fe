//! Ranks hold their level where the t-test does not, effects are found, and bad input is refused.

use userprint_core::Seed;
use userprint_stats::Side;

use super::*;
use crate::normal::normal;
use crate::result::split;

/// Three statistics of examples: a level of each user, noise of deviation 1, and an effect on held-in users.
fn statistics(
    n_a_side: u32,
    n_examples: u32,
    user_effect: f64,
    effect: f64,
    seed: u64,
) -> Vec<ExampleStatistics> {
    let mut rng = Seed(seed).rng();
    let user: Vec<UserIdx> = (0..2 * n_a_side * n_examples).map(|row| UserIdx(row / n_examples)).collect();
    let held_in: Vec<bool> = user.iter().map(|user| user.0 < n_a_side).collect();
    let mut statistic = |name: &str| {
        let level: Vec<f64> = (0..2 * n_a_side).map(|_| user_effect * normal(&mut rng)).collect();
        let values = user.iter().zip(&held_in).map(|(user, &held_in)| {
            level[user.index()] + normal(&mut rng) + if held_in { effect } else { 0.0 }
        });
        ExampleStatistics {
            name: name.to_owned(),
            statistic: values.collect(),
            user: user.clone(),
            held_in: held_in.clone(),
            n_tokens: vec![1; user.len()],
        }
    };
    ["a", "b", "c"].map(&mut statistic).to_vec()
}

/// Shares of held-in users with a p-value of at most the level, by ranks and by the t-test, with standard errors over
/// experiments.
fn rejected(n_examples: u32, user_effect: f64, level: f64) -> [(f64, f64); 2] {
    let n_experiments = 200;
    let shares: Vec<[f64; 2]> = (0..n_experiments)
        .map(|experiment| {
            let rows = statistics(40, n_examples, user_effect, 0.0, experiment);
            let tests = set_level(&rows, 1.0, Seed(experiment)).unwrap();
            let share =
                |p_values: &[f64]| p_values[..40].iter().filter(|p| **p <= level).count() as f64 / 40.0;
            [share(&tests.p_value), share(&tests.t_test_p_value)]
        })
        .collect();
    [0, 1].map(|kind| {
        let n = n_experiments as f64;
        let mean = shares.iter().map(|share| share[kind]).sum::<f64>() / n;
        let squares: f64 = shares.iter().map(|share| (share[kind] - mean).powi(2)).sum();
        (mean, (squares / (n - 1.0) / n).sqrt())
    })
}

/// Without an effect, at levels that 20 held-out users a half can show, with users that differ and users that do not:
/// at most the level, within 4 standard errors over 200 experiments; chance of a false alarm 3e-5 each.
#[test]
fn ranks_hold_their_level() {
    for (n_examples, user_effect) in [(5, 0.0), (5, 0.5), (20, 0.5), (5, 3.0)] {
        for level in [1.0 / 21.0, 0.05, 0.1, 0.5] {
            let [(share, error), _] = rejected(n_examples, user_effect, level);
            assert!(share <= level + 4.0 * error, "{n_examples} {user_effect} {level}: {share} {error}");
        }
    }
}

/// Without an effect the `t` of both halves, thrown together, rank the sides by chance: the AUROC over all users is
/// .5 on average, within 4 standard errors over 400 experiments, about .02.
#[test]
fn without_an_effect_t_ranks_by_chance() {
    let aurocs: Vec<f64> = (0..400)
        .map(|experiment| {
            let rows = statistics(20, 5, 0.5, 0.0, experiment);
            let tests = set_level(&rows, 1.0, Seed(experiment)).unwrap();
            let (held_in, held_out) = split(&tests.t, &tests.held_in);
            userprint_stats::Roc::new(&held_in, &held_out).unwrap().auroc()
        })
        .collect();
    let n = aurocs.len() as f64;
    let mean = aurocs.iter().sum::<f64>() / n;
    let variance = aurocs.iter().map(|auroc| (auroc - mean).powi(2)).sum::<f64>() / (n - 1.0);
    assert!((mean - 0.5).abs() < 4.0 * f64::sqrt(variance / n), "{mean} {variance}");
}

/// The figures of the docstring, each within 4 standard errors of 200 experiments, about .02: pseudo-replication.
#[test]
fn the_t_test_does_not() {
    for (n_examples, expect) in [(5, 0.17), (20, 0.32), (80, 0.45)] {
        let [_, (share, error)] = rejected(n_examples, 0.5, 0.05);
        assert!((share - expect).abs() < 4.0 * error, "{n_examples}: {share} {error}");
    }
}

/// Every p-value from its definition, with weights from the other half.
#[test]
fn agrees_with_the_definition() {
    let rows = statistics(9, 3, 0.5, 1.0, 5);
    let tests = set_level(&rows, 1.0, Seed(5)).unwrap();
    let half_of = stratified_folds(&tests.held_in, 2, Seed(5).named("set_level")).unwrap();
    for user in 0..18 {
        let others = (0..18).filter(|&v| v != user && half_of[v] == half_of[user] && !tests.held_in[v]);
        let t: Vec<f64> = others.map(|v| tests.t[v]).collect();
        let as_high = t.iter().filter(|t| **t >= tests.t[user]).count();
        assert_eq!(tests.p_value[user], (1 + as_high) as f64 / (1 + t.len()) as f64);
    }
    // Turning a judged half's labels, or its statistics, leaves the weights: here a user's t moves alone.
    let mut moved = rows.clone();
    moved.iter_mut().for_each(|rows| rows.statistic[..3].iter_mut().for_each(|value| *value += 1.0));
    let after = set_level(&moved, 1.0, Seed(5)).unwrap();
    for user in (0..18).filter(|&v| half_of[v] == half_of[0]) {
        assert_eq!(user == 0, after.t[user] != tests.t[user], "user {user}");
    }
}

#[test]
fn an_effect_is_found() {
    let tests = set_level(&statistics(40, 20, 0.5, 1.0, 6), 1.0, Seed(6)).unwrap();
    let low = |side: &[f64]| side.iter().filter(|p| **p <= 0.1).count();
    // Three statistics, each two deviations of users' means apart: `t` of most held-in users above all held-out ones.
    assert!(low(&tests.p_value[..40]) >= 36, "{}", low(&tests.p_value[..40]));
    assert!(low(&tests.p_value[40..]) <= 8, "{}", low(&tests.p_value[40..]));
    assert_eq!(tests, set_level(&statistics(40, 20, 0.5, 1.0, 6), 1.0, Seed(6)).unwrap());
}

#[test]
fn bad_input() {
    let error = |rows: &[ExampleStatistics]| set_level(rows, 1.0, Seed(1)).unwrap_err();
    assert_eq!(error(&[]), AttackError::NoFeatures);
    let one = statistics(4, 1, 0.5, 0.0, 1);
    assert_eq!(error(&one), AttackError::TooFewExamples { user_idx: 0, found: 1, needed: 2 });
    let few = statistics(1, 4, 0.5, 0.0, 1);
    assert_eq!(error(&few), AttackError::TooFewUsers { side: Side::HeldIn, found: 1, needed: 2 });
    let mut other = statistics(4, 4, 0.5, 0.0, 1);
    other[2].user.reverse();
    assert_eq!(error(&other), AttackError::OtherUsers { feature: 2 });
    let mut nan = statistics(4, 4, 0.5, 0.0, 1);
    nan[1].statistic[5] = f64::NAN;
    assert!(matches!(error(&nan), AttackError::NotFinite { column: "statistic", row: 5, .. }));
    let mut constant = statistics(4, 4, 0.5, 0.0, 1);
    constant.iter_mut().for_each(|rows| rows.statistic.fill(2.0));
    assert_eq!(error(&constant), AttackError::ConstantFeatures);
    let refused = set_level(&statistics(4, 4, 0.5, 0.0, 1), 0.0, Seed(1));
    assert_eq!(refused, Err(AttackError::Penalty { found: 0.0 }));
}
