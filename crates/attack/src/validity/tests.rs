//! The checks pass valid splits, void broken ones, and refuse bad input.

use expect_test::expect;
use proptest::prelude::*;
use rand::RngExt;
use userprint_core::{Seed, TextScores, UserIdx};
use userprint_stats::{Side, StatsError};

use super::*;
use crate::{Aggregate, AttackError, ExampleStatistics, LikelihoodRatio, LogLikelihood, ScoredExamples};

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

/// Examples whose target is the reference, `n_examples` of each user by turns.
fn of_reference(reference: &[f64], n_examples: [usize; 2]) -> ScoredExamples {
    let rows = || reference.iter().enumerate().flat_map(|row| vec![row; n_examples[row.0 % 2]]);
    let scores = TextScores {
        log_likelihood: rows().map(|row| *row.1).collect(),
        n_tokens: rows().map(|_| 7).collect(),
        ..TextScores::default()
    };
    let user: Vec<UserIdx> = rows().map(|row| UserIdx(row.0 as u32)).collect();
    let held_in = user.iter().map(|user| user.0 % 2 == 0).collect();
    ScoredExamples::new(user, held_in, scores.clone(), scores).unwrap()
}

proptest! {
    #[test]
    fn placebo_is_exactly_one_half(reference in prop::collection::vec(-90.0f64..=0.0, 2..20)) {
        for n_examples in [[2, 2], [1, 4]] {
            let examples = of_reference(&reference, n_examples);
            for aggregate in Aggregate::ALL.iter().filter(|aggregate| **aggregate != Aggregate::LogSumExp) {
                prop_assert_eq!(placebo(&examples, &LikelihoodRatio, *aggregate).unwrap(), 0.5);
                // Alone it tells users apart, so that the ratio takes its place.
                prop_assert_eq!(placebo(&examples, &LogLikelihood, *aggregate).unwrap(), 0.5);
            }
        }
    }
}

#[test]
fn placebo_fails_where_scores_are_mixed_up_or_examples_are_counted() {
    let by_user = [-10.0, -20.0, -10.0, -20.0];
    let more_of_held_in = of_reference(&by_user, [3, 2]);
    assert_eq!(placebo(&more_of_held_in, &LikelihoodRatio, Aggregate::LogSumExp), Ok(1.0));
    assert_eq!(placebo(&of_reference(&by_user, [2, 2]), &LikelihoodRatio, Aggregate::LogSumExp), Ok(0.5));
    // A reference table whose rows were shifted against the one in the target's place.
    let shifted = [-20.0, -10.0, -20.0, -10.0];
    assert_eq!(placebo(&examples(&by_user, &shifted), &LikelihoodRatio, Aggregate::Mean), Ok(1.0));
}

#[test]
fn null_ignores_the_target_and_sees_the_split() {
    let separated: Vec<f64> = (0..40).map(|user| if user % 2 == 0 { -10.0 } else { -20.0 }).collect();
    let mixed: Vec<f64> = (0..40).map(|user| -10.0 - f64::from(user / 2)).collect();
    let fair = null(&examples(&separated, &mixed)).unwrap();
    assert!(fair.auroc == 0.5 && fair.p_value == 1.0, "{fair:?}");
    let unfair = null(&examples(&mixed, &separated)).unwrap();
    assert!(unfair.auroc == 1.0 && unfair.p_value < 1e-6, "{unfair:?}");
    // The other direction counts, too.
    let reversed: Vec<f64> = separated.iter().map(|value| -30.0 - value).collect();
    assert!(null(&examples(&mixed, &reversed)).unwrap().p_value < 1e-6);
}

#[test]
fn one_side_alone_is_an_error() {
    let one_user = examples(&[-1.0], &[-1.0]);
    let expect = AttackError::Stats(StatsError::EmptySide { side: Side::HeldOut });
    assert_eq!(placebo(&one_user, &LikelihoodRatio, Aggregate::Mean), Err(expect.clone()));
    assert_eq!(null(&one_user), Err(expect.clone()));
    assert_eq!(blind(&[true], &|labels| vec![0.0; labels.len()], 1000, Seed(1)), Err(expect));
}

