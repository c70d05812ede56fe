//! Checkpoint folders in Hugging Face's layout: `config.json`, `model.safetensors`, `tokenizer.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use userprint_core::Tokenize;

use crate::gpt_neo::{self, GptNeoConfig};
use crate::{CausalLm, Decoder, HfTokenizer, ModelError, Params};

/// Loads a folder's model with its config.
///
/// # Errors
/// [`ModelError`] names the file, and the key and shapes where a tensor does not fit.
pub fn load<B: Backend>(
    folder: &Path,
    device: &B::Device,
) -> Result<(CausalLm<B>, GptNeoConfig), ModelError> {
    let config = load_config(&folder.join("config.json"))?;
    let decoder = config.decoder()?;
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).map_err(|e| io(&path, "read it", e))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| io(&path, "read it as safetensors", e))?;
    let mut module = Decoder::<B>::zeros(&decoder, device);
    let mut failure = None;
    let mut used = BTreeSet::new();
    Params::for_each_mut(&mut module, |name, shape| {
        let key = gpt_neo::key(name);
        let values = read_tensor(&tensors, &path, &key, shape);
        used.insert(key);
        values.unwrap_or_else(|error| {
            failure.get_or_insert(error);
            vec![0.0; shape.iter().product()]
        })
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let extra = tensors.names().into_iter().filter(|key| !used.contains(*key) && !gpt_neo::is_ignorable(key));
    let mut keys: Vec<String> = extra.map(str::to_owned).collect();
    if !keys.is_empty() {
        keys.sort();
        return Err(ModelError::ExtraTensors { path, keys });
    }
    Ok((CausalLm { config: decoder, module }, config))
}

/// Loads a folder's tokenizer and holds it against the model's config.
///
/// # Errors
/// [`ModelError::Config`] where the model has no place for one of the tokenizer's ids, or for a special token.
pub fn load_tokenizer(folder: &Path, config: &GptNeoConfig) -> Result<HfTokenizer, ModelError> {
    let tokenizer = HfTokenizer::load(&folder.join("tokenizer.json"))?;
    let special = [config.bos_token_id, config.eos_token_id].into_iter().flatten().max();
    let needed = tokenizer.vocab_size().max(special.map_or(0, |id| id as usize + 1));
    if needed > config.vocab_size {
        let expected = format!(
            "at least {needed}, as tokenizer.json and the special tokens have ids up to {}",
            needed - 1
        );
        return Err(ModelError::Config { key: "vocab_size", found: config.vocab_size.to_string(), expected });
    }
    Ok(tokenizer)
}

/// Writes a folder that `AutoModelForCausalLM.from_pretrained` loads; each file beside its place, then renamed.
///
/// # Errors
/// [`ModelError::Io`] where the disk refuses.
pub fn save<B: Backend>(
    folder: &Path,
    lm: &CausalLm<B>,
    config: &GptNeoConfig,
    tokenizer: &HfTokenizer,
) -> Result<(), ModelError> {
    fs::create_dir_all(folder).map_err(|e| io(folder, "create it", e))?;
    let mut tensors = BTreeMap::new();
    Params::for_each(&lm.module, |name, shape, values| {
        tensors.insert(gpt_neo::key(name), (shape.to_vec(), values));
    });
    write_tensors(&folder.join("model.safetensors"), &tensors, &[("format", "pt")])?;
    let generation =
        serde_json::json!({ "bos_token_id": config.bos_token_id, "eos_token_id": config.eos_token_id });
    write_json(&folder.join("config.json"), config)?;
    write_json(&folder.join("generation_config.json"), &generation)?;
    tokenizer.save(&folder.join("tokenizer.json"))
}

/// Named arrays with their shapes.
pub type NamedTensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Writes arrays as safetensors, beside their place first and then renamed.
///
/// # Errors
/// [`ModelError::Io`] where the disk refuses.
pub fn write_tensors(
    path: &Path,
    tensors: &NamedTensors,
    metadata: &[(&str, &str)],
) -> Result<(), ModelError> {
    let bytes: BTreeMap<&str, Vec<u8>> = tensors
        .iter()
        .map(|(key, (_, values))| {
            (key.as_str(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let mut views = Vec::new();
    for (key, (shape, _)) in tensors {
        let view = TensorView::new(Dtype::F32, shape.clone(), &bytes[key.as_str()]);
        views.push((key.as_str(), view.map_err(|e| io(path, "arrange it", e))?));
    }
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let file = safetensors::serialize(views, Some(metadata)).map_err(|e| io(path, "arrange it", e))?;
    write_beside(path, &file)
}

/// Reads arrays written by [`write_tensors`], with the metadata.
///
/// # Errors
/// [`ModelError::Io`] for a file that is not there or no safetensors.
pub fn read_tensors(path: &Path) -> Result<(NamedTensors, BTreeMap<String, String>), ModelError> {
    let bytes = fs::read(path).map_err(|e| io(path, "read it", e))?;
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|e| io(path, "read it as safetensors", e))?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| io(path, "read it as safetensors", e))?;
    let mut named = NamedTensors::new();
    for (key, view) in tensors.tensors() {
        let values = read_tensor(&tensors, path, &key, view.shape())?;
        named.insert(key, (view.shape().to_vec(), values));
    }
    Ok((named, metadata))
}

fn load_config(path: &PathBuf) -> Result<GptNeoConfig, ModelError> {
    let text = fs::read_to_string(path).map_err(|e| io(path, "read it", e))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| io(path, "read it as JSON", e))?;
    let family = json.get("model_type").and_then(serde_json::Value::as_str).unwrap_or("absent");
    if family != "gpt_neo" {
        return Err(ModelError::UnknownFamily { path: path.clone(), found: family.to_owned() });
    }
    serde_json::from_value(json).map_err(|e| io(path, "read it as a GPT-Neo config", e))
}

fn read_tensor(
    tensors: &SafeTensors<'_>,
    path: &Path,
    key: &str,
    expected: &[usize],
) -> Result<Vec<f32>, ModelError> {
    let missing = |_| ModelError::MissingTensor {
        path: path.to_owned(),
        key: key.to_owned(),
        expected: expected.to_vec(),
    };
    let view = tensors.tensor(key).map_err(missing)?;
    if view.dtype() != Dtype::F32 || view.shape() != expected {
        return Err(ModelError::Tensor {
            path: path.to_owned(),
            key: key.to_owned(),
            found_dtype: format!("{:?}", view.dtype()),
            found: view.shape().to_vec(),
            expected: expected.to_vec(),
        });
    }
    Ok(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), ModelError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| io(path, "arrange it", e))?;
    write_beside(path, text.as_bytes())
}

pub(crate) fn write_beside(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let beside = path.with_file_name(name);
    let write = || {
        let mut file = fs::File::create(&beside)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|e| io(path, "write it", e))
}

pub(crate) fn io(
    path: &Path,
    action: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ModelError {
    ModelError::Io { path: path.to_owned(), action, source: source.into() }
}
