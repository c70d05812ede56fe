//! A checkpoint in several files, and the index that says which tensor is in which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::source::Source;
use super::{StoredTensor, Weights, header, torch};
use crate::ModelError;
use crate::checkpoint::io;

/// More than the index of any model: 100 000 tensors need about 10 MB.
const MAX_INDEX_BYTES: u64 = 100_000_000;

/// The tensors of one file and its metadata.
pub(super) type Contents = (BTreeMap<String, StoredTensor>, BTreeMap<String, String>);

/// How a file of tensors is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    /// A JSON header and the values.
    Safetensors,
    /// What `torch.save` writes since PyTorch 1.6: a zip of a pickle and the values.
    Torch,
}

impl Format {
    pub(super) fn read(self, path: &Path) -> Result<Contents, ModelError> {
        let source = Arc::new(Source::open(path)?);
        match self {
            Self::Safetensors => header::read(&source),
            Self::Torch => Ok((torch::read(&source)?, BTreeMap::new())),
        }
    }
}

#[derive(Deserialize)]
struct Index {
    /// From tensors to the names of their files.
    weight_map: BTreeMap<String, String>,
}

/// Finds the tensors of all files that an index names, in the index or not.
pub(super) fn open(path: &Path, format: Format) -> Result<Weights, ModelError> {
    let index = read_index(path)?;
    let mut weights =
        Weights { files: vec![path.to_owned()], tensors: BTreeMap::new(), metadata: BTreeMap::new() };
    for file in index.weight_map.values().collect::<BTreeSet<_>>() {
        let shard = shard_path(path, file)?;
        let (tensors, metadata) = format.read(&shard)?;
        for (key, tensor) in tensors {
            // A tensor that the index places elsewhere is passed over here.
            if index.weight_map.get(&key).is_none_or(|place| place == file) {
                add(&mut weights, key, tensor)?;
            }
        }
        for (key, value) in metadata {
            weights.metadata.entry(key).or_insert(value);
        }
        weights.files.push(shard);
    }
    match index.weight_map.into_iter().find(|(key, _)| !weights.tensors.contains_key(key)) {
        Some((key, file)) => Err(ModelError::NotInShard { path: path.to_owned(), key, file }),
        None => Ok(weights),
    }
}

fn read_index(path: &Path) -> Result<Index, ModelError> {
    let source = Source::open(path)?;
    let bytes = source.bytes(0..source.n_bytes().min(MAX_INDEX_BYTES)).map_err(|e| io(path, "read it", e))?;
    serde_json::from_slice(&bytes).map_err(|e| io(path, "read it as the index of a checkpoint's shards", e))
}

/// The place of a shard, which is beside its index: an index can name no other file of the machine.
fn shard_path(index: &Path, file: &str) -> Result<PathBuf, ModelError> {
    let is_plain = !file.is_empty() && file != "." && file != ".." && !file.contains(['/', '\\', ':', '\0']);
    if !is_plain {
        return Err(ModelError::ShardElsewhere { path: index.to_owned(), file: file.to_owned() });
    }
    let path = index.with_file_name(file);
    if !path.exists() {
        return Err(ModelError::MissingShard { path: index.to_owned(), file: file.to_owned() });
    }
    Ok(path)
}

fn add(weights: &mut Weights, key: String, tensor: StoredTensor) -> Result<(), ModelError> {
    let path = tensor.path().to_owned();
    match weights.tensors.insert(key.clone(), tensor) {
        Some(other) => Err(ModelError::TwiceInShards { path, key, other: other.path().to_owned() }),
        None => Ok(()),
    }
}
