//! Combines what no feature has alone, finds nothing where there is nothing, and never sees its own users.

use userprint_core::UserIdx;
use userprint_stats::{Roc, Side};

use super::*;
use crate::normal::normal;
use crate::result::split;

const SETTINGS: LearnedSettings = LearnedSettings { n_folds: 5, penalty: 1.0 };

fn feature(held_in: &[bool], statistic: Vec<f64>) -> UserStatistics {
    UserStatistics {
        user: (0..).take(held_in.len()).map(UserIdx).collect(),
        held_in: held_in.to_vec(),
        statistic,
        n_examples: vec![1; held_in.len()],
    }
}

/// Features of noise, the first with an effect on held-in users.
fn features(n_in: usize, n_out: usize, n_features: usize, effect: f64, seed: Seed) -> Vec<UserStatistics> {
    let mut rng = seed.rng();
    let held_in: Vec<bool> = (0..n_in + n_out).map(|user| user < n_in).collect();
    let mut noise = |effect: f64| {
        held_in.iter().map(|&side| normal(&mut rng) + if side { effect } else { 0.0 }).collect::<Vec<_>>()
    };
    (0..n_features).map(|i| feature(&held_in, noise(if i == 0 { effect } else { 0.0 }))).collect()
}

fn auroc(users: &UserStatistics) -> f64 {
    let (held_in, held_out) = split(&users.statistic, &users.held_in);
    Roc::new(&held_in, &held_out).unwrap().auroc()
}

/// 400 experiments without an effect: mean AUROC within 4 standard errors of .5, chance of a false alarm 6e-5 each.
#[track_caller]
fn check_null(n_in: usize, n_out: usize, settings: LearnedSettings) {
    let found: Vec<f64> = (0..400)
        .map(|i| auroc(&learned(&features(n_in, n_out, 6, 0.0, Seed(i)), settings, Seed(i)).unwrap()))
        .collect();
    let mean = found.iter().sum::<f64>() / 400.0;
    let variance = found.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 399.0;
    assert!((mean - 0.5).abs() < 4.0 * (variance / 400.0).sqrt(), "{mean} {variance}");
}

#[test]
fn centred_on_one_half_under_the_null() {
    check_null(30, 30, SETTINGS);
    check_null(17, 43, SETTINGS); // sides and folds of unequal size
    check_null(12, 12, LearnedSettings { n_folds: 12, penalty: 1e-2 });
}

/// Six features of which one tells: near that one's AUROC, `Phi(1.5 / sqrt 2)` = .856; its error is about .02.
#[test]
fn finds_the_feature_that_tells() {
    let features = features(200, 200, 6, 1.5, Seed(1));
    let found = auroc(&learned(&features, SETTINGS, Seed(2)).unwrap());
    assert!((found - 0.856).abs() < 0.06, "{found}");
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt())
}

/// Fold by fold from the definition: nothing of a fold's users enters the weights that judge them.
#[test]
fn agrees_with_the_definition() {
    let features = features(20, 23, 3, 1.0, Seed(3));
    let found = learned(&features, SETTINGS, Seed(4)).unwrap();
    let held_in = &features[0].held_in;
    let fold_of = stratified_folds(held_in, 5, Seed(4).named("learned")).unwrap();
    for fold in 0..5 {
        let fold_of = &fold_of;
        let part = |inside: bool| (0..43).filter(move |&user| (fold_of[user] == fold) == inside);
        let mut sums = vec![0.0; part(true).count()];
        let z = |feature: &UserStatistics, users: Vec<usize>| -> Vec<f64> {
            let training: Vec<f64> = part(false).map(|user| feature.statistic[user]).collect();
            let (mean, std_dev) = moments(&training);
            users.into_iter().map(|user| (feature.statistic[user] - mean) / std_dev).collect()
        };
        let columns: Vec<Vec<f64>> =
            features.iter().map(|feature| z(feature, part(false).collect())).collect();
        let labels: Vec<bool> = part(false).map(|user| held_in[user]).collect();
        let fit = LogisticRegression::fit(&columns, &labels, 1.0).unwrap();
        for (feature, weight) in features.iter().zip(&fit.weights) {
            let judged = z(feature, part(true).collect());
            sums.iter_mut().zip(judged).for_each(|(sum, value)| *sum += weight * value);
        }
        let (mean, std_dev) = moments(&sums);
        for (user, sum) in part(true).zip(&sums) {
            assert!((found.statistic[user] - (sum - mean) / std_dev).abs() < 1e-9, "user {user}");
        }
    }
}

#[test]
fn units_of_the_features_do_not_matter() {
    let features = features(20, 20, 3, 1.0, Seed(3));
    let mut rescaled = features.clone();
    rescaled[1].statistic.iter_mut().for_each(|value| *value = 1024.0 * *value - 64.0);
    let [a, b] =
        [features, rescaled].map(|features| learned(&features, SETTINGS, Seed(4)).unwrap().statistic);
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-8));
}

#[test]
fn same_seed_same_result() {
    let features = features(20, 20, 3, 1.0, Seed(3));
    let of = |seed| learned(&features, SETTINGS, Seed(seed)).unwrap();
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn bad_input() {
    let error = |features: &[UserStatistics], settings| learned(features, settings, Seed(1)).unwrap_err();
    let held_in: Vec<bool> = (0..12).map(|user| user % 2 == 0).collect();
    let rising = || feature(&held_in, (0..12).map(f64::from).collect());
    let constant = || feature(&held_in, vec![0.1; 12]);
    assert_eq!(error(&[], SETTINGS), AttackError::NoFeatures);
    assert_eq!(error(&[constant(), constant()], SETTINGS), AttackError::ConstantFeatures);
    assert!(learned(&[constant(), rising()], SETTINGS, Seed(1)).is_ok());
    let mut nan = rising();
    nan.statistic[3] = f64::NAN;
    assert!(matches!(error(&[rising(), nan], SETTINGS), AttackError::BadFeature { feature: 1, row: 3, .. }));
    let mut others = rising();
    others.user[0] = UserIdx(99);
    assert_eq!(error(&[rising(), others], SETTINGS), AttackError::OtherUsers { feature: 1 });
    let few = LearnedSettings { n_folds: 7, ..SETTINGS };
    assert_eq!(error(&[rising()], few), AttackError::TooFewUsers { side: Side::HeldIn, found: 6, needed: 7 });
    assert_eq!(
        error(&[rising()], LearnedSettings { n_folds: 0, ..SETTINGS }),
        AttackError::TooFewFolds { found: 0 }
    );
    let huge =
        feature(&held_in, (0..12).map(|user| if user % 3 == 0 { f64::MAX } else { f64::MIN }).collect());
    assert!(matches!(error(&[huge], SETTINGS), AttackError::FeatureSpread { feature: 0, .. }));
}
