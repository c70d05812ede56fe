//! `userprint stats` on tables of our own and of other tools.

use serde_json::Value;
use userprint_core::UserId;
use userprint_score::store::{StatisticsTable, write_statistics};

use crate::experiment_folder::{ExperimentFolder, RUN};

/// A folder with a table of these statistics, held-in users first.
fn table(held_in: &[f64], held_out: &[f64]) -> ExperimentFolder {
    let folder = ExperimentFolder::new("");
    let n = held_in.len() + held_out.len();
    let table = StatisticsTable {
        user_id: (0..n).map(|user| UserId::new(format!("{user:03}"))).collect(),
        held_in: (0..n).map(|user| user < held_in.len()).collect(),
        statistic: [held_in, held_out].concat(),
        n_examples: vec![1; n],
        flags: Vec::new(),
        others: vec![("turned".to_owned(), [held_in, held_out].concat().iter().map(|x| -x).collect())],
    };
    write_statistics(&folder.path("statistics.parquet"), &table).expect("the folder is ours");
    folder
}

const JSON: [&str; 5] = ["stats", "statistics.parquet", "--bootstrap", "100", "--json"];

#[track_caller]
fn json(folder: &ExperimentFolder, args: &[&str]) -> Value {
    serde_json::from_str(&folder.userprint(args).assert_success().stdout).expect("--json prints JSON")
}

/// methods.md 3: Mann-Whitney, hull and DeLong's variance are three numbers.
#[test]
fn known_answers() {
    let folder = table(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0]);
    let found = json(&folder, &JSON);
    assert_eq!(found["auroc"], 11.0 / 16.0);
    assert_eq!(found["hull_auroc"], 13.0 / 16.0);
    assert!((found["delong_variance"].as_f64().unwrap() - 23.0 / 384.0).abs() < 1e-15);
    assert_eq!((&found["users"], &found["peer"]), (&Value::from(8), &Value::from("userprint")));
    let none = json(&folder, &["stats", "statistics.parquet", "--bootstrap", "0", "--json"]);
    assert_eq!((&none["bootstrap_std"], &none["auroc"]), (&Value::Null, &found["auroc"]));
    assert_eq!(found["is_interval_approximate"], true);
    // Four held-out users show no rate below a quarter.
    assert_eq!(found["tpr_at_fpr"]["0.1"], Value::Null);
    assert!(found["bootstrap_std"].as_f64().unwrap() > 0.0 && found["seconds"].as_f64().unwrap() >= 0.0);
}

#[test]
fn another_column_and_the_same_seed() {
    let folder = table(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0]);
    let turned = json(&folder, &[&JSON[..], &["--column", "turned"]].concat());
    assert_eq!(turned["auroc"], 5.0 / 16.0);
    let std = |args: &[&str]| json(&folder, args)["bootstrap_std"].clone();
    assert_eq!(std(&JSON), std(&JSON));
    assert_ne!(std(&JSON), std(&[&JSON[..], &["--seed", "1"]].concat()));
}

#[test]
fn a_finished_run_can_be_judged_again() {
    let folder = ExperimentFolder::finished();
    let results: Value = serde_json::from_slice(&folder.read(&format!("{RUN}/results.json"))).unwrap();
    let found = json(&folder, &["stats", &format!("{RUN}/statistics.parquet"), "--json"]);
    assert_eq!(found["auroc"], results["auroc"]);
    assert_eq!(found["auroc_interval"], results["auroc_interval"]);
}

#[test]
fn words_say_what_cannot_be_known() {
    let folder = table(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0]);
    let said = folder.userprint(&["stats", "statistics.parquet"]).assert_success().stdout;
    assert!(said.contains("AUROC       0.6875   95 % interval") && said.contains("approximate"), "{said}");
    assert!(said.contains("TPR at FPR 0.01   needs 100 held-out users"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
}

#[track_caller]
fn check_refused(folder: &ExperimentFolder, args: &[&str], words: &[&str]) {
    let said = folder.userprint(args);
    said.assert_refused();
    for word in words {
        assert!(said.stderr.contains(word), "`{word}` is not in: {}", said.stderr);
    }
}

#[test]
fn tables_that_say_nothing_are_refused() {
    let args = ["stats", "statistics.parquet"];
    check_refused(&table(&[0.0, f64::NAN], &[1.0]), &args, &["column `statistic`", "NaN"]);
    check_refused(&table(&[0.0, 1.0], &[f64::INFINITY]), &args, &["inf"]);
    check_refused(&table(&[], &[1.0, 2.0]), &args, &["held-in"]);
    check_refused(&table(&[1.0], &[]), &args, &["held-out"]);
    let folder = table(&[0.0, 1.0], &[1.0, 2.0]);
    check_refused(&folder, &["stats", "statistics.parquet", "--column", "other"], &["`other`"]);
    check_refused(&folder, &["stats", "statistics.parquet", "--bootstrap", "1"], &["1", "at least 2"]);
    check_refused(&folder, &["stats", "missing.parquet"], &["missing.parquet"]);
    folder.write("text.parquet", "no table");
    check_refused(&folder, &["stats", "text.parquet"], &["text.parquet"]);
}

/// No spread, but an interval with a width.
#[test]
fn one_user_a_side_and_all_ties_are_answered() {
    for (held_in, held_out, auroc) in [(vec![1.0], vec![0.0], 1.0), (vec![2.0; 30], vec![2.0; 30], 0.5)] {
        let found = json(&table(&held_in, &held_out), &JSON);
        assert_eq!(found["auroc"], auroc);
        let ends = [0, 1].map(|end| found["auroc_interval"][end].as_f64().unwrap());
        assert!(ends[1] - ends[0] > 0.05, "{found}");
    }
}
