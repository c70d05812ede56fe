//! Damaged configs, adapters and tokenizers: an error or something that can be used, and never a panic.
//!
//! Runs some hundred inputs under `cargo test`, and without end under `cargo bolero test`.

use std::fs;
use std::path::{Path, PathBuf};

use bolero::check;
use tempfile::TempDir;
use userprint_core::Tokenize;
use userprint_model::backend::Cpu;
use userprint_model::{HfTokenizer, ModelConfig, adapter, checkpoint};

/// One change of a file: what, where, and with which byte.
type Change = (u8, u16, u8);

const TEXT: &str = "The ferry was late, <s> and Zoë waited.\n 東京";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// Few changes, so that some files stay good enough for the deeper checks.
fn changed(mut file: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for (what, at, byte) in changes.iter().take(3) {
        let at = usize::from(*at) % file.len().max(1);
        match what % 4 {
            0 if !file.is_empty() => file[at] = *byte,
            1 => file.insert(at, *byte),
            2 if !file.is_empty() => drop(file.remove(at)),
            // A digit more often than chance has it: sizes and ids.
            _ => file.insert(at, b'0' + byte % 10),
        }
    }
    file
}

/// The files of a folder, the named one changed.
fn folder_with(folder: &Path, name: &str, changes: &[Change]) -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(folder).expect("the fixture is there") {
        let path = entry.expect("the fixture can be listed").path();
        let file = fs::read(&path).expect("the fixture can be read");
        let is_changed = path.file_name().is_some_and(|found| found == name);
        let file = if is_changed { changed(file, changes) } else { file };
        fs::write(copy.path().join(path.file_name().expect("a file")), file).expect("a copy can be written");
    }
    copy
}

#[test]
fn damaged_configs() {
    for family in ["gpt_neo", "families/gpt2", "families/gpt_neox", "families/llama", "families/gemma2"] {
        let text = fs::read(fixture(family).join("config.json")).expect("a config");
        check!().with_type::<Vec<Change>>().with_iterations(500).for_each(|changes| {
            if let Ok(json) = serde_json::from_slice(&changed(text.clone(), changes)) {
                let _ = ModelConfig::new(json);
            }
        });
    }
}

#[test]
fn damaged_configs_beside_whole_weights() {
    check!().with_type::<Vec<Change>>().with_iterations(200).for_each(|changes| {
        let folder = folder_with(&fixture("families/llama"), "config.json", changes);
        let _ = checkpoint::load::<Cpu>(folder.path(), &Default::default());
    });
}

#[test]
fn damaged_adapters() {
    for name in [adapter::CONFIG, adapter::WEIGHTS] {
        check!().with_type::<Vec<Change>>().with_iterations(200).for_each(|changes| {
            let folder = folder_with(&fixture("families/lora/llama"), name, changes);
            let base = checkpoint::load::<Cpu>(&fixture("families/llama"), &Default::default());
            let (base, config) = base.expect("the base is whole");
            let _ = adapter::load(folder.path(), &base, &config);
        });
    }
}

#[test]
fn damaged_tokenizers() {
    for (folder, name) in [
        ("gpt_neo", "tokenizer.json"),
        ("vocab_merges", "vocab.json"),
        ("vocab_merges", "merges.txt"),
        ("vocab_merges", "tokenizer_config.json"),
        ("sentencepiece", "tokenizer.model"),
    ] {
        check!().with_type::<Vec<Change>>().with_iterations(100).for_each(|changes| {
            let folder = folder_with(&fixture(folder), name, changes);
            if let Ok(tokenizer) = HfTokenizer::load_folder(folder.path()) {
                let _ = tokenizer.encode(&[TEXT, ""]);
            }
        });
    }
}
