//! `userprint model`: what it says of checkpoints, and scores that are those of transformers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use userprint_model::families::FAMILIES;
use userprint_score::{ScoreTable, store};

use crate::experiment_folder::{ExperimentFolder, Said};

fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.model_type)
}

/// Longest input of the fixtures' models.
const CONTEXT: usize = 96;

/// A folder of `fixtures/`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// Copies the plain files of a fixture.
pub(crate) fn copy(name: &str, folder: &ExperimentFolder, to: &str) {
    for entry in fs::read_dir(fixture(name)).expect("the fixture is there") {
        let path = entry.expect("the fixture can be listed").path();
        let file = path.file_name().expect("an entry has a name").display().to_string();
        folder.write(&format!("{to}/{file}"), fs::read(&path).expect("the fixture can be read"));
    }
}

fn json_of(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the fixture can be read");
    serde_json::from_str(&text).expect("the fixture is JSON")
}

/// `llama` with a tokenizer, `lora` for it, and `corpus.jsonl`: a text a user, who is called as the text's case.
pub(crate) fn llama() -> ExperimentFolder {
    let folder = ExperimentFolder::new("");
    copy("families/llama", &folder, "llama");
    copy("families/lora/llama", &folder, "lora");
    folder.write("llama/tokenizer.json", fs::read(fixture("gpt_neo/tokenizer.json")).expect("a tokenizer"));
    let golden = json_of(&fixture("families/llama/golden.json"));
    let cases = golden["cases"].as_array().expect("cases");
    let rows = cases.iter().map(|case| json!({ "user_id": case["name"], "text": case["text"] }));
    folder.write("corpus.jsonl", rows.map(|row| format!("{row}\n")).collect::<String>());
    folder
}

/// Scores by `userprint score`.
#[track_caller]
fn score(folder: &ExperimentFolder, model: &str, options: &[&str]) -> ScoreTable {
    let args = ["score", model, "corpus.jsonl", "--out", "scores.parquet", "--quiet"];
    let said = folder.userprint(&[&args, options].concat()).assert_success();
    assert_eq!(said.stderr, "");
    assert!(said.stdout.ends_with("nats per token\nscores.parquet\n"), "{}", said.stdout);
    store::read_scores(&folder.path("scores.parquet")).expect("a score table")
}

/// Log-probabilities of tokens, by user.
fn by_user(table: &ScoreTable) -> BTreeMap<&str, Vec<f32>> {
    let tokens = table.scores.token_log_probs.as_ref().expect("kept by default");
    table.user_id.iter().zip(tokens.rows()).map(|(user, row)| (user.as_str(), row.to_vec())).collect()
}

#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: tokens");
    for (token, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "{what}, token {token}: {found}, expected {expected}");
    }
}

/// All texts that a fixture has known answers for.
#[track_caller]
fn assert_golden(table: &ScoreTable, golden: &str) {
    let found = by_user(table);
    let golden = json_of(&fixture(golden).join("golden.json"));
    for case in golden["cases"].as_array().expect("cases") {
        let name = case["name"].as_str().expect("a name");
        let expected: Vec<f32> =
            serde_json::from_value(case["with_bos"]["log_prob"].clone()).expect("numbers");
        assert_close(name, &found[name], &expected, 2e-5);
    }
}

