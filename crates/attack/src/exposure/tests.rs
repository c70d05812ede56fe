//! Factors that drive a statistic are found, those that do not are not, and what is undefined is said.

use expect_test::expect;
use rand::RngExt;
use userprint_core::{Seed, UserIdx};

use super::*;
use crate::per_user;

/// 60 users, the first half held-in, whose statistic is `strength` times a driver, for held-in users, and noise.
fn driven(seed: Seed, strength: f64) -> (UserStatistics, [FactorColumn; 3]) {
    let mut rng = seed.rng();
    let mut column = || (0..60).map(|_| rng.random::<f64>()).collect::<Vec<_>>();
    let (driver, idle, noise) = (column(), column(), column());
    let held_in: Vec<bool> = (0..60).map(|user| user < 30).collect();
    let effect = |user: usize| if held_in[user] { strength * driver[user] } else { 0.0 };
    let users = UserStatistics {
        user: (0..60).map(UserIdx).collect(),
        statistic: (0..60).map(|user| effect(user) + noise[user]).collect(),
        held_in: held_in.clone(),
        n_examples: vec![1; 60],
    };
    let constant = FactorColumn { factor: Factor::Duplicates, value: vec![Some(3.0); 60] };
    let known =
        |factor, value: Vec<f64>| FactorColumn { factor, value: value.into_iter().map(Some).collect() };
    (users, [known(Factor::PhraseOverlap, driver), known(Factor::ReferenceLoss, idle), constant])
}

/// Held-out users show whether a factor moves the statistic without training: here it does not.
///
/// One seeded draw; an idle factor falls below .05 after adjustment with chance .05 for each of the four questions.
#[test]
fn a_driver_is_told_from_an_idle_factor() {
    let (users, columns) = driven(Seed(41), 3.0);
    let found = exposure(&users, &per_user(&users, 0.2).unwrap(), &columns).unwrap();
    let [driver, idle, constant] = &found[..] else { unreachable!() };
    let held_in = driver.held_in.as_ref().unwrap();
    assert!(held_in.estimate > 0.8 && held_in.interval.lower > 0.5, "{held_in:?}");
    assert!(held_in.adjusted_p_value < 1e-6 && held_in.n_users == 30, "{held_in:?}");
    assert!(driver.detected.as_ref().unwrap().interval.lower > 0.5, "{driver:?}");
    assert!(driver.held_out.as_ref().unwrap().adjusted_p_value > 0.05, "{driver:?}");
    assert_eq!(driver.all.as_ref().unwrap().n_users, 60);
    for answer in [&idle.held_in, &idle.held_out, &idle.all, &idle.detected] {
        assert!(answer.as_ref().unwrap().adjusted_p_value > 0.05, "{idle:?}");
    }
    for answer in [&constant.held_in, &constant.held_out, &constant.all, &constant.detected] {
        let error = answer.as_ref().unwrap_err();
        assert!(matches!(error, AttackError::Stats(StatsError::ConstantColumn { .. })), "{error:?}");
    }
}

/// The numbers are those of the tests applied to the held-in rows, adjusted over the two factors that vary.
#[test]
fn answers_are_those_of_the_tests() {
    let (users, columns) = driven(Seed(42), 2.0);
    let decisions = per_user(&users, 0.2).unwrap();
    let found = exposure(&users, &decisions, &columns).unwrap();
    let value = |column: usize| columns[column].value.iter().flatten().copied().collect::<Vec<_>>();
    let p_values = [0, 1].map(|column| {
        let expected = spearman(&value(column)[..30], &users.statistic[..30], 0.05).unwrap();
        let answer = found[column].held_in.as_ref().unwrap();
        assert_eq!((answer.estimate, answer.interval), (expected.coefficient, expected.interval));
        expected.p_value
    });
    let adjusted = [0, 1].map(|column| found[column].held_in.as_ref().unwrap().adjusted_p_value);
    assert_eq!(adjusted.to_vec(), holm_adjusted(&p_values).unwrap());
    // The chance that a detected user has more of the driver, by pairs.
    let (mut won, mut pairs) = (0, 0);
    for a in (0..30).filter(|&user| decisions.is_detected[user]) {
        for b in (0..30).filter(|&user| !decisions.is_detected[user]) {
            pairs += 1;
            won += usize::from(value(0)[a] > value(0)[b]);
        }
    }
    assert_eq!(found[0].detected.as_ref().unwrap().estimate, won as f64 / pairs as f64);
}

/// Three factors that drive nothing: some adjusted p-value of held-in users is below .05 with chance at most .05.
///
/// 400 experiments; more than 38 would be an alarm. Of a binomial variable of mean 20 its chance is below 1e-4.
#[test]
fn idle_factors_are_seldom_found() {
    let n_found = (0..400).filter(|&run| {
        let (users, columns) = driven(Seed(43).indexed(run), 0.0);
        let found = exposure(&users, &per_user(&users, 0.2).unwrap(), &columns).unwrap();
        found.iter().flat_map(|row| &row.held_in).any(|answer| answer.adjusted_p_value <= 0.05)
    });
    let n_found = n_found.count();
    assert!(n_found <= 38, "{n_found} of 400");
}

#[test]
fn what_is_undefined_is_said() {
    let (users, mut columns) = driven(Seed(41), 0.0);
    columns[0].value = vec![None; 60];
    columns[1].value[..28].fill(None);
    let found = exposure(&users, &per_user(&users, 0.001).unwrap(), &columns).unwrap();
    let line = |answer: &Result<Association, AttackError>| match answer {
        Ok(answer) => format!("{} users", answer.n_users),
        Err(AttackError::Stats(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let lines = found.iter().map(|row| {
        format!(
            "{}: {}; {}; {}\n",
            row.factor.name(),
            line(&row.held_in),
            line(&row.all),
            line(&row.detected)
        )
    });
    expect![[r#"
        phrase_overlap: column `x` is empty; column `x` is empty; 0 of 0 held-in users are detected, expected some and not all
        reference_loss: expected at least 4 rows, found 2; 32 users; 0 of 2 held-in users are detected, expected some and not all
        n_duplicates: column `x` is 3 in every row; column `x` is 3 in every row; 0 of 30 held-in users are detected, expected some and not all
    "#]].assert_eq(&lines.collect::<String>());
    assert_eq!(exposure(&users, &per_user(&users, 0.2).unwrap(), &[]).unwrap(), []);
}

#[test]
fn bad_input() {
    let (users, columns) = driven(Seed(41), 1.0);
    let decisions = per_user(&users, 0.2).unwrap();
    let error = |column: FactorColumn| exposure(&users, &decisions, &[column]).unwrap_err().to_string();
    let mut short = columns[0].clone();
    short.value.pop();
    expect!["column `phrase_overlap` has 59 entries, expected 60"].assert_eq(&error(short));
    let mut nan = columns[0].clone();
    nan.value[7] = Some(f64::NAN);
    expect!["row 7 of column `phrase_overlap` is NaN, expected a finite number"].assert_eq(&error(nan));
    let mut torn = decisions.clone();
    torn.is_detected.pop();
    expect!["column `is_detected` has 59 entries, expected 60"]
        .assert_eq(&exposure(&users, &torn, &columns).unwrap_err().to_string());
}
