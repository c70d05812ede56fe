//! Every family against transformers: scores by all ways, adapters of PEFT, and what is saved.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use userprint_core::{Detail, Ragged, Seed};
use userprint_model::backend::Cpu;
use userprint_model::checkpoint::NamedTensors;
use userprint_model::families::FAMILIES;
use userprint_model::weights::{self, Weights};
use userprint_model::{
    CausalLm, HfTokenizer, LocalScorer, LongTexts, LoraConfig, ModelConfig, PackedLm, Params, Precision,
    ScoringModel, ScoringOptions, Targets, adapter, checkpoint,
};
use userprint_score::{Scorer, conformance};

/// All families but GPT-Neo, whose fixture has tests of its own (`golden.rs`).
fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.model_type).filter(|name| *name != "gpt_neo")
}

/// Nats that a token's log-probability may be apart from transformers'.
const TOLERANCE: f32 = 2e-5;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    text: String,
    with_bos: Scores,
}

#[derive(Deserialize)]
struct Scores {
    log_prob: Vec<f32>,
    #[serde(default)]
    mean: Vec<f32>,
    #[serde(default)]
    std_dev: Vec<f32>,
    #[serde(default)]
    is_argmax: Vec<bool>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn tokenizer() -> HfTokenizer {
    HfTokenizer::load(&fixture("gpt_neo/tokenizer.json")).expect("the tokenizer loads")
}

fn load(folder: &Path) -> (CausalLm<Cpu>, ModelConfig) {
    checkpoint::load(folder, &Default::default()).unwrap_or_else(|e| panic!("{e}: {:?}", e))
}

fn scorer(lm: impl ScoringModel + 'static, options: ScoringOptions) -> LocalScorer {
    let options = ScoringOptions { bos_token: Some(0), ..options };
    LocalScorer::new("golden", lm, Arc::new(tokenizer()), options)
}

#[track_caller]
fn assert_close(case: &str, what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{case}: tokens with a {what}");
    for (token, (found, expected)) in found.iter().zip(expected).enumerate() {
        let apart = (found - expected).abs();
        assert!(apart <= tolerance, "{case}, token {token}: {what} {found}, transformers says {expected}");
    }
}

fn row<T: Copy>(column: Option<&Ragged<T>>, row: usize) -> Vec<T> {
    column.expect("asked for").row(row).to_vec()
}

/// A model with tensors and the same with packed weights.
#[track_caller]
fn check(name: &str, lm: &CausalLm<Cpu>, cases: &[Case]) {
    check_form(name, lm, cases);
    check_form(&format!("{name}, packed"), &PackedLm::pack(lm, Precision::F32), cases);
}

/// All texts, in batches of unequal lengths or one by one, under a model.
#[track_caller]
fn check_form<M: ScoringModel + Clone + 'static>(name: &str, lm: &M, cases: &[Case]) {
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    for batch_tokens in [1, 200, 4096] {
        let options = ScoringOptions { batch_tokens, max_tokens: 96, ..ScoringOptions::default() };
        let scores = scorer(lm.clone(), options).score(&texts, Detail::Moments).expect("texts can be scored");
        let moments = scores.moments.as_ref().expect("asked for");
        for (index, case) in cases.iter().enumerate() {
            let (name, expected) = (format!("{name}, {}", case.name), &case.with_bos);
            let found = row(scores.token_log_probs.as_ref(), index);
            assert_close(&name, "log p", &found, &expected.log_prob, TOLERANCE);
            if !expected.mean.is_empty() {
                assert_close(&name, "mean", moments.mean.row(index), &expected.mean, 1e-4);
                assert_close(&name, "std_dev", moments.std_dev.row(index), &expected.std_dev, 1e-4);
                assert_eq!(moments.is_argmax.row(index), expected.is_argmax, "{name}: argmax");
            }
        }
    }
}

#[test]
fn scores_agree() {
    for family in families() {
        let folder = fixture("families").join(family);
        let golden: Golden = json(&folder.join("golden.json"));
        assert!(golden.cases.len() >= 5);
        check(family, &load(&folder).0, &golden.cases);
    }
}

#[test]
fn what_is_saved_has_the_same_scores() {
    for family in families() {
        let folder = fixture("families").join(family);
        let golden: Golden = json(&folder.join("golden.json"));
        let (lm, config) = load(&folder);
        let copy = tempfile::tempdir().expect("a folder");
        checkpoint::save(copy.path(), &lm, &config, &tokenizer()).expect("the model is saved");
        let (saved, saved_config) = load(copy.path());
        assert_eq!(saved_config.decoder, config.decoder);
        assert_eq!(saved_config.stored_dtype(), Some("float32"));
        check(family, &saved, &golden.cases);
    }
}

#[test]
fn every_family_passes_the_suite() {
    let texts = ["one text", "another text, a good deal longer than the first one", "x y z"];
    for family in families() {
        let (lm, _) = load(&fixture("families").join(family));
        let strided = ScoringOptions { max_tokens: 16, long_texts: LongTexts::Stride, ..Default::default() };
        for precision in Precision::ALL {
            let packed = PackedLm::pack(&lm, precision);
            conformance::scorer(&scorer(packed.clone(), ScoringOptions::default()), &texts);
            conformance::scorer(&scorer(packed, strided), &texts);
        }
        conformance::scorer(&scorer(lm.clone(), ScoringOptions::default()), &texts);
        conformance::scorer(&scorer(lm, strided), &texts);
    }
}