/// Scores drawn beforehand know no label: below .001 with chance .001 by construction.
#[test]
fn blind_passes_noise() {
    let mut rng = Seed(3).rng();
    let noise: Vec<f64> = (0..40).map(|_| rng.random()).collect();
    let held_in: Vec<bool> = (0..40).map(|user| user % 2 == 0).collect();
    let check = blind(&held_in, &|_| noise.clone(), 1000, Seed(1)).unwrap();
    assert!(check.p_value > 0.001, "{check:?}");
    assert_eq!(check, blind(&held_in, &|_| noise.clone(), 1000, Seed(1)).unwrap());
}

#[test]
fn blind_with_all_ties_has_p_one() {
    let check = blind(&[true, false, true], &|labels| vec![1.0; labels.len()], 1000, Seed(1)).unwrap();
    assert_eq!(check, BlindCheck { auroc: 0.5, p_value: 1.0, least_p_value: 1.0 / 3.0 });
}

/// A classifier that answers with the labels it was fitted to leaks, and does as well on shuffled ones.
#[test]
fn blind_is_not_fooled_by_a_leaking_classifier() {
    let leak = |labels: &[bool]| labels.iter().map(|&label| f64::from(label)).collect();
    let held_in: Vec<bool> = (0..40).map(|user| user % 2 == 0).collect();
    let check = blind(&held_in, &leak, 1000, Seed(1)).unwrap();
    assert_eq!(check, BlindCheck { auroc: 1.0, p_value: 1.0, least_p_value: 1.0 / 1001.0 });
}

#[test]
fn blind_refuses_bad_input() {
    let error = |classify: &(dyn Fn(&[bool]) -> Vec<f64> + Sync), permutations| {
        blind(&[true, false], classify, permutations, Seed(1)).unwrap_err().to_string()
    };
    expect!["999 permutations are too few for a check of validity, expected at least 1000"]
        .assert_eq(&error(&|_| vec![0.0, 1.0], 999));
    expect!["the blind classifier gave 1 scores for 2 users"].assert_eq(&error(&|_| vec![0.0], 1000));
    expect!["the statistics of the users cannot be judged"].assert_eq(&error(&|_| vec![0.0, f64::NAN], 1000));
}

/// Scores of 24 users, 12 a side, that differ by `shift` between the sides.
fn shifted(seed: Seed, shift: f64) -> Vec<f64> {
    let mut rng = seed.rng();
    (0..24).map(|user| rng.random::<f64>() + if user % 2 == 0 { shift } else { 0.0 }).collect()
}

/// Sides by turns.
fn by_turns() -> Vec<bool> {
    (0..24).map(|user| user % 2 == 0).collect()
}

fn null_of(by_user: &[f64]) -> NullCheck {
    let reference: Vec<f64> = by_user.iter().map(|value| value - 5.0).collect();
    null(&examples(&[-1.0; 24], &reference)).unwrap()
}

fn time_of(by_user: &[f64]) -> Checked<TimeShiftCheck> {
    time_shift(&by_turns(), &by_user.iter().copied().map(Some).collect::<Vec<_>>()).unwrap()
}

/// Four sources, by quarters of the unit interval.
fn source_of(by_user: &[f64], seed: Seed) -> Checked<SourceShiftCheck> {
    let source: Vec<_> = by_user.iter().map(|value| Some((value * 4.0) as u32)).collect();
    source_shift(&by_turns(), &source, 1000, seed).unwrap()
}

/// The examples of 24 users, three each, with every example of held-in users above every one of held-out users.
fn found() -> ExampleStatistics {
    let user: Vec<UserIdx> = (0..72).map(|row| UserIdx(row / 3)).collect();
    let held_in: Vec<bool> = user.iter().map(|user| user.0 % 2 == 0).collect();
    let statistic = held_in.iter().zip(0..).map(|(&held_in, row)| f64::from(row) + 99.0 * f64::from(held_in));
    ExampleStatistics {
        name: "found".to_owned(),
        statistic: statistic.collect(),
        n_tokens: vec![1; user.len()],
        user,
        held_in,
    }
}

/// A run in which every check is made; users are alike on both sides.
fn sound(seed: Seed) -> Validity {
    let noise = |name: &str| shifted(seed.named(name), 0.0);
    let scores = noise("blind");
    Validity {
        placebo: 0.5,
        null: null_of(&noise("null")),
        blind: blind(&by_turns(), &|_| scores.clone(), 1000, seed).unwrap(),
        shared_users: 0,
        leakage: Checked::Done(leakage(&found(), Aggregate::Mean, &[false; 72]).unwrap()),
        time_shift: time_of(&noise("time")),
        source_shift: source_of(&noise("source"), seed),
        resolution: resolution(12, &[(0.01, None), (0.1, Some(0.5))]),
    }
}

