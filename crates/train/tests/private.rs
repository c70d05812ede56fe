//! Private training as a whole: what it equals without noise, how it resumes, what it claims, what it refuses.

mod killed;
mod tiny;

use std::ops::ControlFlow;
use std::path::Path;

use killed::killed_at;
use tempfile::TempDir;
use tiny::Tiny;
use userprint_mitigate::{AdaptiveClip, Claim, ClipUnit, DpSampling, MitigateError, StopRule, TrainingRule};
use userprint_train::{NoiseKey, Packing, StepReport, TrainError, TrainSettings};

const MODEL: &str = "model.safetensors";
const USERS: DpSampling = DpSampling::Users { examples_per_user: 1 };

/// Six documents of three users.
fn tiny(sampling: DpSampling, sampling_probability: f64, noise_multiplier: f64) -> Tiny {
    let texts =
        ["one two three four", "one two", "three four five", "six five four", "two four six", "five five"];
    let mut tiny = Tiny::new(&texts, &["one two three", "five six"], &["six one six one"]);
    tiny.settings.rule = TrainingRule::dp_sgd(sampling, sampling_probability, 0.05, noise_multiplier)
        .expect("values in range");
    tiny.settings.delta = Some(1e-3);
    tiny.noise_key = Some(NoiseKey::new([7; 32]));
    tiny
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn model(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join(MODEL)).expect("a model is kept")
}

/// Everybody in each step, nothing added: batches of everybody, each example clipped.
#[test]
fn without_noise_it_is_clipped_training() {
    let private = tiny(DpSampling::Examples, 1.0, 0.0);
    let mut clipped = tiny(DpSampling::Examples, 1.0, 0.0);
    clipped.settings.rule = TrainingRule::clipped(6, ClipUnit::Example, 0.05).expect("values in range");
    let found = private.train(folder().path()).expect("training ends well");
    let expected = clipped.train(folder().path()).expect("training ends well");
    assert_eq!(found.steps, expected.steps);
    assert!(found.n_tokens.is_none() && expected.n_tokens.is_some_and(|n| n > 0));
    assert_eq!(found.claim, None);
    assert!(found.least_norm.is_none() && expected.least_norm.is_some_and(|norm| norm > 0.0));
    for (found, expected) in found.curve.iter().zip(&expected.curve) {
        assert!((found.held_in / expected.held_in - 1.0).abs() < 1e-5, "{found:?} {expected:?}");
    }
}

/// Passes of any size add up to the same step.
#[test]
fn the_size_of_a_pass_changes_rounding_alone() {
    let curve = |microbatch_size| {
        let mut tiny = tiny(DpSampling::Users { examples_per_user: 2 }, 0.9, 0.3);
        tiny.settings.microbatch_size = microbatch_size;
        tiny.train(folder().path()).expect("training ends well").curve
    };
    for (found, expected) in curve(1).iter().zip(curve(100)) {
        assert!((found.held_in / expected.held_in - 1.0).abs() < 1e-4, "{found:?} {expected:?}");
    }
}

/// Activations that are computed again change rounding alone.
#[test]
fn activation_checkpointing_changes_rounding_alone() {
    for rule in [TrainingRule::plain(2), TrainingRule::clipped(2, ClipUnit::Example, 0.05), tiny_rule()] {
        let curve = |activation_checkpointing| {
            let mut tiny = tiny(USERS, 0.9, 0.3);
            tiny.settings.rule = rule.clone().expect("values in range");
            tiny.settings.activation_checkpointing = activation_checkpointing;
            tiny.train(folder().path()).expect("training ends well").curve
        };
        for (found, expected) in curve(true).iter().zip(curve(false)) {
            assert!(
                (found.held_in / expected.held_in - 1.0).abs() < 1e-4,
                "{rule:?}: {found:?} {expected:?}"
            );
        }
    }
}

fn tiny_rule() -> Result<TrainingRule, MitigateError> {
    TrainingRule::dp_sgd(DpSampling::Users { examples_per_user: 2 }, 0.9, 0.05, 0.3)
}

