//! What a changed setting or a damaged file runs again, and what it does not.

use std::fs;
use std::path::Path;

use crate::experiment_folder::{ExperimentFolder, RUN, STAGES, TINY, finished};

/// Changes a setting of a finished run; these stages must run again, no other.
#[track_caller]
fn check(old: &str, new: &str, again: &[&str]) {
    assert!(TINY.contains(old), "{old}");
    let folder = ExperimentFolder::finished();
    let before = folder.records();
    folder.write("experiment.toml", TINY.replace(old, new));
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    let others: Vec<&str> = STAGES.into_iter().filter(|stage| !again.contains(stage)).collect();
    assert_eq!(said.done_before(), others, "{new}: {}", said.stderr);
    let after = folder.records();
    for stage in STAGES {
        // The whole record, with the seconds that the stage took.
        assert_eq!(before[stage] == after[stage], others.contains(&stage), "{new}: record of {stage}");
    }
}

#[test]
fn nothing_changed() {
    check("seed = 1", "seed = 1 ", &[]);
}

#[test]
fn batch_size_of_scoring() {
    check("batch_tokens = 4096", "batch_tokens = 512", &[]);
}

#[test]
fn attack_settings() {
    check("bootstrap_resamples = 50", "bootstrap_resamples = 40", &STAGES[5..]);
    check("aggregate = \"mean\"", "aggregate = \"max\"", &STAGES[5..]);
}

#[test]
fn scoring_settings() {
    check(
        "max_tokens = 64\ndetail",
        "max_tokens = 32\ndetail",
        &["score-reference", "score", "attack", "report"],
    );
}

#[test]
fn target_settings() {
    check("learning_rate = 3e-3", "learning_rate = 2e-3", &STAGES[3..]);
}

/// A file that is no longer as its stage left it is made again, by that stage and no other.
#[track_caller]
fn check_damage(stage: &str, file: &str) {
    let path = format!("{RUN}/{file}");
    for damage in ["cut in half", "deleted"] {
        let folder = ExperimentFolder::finished();
        let whole = folder.read(&path);
        match damage {
            "deleted" => fs::remove_file(folder.path(&path)).expect("the file is there"),
            _ => folder.write(&path, &whole[..whole.len() / 2]),
        }
        let said = folder.userprint(&["run", "experiment.toml"]);
        assert_eq!(said.code, Some(0), "{file}, {damage}: {}", said.stderr);
        let others: Vec<&str> = STAGES.into_iter().filter(|other| *other != stage).collect();
        assert_eq!(said.done_before(), others, "{file}, {damage}: {}", said.stderr);
        // The report says how long the stages took, which differs.
        if stage != "report" {
            assert!(folder.read(&path) == finished(1)[Path::new(file)], "{file}, {damage}: not made again");
        }
    }
}

#[test]
fn damaged_partition() {
    check_damage("prepare", "partition.parquet");
}

#[test]
fn damaged_reference() {
    check_damage("pretrain", "checkpoints/reference/model.safetensors");
}

#[test]
fn damaged_target() {
    check_damage("train", "checkpoints/target/model.safetensors");
}

#[test]
fn damaged_scores_of_the_reference() {
    check_damage("score-reference", "scores/reference.parquet");
}

#[test]
fn damaged_scores() {
    check_damage("score", "scores/target.parquet");
}

#[test]
fn damaged_statistics() {
    check_damage("attack", "statistics.parquet");
}

#[test]
fn damaged_report() {
    check_damage("report", "report.html");
}
