//! Arrays written as safetensors, without a second copy of them in memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::Value;

use super::header::n_values;
use crate::ModelError;
use crate::checkpoint::{NamedTensors, io as failed};

/// The header is padded so that the values after it are aligned.
const ALIGNMENT: usize = 8;

/// An array whose shape is of another size.
#[derive(Debug, thiserror::Error)]
#[error("tensor `{key}` has {found} values, expected those of shape {shape:?}")]
struct WrongShape {
    key: String,
    found: usize,
    shape: Vec<usize>,
}

/// Writes arrays as safetensors, beside their place first and then renamed; the same arrays give the same bytes.
///
/// # Errors
/// [`ModelError::Io`] where the disk refuses, or where an array has not as many values as its shape.
pub fn write(path: &Path, tensors: &NamedTensors, metadata: &[(&str, &str)]) -> Result<(), ModelError> {
    let header = header(tensors, metadata).map_err(|e| failed(path, "arrange it", e))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let beside = path.with_file_name(name);
    let written = stream(&beside, &header, tensors).and_then(|()| fs::rename(&beside, path));
    written.map_err(|e| {
        // What is half written is of no use to anyone; that it cannot be removed adds nothing to the error.
        drop(fs::remove_file(&beside));
        failed(path, "write it", e)
    })
}

fn stream(path: &Path, header: &str, tensors: &NamedTensors) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for (_, values) in tensors.values() {
        file.write_all(bytemuck::cast_slice(values))?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// The header as the `safetensors` crate writes it, but for its metadata, which is in the order given.
fn header(tensors: &NamedTensors, metadata: &[(&str, &str)]) -> Result<String, WrongShape> {
    let mut fields = Vec::with_capacity(tensors.len() + 1);
    if !metadata.is_empty() {
        let pairs: Vec<_> =
            metadata.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value))).collect();
        fields.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    }
    let mut begin = 0;
    for (key, (shape, values)) in tensors {
        if n_values(shape) != Some(values.len() as u64) {
            return Err(WrongShape { key: key.clone(), found: values.len(), shape: shape.clone() });
        }
        let end = begin + size_of_val(values.as_slice());
        let sides: Vec<_> = shape.iter().map(usize::to_string).collect();
        let sides = sides.join(",");
        let key = quoted(key);
        fields.push(format!(
            "{key}:{{\"dtype\":\"F32\",\"shape\":[{sides}],\"data_offsets\":[{begin},{end}]}}"
        ));
        begin = end;
    }
    let mut header = format!("{{{}}}", fields.join(","));
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(ALIGNMENT) - header.len()));
    Ok(header)
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
