//! Draws are uniform and nested, and the curve ends where the attack with all examples is.

use expect_test::expect;
use rand::RngExt;
use userprint_core::UserIdx;
use userprint_stats::Roc;

use super::*;
use crate::evaluate;

/// Users by turns on the two sides, with numbers of examples as told; held-in examples lie higher by `shift`.
fn rows(n_examples: &[usize], shift: f64, seed: Seed) -> ExampleStatistics {
    let mut rng = seed.rng();
    let mut rows = ExampleStatistics::default();
    for (user, &n) in (0..).zip(n_examples) {
        for _ in 0..n {
            rows.user.push(UserIdx(user));
            rows.held_in.push(user % 2 == 0);
            rows.n_tokens.push(1 + rng.random_range(0..9));
            rows.statistic.push(rng.random::<f64>() + if user % 2 == 0 { shift } else { 0.0 });
        }
    }
    rows
}

/// With as many examples as anyone has it is the attack itself, whatever the draw.
#[test]
fn ends_at_the_attack_with_all_examples() {
    let rows = rows(&[3, 5, 8, 1, 4, 6], 0.1, Seed(51));
    for &aggregate in Aggregate::ALL {
        let all = evaluate(&rows.aggregated(aggregate).unwrap(), 10, Seed(1)).unwrap();
        let curve = knowledge_curve(&rows, aggregate, &[8, 100], 20, Seed(1)).unwrap();
        for point in &curve {
            assert!((point.mean - all.auroc).abs() < 1e-12 && point.std_dev < 1e-12, "{point:?}");
        }
        assert_eq!((curve[0].n_held_in_short, curve[0].n_held_out_short), (2, 3));
        assert_eq!((curve[1].n_held_in_short, curve[1].n_held_out_short), (3, 3));
    }
}

/// The mean and the deviation over draws are those over all pairs of subsets.
///
/// 4000 draws, five standard errors of a mean of numbers in [0, 1] with the exact deviation: a false alarm with
/// chance below 1e-6.
#[test]
fn draws_are_uniform() {
    let rows = ExampleStatistics {
        name: "mine".to_owned(),
        n_tokens: vec![1; 7],
        user: [0, 0, 0, 0, 1, 1, 1].map(UserIdx).to_vec(),
        held_in: [true, true, true, true, false, false, false].to_vec(),
        statistic: vec![0.0, 5.0, 7.0, 1.0, 4.0, 2.0, 6.0],
    };
    let sums = |values: &[f64]| {
        let pairs = (0..values.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        pairs.map(|(a, b)| values[a] + values[b]).collect::<Vec<f64>>()
    };
    let (held_in, held_out) = (sums(&rows.statistic[..4]), sums(&rows.statistic[4..]));
    let roc = Roc::new(&held_in, &held_out).unwrap();
    let variance = |values: &[f64], mean: f64| {
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
    };
    let won: Vec<f64> = held_in
        .iter()
        .flat_map(|a| {
            held_out.iter().map(move |b| {
                if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                }
            })
        })
        .collect();
    let deviation = variance(&won, roc.auroc()).sqrt();
    let point = knowledge_curve(&rows, Aggregate::Mean, &[2], 4000, Seed(2)).unwrap()[0];
    assert!(
        (point.mean - roc.auroc()).abs() < 5.0 * deviation / 4000_f64.sqrt(),
        "{point:?} {}",
        roc.auroc()
    );
    assert!((point.std_dev - deviation).abs() < 0.02, "{point:?} {deviation}");
}

/// Of 200 users whose sides differ by half of a deviation, more is found with more, and the draw matters less.
///
/// The AUROC is near .64, .68, .78 and .87, with standard errors over draws of .0035 and less; the deviations of the
/// first and the last are near .034 and .012. False alarms lie beyond five standard errors of each.
#[test]
fn more_examples_find_more() {
    let rows = rows(&[12; 200], 0.15, Seed(52));
    let steps = knowledge_steps(&rows).unwrap();
    assert_eq!(steps, [1, 2, 5, 10]);
    let curve = knowledge_curve(&rows, Aggregate::Mean, &steps, 100, Seed(3)).unwrap();
    assert!(curve.windows(2).all(|pair| pair[1].mean > pair[0].mean + 0.02), "{curve:?}");
    assert!(curve[3].std_dev < curve[0].std_dev / 2.0, "{curve:?}");
    assert_eq!(curve, knowledge_curve(&rows, Aggregate::Mean, &steps, 100, Seed(3)).unwrap());
    assert_ne!(curve, knowledge_curve(&rows, Aggregate::Mean, &steps, 100, Seed(4)).unwrap());
}

/// Of two draws the deviation is their distance over the root of 2, with divisor `draws - 1`.
///
/// One held-in user beside one held-out: the AUROC of a draw is 0 or 1, so two draws that differ show it; some seed
/// of 20 does with chance above 1 - 1e-6.
#[test]
fn the_deviation_is_that_of_a_sample() {
    let rows = ExampleStatistics {
        name: "two".to_owned(),
        user: [0, 0, 1].map(UserIdx).to_vec(),
        held_in: vec![true, true, false],
        n_tokens: vec![1; 3],
        statistic: vec![0.0, 2.0, 1.0],
    };
    let points = (0..20).map(|seed| knowledge_curve(&rows, Aggregate::Mean, &[1], 2, Seed(seed)).unwrap()[0]);
    let apart: Vec<_> = points.filter(|point| point.mean == 0.5).collect();
    assert!(!apart.is_empty() && apart.iter().all(|point| (point.std_dev - 0.5_f64.sqrt()).abs() < 1e-12));
}

#[test]
fn bad_input() {
    let rows = rows(&[2, 2], 0.0, Seed(53));
    let error = |n_examples: &[u32], draws| {
        knowledge_curve(&rows, Aggregate::Mean, n_examples, draws, Seed(1)).unwrap_err()
    };
    assert_eq!(error(&[1, 0], 100), AttackError::NoExamples);
    assert_eq!(error(&[1], 1), AttackError::Stats(StatsError::TooFewResamples { found: 1, needed: 2 }));
    assert_eq!(knowledge_curve(&rows, Aggregate::Mean, &[], 2, Seed(1)), Ok(vec![]));
    let one_side = ExampleStatistics { held_in: vec![true; 4], ..rows.clone() };
    assert!(matches!(
        knowledge_curve(&one_side, Aggregate::Mean, &[1], 2, Seed(1)),
        Err(AttackError::Stats(StatsError::EmptySide { .. }))
    ));
    let nan = ExampleStatistics { statistic: vec![f64::NAN; 4], ..rows.clone() };
    let error = knowledge_curve(&nan, Aggregate::Mean, &[1], 2, Seed(1)).unwrap_err();
    expect!["row 0 of column `statistic` is NaN, expected a finite number"].assert_eq(&error.to_string());
    assert_eq!(knowledge_steps(&ExampleStatistics::default()), Ok(vec![]));
}