#[track_caller]
fn check_killed_at_every_step(tiny: &Tiny) {
    let whole = folder();
    let expected = tiny.train(whole.path()).expect("training ends well");
    for step in 0..=expected.steps {
        let folder = folder();
        killed_at(tiny, folder.path(), step);
        let found = tiny.train(folder.path()).expect("training ends well");
        assert_eq!(found, expected, "killed at {step}");
        assert!(model(folder.path()) == model(whole.path()), "killed at {step}: another model");
    }
}

#[test]
fn private_examples_resume_to_the_same_bits() {
    check_killed_at_every_step(&tiny(DpSampling::Examples, 0.5, 0.3));
}

#[test]
fn private_users_resume_to_the_same_bits() {
    check_killed_at_every_step(&tiny(USERS, 0.5, 0.3));
}

#[test]
fn another_key_does_not_go_on() {
    let (mut tiny, folder) = (tiny(USERS, 0.5, 0.3), folder());
    killed_at(&tiny, folder.path(), 0);
    tiny.noise_key = Some(NoiseKey::new([8; 32]));
    let error = tiny.train(folder.path()).expect_err("should be refused");
    assert!(error.to_string().contains("its noise came from another key"), "{error}");
}

/// The kept checkpoint is the last one, although another had a smaller loss.
#[test]
fn validation_texts_choose_no_private_checkpoint() {
    let mut tiny = tiny(DpSampling::Examples, 0.5, 20.0);
    tiny.settings.learning_rate = 0.1;
    let outcome = tiny.train(folder().path()).expect("training ends well");
    let losses: Vec<f64> = outcome.curve.iter().map(|point| point.held_in).collect();
    assert!(losses.iter().any(|loss| loss < losses.last().expect("a curve")), "{losses:?}");
    assert_eq!(outcome.best_step, outcome.steps);
}

#[track_caller]
fn check_claim(sampling: DpSampling, n_units: u64) {
    let tiny = tiny(sampling, 0.5, 1.5);
    let outcome = tiny.train(folder().path()).expect("training ends well");
    assert_eq!(outcome.steps, 6, "three epochs of two steps");
    let expected = Claim::of(tiny.settings.rule, 6, n_units, 1e-3).expect("values in range");
    assert!(expected.is_some());
    assert_eq!(outcome.claim, expected);
}

#[test]
fn what_ran_is_claimed() {
    check_claim(DpSampling::Examples, 6);
    check_claim(DpSampling::CappedUsers { examples_per_user: 2 }, 3);
    check_claim(USERS, 3);
}

/// What a hook saw may have decided when to stop, so that all steps count that there might have been.
#[test]
fn a_training_that_is_ended_claims_no_less() {
    let mut stop = |report: &StepReport| match report.step {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let outcome = tiny(USERS, 0.5, 1.5).train_with(folder().path(), &mut stop).expect("training ends well");
    assert_eq!((outcome.steps, outcome.claim.expect("there is noise").steps()), (2, 6));
}

/// Samples of so few units are mostly empty: noise alone moves the weights.
#[test]
fn empty_samples_are_steps() {
    let mut tiny = tiny(DpSampling::Examples, 0.001, 0.1);
    (tiny.settings.epochs, tiny.settings.max_steps) = (100, 10);
    let outcome = tiny.train(folder().path()).expect("training ends well");
    assert_eq!(outcome.steps, 10);
    let losses: Vec<f64> = outcome.curve.iter().map(|point| point.held_in).collect();
    assert!(losses.windows(2).all(|pair| pair[0] != pair[1]), "{losses:?}");
}

/// Nothing is written where the settings are refused.
#[track_caller]
fn refused(change: impl FnOnce(&mut Tiny)) -> TrainError {
    let (mut tiny, folder) = (tiny(USERS, 0.5, 1.0), folder());
    change(&mut tiny);
    let error = tiny.train(folder.path()).expect_err("should be refused");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "files were written");
    error
}

#[track_caller]
fn check_setting(change: impl FnOnce(&mut Tiny), expected_key: &str) {
    let error = refused(change);
    assert!(matches!(error, TrainError::Setting { key, .. } if key == expected_key), "{error:?}");
}