fn token_log_probs(lm: impl ScoringModel + 'static, texts: &[&str], options: ScoringOptions) -> Vec<f32> {
    let scores = scorer(lm, options).score(texts, Detail::Tokens).expect("texts can be scored");
    scores.token_log_probs.expect("asked for").values().to_vec()
}

/// Neither threads nor the other texts of a pass change a bit.
#[test]
fn packed_scores_do_not_depend_on_what_they_are_computed_with() {
    for family in families() {
        let folder = fixture("families").join(family);
        let cases = json::<Golden>(&folder.join("golden.json")).cases;
        let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
        for precision in Precision::ALL {
            let (lm, _) = PackedLm::load(&folder, precision).expect("the checkpoint loads");
            let options = |batch_tokens| ScoringOptions { batch_tokens, ..ScoringOptions::default() };
            let together = token_log_probs(lm.clone().on_threads(1), &texts, options(4096));
            assert_eq!(token_log_probs(lm.clone().on_threads(3), &texts, options(100)), together, "{family}");
            assert_eq!(token_log_probs(lm.on_threads(2), &texts, options(1)), together, "{family}");
        }
    }
}

/// Rounding of weights and inputs to bf16 moves each log-probability a little, and their mean hardly.
#[test]
fn bf16_scores_are_near() {
    for family in families() {
        let folder = fixture("families").join(family);
        let cases = json::<Golden>(&folder.join("golden.json")).cases;
        let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
        let scores = |precision| {
            let (lm, _) = PackedLm::load(&folder, precision).expect("the checkpoint loads");
            token_log_probs(lm, &texts, ScoringOptions::default())
        };
        let (wide, narrow) = (scores(Precision::F32), scores(Precision::Bf16));
        let apart: Vec<f64> = wide.iter().zip(&narrow).map(|(a, b)| f64::from(b - a)).collect();
        let n = apart.len() as f64;
        let (signed, absolute) =
            (apart.iter().sum::<f64>() / n, apart.iter().map(|x| x.abs()).sum::<f64>() / n);
        assert!(absolute > 0.0 && absolute < 0.02, "{family}: {absolute} nats a token");
        assert!(signed.abs() < 0.005, "{family}: {signed} nats a token on average");
    }
}

#[derive(Deserialize)]
struct Rope {
    variants: Vec<Variant>,
}

#[derive(Deserialize)]
struct Variant {
    name: String,
    config: Value,
    old_config: Value,
    cases: Vec<Case>,
}

/// The Llama's config with other keys; what its own layout of rotary positions says goes.
fn with_keys(keys: &Value) -> ModelConfig {
    let mut config: Value = json(&fixture("families/llama/config.json"));
    let object = config.as_object_mut().expect("an object");
    object.remove("rope_parameters");
    object.extend(keys.as_object().expect("an object").clone());
    ModelConfig::new(config).expect("a config that can be used")
}

#[test]
fn stretched_positions_agree() {
    let (lm, _) = load(&fixture("families/llama"));
    let rope: Rope = json(&fixture("families/rope/golden.json"));
    assert!(rope.variants.len() >= 5);
    for Variant { name, config, old_config, cases } in rope.variants {
        for (layout, keys) in [("new", &config), ("old", &old_config)] {
            let config = with_keys(keys).decoder;
            check(&format!("{name}, {layout}"), &CausalLm { config, module: lm.module.clone() }, &cases);
        }
    }
}

const ADAPTED: [&str; 3] = ["gpt2", "llama", "gpt_neox"];

fn adapted(base: &str) -> (CausalLm<Cpu>, ModelConfig, Vec<Case>) {
    let folder = fixture("families/lora").join(base);
    let (lm, config) = load(&fixture("families").join(base));
    let lm = adapter::load(&folder, &lm, &config).unwrap_or_else(|e| panic!("{base}: {e}"));
    (lm, config, json::<Golden>(&folder.join("golden.json")).cases)
}

#[test]
fn packed_models_take_adapters_from_a_folder() {
    for base in ADAPTED {
        let (_, _, cases) = adapted(base);
        let (lm, config) =
            PackedLm::load(&fixture("families").join(base), Precision::F32).expect("the checkpoint loads");
        let lm = lm.with_adapter(&fixture("families/lora").join(base), &config).expect("the adapter loads");
        check_form(&format!("{base}, packed, with an adapter"), &lm, &cases);
    }
}

#[test]
fn adapters_of_peft_agree_applied_and_merged() {
    for base in ADAPTED {
        let (lm, _, cases) = adapted(base);
        assert!(lm.is_adapted());
        check(&format!("{base} with an adapter"), &lm, &cases);
        let merged = lm.merged();
        assert!(!merged.is_adapted());
        check(&format!("{base} with a merged adapter"), &merged, &cases);
    }
}

