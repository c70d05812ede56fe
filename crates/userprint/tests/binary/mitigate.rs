//! `userprint mitigate`: variants share stages, go on where they stopped, and are judged.

use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::experiment_folder::{ExperimentFolder, TINY};

const GRID: &str = r#"
name = "grid"
experiment = "experiment.toml"
seeds = [1, 2]

[[variants]]
name = "none"

[[variants]]
name = "long"
set.target.training.epochs = 6
set.copies = { share = 0.5, n_copies = 2 }

[[variants]]
name = "long without copies"
set.target.training.epochs = 6
set.target.exact_dedup = true
set.copies = { share = 0.5, n_copies = 2 }

[[rows]]
name = "none"
variant = "none"

[[rows]]
name = "long"
variant = "long"

[[rows]]
name = "one document"
variant = "long"
statistic = "known_1"

[[claims]]
says = "Long training exposes more"
more = "long"
less = "none"

[[claims]]
says = "Long training exposes less"
more = "none"
less = "long"
"#;

fn grid(text: &str) -> ExperimentFolder {
    let folder = ExperimentFolder::new(TINY);
    folder.write("grid.toml", text);
    folder
}

fn outcome(folder: &ExperimentFolder) -> Value {
    serde_json::from_slice(&folder.read("runs/grid/grid.json")).expect("JSON")
}

#[test]
fn variants_are_compared_and_stages_shared() {
    let folder = grid(GRID);
    let said = folder.userprint(&["mitigate", "grid.toml"]);
    // Two opposite claims: one of them may be contradicted, and nothing else may be wrong.
    assert!(said.code == Some(0) || said.stderr.contains("a claim is contradicted"), "{}", said.stderr);
    let found = outcome(&folder);
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    for row in rows {
        let (auroc, ends) = (row["auroc"].as_f64(), &row["auroc_interval"]);
        assert!(ends[0].as_f64() <= auroc && auroc <= ends[1].as_f64(), "{row}");
        assert_eq!((row["n_held_in"].as_u64(), row["n_held_out"].as_u64()), (Some(36), Some(36)));
    }
    // What is above in one claim is below in the other.
    let p = |claim: usize| found["claims"][claim]["p_value"].as_f64().expect("it was tested");
    assert!((p(0) + p(1) - 1.0).abs() < 1e-9);
    let page = String::from_utf8(folder.read("runs/grid/page.md")).expect("UTF-8");
    assert!(page.contains("| Long training exposes more | **"), "{page}");
    assert!(folder.path("runs/grid/trade-off.svg").exists());
    // Copies change what is prepared; without them training alone differs.
    let taken = |line: &str| said.stderr.lines().filter(|own| own.starts_with(line)).count();
    assert_eq!(taken("prepare         taken from grid-long-seed"), 2, "{}", said.stderr);
    assert_eq!(taken("pretrain        taken from grid-long-seed"), 2, "{}", said.stderr);
    assert_eq!(taken("pretrain        taken from grid-none-seed"), 2, "{}", said.stderr);
    assert_eq!(taken("train           taken from"), 0, "{}", said.stderr);

    let again = folder.userprint(&["mitigate", "grid.toml"]);
    assert_eq!(again.stderr.matches("done before").count(), 6 * 7, "{}", again.stderr);
    assert_eq!(again.code, said.code);
    assert_eq!(outcome(&folder), found);
}

/// Without how long things took.
fn timeless(mut found: Value) -> Value {
    found["wall_s"] = Value::Null;
    for variant in found["variants"].as_array_mut().expect("variants") {
        variant["train_s"] = Value::Null;
    }
    found
}

#[test]
fn killed_five_times_it_finds_the_same() {
    let (whole, killed) = (grid(GRID), grid(GRID));
    whole.userprint(&["mitigate", "grid.toml"]);
    let mut n_killed = 0;
    // Odd times, so that it is not always the same stage that is met.
    for wait_ms in [130, 310, 540, 790, 1130] {
        let mut run = killed.start(&["mitigate", "grid.toml"]);
        sleep(Duration::from_millis(wait_ms));
        n_killed += u32::from(run.try_wait().expect("it is our child").is_none());
        run.kill().expect("it is our child");
        run.wait().expect("it is our child");
    }
    assert!(n_killed > 0, "every run came to its end before it could be killed");
    killed.userprint(&["mitigate", "grid.toml"]);
    assert_eq!(timeless(outcome(&killed)), timeless(outcome(&whole)));
}

#[test]
fn a_wrong_grid_is_refused_before_anything_runs() {
    for (old, new, says) in [
        ("more = \"none\"", "more = \"nobody\"", "there is no row `nobody`"),
        ("epochs = 6", "epoch = 6", "variant `long`"),
        ("statistic = \"known_1\"", "statstic = \"known_1\"", "statstic"),
        ("experiment = \"experiment.toml\"", "experiment = \"none.toml\"", "none.toml"),
    ] {
        assert!(GRID.contains(old), "{old}");
        let folder = grid(&GRID.replacen(old, new, 1));
        let said = folder.userprint(&["mitigate", "grid.toml"]);
        assert_eq!(said.code, Some(1));
        assert!(said.stderr.contains(says), "{}", said.stderr);
        assert!(!folder.path("runs").exists(), "{new}");
    }
}
