//! What is fine-tuned here gives the same log-likelihoods in transformers and in PEFT.
//!
//! Needs a Python with both: `$USERPRINT_PYTHON`, or `.venv/bin/python` of the project, or `python3`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use userprint_core::{Detail, Fingerprinter, Seed, Tokenize, UserIdx};
use userprint_mitigate::{StopRule, TrainingRule};
use userprint_model::backend::Cpu;
use userprint_model::{
    CausalLm, HfTokenizer, LocalScorer, LoraConfig, ModelConfig, ScoringOptions, Targets, adapter, checkpoint,
};
use userprint_score::Scorer;
use userprint_train::{
    Checkpoints, OptimizerConfig, Packing, Schedule, StepReport, TrainData, TrainSettings, Validation, train,
};

/// Nats that a token's log-probability may be apart.
const TOLERANCE: f64 = 2e-4;

/// Nats by which training must have moved some token, so that scores of the start cannot pass for it.
const MOVED: f64 = 0.02;

/// Families with modules to adapt by name: attention and MLP, kept together and apart.
const FAMILIES: [(&str, &[&str]); 6] = [
    ("gpt_neo", &["q_proj", "v_proj"]),
    ("families/gpt2", &["c_attn", "c_fc"]),
    ("families/opt", &["q_proj", "out_proj", "fc1"]),
    ("families/gpt_neox", &["query_key_value", "dense"]),
    ("families/llama", &["q_proj", "v_proj", "down_proj"]),
    ("families/gemma2", &["k_proj", "o_proj", "gate_proj"]),
];

const BOS: u32 = 0;

