//! The same seed gives the same bytes.

use std::path::Path;

use crate::experiment_folder::{ExperimentFolder, TINY, finished};

/// In another folder, under another name of the folder of runs.
#[test]
fn same_seed_same_bytes() {
    let folder = ExperimentFolder::new(TINY);
    let said = folder.userprint(&["run", "experiment.toml", "--runs", "elsewhere"]).assert_success();
    assert!(said.stdout.starts_with("AUROC "), "{}", said.stdout);
    let same = [
        "partition.parquet",
        "scores/reference.parquet",
        "scores/target.parquet",
        "statistics.parquet",
        "results.json",
    ];
    for name in same {
        let again = folder.read(&format!("elsewhere/tiny-seed1/{name}"));
        assert!(again == finished(1)[Path::new(name)], "{name} differs");
    }
}

#[test]
fn another_seed_differs() {
    for name in ["partition.parquet", "statistics.parquet", "results.json"] {
        assert!(finished(1)[Path::new(name)] != finished(2)[Path::new(name)], "{name} is the same");
    }
}

/// `--seed` says the same as the file.
#[test]
fn seed_of_the_command_line() {
    let folder = ExperimentFolder::new(TINY);
    folder.userprint(&["run", "experiment.toml", "--until", "prepare", "--seed", "2"]).assert_success();
    assert!(folder.read("runs/tiny-seed2/partition.parquet") == finished(2)[Path::new("partition.parquet")]);
}
