//! The weights of a checkpoint as they are found: one file or shards, safetensors or PyTorch's zip of a pickle.
//!
//! Opening reads headers only; a tensor is read when it is asked for, straight into its own memory.
//! Nothing in a file is ever executed, and no number in a file is believed before it is held against the file's size.

mod archive;
mod header;
mod pickle;
mod shards;
mod source;
mod torch;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

use crate::ModelError;
use crate::checkpoint::{NamedTensors, io};
use shards::Format;
use source::Source;

pub use writer::write;

// Both formats are little-endian, and tensors are read without a look at each value.
const _: () = assert!(cfg!(target_endian = "little"), "weights are read on little-endian machines only");

/// Bytes converted at a time: few enough to stay in a second-level cache.
const CHUNK_BYTES: usize = 256 << 10;

/// The files that may hold a folder's weights; the first that exists is read.
const NAMES: [(&str, Format, bool); 4] = [
    ("model.safetensors", Format::Safetensors, false),
    ("model.safetensors.index.json", Format::Safetensors, true),
    ("pytorch_model.bin", Format::Torch, false),
    ("pytorch_model.bin.index.json", Format::Torch, true),
];

/// The tensors of a checkpoint, found but not yet read.
#[derive(Debug)]
pub struct Weights {
    files: Vec<PathBuf>,
    tensors: BTreeMap<String, StoredTensor>,
    metadata: BTreeMap<String, String>,
}

/// A tensor's place in a file.
#[derive(Debug)]
pub struct StoredTensor {
    /// How its values are written.
    pub dtype: StoredDtype,
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
    key: String,
    source: Arc<Source>,
    offset: u64,
}

/// How the values of a tensor are written in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredDtype {
    /// 64-bit floats; read by rounding to the nearest `f32`.
    F64,
    /// 32-bit floats.
    F32,
    /// IEEE half-precision floats.
    F16,
    /// The upper halves of 32-bit floats.
    Bf16,
    /// Anything else, by the name that the file gives it: masks and positions, which are listed and cannot be read.
    Other(String),
}

impl Weights {
    /// Finds the weights of a folder.
    ///
    /// They are in `model.safetensors`, in the shards of `model.safetensors.index.json`, in `pytorch_model.bin` or in the shards of `pytorch_model.bin.index.json`: the first of these that exists.
    ///
    /// # Errors
    /// [`ModelError`] names the file, and the tensor where one is at fault: no weights, a shard that is missing or elsewhere, a file cut short or at odds with itself, a pickle that asks for more than tensors.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        for (name, format, is_index) in NAMES {
            let path = folder.join(name);
            if path.exists() {
                return if is_index { shards::open(&path, format) } else { Self::one(&path, format) };
            }
        }
        Err(ModelError::NoWeights {
            folder: folder.to_owned(),
            expected: NAMES.map(|(name, ..)| name).to_vec(),
        })
    }

    /// Finds the tensors of one file: a PyTorch checkpoint if its name ends in `.bin`, `.pt` or `.pth`, else safetensors.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        let is_torch = path.extension().is_some_and(|end| end == "bin" || end == "pt" || end == "pth");
        Self::one(path, if is_torch { Format::Torch } else { Format::Safetensors })
    }

    fn one(path: &Path, format: Format) -> Result<Self, ModelError> {
        let (tensors, metadata) = format.read(path)?;
        Ok(Self { files: vec![path.to_owned()], tensors, metadata })
    }

    /// Reads all tensors.
    ///
    /// # Errors
    /// As [`StoredTensor::read`].
    pub fn read_all(&self) -> Result<NamedTensors, ModelError> {
        let read = |(key, tensor): (&String, &StoredTensor)| {
            Ok((key.clone(), (tensor.shape.clone(), tensor.read()?)))
        };
        self.tensors.iter().map(read).collect()
    }

    /// The files that the weights come from, an index before its shards.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The tensors' names, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor of that name.
    pub fn get(&self, key: &str) -> Option<&StoredTensor> {
        self.tensors.get(key)
    }

    /// What the headers say besides tensors, the first file's word where two differ; empty for PyTorch's format.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

impl StoredTensor {
    /// The file that holds it.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// How many values it has.
    pub fn n_values(&self) -> usize {
        // Cannot overflow: where the tensor was found, its size was held against the file's.
        self.shape.iter().product()
    }

    /// Reads its values, in row-major order.
    ///
    /// Needs the memory of the result and 256 KiB.
    ///
    /// # Errors
    /// [`ModelError::NotFloat`] where it holds something else, [`ModelError::Io`] where the disk refuses or the file became shorter.
    pub fn read(&self) -> Result<Vec<f32>, ModelError> {
        match &self.dtype {
            StoredDtype::F32 => {
                let mut values = vec![0.0; self.n_values()];
                self.read_at(bytemuck::cast_slice_mut(&mut values), self.offset)?;
                Ok(values)
            }
            StoredDtype::F16 => self.convert(|bits: &[u16], values| {
                bits.reinterpret_cast::<f16>().convert_to_f32_slice(values);
            }),
            StoredDtype::Bf16 => self.convert(|bits: &[u16], values| {
                bits.reinterpret_cast::<bf16>().convert_to_f32_slice(values);
            }),
            StoredDtype::F64 => self.convert(|wide: &[f64], values| {
                for (value, wide) in values.iter_mut().zip(wide) {
                    *value = *wide as f32;
                }
            }),
            StoredDtype::Other(found) => Err(ModelError::NotFloat {
                path: self.path().to_owned(),
                key: self.key.clone(),
                found: found.clone(),
            }),
        }
    }

    fn convert<T: bytemuck::Pod>(&self, widen: impl Fn(&[T], &mut [f32])) -> Result<Vec<f32>, ModelError> {
        let mut values = vec![0.0; self.n_values()];
        let per_chunk = CHUNK_BYTES / size_of::<T>();
        let mut chunk = vec![T::zeroed(); per_chunk.min(values.len())];
        let mut offset = self.offset;
        for part in values.chunks_mut(per_chunk) {
            let chunk = &mut chunk[..part.len()];
            self.read_at(bytemuck::cast_slice_mut(chunk), offset)?;
            widen(chunk, part);
            offset += size_of_val(chunk) as u64;
        }
        Ok(values)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), ModelError> {
        self.source.read_at(bytes, offset).map_err(|e| io(self.path(), "read it", e))
    }
}

impl fmt::Display for StoredDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Other(name) => name,
        })
    }
}
