//! GPT-Neo against transformers: ids, scores, saving and loading, and checkpoints that are refused.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use userprint_core::{Detail, Ragged, Tokenize};
use userprint_model::backend::Cpu;
use userprint_model::checkpoint::{self, NamedTensors};
use userprint_model::weights::{self, Weights};
use userprint_model::{HfTokenizer, LocalScorer, PackedLm, Precision, ScoringOptions};
use userprint_score::Scorer;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    text: String,
    ids: Vec<u32>,
    without_bos: Scores,
    with_bos: Scores,
}

#[derive(Deserialize)]
struct Scores {
    log_prob: Vec<f32>,
    mean: Vec<f32>,
    std_dev: Vec<f32>,
    is_argmax: Vec<bool>,
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/gpt_neo")
}

fn cases() -> Vec<Case> {
    let text = fs::read_to_string(fixture().join("golden.json")).expect("golden.json is there");
    serde_json::from_str::<Golden>(&text).expect("golden.json has the known layout").cases
}

fn texts(cases: &[Case]) -> Vec<&str> {
    cases.iter().map(|case| case.text.as_str()).collect()
}

fn tokenizer(folder: &Path) -> HfTokenizer {
    HfTokenizer::load(&folder.join("tokenizer.json")).expect("the tokenizer loads")
}

fn scorer(folder: &Path, options: ScoringOptions) -> LocalScorer {
    let (lm, _) = PackedLm::load(folder, Precision::F32).expect("the checkpoint loads");
    LocalScorer::new("golden", lm, Arc::new(tokenizer(folder)), options)
}

fn scorer_with_tensors(folder: &Path, options: ScoringOptions) -> LocalScorer {
    let (lm, _) = checkpoint::load::<Cpu>(folder, &Default::default()).expect("the checkpoint loads");
    LocalScorer::new("golden", lm, Arc::new(tokenizer(folder)), options)
}

#[track_caller]
fn assert_close(case: &str, what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{case}: tokens with a {what}");
    for (token, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(
            difference <= tolerance,
            "{case}, scored token {token}: {what} {found}, transformers says {expected}"
        );
    }
}

/// All texts at once, by each way to their log-probabilities.
#[track_caller]
fn check(options: ScoringOptions, expected: fn(&Case) -> &Scores) {
    check_with(&scorer(&fixture(), options), expected);
    check_with(&scorer_with_tensors(&fixture(), options), expected);
}

#[track_caller]
fn check_with(scorer: &LocalScorer, expected: fn(&Case) -> &Scores) {
    let cases = cases();
    let score = |detail| scorer.score(&texts(&cases), detail).expect("all texts can be scored");
    let (tokens, moments) = (score(Detail::Tokens), score(Detail::Moments));
    let row = |column: &Option<Ragged<f32>>, row| column.as_ref().expect("asked for").row(row).to_vec();
    for (index, case) in cases.iter().enumerate() {
        let (name, expected) = (case.name.as_str(), expected(case));
        for scores in [&tokens, &moments] {
            let found = row(&scores.token_log_probs, index);
            assert_close(name, "log p", &found, &expected.log_prob, 2e-4);
            assert_eq!(scores.n_tokens[index] as usize, expected.log_prob.len(), "{name}");
            let total: f64 = found.iter().copied().map(f64::from).sum();
            assert!((scores.log_likelihood[index] - total).abs() < 1e-9, "{name}: sum over tokens");
        }
        let moments = moments.moments.as_ref().expect("asked for");
        assert_close(name, "mean", moments.mean.row(index), &expected.mean, 1e-3);
        assert_close(name, "std_dev", moments.std_dev.row(index), &expected.std_dev, 1e-3);
        assert_eq!(moments.is_argmax.row(index), expected.is_argmax, "{name}: argmax");
    }
}

