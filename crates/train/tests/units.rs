//! Gradients of units against a loop over them: every family, adapters, padding, users of several documents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::backend::Autodiff;
use userprint_model::backend::Cpu;
use userprint_model::families::FAMILIES;
use userprint_model::{Batch, CausalLm, Params, adapter, checkpoint};
use userprint_train::{UnitBatch, clipped_sum, clipped_sum_recomputed, gradients, gradients_recomputed};

type Backend = Autodiff<Cpu>;
type ByPath = BTreeMap<String, Vec<f64>>;

fn fixture(family: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    if family == "gpt_neo" { fixtures.join(family) } else { fixtures.join("families").join(family) }
}

/// Recording gradients of what is trained, as the loop needs.
fn trained(lm: CausalLm<Backend>) -> CausalLm<Backend> {
    let is_trained = lm.trained();
    CausalLm { config: lm.config, module: Params::require_gradients(lm.module, is_trained) }
}

fn load(family: &str) -> CausalLm<Backend> {
    let loaded = checkpoint::load(&fixture(family), &Default::default());
    trained(loaded.unwrap_or_else(|error| panic!("{family}: {error}")).0)
}

fn load_adapted(family: &str) -> CausalLm<Backend> {
    let loaded = checkpoint::load::<Backend>(&fixture(family), &Default::default());
    let (base, config) = loaded.unwrap_or_else(|error| panic!("{family}: {error}"));
    let adapted = adapter::load(&fixture("lora").join(family), &base, &config);
    trained(adapted.unwrap_or_else(|error| panic!("{family}: {error}")))
}

/// A document of so many tokens, with some twice.
fn document(seed: usize, n: usize) -> Vec<u32> {
    (0..n).map(|position| ((seed * 131 + position % 7 * 37 + position / 9) % 319 + 1) as u32).collect()
}

/// Documents of unequal lengths, one a unit; one has nothing to predict but a single token.
fn examples() -> Vec<Vec<Vec<u32>>> {
    [9, 24, 2, 17].iter().enumerate().map(|(seed, &n)| vec![document(seed, n)]).collect()
}

/// Users of three, one and two documents.
fn users() -> Vec<Vec<Vec<u32>>> {
    let lengths: [&[usize]; 3] = [&[9, 24, 5], &[30], &[2, 17]];
    let user = |(user, lengths): (usize, &&[usize])| {
        lengths.iter().enumerate().map(|(seed, &n)| document(10 * user + seed, n)).collect()
    };
    lengths.iter().enumerate().map(user).collect()
}

/// Loss and gradient of one unit, from each of its documents alone: the definition.
fn of_unit(lm: &CausalLm<Backend>, unit: &[Vec<u32>]) -> (f64, ByPath) {
    let (mut loss, mut sum) = (0.0, ByPath::new());
    let share = 1.0 / unit.len() as f64;
    for document in unit {
        let found = gradients(lm, &Batch::new(&[document], &Default::default()));
        loss += share * found.loss_nats;
        for (path, gradient) in found.by_path {
            let values: Vec<f64> = gradient.into_data().iter::<f64>().collect();
            let total = sum.entry(path).or_insert_with(|| vec![0.0; values.len()]);
            total.iter_mut().zip(values).for_each(|(total, value)| *total += share * value);
        }
    }
    (loss, sum)
}

fn norm(by_path: &ByPath) -> f64 {
    by_path.values().flatten().map(|value| value * value).sum::<f64>().sqrt()
}

/// Norms to 1e-4 of each, losses, and the sum to 1e-4 of its norm, at a clip norm that some units exceed.
#[track_caller]
fn check(what: &str, lm: &CausalLm<Backend>, units: &[Vec<Vec<u32>>]) {
    let alone: Vec<(f64, ByPath)> = units.iter().map(|unit| of_unit(lm, unit)).collect();
    let expected: Vec<f64> = alone.iter().map(|(_, by_path)| norm(by_path)).collect();
    let mut sorted = expected.clone();
    sorted.sort_by(f64::total_cmp);
    let clip_norm = sorted[sorted.len() / 2] * 0.999;
    let found = clipped_sum(lm, &UnitBatch::new(units, &Default::default()), clip_norm);
    for (unit, (found, expected)) in found.norms.iter().zip(&expected).enumerate() {
        assert!(
            (found / expected - 1.0).abs() < 1e-4,
            "{what}, unit {unit}: norm {found}, expected {expected}"
        );
    }
    for (found, (expected, _)) in found.losses_nats.iter().zip(&alone) {
        assert!((found / expected - 1.0).abs() < 1e-5, "{what}: loss {found}, expected {expected}");
    }
    let mut sum = ByPath::new();
    for ((_, by_path), norm) in alone.iter().zip(&expected) {
        for (path, values) in by_path {
            let total = sum.entry(path.clone()).or_insert_with(|| vec![0.0; values.len()]);
            total
                .iter_mut()
                .zip(values)
                .for_each(|(total, value)| *total += value * (clip_norm / norm).min(1.0));
        }
    }
    assert!(found.by_path.keys().eq(sum.keys()), "{what}: {:?} and {:?}", found.by_path.keys(), sum.keys());
    let size = norm(&sum);
    for (path, found) in found.by_path {
        let apart: f64 = found.into_data().iter::<f64>().zip(&sum[&path]).map(|(a, b)| (a - b).powi(2)).sum();
        assert!(apart.sqrt() <= 1e-4 * size, "{what}, {path}: {} apart of {size}", apart.sqrt());
    }
}

