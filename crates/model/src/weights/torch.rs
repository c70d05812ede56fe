//! The file of `torch.save`: a zip archive of a pickle that describes tensors, and an entry of values for each storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::archive::{Archive, ArchiveError};
use super::header::n_values;
use super::pickle::{self, Element, PickleError, PickledTensor};
use super::source::Source;
use super::{StoredDtype, StoredTensor};
use crate::ModelError;
use crate::checkpoint::io;

/// The pickles of the largest models have a few.
const MAX_PICKLE_BYTES: u64 = 64 << 20;
/// How a pickle of protocol 2 and up begins; before PyTorch 1.6 it was the file.
const PICKLE: &[u8] = b"\x80";
/// What a tar file, which came before that, has at byte 257.
const TAR: &[u8] = b"ustar";
const TAR_AT: u64 = 257;

/// Why a file is no PyTorch checkpoint.
#[derive(Debug, thiserror::Error)]
enum TorchError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Pickle(PickleError),
    #[error("the file cannot be read")]
    Read(#[source] std::io::Error),
    #[error("the archive has {found} entries `…/data.pkl`, expected one")]
    NoPickle { found: usize },
    #[error("`{name}` has {found} bytes, expected at most {expected}")]
    TooBig { name: String, found: u64, expected: u64 },
    #[error(
        "the values are big-endian, expected little-endian: save the checkpoint again on another machine"
    )]
    BigEndian,
    #[error("the pickle names no tensors, expected a dict of them")]
    NoTensors,
    #[error("tensor `{key}` has a negative size, stride or offset, or more values than can be counted")]
    Numbers { key: String },
    #[error("tensor `{key}` lies in `{storage}` of {found} bytes, expected {expected} as the pickle says")]
    StorageSize { key: String, storage: String, found: u64, expected: u64 },
    #[error("tensor `{key}` needs elements {begin} to {end} of a storage of {n_stored}")]
    Outside { key: String, begin: u64, end: u64, n_stored: u64 },
}

/// Finds the tensors of a PyTorch checkpoint.
pub(super) fn read(source: &Arc<Source>) -> Result<BTreeMap<String, StoredTensor>, ModelError> {
    let path = source.path();
    let malformed = |e| match e {
        TorchError::Pickle(PickleError::Call { global }) => {
            ModelError::UnsafePickle { path: path.to_owned(), global }
        }
        e => io(path, "read it as a PyTorch checkpoint", e),
    };
    if is_legacy(source).map_err(|e| io(path, "read it", e))? {
        return Err(ModelError::LegacyTorch { path: path.to_owned() });
    }
    let archive = Archive::open(source).map_err(|e| malformed(e.into()))?;
    let root = root(&archive).map_err(malformed)?;
    let bytes = pickle_bytes(source, &archive, &root).map_err(malformed)?;
    let pickled = pickle::tensors(&bytes).map_err(|e| malformed(TorchError::Pickle(e)))?;
    if pickled.is_empty() {
        return Err(malformed(TorchError::NoTensors));
    }
    let mut tensors = BTreeMap::new();
    for (key, tensor) in pickled {
        let (shape, offset) = locate(&archive, &root, key, &tensor).map_err(malformed)?;
        if !is_contiguous(&shape, &tensor.strides) {
            let (path, key) = (path.to_owned(), key.to_owned());
            return Err(ModelError::NotContiguous { path, key, shape, strides: tensor.strides });
        }
        let (key, source) = (key.to_owned(), Arc::clone(source));
        let dtype = dtype(tensor.element);
        tensors.insert(key.clone(), StoredTensor { dtype, shape, key, source, offset });
    }
    Ok(tensors)
}

fn is_legacy(source: &Source) -> std::io::Result<bool> {
    let begins_with = |at: u64, expected: &[u8]| {
        let end = at + expected.len() as u64;
        Ok::<_, std::io::Error>(end <= source.n_bytes() && source.bytes(at..end)? == expected)
    };
    Ok(begins_with(0, PICKLE)? || begins_with(TAR_AT, TAR)?)
}

/// The folder that holds everything in the archive, with its slash.
fn root(archive: &Archive<'_>) -> Result<String, TorchError> {
    let is_root = |root: &&str| root.ends_with('/') && root.matches('/').count() == 1;
    let mut roots = archive.names().filter_map(|name| name.strip_suffix("data.pkl")).filter(is_root);
    match (roots.next(), roots.count()) {
        (Some(root), 0) => Ok(root.to_owned()),
        (first, more) => Err(TorchError::NoPickle { found: more + usize::from(first.is_some()) }),
    }
}

fn pickle_bytes(source: &Source, archive: &Archive<'_>, root: &str) -> Result<Vec<u8>, TorchError> {
    let byte_order = format!("{root}byteorder");
    if archive.contains(&byte_order) && entry(source, archive, byte_order, 16)? != b"little" {
        return Err(TorchError::BigEndian);
    }
    entry(source, archive, format!("{root}data.pkl"), MAX_PICKLE_BYTES)
}

fn entry(source: &Source, archive: &Archive<'_>, name: String, expected: u64) -> Result<Vec<u8>, TorchError> {
    let range = archive.range(&name)?;
    let found = range.end - range.start;
    if found > expected {
        return Err(TorchError::TooBig { name, found, expected });
    }
    source.bytes(range).map_err(TorchError::Read)
}

/// A tensor's shape and the position of its first byte in the file, after everything in the pickle was held against the archive.
fn locate(
    archive: &Archive<'_>,
    root: &str,
    key: &str,
    tensor: &PickledTensor<'_>,
) -> Result<(Vec<usize>, u64), TorchError> {
    let numbers = || TorchError::Numbers { key: key.to_owned() };
    let count = |n: i64| u64::try_from(n).ok();
    let shape: Result<Vec<usize>, _> = tensor.shape.iter().map(|side| usize::try_from(*side)).collect();
    let shape = shape.map_err(|_| numbers())?;
    let n_bytes = tensor.element.n_bytes;
    let n_stored = count(tensor.n_stored).ok_or_else(numbers)?;
    let begin = count(tensor.offset).ok_or_else(numbers)?;
    let end = n_values(&shape).and_then(|n| begin.checked_add(n)).ok_or_else(numbers)?;
    let expected = n_stored.checked_mul(n_bytes).ok_or_else(numbers)?;
    let storage = format!("{root}data/{}", tensor.storage);
    let range = archive.range(&storage)?;
    let found = range.end - range.start;
    if found != expected {
        return Err(TorchError::StorageSize { key: key.to_owned(), storage, found, expected });
    }
    if end > n_stored {
        return Err(TorchError::Outside { key: key.to_owned(), begin, end, n_stored });
    }
    Ok((shape, range.start + begin * n_bytes))
}

/// Whether the values follow one another in row-major order; a side of one is never stepped along.
fn is_contiguous(shape: &[usize], strides: &[i64]) -> bool {
    let mut expected = 1;
    let in_order = shape.iter().zip(strides).rev().all(|(side, stride)| {
        let fits = *side == 1 || u64::try_from(*stride) == Ok(expected);
        // Cannot wrap to a stride that fits: the product of all sides was counted before.
        expected = expected.wrapping_mul(*side as u64);
        fits
    });
    in_order || shape.contains(&0)
}

fn dtype(element: Element) -> StoredDtype {
    match element.name {
        "Double" => StoredDtype::F64,
        "Float" => StoredDtype::F32,
        "Half" => StoredDtype::F16,
        "BFloat16" => StoredDtype::Bf16,
        other => StoredDtype::Other(other.to_owned()),
    }
}
