//! Training on two devices, which share the processor here: what it equals, how it resumes, how it fails.

mod killed;
mod tiny;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use killed::killed_at;
use tempfile::TempDir;
use tiny::Tiny;
use userprint_core::{Ragged, Seed};
use userprint_mitigate::{AdaptiveClip, ClipUnit, DpSampling, TrainingRule};
use userprint_model::backend::Cpu;
use userprint_model::weights::Weights;
use userprint_model::{LoraConfig, Targets};
use userprint_train::{NoiseKey, Packing, TrainError, TrainOutcome, devices};

const MODEL: &str = "model.safetensors";
const STATE: &str = "training-state.safetensors";

/// Of a tensor of weights, over its norm; of a loss.
const TOLERANCE: f64 = 1e-5;

/// Seven documents of unequal length, of four users.
fn tiny(rule: Result<TrainingRule, userprint_mitigate::MitigateError>) -> Tiny {
    let texts = [
        "one two three four five six",
        "one two",
        "three four five",
        "six five four three two one",
        "two four six",
        "five",
        "six five one",
    ];
    let mut tiny = Tiny::new(&texts, &["one two three", "five six"], &["six one six one"]);
    tiny.settings.rule = rule.expect("values in range");
    if tiny.settings.rule.batch_size().is_none() {
        tiny.settings.delta = Some(1e-3);
        tiny.noise_key = Some(NoiseKey::new([7; 32]));
    }
    tiny
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn on(n_devices: usize, tiny: &mut Tiny) -> (TrainOutcome, TempDir) {
    let folder = folder();
    tiny.n_devices = n_devices;
    (tiny.train(folder.path()).expect("training ends well"), folder)
}

/// What training keeps: weights and moments.
fn state(folder: &Path) -> Vec<(String, Vec<f32>)> {
    let state = Weights::open_file(&folder.join(STATE)).expect("a state");
    let tensors = state.read_all().expect("the tensors can be read");
    tensors.into_iter().map(|(path, (_, values))| (path, values)).collect()
}

/// `|found − expected| / |expected|`.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    let norm = |squares: f64, value: f64| squares + value * value;
    let all = expected.iter().map(|&value| f64::from(value)).fold(0.0, norm);
    let apart = found.iter().zip(expected).map(|(&found, &expected)| f64::from(found) - f64::from(expected));
    (apart.fold(0.0, norm) / all).sqrt()
}

#[track_caller]
fn assert_near(found: &(TrainOutcome, TempDir), expected: &(TrainOutcome, TempDir)) {
    let (found, expected) = ((&found.0, found.1.path()), (&expected.0, expected.1.path()));
    assert_eq!((found.0.steps, found.0.n_tokens), (expected.0.steps, expected.0.n_tokens));
    assert_eq!(found.0.claim, expected.0.claim);
    assert_eq!(found.0.curve.len(), expected.0.curve.len());
    for (found, expected) in found.0.curve.iter().zip(&expected.0.curve) {
        let is_near = |found: Option<f64>, expected: Option<f64>| match (found, expected) {
            (Some(found), Some(expected)) => (found / expected - 1.0).abs() < TOLERANCE,
            (found, expected) => found == expected,
        };
        let all = is_near(Some(found.held_in), Some(expected.held_in))
            && is_near(found.held_out, expected.held_out)
            && is_near(found.train_loss, expected.train_loss);
        assert!(all, "{found:?} {expected:?}");
    }
    for ((path, found), (name, expected)) in state(found.1).into_iter().zip(state(expected.1)) {
        assert_eq!((&path, found.len()), (&name, expected.len()));
        let distance = distance(&found, &expected);
        assert!(distance < TOLERANCE, "{path}: {distance:e}");
    }
}

/// Two devices end as one does, and three; killed and resumed at every step, two end with the same bits.
#[track_caller]
fn check(mut tiny: Tiny) {
    let expected = on(1, &mut tiny);
    assert_near(&on(3, &mut tiny), &expected);
    let whole = on(2, &mut tiny);
    assert_near(&whole, &expected);
    for step in 0..=whole.0.steps {
        let folder = folder();
        killed_at(&tiny, folder.path(), step);
        let found = tiny.train(folder.path()).expect("training ends well");
        assert_eq!(found, whole.0, "killed at {step}");
        for file in [MODEL, STATE] {
            let bytes = |folder: &Path| std::fs::read(folder.join(file)).ok();
            assert!(bytes(folder.path()) == bytes(whole.1.path()), "killed at {step}: another {file}");
        }
    }
}

/// The last batch of an epoch has one document, so that a device has nothing to do.
#[test]
fn documents() {
    check(tiny(TrainingRule::plain(3)));
}

