//! Arrays written as safetensors, without a second copy of them in memory.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use super::header::n_values;
use crate::ModelError;
use crate::checkpoint::{NamedTensors, io as failed, write_beside_by};

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
    write_beside_by(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        tensors.values().try_for_each(|(_, values)| file.write_all(bytemuck::cast_slice(values)))
    })
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
