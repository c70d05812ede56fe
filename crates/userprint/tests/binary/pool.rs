//! Several seeds pooled into one number.

use std::fs;

use serde_json::Value;

use crate::experiment_folder::{ExperimentFolder, finished};

/// Both seeds of the tiny experiment, run.
fn two_seeds() -> ExperimentFolder {
    let folder = ExperimentFolder::finished();
    for (name, bytes) in finished(2) {
        folder.write(&format!("runs/tiny-seed2/{}", name.display()), bytes);
    }
    folder
}

const POOL: [&str; 5] = ["pool", "runs/tiny-seed1", "runs/tiny-seed2", "--out", "pooled.json"];

#[test]
fn two_seeds_are_pooled() {
    let folder = two_seeds();
    let said = folder.userprint(&POOL).assert_success();
    assert!(said.stdout.starts_with("pooled AUROC "), "{}", said.stdout);
    let pooled: Value = serde_json::from_slice(&folder.read("pooled.json")).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let auroc = number(&pooled["auroc"]);
    let [lower, upper] = [&pooled["auroc_interval"][0], &pooled["auroc_interval"][1]].map(number);
    assert!(0.0 <= lower && lower <= auroc && auroc <= upper && upper <= 1.0, "{lower} {auroc} {upper}");
    let runs = pooled["runs"].as_array().unwrap();
    let seeds: Vec<_> = runs.iter().map(|run| run["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [1, 2]);
    // A pooled AUROC weighs runs by their pairs of users, so it lies between theirs.
    let alone: Vec<f64> = runs.iter().map(|run| number(&run["auroc"])).collect();
    assert!(alone[0].min(alone[1]) <= auroc && auroc <= alone[0].max(alone[1]), "{auroc} of {alone:?}");
    // All users of both runs that are not public in both: at least as many as one run has.
    let users = number(&runs[0]["held_in"]) + number(&runs[0]["held_out"]);
    assert!(number(&pooled["n_users"]) >= users);

    folder.userprint(&["pool", "runs/tiny-seed1", "runs/tiny-seed2", "--out", "again.json"]).assert_success();
    assert_eq!(folder.read("pooled.json"), folder.read("again.json"));
}

#[test]
fn a_run_without_results_is_named() {
    let folder = two_seeds();
    fs::remove_file(folder.path("runs/tiny-seed2/results.json")).unwrap();
    let said = folder.userprint(&POOL);
    said.assert_refused();
    assert!(said.stderr.contains("runs/tiny-seed2/results.json: cannot be read"), "{}", said.stderr);
    assert!(!folder.path("pooled.json").exists());
}

#[test]
fn different_statistics_are_not_pooled() {
    let folder = two_seeds();
    let experiment = String::from_utf8(folder.read("runs/tiny-seed2/experiment.toml")).unwrap();
    assert!(experiment.contains("aggregate = \"mean\""), "{experiment}");
    let experiment = experiment.replacen("aggregate = \"mean\"", "aggregate = \"max\"", 1);
    folder.write("runs/tiny-seed2/experiment.toml", experiment);
    let said = folder.userprint(&POOL);
    said.assert_refused();
    assert!(said.stderr.contains("differ in more than the seed"), "{}", said.stderr);
}
