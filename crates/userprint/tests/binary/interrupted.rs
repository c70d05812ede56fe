//! Killed at any time and started again, a run ends as if nothing had happened, and does no stage twice.

use std::os::unix::process::ExitStatusExt;
use std::thread::sleep;
use std::time::Duration;

use crate::experiment_folder::{ExperimentFolder, RUN, STAGES, TINY};

/// How far a run has come when it is killed.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// A file is there.
    File(&'static str),
    /// A line was said that starts so.
    Line(&'static str),
    /// The manifest names a finished stage.
    Finished(&'static str),
}

impl Sign {
    fn shows(self, folder: &ExperimentFolder) -> bool {
        match self {
            Self::File(name) => folder.path(RUN).join(name).exists(),
            Self::Line(start) => {
                let said = folder.read("stderr.txt");
                String::from_utf8_lossy(&said).lines().any(|line| line.starts_with(start))
            }
            Self::Finished(stage) => folder.records().contains_key(stage),
        }
    }
}

const KILL: i32 = 9;

/// Starts a run and kills it at the sign; the answer is whether it still lived by then.
fn kill_at(folder: &ExperimentFolder, sign: Sign) -> bool {
    let mut run = folder.start(&["run", "experiment.toml"]);
    while run.try_wait().expect("it is our child").is_none() && !sign.shows(folder) {
        sleep(Duration::from_micros(200));
    }
    run.kill().expect("it is our child");
    let status = run.wait().expect("it is our child");
    assert!(status.success() || status.signal() == Some(KILL), "{sign:?}: {status}");
    status.signal() == Some(KILL)
}

/// Runs to the end: what was finished before is found so, and its record stays as it is.
#[track_caller]
fn finish(folder: &ExperimentFolder) -> String {
    let before = folder.records();
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    assert_eq!(said.done_before(), STAGES[..before.len()], "{}", said.stderr);
    let after = folder.records();
    assert_eq!(after.len(), STAGES.len());
    assert!(
        before.iter().all(|(stage, record)| after[stage] == *record),
        "a finished stage has a new record"
    );
    folder.assert_finished();
    said.stderr
}

#[track_caller]
fn check(sign: Sign) {
    let folder = ExperimentFolder::new(TINY);
    kill_at(&folder, sign);
    finish(&folder);
}

/// A folder whose run was killed after it said a line and before the stage ended; a busy machine may miss it at first.
pub(crate) fn killed_in(
    stage: &str,
    line: &'static str,
    start: impl Fn() -> ExperimentFolder,
) -> ExperimentFolder {
    let killed = |folder: &ExperimentFolder| {
        kill_at(folder, Sign::Line(line)) && !folder.records().contains_key(stage)
    };
    (0..5).map(|_| start()).find(killed).expect("one of five runs is killed in time")
}

/// Killed between two evaluations of a training; it must go on from the state of the first one.
#[track_caller]
fn check_training(stage: &str, line: &'static str, done: &str) {
    let folder = killed_in(stage, line, || ExperimentFolder::new(TINY));
    let said = finish(&folder);
    assert!(said.contains(&format!("{stage} step ")), "it must go on: {said}");
    assert!(!said.contains(done), "it must not start afresh: {said}");
}

#[test]
fn killed_in_prepare() {
    check(Sign::File("experiment.toml"));
}

#[test]
fn killed_after_prepare() {
    check(Sign::Finished("prepare"));
}

#[test]
fn killed_before_the_first_step() {
    check(Sign::File("checkpoints/reference/training-hash"));
    check(Sign::File("checkpoints/reference/training-state.safetensors.tmp"));
}

#[test]
fn killed_in_pretrain() {
    check_training("pretrain", "pretrain step 12/", "pretrain step 0/");
}

#[test]
fn killed_at_the_end_of_pretrain() {
    check(Sign::File("checkpoints/reference/training.json"));
}

#[test]
fn killed_in_train() {
    check_training("train", "train step 6/", "train step 0/");
}

#[test]
fn killed_at_the_end_of_train() {
    check(Sign::File("checkpoints/target/training.json"));
}

#[test]
fn killed_in_score() {
    check(Sign::Finished("train"));
    check(Sign::File("scores/reference.parquet"));
}

#[test]
fn killed_in_attack() {
    check(Sign::Finished("score"));
    check(Sign::File("statistics.parquet"));
}

#[test]
fn killed_in_report() {
    check(Sign::Finished("attack"));
}

/// One folder, killed in every stage.
#[test]
fn killed_again_and_again() {
    let folder = ExperimentFolder::new(TINY);
    let signs = [
        Sign::File("experiment.toml"),
        Sign::File("checkpoints/reference/training-state.safetensors"),
        Sign::Line("pretrain step 24/"),
        Sign::Finished("pretrain"),
        Sign::Line("train step 6/"),
        Sign::Line("train step 18/"),
        Sign::Finished("train"),
        Sign::File("scores/target.parquet"),
        Sign::File("results.json"),
    ];
    let mut before = folder.records();
    for sign in signs {
        kill_at(&folder, sign);
        let after = folder.records();
        assert!(
            before.iter().all(|(stage, record)| after[stage] == *record),
            "{sign:?}: a stage was done twice"
        );
        before = after;
    }
    finish(&folder);
}

/// What a killed run left beside the places of its files.
#[test]
fn leftovers_do_no_harm() {
    let folder = killed_in("pretrain", "pretrain step 12/", || ExperimentFolder::new(TINY));
    let places = [
        "manifest.json",
        "experiment.toml",
        "partition.parquet",
        "checkpoints/reference/config.json",
        "checkpoints/reference/model.safetensors",
        "checkpoints/reference/tokenizer.json",
        "checkpoints/reference/training-state.safetensors",
        "checkpoints/reference/training.json",
        "checkpoints/target/model.safetensors",
        "scores/reference.parquet",
        "scores/target.parquet",
        "statistics.parquet",
        "results.json",
        "report.html",
    ];
    for place in places {
        folder.write(&format!("{RUN}/{place}.tmp"), "half of something");
    }
    folder.write(&format!("{RUN}/partition.parquet.partial"), "half of something");
    finish(&folder);
}
