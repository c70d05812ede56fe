//! Training that is killed and called again, states that do not fit, and settings that are refused.

mod killed;
mod tiny;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use killed::killed_at;
use tempfile::TempDir;
use tiny::Tiny;
use userprint_core::{Fingerprinter, Ragged, Seed};
use userprint_mitigate::{ClipUnit, MitigateError, StopRule, TrainingRule};
use userprint_model::backend::Cpu;
use userprint_model::weights::{self, Weights};
use userprint_model::{CausalLm, LoraConfig, ModelError, Params, Targets, adapter, checkpoint};
use userprint_score::ScoreError;
use userprint_train::{
    OptimizerConfig, Packing, Schedule, StepReport, TrainError, TrainOutcome, TrainSettings, step_folder,
};

const STATE: &str = "training-state.safetensors";
const MODEL: &str = "model.safetensors";

/// Five documents of unequal length: 9 steps in 3 epochs, evaluated at 0, 3, 6 and 9.
fn tiny() -> Tiny {
    let texts = [
        "one two three four five six",
        "one two",
        "three four five",
        "six five four three two one",
        "two four six",
    ];
    Tiny::new(&texts, &["one two three", "five six"], &["six one six one"])
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn bytes(folder: &Path, file: &str) -> Vec<u8> {
    fs::read(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A state's tensors and metadata.
fn read(path: &Path) -> (Tensors, BTreeMap<String, String>) {
    let state = Weights::open_file(path).expect("a state");
    (state.read_all().expect("the tensors can be read"), state.metadata().clone())
}

/// Names and files of the folders of single steps, and of whatever else lies beside the model and the state.
fn step_folders(folder: &Path) -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
    let name = |path: &Path| path.file_name().expect("a name").to_str().expect("ASCII").to_owned();
    let paths = |folder: &Path| {
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    };
    let folders: Vec<PathBuf> = paths(folder);
    let files = |folder: &PathBuf| {
        let files: Vec<PathBuf> = paths(folder);
        files.iter().map(|file| (name(file), fs::read(file).expect("a file"))).collect()
    };
    folders.iter().filter(|path| path.is_dir()).map(|path| (name(path), files(path))).collect()
}

/// The outcome, the models that were kept, and the weights and moments at the end.
#[track_caller]
fn assert_same(found: (&TrainOutcome, &Path), expected: (&TrainOutcome, &Path), what: &str) {
    assert_eq!(found.0, expected.0, "{what}");
    assert!(bytes(found.1, MODEL) == bytes(expected.1, MODEL), "{what}: another model is kept");
    assert!(step_folders(found.1) == step_folders(expected.1), "{what}: other models of steps are kept");
    let state = |folder: &Path| read(&folder.join(STATE));
    assert!(state(found.1) == state(expected.1), "{what}: another state at the end");
}

#[track_caller]
fn check_killed_at_every_step(tiny: &Tiny) {
    let whole = folder();
    let expected = tiny.train(whole.path()).expect("training ends well");
    for step in 0..=expected.steps {
        let folder = folder();
        killed_at(tiny, folder.path(), step);
        let found = tiny.train(folder.path()).expect("training ends well");
        assert_same((&found, folder.path()), (&expected, whole.path()), &format!("killed at {step}"));
    }
}

#[test]
fn documents_resume_to_the_same_bits() {
    check_killed_at_every_step(&tiny());
}

#[test]
fn clipped_blocks_resume_to_the_same_bits() {
    let mut tiny = tiny();
    tiny.settings.rule = TrainingRule::clipped(2, ClipUnit::Batch, 0.5).expect("a rule");
    tiny.settings.packing = Packing::Blocks;
    tiny.settings.block_tokens = 7;
    check_killed_at_every_step(&tiny);
}

/// The tiny training, keeping the models of each so many steps.
fn keeping(every: u64) -> Tiny {
    let mut tiny = tiny();
    tiny.settings.checkpoint_every = Some(every);
    tiny
}

/// Trains; these steps are in the outcome and have folders, and validation losses are measured at them.
#[track_caller]
fn check_kept(tiny: &Tiny, expected: &[u64]) -> TempDir {
    let folder = folder();
    let outcome = tiny.train(folder.path()).expect("training ends well");
    assert_eq!(outcome.kept_steps, expected);
    let names: Vec<String> = expected.iter().map(|&step| step_folder(step)).collect();
    assert_eq!(step_folders(folder.path()).into_keys().collect::<Vec<_>>(), names);
    let has_losses = |step: &u64| outcome.curve.iter().any(|point| point.step == *step);
    assert!(expected.iter().all(has_losses), "{:?}", outcome.curve);
    folder
}

#[test]
fn models_of_steps_are_kept() {
    let (tiny, start) = (keeping(2), tiny().start);
    let folder = check_kept(&tiny, &[2, 4, 6, 8, 9]);
    let best = tiny.train(folder.path()).expect("it has ended").best_step;
    assert!([6, 8, 9].contains(&best), "the best model is that of a step with a folder of its own: {best}");
    for (name, files) in step_folders(folder.path()) {
        let is_best = name == step_folder(best);
        assert_eq!(files[MODEL] == bytes(folder.path(), MODEL), is_best, "{name}");
        let (kept, config) = checkpoint::load::<Cpu>(&folder.path().join(&name), &Default::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config, tiny.config);
        assert_ne!(weights_of(&kept), weights_of(&start), "{name}");
    }
}

#[test]
fn the_last_step_is_kept_once() {
    check_kept(&keeping(3), &[3, 6, 9]);
    check_kept(&keeping(1), &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    check_kept(&keeping(1000), &[9]);
    check_kept(&tiny(), &[]);
    let mut none = keeping(2);
    none.settings.epochs = 0;
    check_kept(&none, &[]);
}

#[test]
fn so_many_models_are_kept_evenly() {
    let of = |n: u32| {
        let mut tiny = tiny();
        tiny.settings.checkpoints = Some(n);
        tiny
    };
    check_kept(&of(3), &[3, 6, 9]);
    check_kept(&of(4), &[3, 6, 9]);
    check_kept(&of(1), &[9]);
    check_kept(&of(100), &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

/// The last step is where training stopped, not where it was planned to.
#[test]
fn stopped_early_the_last_step_is_kept() {
    let mut tiny = keeping(4);
    tiny.settings = TrainSettings { learning_rate: 1.0, evaluations: 9, ..tiny.settings };
    tiny.settings.stop = StopRule::Patience { evaluations: 1 };
    let steps = tiny.train(folder().path()).expect("training ends well").steps;
    assert!(steps < 4, "it must stop early: {steps}");
    check_kept(&tiny, &[steps]);
    check_killed_at_every_step(&tiny);
}

#[test]
fn kept_steps_resume_to_the_same_bits() {
    check_killed_at_every_step(&keeping(4));
}

#[test]
fn kept_adapters_resume_to_the_same_bits() {
    let mut tiny = keeping(4);
    let lora = LoraConfig {
        rank: 2,
        alpha: 4.0,
        rank_stabilised: false,
        target_modules: Targets::Names(vec!["q_proj".to_owned()]),
    };
    tiny.start = tiny.start.with_fresh_adapters(&tiny.config, &lora, Seed(3)).expect("such modules");
    let folder = folder();
    killed_at(&tiny, folder.path(), 7);
    tiny.train(folder.path()).expect("training ends well");
    let whole = self::folder();
    tiny.train(whole.path()).expect("training ends well");
    let (found, expected) = (step_folders(folder.path()), step_folders(whole.path()));
    assert!(found == expected);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["step-000004", "step-000008", "step-000009"]);
    assert!(found.values().all(|files| files.contains_key(adapter::WEIGHTS) && !files.contains_key(MODEL)));
}

/// Killed while step 6 was being kept: before its folder had its name, or while one of that name was replaced.
#[test]
fn half_kept_steps_are_written_anew() {
    let (tiny, whole) = (keeping(2), folder());
    let expected = tiny.train(whole.path()).expect("training ends well");
    for leftover in ["step-000006.tmp", "step-000006"] {
        let folder = folder();
        killed_at(&tiny, folder.path(), 5);
        fs::create_dir(folder.path().join(leftover)).expect("there is none");
        for file in [MODEL, "config.json", "other"] {
            fs::write(folder.path().join(leftover).join(file), "half of something").expect("a half");
        }
        let found = tiny.train(folder.path()).expect("training ends well");
        assert_same((&found, folder.path()), (&expected, whole.path()), leftover);
    }
}

#[test]
fn killed_twice() {
    let (tiny, whole, folder) = (tiny(), folder(), folder());
    let expected = tiny.train(whole.path()).expect("training ends well");
    killed_at(&tiny, folder.path(), 5);
    killed_at(&tiny, folder.path(), 7);
    let found = tiny.train(folder.path()).expect("training ends well");
    assert_same((&found, folder.path()), (&expected, whole.path()), "killed at 5, then at 7");
}

#[test]
fn resuming_starts_after_the_last_evaluation() {
    let (tiny, folder) = (tiny(), folder());
    killed_at(&tiny, folder.path(), 5);
    let mut steps = Vec::new();
    let mut hook = |report: &StepReport| {
        steps.push(report.step);
        ControlFlow::Continue(())
    };
    tiny.train_with(folder.path(), &mut hook).expect("training ends well");
    assert_eq!(steps, [4, 5, 6, 7, 8, 9]);
}

#[test]
fn what_has_ended_stays_ended() {
    let (tiny, folder) = (tiny(), folder());
    let mut stop_at_4 = |report: &StepReport| match report.step {
        4 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let outcome = tiny.train_with(folder.path(), &mut stop_at_4).expect("training ends well");
    assert_eq!((outcome.steps, outcome.curve.len()), (4, 2));
    let again = tiny.train_with(folder.path(), &mut |_: &StepReport| unreachable!("no step is left"));
    assert_eq!(again.expect("training has ended"), outcome);
}

#[test]
fn half_written_files_are_passed_over() {
    let (tiny, whole, folder) = (tiny(), folder(), folder());
    let expected = tiny.train(whole.path()).expect("training ends well");
    killed_at(&tiny, folder.path(), 4);
    for file in [STATE, MODEL, "config.json", "tokenizer.json"] {
        let half = bytes(folder.path(), file);
        fs::write(folder.path().join(format!("{file}.tmp")), &half[..half.len() / 2]).expect("a half");
    }
    let found = tiny.train(folder.path()).expect("training ends well");
    assert_same((&found, folder.path()), (&expected, whole.path()), "with halves beside");
}

/// The error with its sources.
fn chain(error: &TrainError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A killed training's state, changed, is refused and left as it is; the error says each of the parts.
#[track_caller]
fn check_state_refused(change: impl FnOnce(&mut Tiny, &Path), parts: &[&str]) {
    let (mut tiny, folder) = (tiny(), folder());
    killed_at(&tiny, folder.path(), 4);
    change(&mut tiny, &folder.path().join(STATE));
    let state = bytes(folder.path(), STATE);
    let error = chain(&tiny.train(folder.path()).expect_err("should be refused"));
    let path = folder.path().join(STATE).display().to_string();
    for part in [path.as_str()].iter().chain(parts) {
        assert!(error.contains(part), "`{error}` does not say `{part}`");
    }
    assert!(bytes(folder.path(), STATE) == state, "the refused state was written over");
}

#[test]
fn state_of_another_training() {
    let another =
        |tiny: &mut Tiny, _: &Path| tiny.fingerprint = Fingerprinter::new().with("another").finish();
    check_state_refused(another, &["its settings or data differ", "delete it to start afresh"]);
}

#[test]
fn state_of_another_model() {
    let wider = |tiny: &mut Tiny, _: &Path| {
        tiny.config = tiny.config.with("hidden_size", 32).expect("a config of this family");
        let decoder = tiny.config.decoder.clone();
        tiny.start = CausalLm::init(decoder, Seed(1), &Default::default());
    };
    check_state_refused(wider, &["weight.", "is missing or misshapen"]);
}

#[test]
fn state_cut_short() {
    let size = {
        let (tiny, folder) = (tiny(), folder());
        killed_at(&tiny, folder.path(), 4);
        bytes(folder.path(), STATE).len()
    };
    for n_bytes in [0, 7, 100, size / 2, size - 1] {
        let cut = |_: &mut Tiny, path: &Path| {
            let state = fs::read(path).expect("a state");
            fs::write(path, &state[..n_bytes]).expect("the state can be cut");
        };
        check_state_refused(cut, &["cannot read it as safetensors"]);
    }
}

/// Takes the tensors of this prefix out of a state.
fn without(prefix: &'static str) -> impl FnOnce(&mut Tiny, &Path) {
    move |_, path| {
        let (mut tensors, metadata) = read(path);
        tensors.retain(|key, _| !key.starts_with(prefix));
        let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        weights::write(path, &tensors, &metadata).expect("the state can be written");
    }
}

#[test]
fn state_without_weights() {
    check_state_refused(without("weight.wpe"), &["tensor weight.wpe.weight is missing or misshapen"]);
}

#[test]
fn state_without_second_moments() {
    check_state_refused(without("second.wpe"), &["second.wpe.weight"]);
}

#[test]
fn state_without_moments() {
    check_state_refused(without("first.wpe"), &["first.wpe.weight"]);
}

/// The bits of a model's weights, by path.
fn weights_of(lm: &CausalLm<Cpu>) -> Vec<(String, Vec<u32>)> {
    let mut bits = Vec::new();
    Params::for_each(&lm.module, |path, _, values| {
        bits.push((path.to_owned(), values.into_iter().map(f32::to_bits).collect()));
    });
    bits
}

/// The kept checkpoint's weights are those of the start, bit for bit.
#[track_caller]
fn assert_start_is_kept(tiny: &Tiny, folder: &Path) {
    let (kept, config) = checkpoint::load::<Cpu>(folder, &Default::default()).expect("the checkpoint loads");
    assert_eq!(config, tiny.config);
    assert!(weights_of(&kept) == weights_of(&tiny.start), "the weights differ from the start's");
}

/// Fails in the same way when called again, the checkpoint of the best step being there.
#[track_caller]
fn check_diverges(evaluations: u32, is_expected: fn(&TrainError) -> bool) {
    let (mut tiny, folder) = (tiny(), folder());
    tiny.settings = TrainSettings { learning_rate: 1e30, warmup_steps: 0, evaluations, ..tiny.settings };
    for call in 1..=2 {
        let error = tiny.train(folder.path()).expect_err("the loss cannot stay finite");
        assert!(is_expected(&error), "call {call}: {error:?}");
        assert_start_is_kept(&tiny, folder.path());
    }
}

#[test]
fn a_training_loss_that_is_not_finite_keeps_the_best_checkpoint() {
    check_diverges(1, |error| match *error {
        TrainError::LossNotFinite { step: 2, loss, best_step: 0, learning_rate } => {
            !loss.is_finite() && learning_rate > 1e29
        }
        _ => false,
    });
}

#[test]
fn a_validation_loss_that_is_not_finite_is_not_the_least() {
    check_diverges(9, |error| match *error {
        TrainError::LossNotFinite { loss, best_step: 0, .. } => !loss.is_finite(),
        TrainError::Score(ScoreError::NotALogLikelihood { found, .. }) => !found.is_finite(),
        _ => false,
    });
}

#[test]
fn ended_before_the_first_step_the_start_is_kept() {
    let (tiny, folder) = (tiny(), folder());
    let outcome = tiny.train_with(folder.path(), &mut |_: &StepReport| ControlFlow::Break(()));
    let outcome = outcome.expect("training ends well");
    assert_eq!((outcome.steps, outcome.best_step, outcome.curve.len()), (0, 0, 1));
    assert_start_is_kept(&tiny, folder.path());
}

#[test]
fn no_epochs_keep_the_start() {
    let (mut tiny, folder) = (tiny(), folder());
    tiny.settings.epochs = 0;
    let outcome = tiny.train(folder.path()).expect("training ends well");
    assert_eq!((outcome.steps, outcome.best_step, outcome.curve.len()), (0, 0, 1));
    assert_start_is_kept(&tiny, folder.path());
}

#[test]
fn no_steps_keep_the_start() {
    let (mut tiny, folder) = (tiny(), folder());
    tiny.settings.max_steps = 0;
    let outcome = tiny.train(folder.path()).expect("training ends well");
    assert_eq!((outcome.steps, outcome.best_step, outcome.curve.len()), (0, 0, 1));
    assert_start_is_kept(&tiny, folder.path());
}

#[test]
fn steps_are_bounded_and_spaced_anew() {
    let (mut tiny, folder) = (tiny(), folder());
    tiny.settings.max_steps = 5;
    let outcome = tiny.train(folder.path()).expect("training ends well");
    assert_eq!(outcome.curve.iter().map(|point| point.step).collect::<Vec<_>>(), [0, 2, 4, 5]);
    tiny.settings.max_steps = 100;
    let outcome = tiny.train(self::folder().path()).expect("training ends well");
    assert_eq!(outcome.steps, 9, "three epochs of three steps");
}

/// Nothing is written where the settings are refused.
fn refused(change: impl FnOnce(&mut Tiny)) -> TrainError {
    let (mut tiny, folder) = (tiny(), folder());
    change(&mut tiny);
    let error = tiny.train(folder.path()).expect_err("should be refused");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "files were written");
    error
}

#[track_caller]
fn check_setting(change: impl FnOnce(&mut TrainSettings), expected_key: &str, says: &str) {
    let error = refused(|tiny| change(&mut tiny.settings));
    assert!(matches!(error, TrainError::Setting { key, .. } if key == expected_key), "{error:?}");
    assert_eq!(error.to_string(), says);
}

#[test]
fn settings_out_of_range() {
    let says = "block_tokens is 33, expected 1 to the model's context of 32";
    check_setting(|settings| settings.block_tokens = 33, "block_tokens", says);
    let says = "block_tokens is 0, expected 1 to the model's context of 32";
    check_setting(|settings| settings.block_tokens = 0, "block_tokens", says);
    let says = "evaluations is 0, expected at least 1";
    check_setting(|settings| settings.evaluations = 0, "evaluations", says);
    let says = "checkpoint_every is 0, expected at least 1";
    check_setting(|settings| settings.checkpoint_every = Some(0), "checkpoint_every", says);
    let says = "checkpoints is 0, expected at least 1";
    check_setting(|settings| settings.checkpoints = Some(0), "checkpoints", says);
    let says = "checkpoints is beside checkpoint_every, expected one of them";
    let both = |settings: &mut TrainSettings| {
        (settings.checkpoint_every, settings.checkpoints) = (Some(2), Some(2));
    };
    check_setting(both, "checkpoints", says);
    for rate in [f64::NAN, f64::INFINITY, 0.0, -1e-3] {
        let says = format!("learning_rate is {rate}, expected a positive number");
        check_setting(|settings| settings.learning_rate = rate, "learning_rate", &says);
    }
    for weight_decay in [f64::NAN, f64::INFINITY, -0.1] {
        let says = format!("weight_decay is {weight_decay}, expected a number of at least 0");
        let optimizer = OptimizerConfig::AdamW { weight_decay };
        check_setting(|settings| settings.optimizer = optimizer, "weight_decay", &says);
    }
    for momentum in [f64::NAN, 1.0, -0.1] {
        let says = format!("momentum is {momentum}, expected a share of at least 0 and below 1");
        let optimizer = OptimizerConfig::Sgd { momentum };
        check_setting(|settings| settings.optimizer = optimizer, "momentum", &says);
    }
}

#[test]
fn rules_out_of_range() {
    let error = refused(|tiny| tiny.settings.rule = TrainingRule::Plain { batch_size: 0 });
    assert!(matches!(error, TrainError::Rule(MitigateError::BatchSize)), "{error:?}");
    assert_eq!(chain(&error), "the training rule cannot be used: the batch size is 0, expected at least 1");
    let clip_norm = f64::NAN;
    let unit = ClipUnit::Batch;
    let error = refused(|tiny| tiny.settings.rule = TrainingRule::Clipped { batch_size: 2, unit, clip_norm });
    assert!(matches!(error, TrainError::Rule(MitigateError::ClipNorm { .. })), "{error:?}");
}

#[test]
fn killed_and_resumed_with_each_example_clipped() {
    let mut tiny = tiny();
    tiny.settings.rule = TrainingRule::clipped(2, ClipUnit::Example, 0.05).expect("values in range");
    check_killed_at_every_step(&tiny);
}

#[test]
fn other_optimizers_resume_to_the_same_bits() {
    for optimizer in [
        OptimizerConfig::AdamW { weight_decay: 0.1 },
        OptimizerConfig::Sgd { momentum: 0.9 },
        OptimizerConfig::Sgd { momentum: 0.0 },
    ] {
        let mut tiny = tiny();
        tiny.settings = TrainSettings { optimizer, schedule: Schedule::Cosine, ..tiny.settings };
        check_killed_at_every_step(&tiny);
    }
}

/// What a state holds besides the weights.
#[track_caller]
fn check_tensors(optimizer: OptimizerConfig, expected: &[&str]) {
    let (mut tiny, folder) = (tiny(), folder());
    tiny.settings.optimizer = optimizer;
    tiny.train(folder.path()).expect("training ends well");
    let (tensors, _) = read(&folder.path().join(STATE));
    let kinds: BTreeSet<&str> = tensors.keys().filter_map(|key| key.split('.').next()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected, "{optimizer:?}");
}

#[test]
fn a_state_holds_what_there_is() {
    check_tensors(OptimizerConfig::ADAM, &["first", "second", "weight"]);
    check_tensors(OptimizerConfig::Sgd { momentum: 0.9 }, &["velocity", "weight"]);
    check_tensors(OptimizerConfig::Sgd { momentum: 0.0 }, &["weight"]);
}

#[test]
fn state_of_another_optimizer() {
    let sgd = |tiny: &mut Tiny, _: &Path| tiny.settings.optimizer = OptimizerConfig::Sgd { momentum: 0.9 };
    check_state_refused(sgd, &["velocity.", "is missing or misshapen"]);
}

/// A block has one gradient for all examples in it.
#[test]
fn examples_in_blocks_are_not_clipped() {
    let error = refused(|tiny| {
        tiny.settings.rule = TrainingRule::clipped(2, ClipUnit::Example, 0.5).expect("values in range");
        tiny.settings.packing = Packing::Blocks;
    });
    assert!(matches!(error, TrainError::Setting { key: "packing", .. }), "{error:?}");
}

#[test]
fn nothing_to_train_on() {
    let error = refused(|tiny| (tiny.documents, tiny.owners) = (Ragged::new(), Vec::new()));
    assert!(matches!(error, TrainError::NoDocuments), "{error:?}");
}

#[test]
fn nothing_to_pick_the_checkpoint_by() {
    let error = refused(|tiny| tiny.validation.held_in.clear());
    assert!(matches!(error, TrainError::NoValidation), "{error:?}");
}

#[test]
fn a_folder_that_cannot_be_written() {
    let (tiny, folder) = (tiny(), folder());
    let file = folder.path().join("a file");
    fs::write(&file, "").expect("the file can be written");
    let error = tiny.train(&file).expect_err("no folder can be there");
    assert!(matches!(error, TrainError::Checkpoint(ModelError::Io { .. })), "{error:?}");
}

/// A step of documents without tokens has nothing to predict.
#[test]
fn documents_without_tokens() {
    for packing in [Packing::Blocks, Packing::Documents] {
        let (mut tiny, folder) = (tiny(), folder());
        tiny.settings.packing = packing;
        tiny.settings.rule = TrainingRule::plain(1).expect("1 is above 0");
        tiny.documents = [vec![], vec![5u32, 6, 7], vec![]].into_iter().collect();
        tiny.owners.truncate(3);
        let outcome = tiny.train(folder.path()).expect("training ends well");
        assert!(outcome.curve.iter().all(|point| point.held_in.is_finite()), "{packing:?}: {outcome:?}");
    }
}
