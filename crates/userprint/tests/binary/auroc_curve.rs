//! AUROC along training: the checkpoints that are kept, scored once each, and attacked as the target is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::experiment_folder::{ExperimentFolder, Files, RUN, STAGES, TINY};
use crate::interrupted::killed_in;

/// The tiny experiment, which has 24 steps, with a checkpoint at each evaluation.
fn experiment() -> String {
    let (reference, target) = TINY.split_once("[target.training]").expect("the target is trained");
    format!("{reference}[target.training]\ncheckpoint_every = 6{target}")
}

/// A folder whose manifest says that the reference is ready, and no more.
fn setting() -> ExperimentFolder {
    let folder = ExperimentFolder::finished();
    folder.write("experiment.toml", experiment());
    forget_after(&folder, "pretrain");
    folder
}

/// Takes the stages after this one out of the manifest.
fn forget_after(folder: &ExperimentFolder, last: &str) {
    let name = format!("{RUN}/manifest.json");
    let mut manifest: Value = serde_json::from_slice(&folder.read(&name)).expect("a manifest");
    let n = STAGES.iter().position(|stage| *stage == last).expect("a stage") + 1;
    let stages = manifest["stages"].as_object_mut().expect("stages by name");
    stages.retain(|stage, _| STAGES[..n].contains(&stage.as_str()));
    folder.write(&name, manifest.to_string());
}

fn run(folder: &ExperimentFolder) -> Vec<&'static str> {
    folder.userprint(&["run", "experiment.toml"]).assert_success().done_before()
}

/// The run folder of that experiment, run once for all tests.
fn kept() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = setting();
        assert_eq!(run(&folder), ["prepare", "pretrain"]);
        folder.run_files()
    })
}

/// A folder in which that run has come to its end.
fn ready() -> ExperimentFolder {
    let folder = ExperimentFolder::new(&experiment());
    for (name, bytes) in kept() {
        folder.write(&format!("{RUN}/{}", name.display()), bytes);
    }
    folder
}

#[track_caller]
fn assert_as_if_never_stopped(folder: &ExperimentFolder) {
    let files = folder.run_files();
    let own = ["manifest.json", "report.html", "checkpoints/target/training-state.safetensors"];
    let is_own = |name: &Path| own.iter().any(|own| name == Path::new(own));
    assert!(files.keys().eq(kept().keys()), "{:?}", files.keys());
    for (name, bytes) in kept().iter().filter(|(name, _)| !is_own(name)) {
        assert!(files[name] == *bytes, "{} is not that of an uninterrupted run", name.display());
    }
}

#[test]
fn each_kept_checkpoint_has_its_auroc() {
    let results: Value = serde_json::from_slice(&kept()[Path::new("results.json")]).unwrap();
    let curve = results["auroc_curve"].as_array().expect("a list");
    let steps: Vec<&Value> = curve.iter().map(|point| &point["step"]).collect();
    assert_eq!(steps, [6, 12, 18, 24]);
    let losses = results["training"].as_array().expect("a list");
    for point in curve {
        let [lower, auroc, upper] =
            [&point["auroc_interval"][0], &point["auroc"], &point["auroc_interval"][1]].map(Value::as_f64);
        assert!(lower < auroc && auroc < upper, "{point}");
        assert!(losses.iter().any(|p| (&p["step"], &p["epoch"]) == (&point["step"], &point["epoch"])));
    }
    // The target is one of them, and the attack on it is the headline.
    let target = curve.iter().find(|point| point["step"] == results["target_step"]).expect("one of them");
    assert_eq!(
        (&target["auroc"], &target["auroc_interval"]),
        (&results["auroc"], &results["auroc_interval"])
    );
    let report = String::from_utf8_lossy(&kept()[Path::new("report.html")]);
    assert!(report.contains("AUROC along fine-tuning"));
}

#[test]
fn without_the_key_there_is_nothing() {
    let files = ExperimentFolder::finished().run_files();
    assert!(!files.keys().any(|name| name.to_string_lossy().contains("step-")));
    let results: Value = serde_json::from_slice(&files[Path::new("results.json")]).unwrap();
    assert_eq!(results.get("auroc_curve"), None);
}

#[test]
fn a_second_run_does_nothing() {
    let folder = ready();
    assert_eq!(run(&folder), STAGES);
    assert!(folder.run_files() == *kept());
}

#[test]
fn killed_in_train_it_keeps_the_same() {
    let folder = killed_in("train", "train step 6/", setting);
    assert_eq!(run(&folder), STAGES[..3]);
    assert_as_if_never_stopped(&folder);
}

/// Stopped in scoring, after the tables of some checkpoints: those stay, the others are made.
#[test]
fn checkpoints_are_scored_one_by_one() {
    let folder = ready();
    forget_after(&folder, "train");
    let table = |step: u32| folder.path(&format!("{RUN}/scores/checkpoints/step-{step:06}.parquet"));
    fs::remove_file(table(18)).unwrap();
    fs::write(table(24), "half of something").unwrap();
    // A file that is written again is another one.
    let inode = |step| fs::metadata(table(step)).unwrap().ino();
    let before = [6, 24].map(inode);
    assert_eq!(run(&folder), STAGES[..4]);
    assert_eq!([6, 24].map(inode).map(|now| before.contains(&now)), [true, false]);
    assert_as_if_never_stopped(&folder);
}

#[test]
fn damaged_tables_and_checkpoints_are_made_again() {
    for (damaged, done) in [
        ("scores/checkpoints/step-000006.parquet", &STAGES[..4]),
        ("checkpoints/target/step-000012/model.safetensors", &STAGES[..3]),
    ] {
        let folder = ready();
        let whole = &kept()[Path::new(damaged)];
        folder.write(&format!("{RUN}/{damaged}"), &whole[..whole.len() / 2]);
        let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
        assert!(said.done_before().starts_with(done), "{damaged}: {}", said.stderr);
        assert!(!said.done_before().contains(&STAGES[done.len()]), "{damaged}: {}", said.stderr);
        assert_as_if_never_stopped(&folder);
    }
}

/// Other steps are another training, and nothing of the first one's checkpoints is left.
#[test]
fn other_steps_leave_nothing_behind() {
    let folder = ready();
    folder.write("experiment.toml", experiment().replace("checkpoint_every = 6", "checkpoint_every = 16"));
    assert_eq!(run(&folder), STAGES[..3]);
    let files = folder.run_files();
    let steps = |n: u32| files.keys().filter(|p| p.to_string_lossy().contains(&format!("{n:06}"))).count();
    assert_eq!([6, 12, 16, 18, 24].map(|n| steps(n) > 0), [false, false, true, false, true]);
    let results: Value = serde_json::from_slice(&files[Path::new("results.json")]).unwrap();
    assert_eq!(results["auroc_curve"][0]["step"], json!(16));
}