/// The promise of the family: a sound run is void with chance at most .01.
///
/// 600 sound runs with four independent p-values each. More than 17 void runs would be an alarm; at a true rate of
/// .01 its chance is that of a Poisson variable of mean 6 above 17, 6e-5.
#[test]
fn sound_runs_are_seldom_void() {
    let n_void =
        (0..600).filter(|&run| !sound(Seed(21).indexed(run)).void_reasons().unwrap().is_empty()).count();
    assert!(n_void <= 17, "{n_void} of 600 sound runs are void");
}

/// The seed's run is sound, so what voids the changed one is the change.
#[track_caller]
fn check_void(change: impl FnOnce(&mut Validity), expect: expect_test::Expect) {
    let mut validity = sound(Seed(3));
    assert_eq!(validity.void_reasons().unwrap(), Vec::<String>::new());
    change(&mut validity);
    expect.assert_eq(&validity.void_reasons().unwrap().join("\n"));
}

#[test]
fn a_placebo_that_finds_something_voids() {
    check_void(
        |v| v.placebo = 0.25,
        expect!["with the reference in the place of the target the AUROC is 0.25, not exactly .5"],
    );
    check_void(
        |v| v.placebo = f64::NAN,
        expect!["with the reference in the place of the target the AUROC is NaN, not exactly .5"],
    );
}

#[test]
fn a_reference_that_finds_something_voids() {
    check_void(
        |v| v.null = null_of(&shifted(Seed(4), 0.7)),
        expect![
            "the reference alone tells held-in from held-out users: AUROC 0.972, p = 0.000009, over all checks 0.000036, not above .01"
        ],
    );
    check_void(
        |v| v.null = null_of(&shifted(Seed(4), -0.7)),
        expect![
            "the reference alone tells held-in from held-out users: AUROC 0.097, p = 0.000371, over all checks 0.001485, not above .01"
        ],
    );
}

#[test]
fn texts_that_give_the_split_away_void() {
    let held_in = by_turns();
    let dates = |_: &[bool]| shifted(Seed(5), 0.7);
    check_void(
        |v| v.blind = blind(&held_in, &dates, 1000, Seed(1)).unwrap(),
        expect![
            "a classifier that sees no model tells held-in from held-out users: AUROC 0.931, p = 0.000999, over all checks 0.003996, not above .01"
        ],
    );
}

#[test]
fn shared_users_void() {
    check_void(|v| v.shared_users = 2, expect!["2 users are held-in and held-out"]);
}

#[test]
fn another_time_voids() {
    check_void(
        |v| v.time_shift = time_of(&shifted(Seed(6), 0.7)),
        expect![
            "held-in users wrote later than held-out users: AUROC 0.979, p = 0.000005, over all checks 0.000021, not above .01"
        ],
    );
    check_void(
        |v| v.time_shift = time_of(&shifted(Seed(6), -0.7)),
        expect![
            "held-in users wrote earlier than held-out users: AUROC 0.132, p = 0.001433, over all checks 0.005730, not above .01"
        ],
    );
}

#[test]
fn another_source_voids() {
    check_void(
        |v| v.source_shift = source_of(&shifted(Seed(7), 0.8), Seed(1)),
        expect![
            "held-in and held-out users come from different sources: chi-square 18.0 over 7 sources, p = 0.001998, over all checks 0.007992, not above .01"
        ],
    );
}

#[test]
fn a_rate_that_is_too_fine_voids() {
    check_void(
        |v| v.resolution = resolution(12, &[(0.05, Some(0.1)), (0.01, Some(0.1))]),
        expect![
            "a true positive rate is printed at a false positive rate of 0.01, which 12 held-out users cannot show"
        ],
    );
    let nobody = resolution(0, &[(0.5, Some(1.0))]);
    assert_eq!(nobody.overclaimed, [0.5]);
    assert!(resolution(4, &[(0.25, Some(1.0))]).overclaimed.is_empty());
}