#[test]
fn every_family_agrees_with_the_loop() {
    for family in FAMILIES.iter().map(|family| family.model_type) {
        let lm = load(family);
        check(family, &lm, &examples());
        check(family, &lm, &users());
    }
}

#[test]
fn adapters_agree_with_the_loop() {
    for family in ["llama", "gpt2", "gpt_neox"] {
        let lm = load_adapted(family);
        check(family, &lm, &examples());
        check(family, &lm, &users());
    }
}

/// What stands beside an example, and how far it is padded, changes neither its norm nor its loss.
#[test]
fn padding_changes_no_norm() {
    let lm = load("gpt_neo");
    let norms = |units: &[Vec<Vec<u32>>]| {
        let found = clipped_sum(&lm, &UnitBatch::new(units, &Default::default()), 1.0);
        found.norms.into_iter().zip(found.losses_nats).collect::<Vec<_>>()
    };
    let together = norms(&examples());
    for (unit, together) in examples().into_iter().zip(together) {
        let alone = norms(&[unit])[0];
        assert!((alone.0 / together.0 - 1.0).abs() < 1e-5, "{alone:?}, {together:?}");
        assert!((alone.1 / together.1 - 1.0).abs() < 1e-6, "{alone:?}, {together:?}");
    }
}

/// Documents of one length, none of them clipped: the mean of their gradients is the batch's.
#[test]
fn without_clipping_it_is_the_plain_gradient() {
    let lm = load("gpt_neo");
    let documents: Vec<Vec<u32>> = (0..3).map(|seed| document(seed, 20)).collect();
    let plain = gradients(&lm, &Batch::new(&documents, &Default::default()));
    let units: Vec<_> = documents.iter().map(|document| [&document[..]]).collect();
    let found = clipped_sum(&lm, &UnitBatch::new(&units, &Default::default()), f64::INFINITY);
    for (path, sum) in found.by_path {
        let apart = sum.div_scalar(3.0) - plain.by_path[&path].clone();
        let apart: f64 = apart.into_data().iter::<f64>().map(|value| value * value).sum::<f64>().sqrt();
        assert!(apart <= 1e-5 * plain.norm(), "{path}: {apart}");
    }
}

/// Every weight that is trained moves and every clipped gradient is at most as long as it may be.
#[test]
fn clipped_norms_never_pass_the_clip_norm() {
    let lm = load("gpt_neo");
    for clip_norm in [1e-3, 0.1, 1e9] {
        for unit in examples() {
            let found = clipped_sum(&lm, &UnitBatch::new(&[unit], &Default::default()), clip_norm);
            let by_path: ByPath = found
                .by_path
                .into_iter()
                .map(|(path, gradient)| (path, gradient.into_data().iter::<f64>().collect()))
                .collect();
            let expected = clip_norm.min(found.norms[0]);
            assert!((norm(&by_path) / expected - 1.0).abs() < 1e-4, "{} of {expected}", norm(&by_path));
        }
    }
}

/// The same gradients and norms when activations are computed again.
#[track_caller]
fn check_recomputed(what: &str, lm: &CausalLm<Backend>) {
    let near = |found: &ByPath, expected: &ByPath| {
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
        let most = 1e-5 * norm(expected);
        for (path, expected) in expected {
            let differences = found[path].iter().zip(expected).map(|(found, expected)| found - expected);
            let distance = differences.map(|difference| difference * difference).sum::<f64>().sqrt();
            assert!(distance <= most, "{what}: {path} is {distance:e} off, of {most:e}");
        }
    };
    let on_host = |by_path: BTreeMap<String, burn::tensor::Tensor<Cpu, 1>>| -> ByPath {
        by_path.into_iter().map(|(path, g)| (path, g.into_data().iter::<f64>().collect())).collect()
    };
    let documents: Vec<Vec<u32>> = examples().into_iter().flatten().collect();
    let batch = Batch::new(&documents, &Default::default());
    near(&on_host(gradients_recomputed(lm, &batch).by_path), &on_host(gradients(lm, &batch).by_path));
    let batch = UnitBatch::new(&users(), &Default::default());
    let all = clipped_sum(lm, &batch, f64::INFINITY);
    let clip_norm = all.norms.iter().copied().fold(f64::INFINITY, f64::min) * 1.5;
    let (expected, found) =
        (clipped_sum(lm, &batch, clip_norm), clipped_sum_recomputed(lm, &batch, clip_norm));
    for (found, expected) in found.norms.iter().zip(&expected.norms) {
        assert!((found / expected - 1.0).abs() < 1e-5, "{what}: a norm of {found}, expected {expected}");
    }
    for (found, expected) in found.losses_nats.iter().zip(&expected.losses_nats) {
        assert!((found / expected - 1.0).abs() < 1e-6, "{what}: a loss of {found}, expected {expected}");
    }
    near(&on_host(found.by_path), &on_host(expected.by_path));
}

#[test]
fn recomputed_activations_change_nothing() {
    for family in FAMILIES {
        check_recomputed(family.model_type, &load(family.model_type));
    }
    for family in ["llama", "gpt2", "gpt_neox"] {
        check_recomputed(family, &load_adapted(family));
    }
}
