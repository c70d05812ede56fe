//! The checks pass valid splits, void broken ones, and refuse bad input.

use expect_test::expect;
use proptest::prelude::*;
use rand::RngExt;
use userprint_core::{Seed, TextScores, UserIdx};
use userprint_stats::{Interval, Side, StatsError};

use super::*;
use crate::{AttackError, ScoredExamples};

/// Two examples a user, even users held-in; `target` and `reference` by user.
fn examples(target: &[f64], reference: &[f64]) -> ScoredExamples {
    let scores = |by_user: &[f64]| TextScores {
        log_likelihood: by_user.iter().flat_map(|&value| [value, value / 3.0]).collect(),
        n_tokens: (0..by_user.len()).flat_map(|_| [7, 5]).collect(),
        ..TextScores::default()
    };
    let user: Vec<UserIdx> = (0..).take(target.len()).flat_map(|user| [UserIdx(user); 2]).collect();
    let held_in = user.iter().map(|user| user.0 % 2 == 0).collect();
    ScoredExamples::new(user, held_in, scores(target), scores(reference)).unwrap()
}

proptest! {
    #[test]
    fn placebo_is_exactly_one_half(rows in prop::collection::vec((-90.0f64..=0.0, -90.0f64..=0.0), 2..20)) {
        let (target, reference): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
        prop_assert_eq!(placebo(&examples(&target, &reference)).unwrap(), 0.5);
    }
}

#[test]
fn null_ignores_the_target_and_sees_the_split() {
    let separated: Vec<f64> = (0..40).map(|user| if user % 2 == 0 { -10.0 } else { -20.0 }).collect();
    let mixed: Vec<f64> = (0..40).map(|user| -10.0 - f64::from(user / 2)).collect();
    let fair = null(&examples(&separated, &mixed)).unwrap();
    assert!(fair.auroc == 0.5 && !fair.void, "{fair:?}");
    let unfair = null(&examples(&mixed, &separated)).unwrap();
    assert!(unfair.auroc == 1.0 && unfair.void, "{unfair:?}");
    // The other direction voids, too.
    let reversed: Vec<f64> = separated.iter().map(|value| -30.0 - value).collect();
    assert!(null(&examples(&mixed, &reversed)).unwrap().void);
}

#[test]
fn one_side_alone_is_an_error() {
    let one_user = examples(&[-1.0], &[-1.0]);
    let expect = AttackError::Stats(StatsError::EmptySide { side: Side::HeldOut });
    assert_eq!(placebo(&one_user), Err(expect.clone()));
    assert_eq!(null(&one_user), Err(expect.clone()));
    assert_eq!(blind(&[true], &|labels| vec![0.0; labels.len()], 1000, Seed(1)), Err(expect));
}

/// Scores drawn beforehand know no label: void with chance .001 by construction.
#[test]
fn blind_passes_noise() {
    let mut rng = Seed(3).rng();
    let noise: Vec<f64> = (0..40).map(|_| rng.random()).collect();
    let held_in: Vec<bool> = (0..40).map(|user| user % 2 == 0).collect();
    let check = blind(&held_in, &|_| noise.clone(), 1000, Seed(1)).unwrap();
    assert!(!check.void && check.p_value > 0.001, "{check:?}");
    assert_eq!(check, blind(&held_in, &|_| noise.clone(), 1000, Seed(1)).unwrap());
}

#[test]
fn blind_with_all_ties_has_p_one() {
    let check = blind(&[true, false, true], &|labels| vec![1.0; labels.len()], 1000, Seed(1)).unwrap();
    assert_eq!(check, BlindCheck { auroc: 0.5, p_value: 1.0, void: false });
}

/// A classifier that answers with the labels it was fitted to leaks, and does as well on shuffled ones.
#[test]
fn blind_is_not_fooled_by_a_leaking_classifier() {
    let leak = |labels: &[bool]| labels.iter().map(|&label| f64::from(label)).collect();
    let held_in: Vec<bool> = (0..40).map(|user| user % 2 == 0).collect();
    let check = blind(&held_in, &leak, 1000, Seed(1)).unwrap();
    assert_eq!(check, BlindCheck { auroc: 1.0, p_value: 1.0, void: false });
}

#[test]
fn blind_refuses_bad_input() {
    let error = |classify: &(dyn Fn(&[bool]) -> Vec<f64> + Sync), permutations| {
        blind(&[true, false], classify, permutations, Seed(1)).unwrap_err().to_string()
    };
    expect!["999 permutations cannot show a p-value below .001, expected at least 1000"]
        .assert_eq(&error(&|_| vec![0.0, 1.0], 999));
    expect!["the blind classifier gave 1 scores for 2 users"].assert_eq(&error(&|_| vec![0.0], 1000));
    expect!["the statistics of the users cannot be judged"].assert_eq(&error(&|_| vec![0.0, f64::NAN], 1000));
}

#[test]
fn reasons_carry_the_numbers() {
    let interval = Interval { lower: 0.6, upper: 0.9 };
    let mut validity = Validity {
        placebo: 0.25,
        null: NullCheck { auroc: 0.75, interval, void: true },
        blind: BlindCheck { auroc: 0.5, p_value: 0.4, void: false },
    };
    expect![[r#"
        with the reference in the place of the target the AUROC is 0.25, not exactly .5
        the reference alone tells held-in from held-out users: AUROC 0.750, 99.9 % interval 0.600 to 0.900"#]]
    .assert_eq(&validity.void_reasons().join("\n"));
    validity.placebo = 0.5;
    validity.null.void = false;
    assert!(validity.void_reasons().is_empty());
}