#[test]
fn copies_of_training_examples_void() {
    let leak = |flagged: &dyn Fn(usize) -> bool| {
        let flags: Vec<bool> = (0..72).map(flagged).collect();
        Checked::Done(leakage(&found(), Aggregate::Mean, &flags).unwrap())
    };
    // Two of the 36 examples of held-in users, and any number of the others.
    check_void(
        |v| v.leakage = leak(&|row| row < 2),
        expect![
            "2 of 36 attack examples of held-in users are near-duplicates of training examples, a share of 0.056, more than .05 above the 0.000 of held-out users"
        ],
    );
    check_void(
        |v| v.leakage = leak(&|row| row % 6 < 3),
        expect![
            "36 of 36 attack examples of held-in users are near-duplicates of training examples, a share of 1.000, more than .05 above the 0.000 of held-out users"
        ],
    );
    check_void(
        |v| v.leakage = leak(&|row| row % 6 >= 3),
        expect!["a side has no attack example that is not a near-duplicate of a training example"],
    );
    let one = leak(&|row| row == 0);
    let of_held_out = leak(&|row| row == 3 || row == 9);
    assert!(of_held_out.done().is_some_and(|check| check.n_held_out_duplicates == 2), "{of_held_out:?}");
    check_void(|v| v.leakage = one, expect![[""]]);
}

/// A third of all examples are near-duplicates on either side, as "Thanks" is: nothing is void.
#[test]
fn what_everybody_writes_does_not_void() {
    let flags: Vec<bool> = (0..72).map(|row| row % 3 == 0).collect();
    let check = leakage(&found(), Aggregate::Mean, &flags).unwrap();
    assert_eq!((check.held_in_share(), check.held_out_share()), (1.0 / 3.0, 1.0 / 3.0));
    check_void(|v| v.leakage = Checked::Done(check), expect![[""]]);
    // Two more of held-in users are beyond what everybody writes, by 2 of 36.
    let flags: Vec<bool> = (0..72).map(|row| row % 3 == 0 || row == 1 || row == 7).collect();
    let check = leakage(&found(), Aggregate::Mean, &flags).unwrap();
    check_void(
        |v| v.leakage = Checked::Done(check),
        expect![
            "14 of 36 attack examples of held-in users are near-duplicates of training examples, a share of 0.389, more than .05 above the 0.333 of held-out users"
        ],
    );
}

/// One copied example of a held-in user in 40 carries the attack: the share is small, the number is not its own.
#[test]
fn a_number_that_rests_on_copies_voids() {
    let user: Vec<UserIdx> = (0..1600).map(|row| UserIdx(row / 40)).collect();
    let held_in: Vec<bool> = user.iter().map(|user| user.0 % 2 == 0).collect();
    let is_copy: Vec<bool> = (0..1600).map(|row| row % 40 == 0 && held_in[row]).collect();
    let statistic =
        (0..1600).map(|row: u32| f64::from(row / 80) + if is_copy[row as usize] { 999.0 } else { 0.0 });
    let rows = ExampleStatistics {
        name: "found".to_owned(),
        statistic: statistic.collect(),
        n_tokens: vec![1; user.len()],
        user,
        held_in,
    };
    let check = leakage(&rows, Aggregate::Mean, &is_copy).unwrap();
    assert_eq!((check.auroc, check.auroc_without), (1.0, Some(0.5)));
    assert_eq!((check.held_in_share(), check.n_users_left_out), (0.025, 0));
    assert_eq!((check.n_held_out, check.n_held_out_duplicates), (800, 0));
    check_void(
        |v| v.leakage = Checked::Done(check),
        expect![
            "without near-duplicates of training examples the AUROC is 0.500, outside the 95 % interval 0.899 to 1.000 with them"
        ],
    );
}