#[test]
fn documents_in_several_passes() {
    let mut tiny = tiny(TrainingRule::plain(7));
    tiny.settings.microbatch_size = 2;
    check(tiny);
}

#[test]
fn blocks() {
    let mut tiny = tiny(TrainingRule::plain(3));
    (tiny.settings.packing, tiny.settings.block_tokens) = (Packing::Blocks, 7);
    check(tiny);
}

#[test]
fn clipped_batches() {
    check(tiny(TrainingRule::clipped(3, ClipUnit::Batch, 0.5)));
}

#[test]
fn clipped_examples() {
    check(tiny(TrainingRule::clipped(3, ClipUnit::Example, 0.5)));
}

#[test]
fn adapters() {
    let mut tiny = tiny(TrainingRule::clipped(3, ClipUnit::Example, 0.5));
    let lora = LoraConfig {
        rank: 2,
        alpha: 4.0,
        rank_stabilised: false,
        target_modules: Targets::Names(vec!["q_proj".to_owned()]),
    };
    tiny.start = tiny.start.with_fresh_adapters(&tiny.config, &lora, Seed(3)).expect("such modules");
    check(tiny);
}

#[test]
fn private_examples() {
    check(tiny(TrainingRule::dp_sgd(DpSampling::Examples, 0.5, 0.05, 0.3)));
}

#[test]
fn private_users_of_several_documents() {
    let users = DpSampling::Users { examples_per_user: 2 };
    check(tiny(TrainingRule::dp_sgd(users, 0.6, 0.05, 0.3)));
}

/// The norms of all devices move the clip norm.
#[test]
fn a_clip_norm_that_adapts() {
    let adaptive = AdaptiveClip { target_quantile: 0.5, learning_rate: 0.5, count_noise: 0.5 };
    let rule = TrainingRule::dp_sgd(DpSampling::Examples, 0.6, 100.0, 0.3);
    check(tiny(rule.and_then(|rule| rule.adapting(adaptive))));
}

/// Samples of one unit or none.
#[test]
fn samples_of_few_units() {
    let mut tiny = tiny(TrainingRule::dp_sgd(DpSampling::Examples, 0.1, 0.05, 0.3));
    (tiny.settings.epochs, tiny.settings.max_steps) = (10, 8);
    check(tiny);
}

#[test]
fn a_training_goes_on_with_another_number_of_devices() {
    let mut tiny = tiny(TrainingRule::plain(3));
    let expected = on(1, &mut tiny);
    let folder = folder();
    killed_at(&tiny, folder.path(), 5);
    tiny.n_devices = 2;
    let outcome = tiny.train(folder.path()).expect("training ends well");
    assert_near(&(outcome, folder), &expected);
}

/// A token that the vocabulary does not have is a panic on the device that has it; none waits for it.
#[test]
fn a_panic_on_one_device_ends_all() {
    let mut tiny = tiny(TrainingRule::plain(7));
    let rows: Vec<Vec<u32>> = tiny.documents.rows().map(<[u32]>::to_vec).collect();
    let broken =
        rows.into_iter().enumerate().map(|(row, ids)| if row == 3 { vec![1, 1_000_000] } else { ids });
    tiny.documents = broken.collect::<Ragged<u32>>();
    tiny.n_devices = 2;
    assert!(catch_unwind(AssertUnwindSafe(|| tiny.train(folder().path()))).is_err());
    // What it left behind is in nobody's way.
    check(self::tiny(TrainingRule::plain(3)));
}

#[test]
fn a_norm_that_is_not_finite() {
    let mut tiny = tiny(TrainingRule::clipped(7, ClipUnit::Example, 0.5));
    (tiny.settings.learning_rate, tiny.settings.warmup_steps, tiny.n_devices) = (1e30, 0, 2);
    let error = tiny.train(folder().path()).expect_err("the loss cannot stay finite");
    let is_expected = matches!(error, TrainError::NormNotFinite { .. } | TrainError::LossNotFinite { .. });
    assert!(is_expected, "{error:?}");
}

#[track_caller]
fn check_refused(result: Result<impl std::fmt::Debug, TrainError>, expected: &str) {
    let error = result.expect_err("should be refused");
    assert!(matches!(error, TrainError::Setting { key: "devices", .. }), "{error:?}");
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn devices_that_are_not_there() {
    assert_eq!(devices::<Cpu>(1).expect("there is a processor").len(), 1);
    check_refused(devices::<Cpu>(0), "devices is 0, expected 1 to ");
    check_refused(devices::<Cpu>(100_000), "devices is 100000, expected 1 to ");
    let mut tiny = tiny(TrainingRule::plain(3));
    tiny.n_devices = 0;
    let folder = folder();
    check_refused(tiny.train(folder.path()), "devices is 0, expected at least 1");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "files were written");
}