#[test]
fn scores_are_those_of_transformers() {
    let folder = llama();
    let table = score(&folder, "llama", &["--bos", "always"]);
    assert_golden(&table, "families/llama");
    let reading = &table.reading;
    assert_eq!((reading.bos.as_str(), reading.bos_token), ("always", Some(0)));
    assert_eq!((reading.long_texts.as_str(), table.user_id.len()), ("truncate", 6));
    assert!(table.scorer.as_str().starts_with("llama "), "{:?}", table.scorer);
    let texts: Vec<Value> = String::from_utf8(folder.read("corpus.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (user, n_bytes) in table.user_id.iter().zip(&table.n_bytes) {
        let text = texts.iter().find(|text| text["user_id"] == user.as_str()).unwrap();
        assert_eq!(text["text"].as_str().unwrap().len() as u64, *n_bytes);
    }
}

#[test]
fn without_a_first_token_the_texts_first_is_context() {
    let folder = llama();
    let (with, without) =
        (score(&folder, "llama", &["--bos", "always"]), score(&folder, "llama", &["--bos", "never"]));
    assert_eq!((without.reading.bos.as_str(), without.reading.bos_token), ("never", None));
    assert_ne!(with.scorer, without.scorer, "texts are read otherwise");
    let (with, without) = (by_user(&with), by_user(&without));
    assert_eq!(without["short"].len(), with["short"].len() - 1);
    assert_eq!(without["past the context"].len(), CONTEXT - 1);
    // The tokenizer of the fixtures puts nothing before a text.
    let default = score(&folder, "llama", &[]);
    assert_eq!((default.reading.bos.as_str(), default.reading.bos_token), ("tokenizer", None));
    assert_eq!(by_user(&default), without);
}

#[test]
fn long_texts_are_scored_in_windows() {
    let folder = llama();
    let cut = score(&folder, "llama", &["--bos", "always", "--max-tokens", "40"]);
    let options = ["--bos", "always", "--max-tokens", "40", "--long-texts", "stride"];
    let strided = score(&folder, "llama", &options);
    assert_eq!((strided.reading.max_tokens, strided.reading.long_texts.as_str()), (40, "stride"));
    assert_eq!((cut.reading.max_tokens, cut.reading.long_texts.as_str()), (40, "truncate"));
    let (cut, strided) = (by_user(&cut), by_user(&strided));
    assert_eq!((cut["past the context"].len(), strided["short"].len()), (39, cut["short"].len()));
    assert!(strided["past the context"].len() > CONTEXT);
    assert_close("the first window", &strided["past the context"][..39], &cut["past the context"], 1e-5);
}

#[test]
fn details_say_what_is_kept() {
    let folder = llama();
    let total = score(&folder, "llama", &["--detail", "total"]).scores;
    assert!(total.token_log_probs.is_none() && total.moments.is_none());
    let moments = score(&folder, "llama", &["--detail", "moments"]).scores;
    assert!(moments.moments.is_some());
    for (total, tokens) in total.log_likelihood.iter().zip(moments.token_log_probs.unwrap().rows()) {
        let sum: f64 = tokens.iter().map(|&log_p| f64::from(log_p)).sum();
        assert!((total - sum).abs() < 1e-4, "{total} {sum}");
    }
}

#[test]
fn an_adapter_is_applied_and_merged() {
    let folder = llama();
    let plain = score(&folder, "llama", &["--bos", "always"]);
    let adapted = score(&folder, "llama", &["--bos", "always", "--adapter", "lora"]);
    assert_golden(&adapted, "families/lora/llama");
    assert_ne!(adapted.scorer, plain.scorer);

    let said = folder.userprint(&["model", "merge", "llama", "lora", "--out", "merged"]).assert_success();
    assert_eq!(said.stdout, "merged: merged\n");
    let merged = score(&folder, "merged", &["--bos", "always"]);
    assert_golden(&merged, "families/lora/llama");
    let (adapted, merged) = (by_user(&adapted), by_user(&merged));
    for (user, expected) in &adapted {
        assert_close(user, &merged[user], expected, 1e-4);
    }
}

#[track_caller]
fn refused(folder: &ExperimentFolder, args: &[&str]) -> String {
    let said = folder.userprint(args);
    said.assert_refused();
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    said.stderr.trim_end().to_owned()
}

#[test]
fn what_cannot_be_scored() {
    let folder = llama();
    let check = |args: &[&str], words: &[&str]| {
        let error = refused(&folder, &[args, &["--out", "new.parquet"]].concat());
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(!folder.path("new.parquet").exists());
    };
    let model_score = |model, corpus| ["score", model, corpus];
    check(&model_score("nowhere", "corpus.jsonl"), &["nowhere/config.json: cannot read it"]);
    check(&model_score("lora", "corpus.jsonl"), &["lora/config.json: cannot read it"]);
    check(&model_score("llama", "nothing.jsonl"), &["nothing.jsonl does not exist"]);
    let with = |option, value| [&model_score("llama", "corpus.jsonl") as &[&str], &[option, value]].concat();
    check(&with("--adapter", "llama"), &["llama: it holds no adapter_config.json"]);
    check(&with("--bos", "alway"), &["score.bos", "did you mean `always`?"]);
    check(&with("--long-texts", "cut"), &["score.long_texts", "truncate, stride"]);
    check(&with("--max-tokens", "1"), &["score.max_tokens is 1", "at least 2"]);
    check(&with("--text", "body"), &["corpus.jsonl", "body"]);
    check(&with("--dtype", "fp16"), &["score.dtype is `fp16`", "f32, bf16"]);
    let error = refused(&folder, &["model", "merge", "llama", "llama", "--out", "merged"]);
    assert_eq!(error, "error: llama: it holds no adapter_config.json");
    assert!(!folder.path("merged").exists());
}

/// An adapter of another base has other modules.
#[test]
fn an_adapter_of_another_model_is_refused() {
    let folder = llama();
    copy("families/lora/gpt2", &folder, "other");
    let args = ["score", "llama", "corpus.jsonl", "--out", "new.parquet", "--adapter", "other"];
    let error = refused(&folder, &args);
    assert!(error.contains("other/adapter_model.safetensors"), "{error}");
}

#[track_caller]
fn check_text(family: &str, expect: Expect) {
    let folder = ExperimentFolder::new("");
    copy(family, &folder, "model");
    folder.write("model/tokenizer.json", fs::read(fixture("gpt_neo/tokenizer.json")).expect("a tokenizer"));
    let said = folder.userprint(&["model", "inspect", "model"]).assert_success();
    assert_eq!(said.stderr, "");
    let (text, estimates) = said.stdout.split_once("to score").expect("estimates come last");
    expect.assert_eq(text);
    assert!(estimates.contains("to train") && estimates.lines().count() == 2, "{estimates}");
}

#[test]
fn inspect_describes_a_model() {
    check_text(
        "gpt_neo",
        expect![[r#"
                family       gpt_neo (GPTNeoForCausalLM)
                parameters   43,008
                             MLP                           12,608  29.3 %
                             attention                     16,512  38.4 %
                             norms                            576   1.3 %
                             position embedding             3,072   7.1 %
                             token embedding               10,240  23.8 %
                stored as    F32, 177 kB on disk
                shape        4 layers, width 32, MLP 48, tied head
                attention    4 heads of 8; 2 of 4 layers see 8 tokens
                positions    learned
                context      96 tokens
                vocabulary   320 ids; text begins with 0, ends with 0
                tokenizer    found
            "#]],
    );
    check_text(
        "families/llama",
        expect![[r#"
                family       llama (LlamaForCausalLM)
                parameters   34,464
                             MLP                            7,680  22.3 %
                             attention                      6,144  17.8 %
                             head                          10,240  29.7 %
                             norms                            160   0.5 %
                             token embedding               10,240  29.7 %
                stored as    BF16, 73 kB on disk
                shape        2 layers, width 32, MLP 40, a head of its own
                attention    4 heads of 8, 2 of keys and values; all global
                positions    rotary, 8 of 8 per head
                context      96 tokens
                vocabulary   320 ids; text begins with 0, ends with 0
                tokenizer    found
            "#]],
    );
}

#[test]
fn inspect_knows_every_family() {
    let folder = ExperimentFolder::new("");
    for family in families() {
        // GPT-Neo's fixture, the oldest, lies beside the others.
        let fixture = if family == "gpt_neo" { family.to_owned() } else { format!("families/{family}") };
        copy(&fixture, &folder, family);
        let said = folder.userprint(&["model", "inspect", family, "--json"]).assert_success();
        let found: Value = serde_json::from_str(&said.stdout).expect("JSON");
        assert_eq!((&found["family"], &found["context"]), (&json!(family), &json!(CONTEXT)));
        let parts = found["inventory"]["parameters"].as_object().expect("parts by name");
        let n_parameters = parts.values().map(|n| n.as_u64().expect("a count")).sum::<u64>();
        assert_eq!(found["n_parameters"], n_parameters, "{family}");
        assert!(found["scoring_bytes"].as_u64() < found["training_bytes"].as_u64(), "{found}");

        let said = folder.userprint(&["model", "inspect", family]).assert_success();
        assert!(said.stdout.starts_with(&format!("family       {family} (")), "{}", said.stdout);
        let tokenizer = if family == "gpt_neo" { "found" } else { "none that can be used" };
        assert!(said.stdout.contains(&format!("tokenizer    {tokenizer}")), "{}", said.stdout);
    }
}

/// A model whose config or weights were changed: the error that `inspect` gives.
#[track_caller]
fn check_damaged(change: impl Fn(&ExperimentFolder), expect: Expect) {
    let folder = ExperimentFolder::new("");
    copy("gpt_neo", &folder, "model");
    change(&folder);
    expect.assert_eq(&refused(&folder, &["model", "inspect", "model"]));
}

const WEIGHTS: &str = "model/model.safetensors";

#[test]
fn inspect_says_what_is_wrong() {
    let remove = |file| move |folder: &ExperimentFolder| fs::remove_file(folder.path(file)).expect("ours");
    let cut = |n: usize| move |folder: &ExperimentFolder| folder.write(WEIGHTS, &folder.read(WEIGHTS)[..n]);
    check_damaged(
        remove("model/config.json"),
        expect!["error: model/config.json: cannot read it: No such file or directory (os error 2)"],
    );
    check_damaged(
        remove(WEIGHTS),
        expect![
            "error: model: cannot read its weights, expected one of: model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json"
        ],
    );
    check_damaged(
        cut(1000),
        expect![
            "error: model/model.safetensors: cannot read it as safetensors: the header claims 5432 bytes, expected at most 992: the file is cut short or of another format"
        ],
    );
    check_damaged(
        cut(90_000),
        expect![
            "error: model/model.safetensors: cannot read it as safetensors: the file has 90000 bytes, and its header speaks of 177472: it is cut short or was added to"
        ],
    );
    check_damaged(
        |folder| folder.write("model/config.json", "{"),
        expect![
            "error: model/config.json: cannot read it as JSON: EOF while parsing an object at line 1 column 1"
        ],
    );
}

#[test]
fn an_unknown_family_lists_those_that_are_known() {
    let folder = ExperimentFolder::new("");
    copy("gpt_neo", &folder, "model");
    folder.write("model/config.json", r#"{"model_type":"mamba"}"#);
    let error = refused(&folder, &["model", "inspect", "model"]);
    let words =
        ["error: model/config.json: cannot use it: model_type is `mamba`", "expected one of: gpt_neo, "];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    assert!(families().all(|family| error.contains(family)), "{error}");
}

#[test]
fn a_folder_that_is_not_there() {
    let error = refused(&ExperimentFolder::new(""), &["model", "inspect", "nowhere"]);
    assert!(error.starts_with("error: nowhere/config.json: cannot read it"), "{error}");
}

#[test]
fn help_fits_a_terminal() {
    let folder = ExperimentFolder::new("");
    for command in ["", "inspect", "merge", "download"] {
        let args: Vec<&str> =
            ["model", command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let said = folder.userprint(&args).assert_success();
        let wide: Vec<&str> = said.stdout.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{command}: wider than 80 columns: {wide:#?}");
        assert!(command.is_empty() || said.stdout.contains("Example"), "{}", said.stdout);
    }
}

/// As in `userprint model inspect … | head -0`.
#[test]
fn a_reader_that_has_gone_is_no_error() {
    let folder = ExperimentFolder::new("");
    copy("gpt_neo", &folder, "model");
    for args in [&["model", "inspect", "model"] as &[&str], &["example"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = folder.command(args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let said = Said::new(output.wait_with_output().unwrap());
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}
