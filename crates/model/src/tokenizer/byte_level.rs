//! GPT-2's `vocab.json` and `merges.txt`: byte pairs over bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::special_tokens::{AddedToken, SpecialTokens};
use super::{HfTokenizer, template};
use crate::ModelError;
use crate::checkpoint::io;

/// Classes of transformers that read the two files as GPT-2 does.
const CLASSES: [&str; 4] = ["GPT2Tokenizer", "GPT2TokenizerFast", "CodeGenTokenizer", "CodeGenTokenizerFast"];

/// Why a file is not the one it should be.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("line {line} is not two entries of vocab.json with a space between")]
    Line { line: usize },
    #[error("the two parts of line {line} together are no entry of vocab.json")]
    Merge { line: usize },
    #[error("{missing} of the 256 bytes have no entry")]
    Bytes { missing: usize },
    #[error("ids run to {largest}, for {n_tokens} tokens")]
    Holes { largest: u32, n_tokens: usize },
}

/// Loads the two files, with what others in the folder say of special tokens.
pub(crate) fn load(folder: &Path, vocab: &Path, merges: &Path) -> Result<HfTokenizer, ModelError> {
    let special = SpecialTokens::read(folder)?;
    if let Some(class) = special.class().filter(|class| !CLASSES.contains(class)) {
        let found = format!("the two files of a {}", class.escape_debug());
        return Err(ModelError::UnsupportedTokenizer { path: vocab.to_owned(), found });
    }
    let entries = read_vocab(vocab)?;
    let added = special.added(&entries)?;
    let bos = special.bos(&entries, &added)?;
    let byte_level = |prefix| json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": false, "use_regex": true });
    let parts = json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": byte_level(special.is_on("add_prefix_space")),
        "post_processor": template::post_processor(bos.as_ref().map(|(token, id)| (token.as_str(), *id))),
        "decoder": byte_level(false),
        "model": {
            "type": "BPE",
            "vocab": entries,
            "merges": read_merges(merges, &entries)?,
        },
    });
    let tokenizer = HfTokenizer::from_parts(vocab, &parts)?;
    check_ids(&tokenizer, vocab, &added)?;
    Ok(tokenizer)
}

fn read_vocab(path: &Path) -> Result<BTreeMap<String, u32>, ModelError> {
    let text = fs::read_to_string(path).map_err(|e| io(path, "read it", e))?;
    let vocab: BTreeMap<String, u32> =
        serde_json::from_str(&text).map_err(|e| io(path, "read it as entries and their ids", e))?;
    let failed = |e: FileError| Err(io(path, "use it as GPT-2's vocabulary", e));
    // A byte without an entry would vanish from texts.
    let missing = ByteLevel::alphabet().into_iter().filter(|char| !vocab.contains_key(&char.to_string()));
    let (missing, n_tokens) = (missing.count(), vocab.len());
    if missing > 0 {
        return failed(FileError::Bytes { missing });
    }
    // Saving walks over all ids below the largest.
    let largest = vocab.values().copied().max().unwrap_or(0);
    if largest as usize / 2 >= n_tokens {
        return failed(FileError::Holes { largest, n_tokens });
    }
    Ok(vocab)
}

/// Pairs by rank; `tokenizers` takes on trust that they and what they make are entries.
fn read_merges(path: &Path, vocab: &BTreeMap<String, u32>) -> Result<Vec<(String, String)>, ModelError> {
    let text = fs::read_to_string(path).map_err(|e| io(path, "read it", e))?;
    let failed = |e: FileError| io(path, "read it as GPT-2's merges", e);
    let mut merges = Vec::new();
    for (index, row) in text.lines().enumerate() {
        if row.is_empty() || row.starts_with("#version") {
            continue;
        }
        let line = index + 1;
        let parts = row.split_once(' ');
        let parts = parts.filter(|(left, right)| vocab.contains_key(*left) && vocab.contains_key(*right));
        let (left, right) = parts.ok_or(FileError::Line { line }).map_err(failed)?;
        if !vocab.contains_key(&format!("{left}{right}")) {
            return Err(failed(FileError::Merge { line }));
        }
        merges.push((left.to_owned(), right.to_owned()));
    }
    Ok(merges)
}

/// Holds ids against the files: `tokenizers` numbers tokens that are not in the vocabulary by itself.
fn check_ids(tokenizer: &HfTokenizer, path: &Path, added: &[AddedToken]) -> Result<(), ModelError> {
    let differs = |token: &&AddedToken| tokenizer.inner.token_to_id(&token.content) != token.id;
    match added.iter().find(differs).and_then(|token| token.id) {
        None => Ok(()),
        Some(id) => {
            let found = format!("a vocabulary whose added token {id} does not follow the others");
            Err(ModelError::UnsupportedTokenizer { path: path.to_owned(), found })
        }
    }
}