const TEXTS: [&str; 4] = [
    "I wrote to you on Tuesday, and you never answered.",
    "The report is late; please send the numbers of the third quarter before noon, and copy the whole team.",
    "Straße, naïve, 東京 🚲",
    "x",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn tokenizer() -> HfTokenizer {
    HfTokenizer::load(&fixture("gpt_neo/tokenizer.json")).expect("the tokenizer loads")
}

fn load(folder: &Path) -> (CausalLm<Cpu>, ModelConfig) {
    checkpoint::load(folder, &Default::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// Log-probabilities of the tokens of each text.
type Scores = Vec<Vec<f64>>;

fn scores(lm: &CausalLm<Cpu>) -> Scores {
    let options = ScoringOptions { bos_token: Some(BOS), ..ScoringOptions::default() };
    let scorer = LocalScorer::new("ours", lm.clone(), Arc::new(tokenizer()), options);
    let scores = scorer.score(&TEXTS, Detail::Tokens).expect("the texts can be scored");
    let tokens = scores.token_log_probs.expect("asked for");
    tokens.rows().map(|row| row.iter().map(|&log_p| f64::from(log_p)).collect()).collect()
}

/// The largest difference of two tokens' log-probabilities.
fn apart(found: &Scores, expected: &Scores) -> f64 {
    let lengths = |scores: &Scores| scores.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(found), lengths(expected), "tokens of each text");
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max)
}

/// Trains three steps and keeps what comes of them in a folder.
fn train_here(start: &CausalLm<Cpu>, config: &ModelConfig, folder: &Path) {
    let tokenizer = tokenizer();
    let documents = tokenizer.encode(&TEXTS).expect("the texts can be encoded").ids;
    let owners = TEXTS.map(|_| UserIdx(0));
    let held_in = TEXTS.map(str::to_owned).to_vec();
    let validation = Validation { held_in, held_out: Vec::new() };
    let data = TrainData { documents: &documents, owners: &owners, separator: BOS, validation: &validation };
    let settings = TrainSettings {
        rule: TrainingRule::plain(4).expect("a batch of 4"),
        packing: Packing::Documents,
        block_tokens: 64,
        epochs: 10,
        max_steps: 3,
        learning_rate: 2e-2,
        warmup_steps: 0,
        schedule: Schedule::Linear,
        optimizer: OptimizerConfig::ADAM,
        evaluations: 1,
        checkpoint_every: None,
        checkpoints: None,
        stop: StopRule::Never,
        microbatch_size: 16,
        activation_checkpointing: false,
        delta: None,
    };
    let fingerprint = Fingerprinter::new().with("round trip").finish();
    let checkpoints = Checkpoints { folder, config, tokenizer: &tokenizer, fingerprint };
    let mut watch = |_: &StepReport| ControlFlow::Continue(());
    let outcome =
        train::<Cpu>(start, &data, &settings, &Seed(1).into(), &checkpoints, &mut watch).expect("it trains");
    assert_eq!((outcome.steps, outcome.best_step), (3, 3), "{:?}", outcome.curve);
}

/// What Python is asked of one folder, and what is expected of it.
struct Case {
    name: String,
    folder: PathBuf,
    adapter: Option<PathBuf>,
    expected: Scores,
}

/// A family, fine-tuned whole; then that with adapters, and with those merged.
fn cases(family: &str, names: &[&str], root: &Path) -> Vec<Case> {
    let (start, config) = load(&fixture(family));
    let folder = root.join("whole");
    train_here(&start, &config, &folder);
    let (base, config) = load(&folder);
    let expected = scores(&base);
    assert!(apart(&expected, &scores(&start)) > MOVED, "{family}: training changes little");
    let mut cases = vec![Case { name: family.to_owned(), folder: folder.clone(), adapter: None, expected }];
    let names = Targets::Names(names.iter().map(|&name| name.to_owned()).collect());
    let all = Targets::Pattern("all-linear".to_owned());
    for (targets, name) in [(names, "some"), (all, "all")] {
        let name = format!("{family}, {name} modules");
        cases.extend(adapted(&name, &folder, (&base, &config), targets, &root.join(name.replace('/', " "))));
    }
    cases
}

fn adapted(
    name: &str,
    folder: &Path,
    (base, config): (&CausalLm<Cpu>, &ModelConfig),
    target_modules: Targets,
    root: &Path,
) -> [Case; 2] {
    let lora = LoraConfig { rank: 3, alpha: 7.0, rank_stabilised: false, target_modules };
    let fresh = base.with_fresh_adapters(config, &lora, Seed(2)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (adapter, merged) = (root.join("adapter"), root.join("merged"));
    train_here(&fresh, config, &adapter);
    assert!(adapter::is_adapter(&adapter) && !adapter.join("model.safetensors").exists());
    let lm = adapter::load(&adapter, base, config).unwrap_or_else(|e| panic!("{name}: {e}"));
    let expected = scores(&lm);
    assert!(apart(&expected, &scores(base)) > MOVED, "{name}: adapters change little");
    checkpoint::save(&merged, &lm.merged(), config, &tokenizer()).expect("the merged model is saved");
    let of = |name: String, folder: &Path, adapter| Case {
        name,
        folder: folder.to_owned(),
        adapter,
        expected: expected.clone(),
    };
    [of(format!("{name}, adapter"), folder, Some(adapter)), of(format!("{name}, merged here"), &merged, None)]
}

#[expect(clippy::disallowed_methods, reason = "which Python has transformers is a matter of the machine")]
fn python() -> OsString {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    match std::env::var("USERPRINT_PYTHON") {
        Ok(python) => python.into(),
        Err(_) if ours.exists() => ours.into(),
        Err(_) => "python3".into(),
    }
}

/// Whether that Python has what it takes.
fn has_peers(python: &OsString) -> bool {
    let program = "from importlib.util import find_spec
import sys
sys.exit(not all(map(find_spec, ['torch', 'transformers', 'peft'])))";
    let mut command = Command::new(python);
    command.args(["-c", program]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[expect(clippy::print_stderr, reason = "a test that could not run must not look like one that passed")]
fn skipped(python: &OsString) {
    eprintln!("SKIPPED: {} has no torch, transformers and peft; set USERPRINT_PYTHON", python.display());
}

#[expect(clippy::print_stderr, reason = "how close it was, with --nocapture")]
fn tell(name: &str, way: &str, apart: f64) {
    eprintln!("{name}, {way}: {apart:.1e} nats apart at most");
}

/// What Python says of all cases, by name.
fn ask(python: &OsString, cases: &[Case], ids: &[Vec<u32>], folder: &TempDir) -> BTreeMap<String, Value> {
    let asked =
        cases.iter().map(|case| json!({ "name": case.name, "folder": case.folder, "adapter": case.adapter }));
    let rows: Vec<Vec<u32>> = ids.iter().map(|ids| [&[BOS], ids.as_slice()].concat()).collect();
    let asked = json!({ "texts": TEXTS, "rows": rows, "cases": asked.collect::<Vec<_>>() });
    let path = folder.path().join("cases.json");
    fs::write(&path, asked.to_string()).expect("the folder is ours");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("round_trip.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(script).arg(path).env("HF_HUB_OFFLINE", "1");
    let output = command.output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

fn check(case: &Case, answer: &Value, ids: &[Vec<u32>]) {
    let name = &case.name;
    assert_eq!(answer["loading"], json!({}), "{name}: keys that do not fit");
    assert_eq!(answer["warnings"], json!([]), "{name}");
    assert_eq!((&answer["ids"], &answer["bos_token_id"]), (&json!(ids), &json!(BOS)), "{name}: tokenizer");
    let ways: BTreeMap<String, Scores> =
        serde_json::from_value(answer["scores"].clone()).expect("scores by way");
    let expected = if case.adapter.is_some() { vec!["adapted", "merged"] } else { vec!["whole"] };
    assert_eq!(ways.keys().map(String::as_str).collect::<Vec<_>>(), expected, "{name}");
    for (way, found) in ways {
        let apart = apart(&found, &case.expected);
        tell(name, &way, apart);
        assert!(apart <= TOLERANCE, "{name}, {way}: {apart:e} nats apart, {TOLERANCE:e} are allowed");
    }
}

#[test]
fn what_was_trained_here_has_the_same_scores_there() {
    let python = python();
    if !has_peers(&python) {
        return skipped(&python);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let of_family = |(family, names): (&str, &[&str])| cases(family, names, &folder.path().join(family));
    let cases: Vec<Case> = FAMILIES.into_iter().flat_map(of_family).collect();
    let ids: Vec<Vec<u32>> = tokenizer()
        .encode(&TEXTS)
        .expect("the texts can be encoded")
        .ids
        .rows()
        .map(<[u32]>::to_vec)
        .collect();
    let answers = ask(&python, &cases, &ids, &folder);
    assert_eq!(answers.len(), cases.len());
    for case in &cases {
        check(case, &answers[&case.name], &ids);
    }
}
