//! A target that is the reference with adapters: what a run leaves, does once, and takes up where it was killed.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::experiment_folder::{ExperimentFolder, Files, RUN, STAGES, TINY, finished};
use crate::interrupted::killed_in;

const LORA: &str = "[target.lora]\nrank = 4\nalpha = 8\ntarget_modules = [\"q_proj\", \"v_proj\"]\n";

/// The tiny experiment on the checkpoint `base`, with adapters.
pub(crate) fn experiment(reference: &str, target: &str) -> String {
    let (before, rest) = TINY.split_once("[reference]").expect("the tiny experiment has a reference");
    let (_, after) = rest.split_once("[target]").expect("the target comes after the reference");
    let after = after.replacen("[target.training]", &format!("{target}\n[target.training]"), 1);
    format!("{before}[reference]\n{reference}\n\n[target]{after}")
}

/// That experiment beside `base`, which is what pre-training of the tiny experiment left.
fn setting(target: &str) -> ExperimentFolder {
    let folder = ExperimentFolder::new(&experiment("checkpoint = \"base\"", target));
    for (name, bytes) in base() {
        folder.write(&name.display().to_string(), bytes);
    }
    folder
}

/// The files of `base` by path.
fn base() -> Files {
    let names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let of = |name| finished(1)[&Path::new("checkpoints/reference").join(name)].clone();
    names.map(|name| (Path::new("base").join(name), of(name))).into_iter().collect()
}

/// The run folder of the experiment with adapters, run once for all tests.
fn adapted() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = setting(LORA);
        let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
        assert!(said.stdout.starts_with("AUROC "), "{}", said.stdout);
        assert!(base().iter().all(|(name, bytes)| folder.read(&name.display().to_string()) == *bytes));
        folder.run_files()
    })
}

/// A folder in which that run has come to its end.
fn ready(target: &str) -> ExperimentFolder {
    let folder = setting(target);
    for (name, bytes) in adapted() {
        folder.write(&format!("{RUN}/{}", name.display()), bytes);
    }
    folder
}

fn target(name: &str) -> PathBuf {
    Path::new("checkpoints/target").join(name)
}

#[test]
fn the_target_is_an_adapter() {
    let files = adapted();
    assert!(files.contains_key(&target("adapter_model.safetensors")));
    assert!(!files.contains_key(&target("model.safetensors")) && !files.contains_key(&target("config.json")));
    assert!(files.contains_key(Path::new("report.html")));
    let config: Value = serde_json::from_slice(&files[&target("adapter_config.json")]).unwrap();
    assert_eq!((&config["r"], &config["lora_alpha"]), (&json!(4), &json!(8)));
    assert_eq!(config["target_modules"], json!(["q_proj", "v_proj"]));
    // The adapter learnt something, and the scores are its own.
    let results: Value = serde_json::from_slice(&files[Path::new("results.json")]).unwrap();
    assert_ne!(results["target_step"], json!(0));
    let scores =
        ["reference", "target"].map(|model| &files[&Path::new("scores").join(format!("{model}.parquet"))]);
    assert_ne!(scores[0], scores[1]);
}

#[test]
fn a_second_run_does_nothing() {
    let folder = ready(LORA);
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    assert_eq!(said.done_before(), STAGES, "{}", said.stderr);
    // But for where `base` lies.
    let without = |mut files: Files| files.remove(Path::new("experiment.toml")).map(|_| files);
    assert!(without(folder.run_files()) == without(adapted().clone()));
}

#[test]
fn killed_in_train_it_goes_on() {
    let folder = killed_in("train", "train step 6/", || setting(LORA));
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    assert_eq!(said.done_before(), STAGES[..3]);
    assert!(said.stderr.contains("train step ") && !said.stderr.contains("train step 0/"), "{}", said.stderr);
    let files = folder.run_files();
    let same = [target("adapter_model.safetensors"), target("adapter_config.json"), "results.json".into()];
    for name in same {
        assert!(files[&name] == adapted()[&name], "{} is not that of an uninterrupted run", name.display());
    }
}

/// Another rank is another training; the stages before stay.
#[test]
fn changed_adapters_are_trained_again() {
    let folder = ready(&LORA.replace("rank = 4", "rank = 2"));
    let said = folder.userprint(&["run", "experiment.toml", "--until", "train"]).assert_success();
    assert_eq!(said.done_before(), STAGES[..3]);
    assert!(said.stderr.contains("train step 0/"), "{}", said.stderr);
    let config: Value =
        serde_json::from_slice(&folder.read(&format!("{RUN}/checkpoints/target/adapter_config.json")))
            .unwrap();
    assert_eq!(config["r"], json!(2));
}

/// No adapter is left beside a target that is trained whole: it would pass for the target.
#[test]
fn without_adapters_the_target_is_whole_again() {
    let folder = ready("");
    let said = folder.userprint(&["run", "experiment.toml", "--until", "score"]).assert_success();
    assert_eq!(said.done_before(), STAGES[..3]);
    let files = folder.run_files();
    assert!(files.contains_key(&target("model.safetensors")));
    assert!(!files.contains_key(&target("adapter_config.json")));
    assert!(files[Path::new("scores/target.parquet")] != adapted()[Path::new("scores/target.parquet")]);
}

#[test]
fn all_linear_means_every_module() {
    let lora = LORA.replace("[\"q_proj\", \"v_proj\"]", "\"all-linear\"");
    let folder = setting(&lora);
    folder.userprint(&["run", "experiment.toml", "--until", "train"]).assert_success();
    let config: Value =
        serde_json::from_slice(&folder.read(&format!("{RUN}/checkpoints/target/adapter_config.json")))
            .unwrap();
    let names = ["c_fc", "c_proj", "k_proj", "out_proj", "q_proj", "v_proj"];
    assert_eq!(config["target_modules"], json!(names));
}

#[test]
fn a_wrong_module_lists_the_names() {
    let folder = setting(&LORA.replace("v_proj", "value"));
    let said = folder.userprint(&["run", "experiment.toml"]);
    said.assert_refused();
    let error = said.errors()[0];
    let words = ["stage train", "[target.lora]", "target_modules", "value", "q_proj, v_proj", "all-linear"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    assert!(!folder.path(RUN).join("checkpoints/target").exists());
}

/// What is wrong with adapters in themselves is said before anything runs.
#[test]
fn settings_of_adapters_are_checked_first() {
    for (old, new, word) in [
        ("rank = 4", "rank = 0", "lora.rank"),
        ("alpha = 8", "alpha = -1", "lora.alpha"),
        ("rank", "rnk", "rnk"),
    ] {
        let folder = setting(&LORA.replacen(old, new, 1));
        let said = folder.userprint(&["run", "experiment.toml"]);
        assert_eq!((said.code, said.errors().len()), (Some(1), 1), "{}", said.stderr);
        assert!(said.stderr.contains(word), "{}", said.stderr);
        assert!(!folder.path("runs").exists());
    }
}