#[test]
fn settings_that_keep_no_promise() {
    assert!(matches!(refused(|tiny| tiny.noise_key = None), TrainError::NoKey));
    check_setting(|tiny| tiny.settings.delta = None, "delta");
    check_setting(|tiny| tiny.settings.stop = StopRule::Patience { evaluations: 2 }, "patience");
    check_setting(|tiny| tiny.settings.packing = Packing::Blocks, "packing");
    check_setting(|tiny| tiny.settings.microbatch_size = 0, "microbatch_size");
    let error = refused(|tiny| tiny.settings.delta = Some(0.34));
    let share = TrainError::Rule(MitigateError::Delta { found: 0.34, n_units: 3 });
    assert_eq!(format!("{error:?}"), format!("{share:?}"));
    let error = refused(|tiny| {
        let sampling = DpSampling::CappedUsers { examples_per_user: 1 };
        tiny.settings.rule = TrainingRule::dp_sgd(sampling, 0.5, 1.0, 1.0).expect("values in range");
    });
    let is_expected = matches!(error, TrainError::AboveCap { n_users: 3, most: 2, examples_per_user: 1 });
    assert!(is_expected, "{error:?}");
}

#[track_caller]
fn check_rule(rule: TrainingRule, expected: MitigateError) {
    let error = refused(|tiny| tiny.settings.rule = rule);
    assert_eq!(format!("{error:?}"), format!("{:?}", TrainError::Rule(expected)));
}

/// A clip norm that is far too large comes down to the norms, and a resumed run has the same one.
#[test]
fn an_adaptive_clip_norm() {
    let adaptive = AdaptiveClip { target_quantile: 0.5, learning_rate: 0.5, count_noise: 0.5 };
    let adapting = |noise_multiplier: f64| {
        let mut tiny = tiny(USERS, 0.9, noise_multiplier);
        let rule = TrainingRule::dp_sgd(USERS, 0.9, 1000.0, noise_multiplier);
        tiny.settings.rule = rule.and_then(|rule| rule.adapting(adaptive)).expect("values in range");
        tiny.settings.epochs = 30;
        tiny
    };
    let found = adapting(0.0).train(folder().path()).expect("training ends well");
    // Each step above the norms takes off a quarter, in logarithms; noise is the count's alone.
    let last = found.last_clip_norm.expect("it adapts");
    assert!(last < 50.0, "{last}");
    check_killed_at_every_step(&Tiny {
        settings: TrainSettings { epochs: 4, ..adapting(0.3).settings },
        ..adapting(0.3)
    });
    let claim = |tiny: &Tiny| {
        tiny.train(folder().path()).expect("training ends well").claim.expect("noise").epsilon()
    };
    let mut fixed = adapting(0.8);
    fixed.settings.rule = TrainingRule::dp_sgd(USERS, 0.9, 1000.0, 0.8).expect("values in range");
    assert_eq!(claim(&adapting(0.8)), claim(&fixed));
}

#[test]
fn rules_out_of_range() {
    let rule = |sampling, sampling_probability, clip_norm, noise_multiplier| TrainingRule::DpSgd {
        sampling,
        sampling_probability,
        clip_norm,
        noise_multiplier,
        adaptive_clip: None,
    };
    check_rule(rule(USERS, 0.5, 0.0, 1.0), MitigateError::ClipNorm { found: 0.0 });
    check_rule(rule(USERS, 1.5, 1.0, 1.0), MitigateError::SamplingProbability { found: 1.5 });
    check_rule(rule(USERS, 0.5, 1.0, -1.0), MitigateError::NoiseMultiplier { found: -1.0 });
    let nobody = DpSampling::Users { examples_per_user: 0 };
    check_rule(rule(nobody, 0.5, 1.0, 1.0), MitigateError::ExamplesPerUser);
}

/// A loss that is no number ends training with the last checkpoint in its place.
#[test]
fn a_loss_that_is_not_finite() {
    let (mut tiny, folder) = (tiny(DpSampling::Examples, 1.0, 0.0), folder());
    (tiny.settings.learning_rate, tiny.settings.warmup_steps, tiny.settings.evaluations) = (1e30, 0, 1);
    let error = tiny.train(folder.path()).expect_err("the loss cannot stay finite");
    let is_expected =
        matches!(error, TrainError::LossNotFinite { step: 2, .. } | TrainError::NormNotFinite { step: 2 });
    assert!(is_expected, "{error:?}");
    assert!(!model(folder.path()).is_empty());
}
