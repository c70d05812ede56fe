//! The header of a safetensors file: which tensors the file holds, and where.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::shards::Contents;
use super::source::Source;
use super::{StoredDtype, StoredTensor};
use crate::ModelError;
use crate::checkpoint::io;

const LENGTH_BYTES: u64 = 8;
/// The format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;
const METADATA: &str = "__metadata__";

/// Why a file is no safetensors.
#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error("the file has {found} bytes, expected {LENGTH_BYTES} that give the length of a header")]
    NoLength { found: u64 },
    #[error(
        "the header claims {claimed} bytes, expected at most {expected}: the file is cut short or of another format"
    )]
    Length { claimed: u64, expected: u64 },
    #[error("the header cannot be read")]
    Read(#[source] std::io::Error),
    #[error("the header is not a JSON object of tensors")]
    Json(#[source] serde_json::Error),
    #[error(
        "tensor `{key}` is at bytes {begin} to {end}, expected it to begin at {expected}, where the one before ends"
    )]
    Offsets { key: String, begin: u64, end: u64, expected: u64 },
    #[error("tensor `{key}` has {found} bytes, expected those of {dtype} {shape:?}")]
    Size { key: String, found: u64, dtype: Dtype, shape: Vec<usize> },
    #[error(
        "the file has {found} bytes, and its header speaks of {expected}: it is cut short or was added to"
    )]
    FileLength { found: u64, expected: u64 },
}

struct Header {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// Finds the tensors of a safetensors file.
pub(super) fn read(source: &Arc<Source>) -> Result<Contents, ModelError> {
    contents(source).map_err(|e| io(source.path(), "read it as safetensors", e))
}

fn contents(source: &Arc<Source>) -> Result<Contents, HeaderError> {
    let (header, data_at) = header(source)?;
    let mut entries: Vec<_> = header.tensors.into_iter().collect();
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    let mut tensors = BTreeMap::new();
    for (key, entry) in entries {
        end = check_entry(&key, &entry, end)?;
        let tensor = StoredTensor {
            dtype: dtype(entry.dtype),
            shape: entry.shape,
            key: key.clone(),
            source: Arc::clone(source),
            offset: data_at.saturating_add(entry.data_offsets.0),
        };
        tensors.insert(key, tensor);
    }
    let (found, expected) = (source.n_bytes(), data_at.saturating_add(end));
    if found != expected {
        return Err(HeaderError::FileLength { found, expected });
    }
    Ok((tensors, header.metadata))
}

/// The header, and where the data after it begins.
fn header(source: &Source) -> Result<(Header, u64), HeaderError> {
    let found = source.n_bytes();
    let after_length = found.checked_sub(LENGTH_BYTES).ok_or(HeaderError::NoLength { found })?;
    let mut length = [0; LENGTH_BYTES as usize];
    source.read_at(&mut length, 0).map_err(HeaderError::Read)?;
    let claimed = u64::from_le_bytes(length);
    let expected = after_length.min(MAX_HEADER_BYTES);
    if claimed > expected {
        return Err(HeaderError::Length { claimed, expected });
    }
    let data_at = LENGTH_BYTES + claimed;
    let json = source.bytes(LENGTH_BYTES..data_at).map_err(HeaderError::Read)?;
    Ok((serde_json::from_slice(&json).map_err(HeaderError::Json)?, data_at))
}

/// Holds a tensor against its own size and the end of the tensor before it; returns its end.
fn check_entry(key: &str, entry: &Entry, expected: u64) -> Result<u64, HeaderError> {
    let (begin, end) = entry.data_offsets;
    if begin != expected || end < begin {
        return Err(HeaderError::Offsets { key: key.to_owned(), begin, end, expected });
    }
    // In bits: some types are smaller than a byte.
    let n_bits = n_values(&entry.shape).and_then(|n| n.checked_mul(entry.dtype.bitsize() as u64));
    if n_bits.is_none_or(|bits| bits % 8 != 0 || bits / 8 != end - begin) {
        let (found, dtype, shape) = (end - begin, entry.dtype, entry.shape.clone());
        return Err(HeaderError::Size { key: key.to_owned(), found, dtype, shape });
    }
    Ok(end)
}

/// How many values a shape has, where that can be counted in bytes as well.
pub(super) fn n_values(shape: &[usize]) -> Option<u64> {
    let n = shape.iter().try_fold(1_usize, |n, side| n.checked_mul(*side))?;
    u64::try_from(n).ok()
}

fn dtype(dtype: Dtype) -> StoredDtype {
    match dtype {
        Dtype::F64 => StoredDtype::F64,
        Dtype::F32 => StoredDtype::F32,
        Dtype::F16 => StoredDtype::F16,
        Dtype::BF16 => StoredDtype::Bf16,
        other => StoredDtype::Other(other.to_string()),
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

/// Keeps the metadata apart, and refuses a key that is there twice: readers would differ on which one counts.
struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut metadata: Option<BTreeMap<String, String>> = None;
        let mut tensors = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let is_new = if key == METADATA {
                metadata.replace(map.next_value::<Option<_>>()?.unwrap_or_default()).is_none()
            } else {
                tensors.insert(key.clone(), map.next_value::<Entry>()?).is_none()
            };
            if !is_new {
                return Err(A::Error::custom(format_args!("`{key}` is there twice")));
            }
        }
        Ok(Header { metadata: metadata.unwrap_or_default(), tensors })
    }
}