#[test]
fn ids_agree() {
    let cases = cases();
    let tokens = tokenizer(&fixture()).encode(&texts(&cases)).expect("all texts can be encoded");
    for (case, ids) in cases.iter().zip(tokens.ids.rows()) {
        assert_eq!(ids, case.ids, "{}", case.name);
    }
}

#[test]
fn scores_agree_without_bos() {
    check(ScoringOptions::default(), |case| &case.without_bos);
}

#[test]
fn scores_agree_with_bos() {
    let options = ScoringOptions { bos_token: Some(0), ..ScoringOptions::default() };
    check(options, |case| &case.with_bos);
}

#[test]
fn scores_agree_one_text_at_a_time() {
    let options = ScoringOptions { bos_token: Some(0), batch_tokens: 1, ..ScoringOptions::default() };
    check(options, |case| &case.with_bos);
}

#[test]
fn what_is_saved_loads_to_the_same_model() {
    let (lm, config) =
        checkpoint::load::<Cpu>(&fixture(), &Default::default()).expect("the checkpoint loads");
    let copy = tempfile::tempdir().expect("a folder");
    checkpoint::save(copy.path(), &lm, &config, &tokenizer(&fixture())).expect("the model is saved");

    let (_, saved) = checkpoint::load::<Cpu>(copy.path(), &Default::default()).expect("the copy loads");
    assert_eq!(saved, config);
    let cases = cases();
    let bits = |folder: &Path| -> Vec<u64> {
        let scores = scorer(folder, ScoringOptions::default()).score(&texts(&cases), Detail::Total);
        scores.expect("all texts can be scored").log_likelihood.into_iter().map(f64::to_bits).collect()
    };
    assert_eq!(bits(copy.path()), bits(&fixture()));

    let files = fs::read_dir(copy.path()).expect("the copy is there").map(|file| file.map(|f| f.file_name()));
    let mut files: Vec<_> = files.collect::<Result<_, _>>().expect("the copy can be listed");
    files.sort();
    let expected = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(files, expected);
}

/// The checkpoint in a folder of its own, changed.
fn changed(change: impl FnOnce(&Path)) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(fixture().join(file), folder.path().join(file)).expect("the fixture can be copied");
    }
    change(folder.path());
    folder
}

fn change_config(change: impl FnOnce(&mut Value)) -> TempDir {
    changed(|folder| {
        let path = folder.join("config.json");
        let text = fs::read_to_string(&path).expect("config.json is there");
        let mut config = serde_json::from_str(&text).expect("config.json is JSON");
        change(&mut config);
        fs::write(&path, config.to_string()).expect("config.json can be written");
    })
}

fn change_tensors(change: impl FnOnce(&mut NamedTensors)) -> TempDir {
    changed(|folder| {
        let path = folder.join("model.safetensors");
        let mut tensors =
            Weights::open_file(&path).and_then(|file| file.read_all()).expect("the tensors can be read");
        change(&mut tensors);
        weights::write(&path, &tensors, &[]).expect("the tensors can be written");
    })
}

/// Loading fails, and the error with its sources says each of the parts after the file's path.
#[track_caller]
fn check_refused(folder: &TempDir, file: &str, parts: &[&str]) {
    let error = checkpoint::load::<Cpu>(folder.path(), &Default::default()).expect_err("should be refused");
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    let path = folder.path().join(file).display().to_string();
    let path = path.trim_end_matches('/').to_owned();
    let rest =
        text.strip_prefix(path.as_str()).unwrap_or_else(|| panic!("`{text}` does not start with the file"));
    for part in parts {
        assert!(rest.contains(part), "`{text}` does not say `{part}`");
    }
}

const K_PROJ: &str = "transformer.h.1.attn.attention.k_proj.weight";

#[test]
fn missing_tensor() {
    let folder = change_tensors(|tensors| drop(tensors.remove(K_PROJ)));
    let says = format!("tensor `{K_PROJ}` is missing, expected shape [32, 32]");
    check_refused(&folder, "model.safetensors", &[&says]);
}

