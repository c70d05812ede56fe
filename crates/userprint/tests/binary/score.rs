//! `userprint score`: parts, shards, precisions, and the line of JSON.

use std::fs;

use serde_json::Value;
use userprint_score::{ScoreTable, store};

use crate::experiment_folder::{ExperimentFolder, Said};
use crate::model::llama;

/// Four copies of the corpus of `llama`, with texts of one token between them.
fn setting() -> ExperimentFolder {
    let folder = llama();
    let corpus = String::from_utf8(folder.read("corpus.jsonl")).expect("text");
    let alone = "{\"user_id\": \"alone\", \"text\": \"a\"}\n";
    folder.write("corpus.jsonl", format!("{corpus}{alone}{corpus}{corpus}{alone}{corpus}"));
    folder
}

fn score(folder: &ExperimentFolder, out: &str, options: &[&str]) -> Said {
    let args = ["score", "llama", "corpus.jsonl", "--bos", "never", "--out", out];
    folder.userprint(&[&args, options].concat())
}

fn table(folder: &ExperimentFolder, name: &str) -> ScoreTable {
    store::read_scores(&folder.path(name)).expect("a score table")
}

#[test]
fn texts_without_anything_to_score_are_left_out_and_counted() {
    let folder = setting();
    let said = score(&folder, "scores.parquet", &["--json"]).assert_success();
    let line: Value = serde_json::from_str(&said.stdout).expect("a line of JSON");
    let table = table(&folder, "scores.parquet");
    assert_eq!(line["skipped"], 2);
    assert_eq!(line["docs"].as_u64(), Some(table.user_id.len() as u64 + 2));
    assert_eq!(line["tokens"].as_u64(), Some(table.scores.n_tokens.iter().map(|&n| u64::from(n)).sum()));
    assert_eq!(line["sum_log_likelihood"].as_f64(), Some(table.scores.log_likelihood.iter().sum()));
    assert_eq!((&line["device"], &line["dtype"]), (&"cpu".into(), &"float32".into()));
    assert!(line["tokens_per_s"].as_f64().expect("a number") > 0.0);
    assert!(table.user_id.iter().all(|user| user.as_str() != "alone"));
}

/// Each text's scores are the same bits however the corpus is cut.
#[test]
fn shards_hold_the_rows_of_the_whole() {
    let folder = setting();
    score(&folder, "whole.parquet", &["--threads", "1"]).assert_success();
    let whole = table(&folder, "whole.parquet");
    let mut rows = Vec::new();
    for shard in ["0/3", "1/3", "2/3"] {
        score(&folder, "part.parquet", &["--shard", shard, "--part-tokens", "30"]).assert_success();
        let part = table(&folder, &format!("part-{}-of-3.parquet", &shard[..1]));
        let scores = part.example_id.into_iter().zip(part.scores.log_likelihood);
        rows.extend(part.user_id.into_iter().zip(scores));
    }
    let scores = whole.example_id.into_iter().zip(whole.scores.log_likelihood);
    let mut expected: Vec<_> = whole.user_id.into_iter().zip(scores).collect();
    let by_id = |a: &(_, (_, f64)), b: &(_, (_, f64))| (&a.0, &a.1.0).cmp(&(&b.0, &b.1.0));
    rows.sort_by(by_id);
    expected.sort_by(by_id);
    assert_eq!(rows, expected);
    let said = score(&folder, "part.parquet", &["--shard", "3/3"]);
    assert!(said.stderr.contains("I from 0 to N-1"), "{}", said.stderr);
}

/// A run whose last step fails keeps its parts; the next takes them over, and leaves what one go does.
#[test]
fn a_stopped_run_goes_on() {
    let folder = setting();
    score(&folder, "whole.parquet", &["--part-tokens", "50"]).assert_success();
    fs::create_dir(folder.path("scores.parquet")).expect("a folder in the way");
    score(&folder, "scores.parquet", &["--part-tokens", "50"]).assert_refused();
    fs::remove_dir(folder.path("scores.parquet")).expect("the folder goes");
    let damaged = folder.path("scores.parquet.parts/000001.parquet");
    fs::write(damaged, "not what was written").expect("a part is damaged");
    let said = score(&folder, "scores.parquet", &["--part-tokens", "50"]).assert_success();
    assert!(said.stderr.contains("taken over from a run that was stopped: 1 parts"), "{}", said.stderr);
    assert_eq!(folder.read("scores.parquet"), folder.read("whole.parquet"));
    assert!(!folder.path("scores.parquet.parts").exists());
}

#[test]
fn other_settings_take_nothing_over() {
    let folder = setting();
    fs::create_dir(folder.path("scores.parquet")).expect("a folder in the way");
    score(&folder, "scores.parquet", &["--part-tokens", "50"]).assert_refused();
    fs::remove_dir(folder.path("scores.parquet")).expect("the folder goes");
    let options = ["--part-tokens", "200", "--dtype", "bf16"];
    let said = score(&folder, "scores.parquet", &options).assert_success();
    assert!(!said.stderr.contains("taken over"), "{}", said.stderr);
    score(&folder, "whole.parquet", &options).assert_success();
    assert_eq!(folder.read("scores.parquet"), folder.read("whole.parquet"));
}

#[test]
fn the_first_documents_alone() {
    let folder = setting();
    score(&folder, "whole.parquet", &[]).assert_success();
    score(&folder, "first.parquet", &["--docs", "2"]).assert_success();
    let (whole, first) = (table(&folder, "whole.parquet"), table(&folder, "first.parquet"));
    assert_eq!(first.scores.log_likelihood, whole.scores.log_likelihood[..2]);
    assert_eq!(first.example_id, whole.example_id[..2]);
}

/// The id says the precision; scores in bf16 are other numbers, and near.
#[test]
fn bf16_is_another_scorer() {
    let folder = setting();
    score(&folder, "f32.parquet", &[]).assert_success();
    score(&folder, "bf16.parquet", &["--dtype", "bf16"]).assert_success();
    let [f32, bf16] = ["f32", "bf16"].map(|dtype| {
        let table = table(&folder, &format!("{dtype}.parquet"));
        assert!(table.scorer.as_str().starts_with(&format!("llama {dtype} ")), "{:?}", table.scorer);
        table.scores
    });
    assert_ne!(f32, bf16);
    for (a, b) in
        f32.token_log_probs.expect("kept").values().iter().zip(bf16.token_log_probs.expect("kept").values())
    {
        assert!((a - b).abs() < 0.2, "{a} against {b}");
    }
}

/// A bad row far down is an error that names it; the folder of parts goes where there is nothing in it.
#[test]
fn a_bad_row_is_named() {
    let folder = setting();
    let mut corpus = folder.read("corpus.jsonl");
    corpus.extend(b"{\"user_id\": \"x\", \"text\": null}\n");
    folder.write("corpus.jsonl", corpus);
    let said = score(&folder, "scores.parquet", &[]);
    said.assert_refused();
    assert!(said.stderr.contains("column `text` is null"), "{}", said.stderr);
    assert!(!folder.path("scores.parquet.parts").exists());
}
