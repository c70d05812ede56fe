//! Which of a checkpoint folder's files are its tokenizer.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{HfTokenizer, byte_level, sentence_piece};
use crate::ModelError;
use crate::checkpoint::io;

pub(crate) fn load(folder: &Path) -> Result<HfTokenizer, ModelError> {
    let file = |name| Some(folder.join(name)).filter(|path| path.is_file());
    if let Some(path) = file("tokenizer.json") {
        return HfTokenizer::load(&path);
    }
    if let (Some(vocab), Some(merges)) = (file("vocab.json"), file("merges.txt")) {
        return byte_level::load(folder, &vocab, &merges);
    }
    if let Some(path) = file("tokenizer.model") {
        return sentence_piece::load(folder, &path);
    }
    match &models(folder)?[..] {
        [path] => sentence_piece::load(folder, path),
        models => Err(ModelError::NoTokenizer { path: folder.to_owned(), n_models: models.len() }),
    }
}

/// The folder's `*.model` files.
fn models(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let failed = |e| io(folder, "list it", e);
    let mut models = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "model") {
            models.push(path);
        }
    }
    Ok(models)
}

/// A JSON object that a folder may have; null where there is none.
pub(crate) fn read_json(path: &Path) -> Result<Value, ModelError> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|e| io(path, "read it as JSON", e)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Value::Null),
        Err(e) => Err(io(path, "read it", e)),
    }
}