/// What was not checked is said, and does not void.
#[test]
fn a_missing_check_is_not_silent() {
    let mut validity = sound(Seed(3));
    validity.leakage = Checked::Not(Missing::TrainingTexts);
    validity.time_shift = time_shift(&by_turns(), &[None; 24]).unwrap();
    validity.source_shift = source_shift(&by_turns(), &[None; 24], 1000, Seed(1)).unwrap();
    let lines = validity.verdicts().unwrap().into_iter().map(|verdict| match verdict.outcome {
        Outcome::Passed => format!("{}: passed", verdict.check.name()),
        Outcome::Void(reason) => format!("{}: {reason}", verdict.check.name()),
        Outcome::NotChecked(missing) => format!("{}: not checked, {missing}", verdict.check.name()),
    });
    expect![[r#"
        placebo: passed
        null: passed
        blind: passed
        shared_users: passed
        leakage: not checked, the training examples are not at hand
        time_shift: not checked, the corpus has no timestamps
        source_shift: not checked, the corpus does not say where its examples come from
        resolution: passed"#]]
    .assert_eq(&lines.collect::<Vec<_>>().join("\n"));
    let mut times: Vec<_> = shifted(Seed(3), 0.0).into_iter().map(Some).collect();
    times[5] = None;
    let found = time_shift(&by_turns(), &times).unwrap();
    assert!(found.done().is_some_and(|check| check.n_unknown == 1), "{found:?}");
    let one_side: Vec<_> = by_turns().iter().map(|&held_in| held_in.then_some(1.0)).collect();
    let found = time_shift(&by_turns(), &one_side).unwrap();
    assert_eq!(found, Checked::Not(Missing::TimestampsOfOneSide));
    let found = source_shift(&by_turns(), &[Some(4); 24], 1000, Seed(1)).unwrap();
    assert_eq!(found, Checked::Not(Missing::SecondSource));
    let own: Vec<_> = (0..24).map(Some).collect();
    let found = source_shift(&by_turns(), &own, 1000, Seed(1)).unwrap();
    assert_eq!(found, Checked::Not(Missing::SourceOfTwo));
}

/// Of five users a side the widest split has p = 2 / 252, above a fourth of .01: nothing could void.
#[test]
fn too_few_users_are_not_a_pass() {
    let outcome_of_null = |n_users: usize| {
        let apart: Vec<f64> = (0..n_users).map(|user| if user % 2 == 0 { -10.0 } else { -20.0 }).collect();
        let by_turns: Vec<f64> = (0..n_users).map(|user| -10.0 - (user / 2) as f64).collect();
        let target = vec![-1.0; n_users];
        [&apart, &by_turns].map(|reference| {
            let mut validity = sound(Seed(3));
            validity.null = null(&examples(&target, reference)).unwrap();
            validity.verdicts().unwrap()[1].outcome.clone()
        })
    };
    assert_eq!(
        outcome_of_null(10),
        [Outcome::NotChecked(Missing::Users), Outcome::NotChecked(Missing::Users)]
    );
    let [apart, by_turns] = outcome_of_null(24);
    assert!(matches!(apart, Outcome::Void(_)) && by_turns == Outcome::Passed, "{apart:?} {by_turns:?}");
    assert_eq!(share_of_one_split(5, 5), 1.0 / 252.0);
    assert_eq!(share_of_one_split(2, 8), 1.0 / 45.0);
}

/// Four p-values of .004 are no evidence together where one alone would be.
#[test]
fn p_values_share_one_level() {
    let p_values = |p_value: f64| {
        let mut validity = sound(Seed(3));
        validity.null.p_value = p_value;
        validity.blind.p_value = p_value;
        let Checked::Done(time) = validity.time_shift else { unreachable!() };
        validity.time_shift = Checked::Done(TimeShiftCheck { p_value, ..time });
        let Checked::Done(source) = validity.source_shift else { unreachable!() };
        validity.source_shift = Checked::Done(SourceShiftCheck { p_value, ..source });
        validity
    };
    assert_eq!(p_values(0.004).void_reasons().unwrap().len(), 0);
    assert_eq!(p_values(0.0025).void_reasons().unwrap().len(), 4);
    // Holm, not Bonferroni: three of .001 go first, so that .01 is enough for the fourth.
    let mut validity = p_values(0.001);
    validity.null.p_value = 0.01;
    assert_eq!(validity.void_reasons().unwrap().len(), 4);
    assert!(matches!(p_values(f64::NAN).void_reasons(), Err(AttackError::Stats(_))));
    assert!(matches!(p_values(1.5).void_reasons(), Err(AttackError::Stats(_))));
}

/// Pearson's statistic by its definition over both sides, the permutation p-value by going through all splits.
#[test]
fn sources_agree_with_the_definition() {
    let source = [0, 0, 1, 1, 1, 2, 2, 0].map(Some);
    let held_in = [true, true, false, true, false, false, false, true];
    let chi_square = |held_in: &[bool]| {
        let mut sum = 0.0;
        for kind in 0..3 {
            for side in [true, false] {
                let n_side = held_in.iter().filter(|&&held_in| held_in == side).count();
                let n_kind = source.iter().filter(|&&source| source == Some(kind)).count();
                let expected = (n_side * n_kind) as f64 / 8.0;
                let both = held_in.iter().zip(source).filter(|row| *row.0 == side && row.1 == Some(kind));
                sum += (both.count() as f64 - expected).powi(2) / expected;
            }
        }
        sum
    };
    let splits = (0..256_u32).map(|bits| (0..8).map(|user| bits >> user & 1 == 1).collect::<Vec<_>>());
    let splits: Vec<_> =
        splits.filter(|split| split.iter().filter(|&&held_in| held_in).count() == 4).collect();
    let observed = chi_square(&held_in);
    let as_high = splits.iter().filter(|split| chi_square(split) >= observed - 1e-9).count();
    let exact = as_high as f64 / splits.len() as f64;
    let Checked::Done(check) = source_shift(&held_in, &source, 4000, Seed(8)).unwrap() else {
        unreachable!()
    };
    assert!((check.chi_square - observed).abs() < 1e-12, "{check:?}");
    // Five standard errors: a false alarm with chance below 1e-6.
    let error = 5.0 * f64::sqrt(exact * (1.0 - exact) / 4000.0);
    assert!((check.p_value - exact).abs() < error, "{} {exact}", check.p_value);
}

/// scipy's statistic, made by `fixtures/generate/user_level.py`.
#[test]
fn sources_agree_with_scipy() {
    let golden = include_str!("../../../../fixtures/user_level/golden.json");
    let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
    for case in golden["sources"].as_array().unwrap() {
        let held_in: Vec<bool> =
            case["held_in"].as_array().unwrap().iter().map(|value| value.as_bool().unwrap()).collect();
        let source = case["source"].as_array().unwrap().iter();
        let source: Vec<_> = source.map(|value| Some(value.as_u64().unwrap() as u32)).collect();
        let Checked::Done(check) = source_shift(&held_in, &source, 1000, Seed(8)).unwrap() else {
            unreachable!()
        };
        let expected = case["chi_square"].as_f64().unwrap();
        assert!((check.chi_square - expected).abs() < 1e-12 * expected.max(1.0), "{check:?} {expected}");
    }
}

/// Users without a source are a source, so a side that lacks it is found.
#[test]
fn an_unknown_source_counts() {
    let source: Vec<_> = by_turns().iter().map(|&held_in| held_in.then_some(1)).collect();
    let Checked::Done(check) = source_shift(&by_turns(), &source, 1000, Seed(8)).unwrap() else {
        unreachable!()
    };
    assert_eq!((check.n_sources, check.n_unknown), (1, 12));
    assert!(check.p_value < 0.001, "{check:?}");
}

#[test]
fn shifts_refuse_bad_input() {
    let time = |held_in: &[bool], time: &[Option<f64>]| time_shift(held_in, time).unwrap_err().to_string();
    expect!["column `time` has 1 entries, expected 2"].assert_eq(&time(&[true, false], &[Some(1.0)]));
    expect!["row 1 of column `time` is inf, expected a finite number"]
        .assert_eq(&time(&[true, false], &[None, Some(f64::INFINITY)]));
    let source = |held_in: &[bool], permutations| {
        source_shift(held_in, &[Some(1), Some(2)], permutations, Seed(1)).unwrap_err()
    };
    expect!["column `source` has 2 entries, expected 1"].assert_eq(&source(&[true], 1000).to_string());
    expect!["999 permutations are too few for a check of validity, expected at least 1000"]
        .assert_eq(&source(&[true, false], 999).to_string());
    let expected = AttackError::Stats(StatsError::EmptySide { side: Side::HeldOut });
    assert_eq!(source(&[true, true], 1000), expected);
    let error = leakage(&found(), Aggregate::Mean, &[false]).unwrap_err();
    expect!["column `is_near_duplicate` has 1 entries, expected 72"].assert_eq(&error.to_string());
    let one_side = ExampleStatistics { held_in: vec![true; 72], ..found() };
    assert_eq!(leakage(&one_side, Aggregate::Mean, &[false; 72]).unwrap_err(), expected);
}