#[test]
fn saved_adapters_are_those_that_were_loaded() {
    for base in ADAPTED {
        let (lm, config, cases) = adapted(base);
        let copy = tempfile::tempdir().expect("a folder");
        checkpoint::save(copy.path(), &lm, &config, &tokenizer()).expect("the adapter is saved");
        assert!(adapter::is_adapter(copy.path()) && !copy.path().join("model.safetensors").exists());
        let loaded = adapter::load(copy.path(), &load(&fixture("families").join(base)).0, &config);
        check(&format!("{base} with a saved adapter"), &loaded.expect("the copy loads"), &cases);
    }
}

/// Three adapters of one module of the checkpoint become one of PEFT's, with all first factors one below the other.
#[test]
fn fresh_adapters_of_a_common_module_are_saved_as_one() {
    let texts = ["The ferry was late again.", "one text"];
    for base in ["gpt2", "gpt_neox"] {
        let (lm, config) = load(&fixture("families").join(base));
        let target_modules = Targets::Pattern("all-linear".to_owned());
        for rank_stabilised in [false, true] {
            let lora =
                LoraConfig { rank: 2, alpha: 6.0, rank_stabilised, target_modules: target_modules.clone() };
            let mut adapted = lm.with_fresh_adapters(&config, &lora, Seed(5)).expect("every layer has one");
            let mut drawn = 0;
            Params::for_each_mut(&mut adapted.module, |path, shape| {
                let n: usize = shape.iter().product();
                drawn += 1;
                path.ends_with(".adapter.b")
                    .then(|| (0..n).map(|i| ((i * 7 + drawn) % 11) as f32 * 0.02).collect())
            });
            let copy = tempfile::tempdir().expect("a folder");
            checkpoint::save(copy.path(), &adapted, &config, &tokenizer()).expect("the adapter is saved");
            let loaded = adapter::load(copy.path(), &lm, &config).expect("the copy loads");
            let score = |lm: &CausalLm<Cpu>| {
                let scores = scorer(lm.clone(), ScoringOptions::default()).score(&texts, Detail::Tokens);
                scores.expect("texts can be scored").token_log_probs.expect("asked for").values().to_vec()
            };
            let (found, expected, plain) = (score(&loaded), score(&adapted), score(&lm));
            assert_close(base, "log p", &found, &expected, TOLERANCE);
            assert!(
                expected.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 0.02),
                "{base}: it changes nothing"
            );
        }
    }
}

/// The files of an adapter, changed, over the Llama.
#[track_caller]
fn adapter_error(change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    for file in [adapter::CONFIG, adapter::WEIGHTS] {
        fs::copy(fixture("families/lora/llama").join(file), folder.path().join(file)).expect("a copy");
    }
    change(folder.path());
    let (lm, config) = load(&fixture("families/llama"));
    let error = adapter::load(folder.path(), &lm, &config).expect_err("it should be refused");
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

#[test]
fn adapters_that_say_less_than_what_they_compute_are_refused() {
    for (key, value, says) in [
        ("init_lora_weights", Value::from("pissa_niter_4"), "init_lora_weights is pissa_niter_4"),
        ("use_dora", Value::from(true), "use_dora is true, expected false"),
        ("layer_replication", serde_json::json!([[0, 2]]), "layer_replication is [[0,2]], expected null"),
    ] {
        let error = adapter_error(|folder| {
            let path = folder.join(adapter::CONFIG);
            let mut config: Value = json(&path);
            config[key] = value;
            fs::write(path, config.to_string()).expect("it can be written");
        });
        assert!(error.contains(says), "{error}");
    }
    let empty = |folder: &Path| {
        weights::write(&folder.join(adapter::WEIGHTS), &Default::default(), &[]).expect("it can be written");
    };
    assert!(adapter_error(empty).contains("lora_A.weight` is missing"));
}

#[test]
fn a_head_that_is_not_tied_though_the_config_says_so_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = fixture("families/gpt2");
    fs::copy(source.join("config.json"), folder.path().join("config.json")).expect("a copy");
    let weights = Weights::open(&source).expect("weights");
    // The old mask of GPT-2 is no number.
    let keys = weights.keys().filter(|key| *key != "h.0.attn.bias");
    let read = |key: &str| {
        let tensor = weights.get(key).expect("a key of the file");
        (key.to_owned(), (tensor.shape.clone(), tensor.read().expect("it reads")))
    };
    let mut tensors: NamedTensors = keys.map(read).collect();
    let mut save = |head: Vec<f32>| {
        tensors.insert("lm_head.weight".to_owned(), (tensors["wte.weight"].0.clone(), head));
        weights::write(&folder.path().join("model.safetensors"), &tensors, &[]).expect("it can be written");
        checkpoint::load::<Cpu>(folder.path(), &Default::default())
    };
    let mut head = read("wte.weight").1.1;
    assert!(save(head.clone()).is_ok());
    head[7] += 1.0;
    let error = save(head).expect_err("it should be refused");
    let source = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(source.contains("tie_word_embeddings is true, expected false"), "{source}");
}
