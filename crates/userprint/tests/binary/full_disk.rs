//! A disk without space: an error that says so, and a run that goes on once there is space.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::experiment_folder::{ExperimentFolder, RUN, STAGES, TINY};

/// A finished run loses a file of a stage, and what is written in its place goes to a device that is always full.
#[track_caller]
fn check(stage: &str, file: &str, beside: &str) {
    let folder = ExperimentFolder::finished();
    let before = folder.records();
    fs::remove_file(folder.path(RUN).join(file)).expect("the file is there");
    let beside = folder.path(RUN).join(beside);
    symlink("/dev/full", &beside).expect("the folder is ours");
    let said = folder.userprint(&["run", "experiment.toml"]);
    assert_no_space(&said.stderr, file);
    said.assert_refused();
    assert_eq!(folder.records(), before, "{file}: a stage was recorded that did not finish");
    // Some writers clear up after themselves.
    if beside.is_symlink() {
        fs::remove_file(&beside).expect("the folder is ours");
    }
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    let others: Vec<&str> = STAGES.into_iter().filter(|other| *other != stage).collect();
    assert_eq!(said.done_before(), others, "{file}");
    folder.assert_finished();
}

#[track_caller]
fn assert_no_space(stderr: &str, file: &str) {
    assert!(stderr.contains("No space left on device") && stderr.contains(file), "{file}: {stderr}");
}

#[test]
fn no_space_for_a_file() {
    if !Path::new("/dev/full").exists() {
        skipped("there is no /dev/full");
        return;
    }
    check("prepare", "partition.parquet", "partition.parquet.partial");
    check("score", "scores/target.parquet", "scores/target.parquet.tmp");
    check("attack", "statistics.parquet", "statistics.parquet.tmp");
    check("attack", "results.json", "results.json.tmp");
    check("report", "report.html", "report.html.tmp");
}

/// The first write of every run.
#[test]
fn no_space_for_the_experiment_file() {
    let folder = ExperimentFolder::finished();
    let before = folder.run_files();
    symlink("/dev/full", folder.path(RUN).join("experiment.toml.tmp")).unwrap();
    let said = folder.userprint(&["run", "experiment.toml"]);
    said.assert_refused();
    assert_no_space(&said.stderr, "experiment.toml");
    fs::remove_file(folder.path(RUN).join("experiment.toml.tmp")).unwrap();
    assert!(folder.run_files() == before);
}

/// A small file system of its own; unmounted when dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None` where mounting is refused.
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).ok()?;
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self { path })
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        let status = Command::new("mount").args(["-o", &options]).arg(&self.path).status();
        assert!(status.expect("mount was there before").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.path).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} is still mounted", self.path.display());
    }
}

/// The disk fills up in the middle of training.
#[test]
fn disk_fills_up() {
    let folder = ExperimentFolder::new(TINY);
    let Some(disk) = SmallDisk::mount(folder.path("runs"), "600k") else {
        skipped("mounting a small file system is refused here");
        return;
    };
    let said = folder.userprint(&["run", "experiment.toml"]);
    said.assert_refused();
    assert_no_space(&said.stderr, "checkpoints/reference/");
    let before = folder.records();
    assert_eq!(before.keys().collect::<Vec<_>>(), ["prepare"]);
    disk.grow("32m");
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    assert_eq!(said.done_before(), ["prepare"]);
    assert_eq!(folder.records()["prepare"], before["prepare"]);
    folder.assert_finished();
}

#[expect(clippy::print_stderr, reason = "a test that could not run must not look like one that passed")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
