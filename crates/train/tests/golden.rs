//! The loss, its gradients, twenty steps of each optimiser and the schedules against PyTorch and transformers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::backend::Autodiff;
use serde::Deserialize;
use userprint_model::Batch;
use userprint_model::backend::Cpu;
use userprint_model::{CausalLm, checkpoint};
use userprint_train::{
    Gradients, Optimizer, OptimizerConfig, Schedule, UnitBatch, clipped_sum, gradients, learning_rate,
};

type Backend = Autodiff<Cpu>;

#[derive(Deserialize)]
struct Training {
    batches: Vec<Vec<Vec<u32>>>,
    first_gradient: FirstGradient,
    learning_rates: Vec<f64>,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct FirstGradient {
    loss: f64,
    global_norm: f64,
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    norm: f64,
    first: Vec<f64>,
}

#[derive(Deserialize)]
struct Run {
    clip: Option<f64>,
    losses: Vec<f64>,
    gradient_norms: Vec<f64>,
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/gpt_neo")
}

fn training() -> Training {
    let text = fs::read_to_string(fixture().join("training.json")).expect("training.json is there");
    serde_json::from_str(&text).expect("training.json has the known layout")
}

fn start() -> CausalLm<Backend> {
    checkpoint::load(&fixture(), &Default::default()).expect("the checkpoint loads").0
}

#[track_caller]
fn assert_near(what: &str, found: f64, expected: f64, tolerance: f64) {
    let difference = (found - expected).abs();
    assert!(difference <= tolerance, "{what}: {found}, PyTorch says {expected}");
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn first_gradients_agree() {
    let Training { batches, first_gradient: expected, .. } = training();
    let found = gradients(&start(), &Batch::new(&batches[0], &Default::default()));
    assert_near("loss", found.loss_nats, expected.loss, 1e-5 * expected.loss);
    assert_near("global norm", found.norm(), expected.global_norm, 1e-4 * expected.global_norm);

    let family =
        checkpoint::load::<Cpu>(&fixture(), &Default::default()).expect("the checkpoint loads").1.family;
    let keys: Vec<String> = found.by_path.keys().map(|path| family.key(path).0).collect();
    assert_eq!(keys.len(), expected.parameters.len(), "parameters with a gradient");
    for (key, gradient) in keys.iter().zip(found.by_path.into_values()) {
        let Parameter { norm: expected_norm, first } = &expected.parameters[key];
        let values: Vec<f64> = gradient.into_data().iter::<f64>().collect();
        assert_near(&format!("{key}: norm"), norm(&values), *expected_norm, 1e-4 * expected_norm);
        for (index, (found, expected)) in values.iter().zip(first).enumerate() {
            assert_near(&format!("{key}[{index}]"), *found, *expected, 1e-5);
        }
    }
}

/// Trains along the run of this clip norm and compares the loss and the norm before each step.
#[track_caller]
fn check(clip: Option<f64>) {
    let Training { batches, learning_rates, runs, .. } = training();
    let run = runs.iter().find(|run| run.clip == clip).expect("a run of this clip norm");
    let batches: Vec<_> = batches.iter().map(|batch| Batch::new(batch, &Default::default())).collect();
    let (mut lm, mut optimizer) = (start(), Optimizer::new(OptimizerConfig::ADAM));
    assert_eq!(run.losses.len(), learning_rates.len());
    for (index, &learning_rate) in learning_rates.iter().enumerate() {
        let mut found = gradients(&lm, &batches[index % batches.len()]);
        let (loss, norm) = (run.losses[index], run.gradient_norms[index]);
        assert_near(&format!("loss of step {}", index + 1), found.loss_nats, loss, 1e-4 * loss);
        assert_near(&format!("norm of step {}", index + 1), found.norm(), norm, 1e-4 * norm);
        if let Some(clip_norm) = clip {
            found.clip(clip_norm);
            assert!(found.norm() <= clip_norm * (1.0 + 1e-5), "clipped to {}", found.norm());
        }
        lm = optimizer.update(lm, found, learning_rate);
    }
}

#[test]
fn twenty_steps_agree() {
    check(None);
}

#[test]
fn twenty_clipped_steps_agree() {
    check(Some(0.5));
}

#[derive(Deserialize)]
struct Optimizers {
    runs: BTreeMap<String, OptimizerRun>,
    schedules: Schedules,
}

#[derive(Deserialize)]
struct OptimizerRun {
    peak: f64,
    losses: Vec<f64>,
    gradient_norms: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Schedules {
    peak: f64,
    warmup: u64,
    linear: Vec<f64>,
    cosine: Vec<f64>,
}

fn optimizers() -> Optimizers {
    let path = fixture().join("../optimizers/golden.json");
    let text = fs::read_to_string(path).expect("optimizers/golden.json is there");
    serde_json::from_str(&text).expect("optimizers/golden.json has the known layout")
}

/// The gradient that a step uses, and the norms before clipping.
type Step = fn(&CausalLm<Backend>, &[Vec<u32>]) -> (Gradients<Backend>, Vec<f64>);

fn plain(lm: &CausalLm<Backend>, batch: &[Vec<u32>]) -> (Gradients<Backend>, Vec<f64>) {
    let found = gradients(lm, &Batch::new(batch, &Default::default()));
    let norm = found.norm();
    (found, vec![norm])
}

/// Each example clipped to norm 3.
fn example_clipped(lm: &CausalLm<Backend>, batch: &[Vec<u32>]) -> (Gradients<Backend>, Vec<f64>) {
    let units: Vec<[&[u32]; 1]> = batch.iter().map(|example| [&example[..]]).collect();
    let found = clipped_sum(lm, &UnitBatch::new(&units, &Default::default()), 3.0);
    let norms = found.norms.clone();
    (found.mean(), norms)
}

/// Trains along a run and compares the loss and the norms before each step.
#[track_caller]
fn check_optimizer(name: &str, config: OptimizerConfig, gradients: Step) {
    let Training { batches, learning_rates, .. } = training();
    let run = &optimizers().runs[name];
    let (mut lm, mut optimizer) = (start(), Optimizer::new(config));
    assert_eq!(run.losses.len(), learning_rates.len());
    for (index, rate) in learning_rates.iter().enumerate() {
        let (found, norms) = gradients(&lm, &batches[index % batches.len()]);
        let loss = run.losses[index];
        assert_near(&format!("loss of step {}", index + 1), found.loss_nats, loss, 1e-4 * loss);
        assert_eq!(norms.len(), run.gradient_norms[index].len());
        for (found, &norm) in norms.into_iter().zip(&run.gradient_norms[index]) {
            assert_near(&format!("norm of step {}", index + 1), found, norm, 1e-4 * norm);
        }
        // The rates of `training.json` peak at 1e-3.
        lm = optimizer.update(lm, found, rate * run.peak / 1e-3);
    }
}

#[test]
fn twenty_steps_with_weight_decay_agree() {
    check_optimizer("adamw", OptimizerConfig::AdamW { weight_decay: 0.1 }, plain);
}

#[test]
fn twenty_steps_with_momentum_agree() {
    check_optimizer("sgd", OptimizerConfig::Sgd { momentum: 0.9 }, plain);
}

#[test]
fn twenty_steps_of_clipped_examples_agree() {
    check_optimizer("example_clipped", OptimizerConfig::ADAM, example_clipped);
}

/// The rates after the warm-up are those of transformers, whose warm-up is a step behind.
#[test]
fn schedules_agree() {
    let Schedules { peak, warmup, linear, cosine } = optimizers().schedules;
    for (schedule, expected) in [(Schedule::Linear, linear), (Schedule::Cosine, cosine)] {
        let total = expected.len() as u64;
        for (step, expected_next) in (0..).zip(expected) {
            let step = if step < warmup { step } else { step + 1 };
            let found = if step == 0 { 0.0 } else { learning_rate(schedule, peak, step, warmup, total) };
            assert_near(&format!("{schedule:?}, step {step}"), found, expected_next, 1e-12 * peak);
        }
    }
}