#[test]
fn extra_tensors() {
    let folder = change_tensors(|tensors| {
        for key in ["transformer.h.4.ln_1.bias", "transformer.h.4.ln_1.weight"] {
            tensors.insert(key.to_owned(), (vec![32], vec![0.0; 32]));
        }
    });
    let says = "2 tensors have no place in the model, the first is `transformer.h.4.ln_1.bias`";
    check_refused(&folder, "model.safetensors", &[says]);
}

#[test]
fn wrong_shape() {
    let folder = change_tensors(|tensors| {
        tensors.insert(K_PROJ.to_owned(), (vec![16, 64], vec![0.0; 1024]));
    });
    let says = format!("tensor `{K_PROJ}` is F32 [16, 64], expected [32, 32]");
    check_refused(&folder, "model.safetensors", &[&says]);
}

#[test]
fn config_of_another_size() {
    let folder = change_config(|config| config["vocab_size"] = json!(321));
    let says = "tensor `transformer.wte.weight` is F32 [320, 32], expected [321, 32]";
    check_refused(&folder, "model.safetensors", &[says]);
}

#[test]
fn file_cut_short() {
    let bytes = fs::read(fixture().join("model.safetensors")).expect("the fixture is there");
    for n_bytes in [0, 4, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        let cut = &bytes[..n_bytes];
        let folder = changed(|folder| {
            fs::write(folder.join("model.safetensors"), cut).expect("the file can be written");
        });
        check_refused(&folder, "model.safetensors", &["cannot read it as safetensors"]);
    }
}

#[test]
fn file_not_there() {
    for (file, named, says) in [
        ("config.json", "config.json", "cannot read it"),
        ("model.safetensors", "", "model.safetensors.index"),
    ] {
        let folder = changed(|folder| fs::remove_file(folder.join(file)).expect("the file was there"));
        check_refused(&folder, named, &[says]);
    }
}

#[test]
fn unknown_family() {
    let folder = change_config(|config| config["model_type"] = json!("bert"));
    check_refused(&folder, "config.json", &["model_type is `bert`, expected one of: gpt_neo, gpt2, opt"]);
    let folder = change_config(|config| config["model_type"] = json!(7));
    check_refused(&folder, "config.json", &["model_type", "expected one of: gpt_neo"]);
}

#[test]
fn quantised_weights() {
    let folder = change_config(|config| config["quantization_config"] = json!({"quant_method": "gptq"}));
    check_refused(&folder, "config.json", &["quantization_config is present, expected none"]);
}

#[test]
fn config_is_not_json() {
    for text in ["", "{\"model_type\": \"gpt_neo\"", "model_type = \"gpt_neo\""] {
        let folder = changed(|folder| {
            fs::write(folder.join("config.json"), text).expect("the file can be written");
        });
        check_refused(&folder, "config.json", &["cannot read it as JSON"]);
    }
}

#[test]
fn config_lacks_a_key() {
    let folder = change_config(|config| {
        config.as_object_mut().expect("a JSON object").remove("num_heads");
    });
    check_refused(&folder, "config.json", &["num_heads is absent, expected a whole number"]);
}

#[test]
fn masks_and_tied_heads_of_older_checkpoints_are_passed_over() {
    let folder = change_tensors(|tensors| {
        for key in ["transformer.h.0.attn.attention.bias", "transformer.h.0.attn.attention.masked_bias"] {
            tensors.insert(key.to_owned(), (vec![1], vec![-1e9]));
        }
        let head = tensors["transformer.wte.weight"].clone();
        tensors.insert("lm_head.weight".to_owned(), head);
    });
    let cases = cases();
    let score = |folder: &Path| {
        scorer(folder, ScoringOptions::default()).score(&texts(&cases), Detail::Total).expect("scores")
    };
    assert_eq!(score(folder.path()), score(&fixture()));
}
