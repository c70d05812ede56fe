//! Checkpoint folders in Hugging Face's layout: `config.json`, weights, a tokenizer.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use userprint_core::Tokenize;

use crate::decoder::{Decoder, Make};
use crate::weights::{self, Weights};
use crate::{CausalLm, DecoderConfig, HfTokenizer, Layout, ModelConfig, ModelError, Params, adapter};

/// Loads a folder's model with its config; all weights become f32.
///
/// # Errors
/// [`ModelError`] names the file, and the key and shapes where a tensor does not fit.
pub fn load<B: Backend>(folder: &Path, device: &B::Device) -> Result<(CausalLm<B>, ModelConfig), ModelError> {
    load_by(folder, |config, make| {
        Ok(CausalLm { config: config.clone(), module: Decoder::make(config, device, make)? })
    })
}

/// Loads what `build` builds of a folder's tensors, given the decoder's shape, with the config.
pub(crate) fn load_by<T>(
    folder: &Path,
    build: impl FnOnce(&DecoderConfig, Make<'_, ModelError>) -> Result<T, ModelError>,
) -> Result<(T, ModelConfig), ModelError> {
    let config = ModelConfig::load(&folder.join("config.json"))?;
    let tensors = CheckpointTensors::open(folder, &config)?;
    let built = build(&config.decoder, &mut |path, shape| tensors.read(path, shape))?;
    tensors.refuse_others()?;
    tensors.check_tied_head()?;
    drop(tensors);
    Ok((built, config))
}

/// The tensors of a checkpoint, and which of them have been read.
struct CheckpointTensors<'a> {
    folder: &'a Path,
    config: &'a ModelConfig,
    weights: Weights,
    /// What the keys lack of the family's: checkpoints of the bare model leave its prefix out.
    prefix: String,
    used: RefCell<BTreeSet<String>>,
}

impl<'a> CheckpointTensors<'a> {
    fn open(folder: &'a Path, config: &'a ModelConfig) -> Result<Self, ModelError> {
        let weights = Weights::open(folder)?;
        let base = format!("{}.", config.family.base);
        let is_bare = !weights.keys().any(|key| key.starts_with(&base));
        let prefix = if is_bare { base } else { String::new() };
        Ok(Self { folder, config, weights, prefix, used: RefCell::default() })
    }

    /// The checkpoint's own name of one of the family's keys.
    fn stored_key(&self, key: &str) -> String {
        key.strip_prefix(&self.prefix).unwrap_or(key).to_owned()
    }

    fn read(&self, path: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let (key, layout) = self.config.family.key(path);
        let (key, expected) = (self.stored_key(&key), layout.stored_shape(shape));
        let Some(tensor) = self.weights.get(&key) else {
            return Err(ModelError::MissingTensor { path: self.file(), key, expected });
        };
        if tensor.shape != expected {
            return Err(ModelError::Tensor {
                path: tensor.path().to_owned(),
                key,
                found_dtype: tensor.dtype.to_string(),
                found: tensor.shape.clone(),
                expected,
            });
        }
        let stored = tensor.read()?;
        self.used.borrow_mut().insert(key);
        Ok(layout.take(stored, shape, self.config.decoder.head_width))
    }

    /// The file to name where a tensor is nowhere.
    fn file(&self) -> PathBuf {
        match self.weights.files() {
            [file, ..] => file.clone(),
            [] => self.folder.to_owned(),
        }
    }

    /// Refuses a head of its own where the config says that the token embedding is the head.
    fn check_tied_head(&self) -> Result<(), ModelError> {
        if self.config.decoder.parts.head {
            return Ok(());
        }
        let key = |path| self.stored_key(&self.config.family.key(path).0);
        let (head, embedding) = (key("head.weight"), key("wte.weight"));
        let (Some(stored), Some(tied)) = (self.weights.get(&head), self.weights.get(&embedding)) else {
            return Ok(());
        };
        if stored.shape == tied.shape && stored.read()? == tied.read()? {
            return Ok(());
        }
        let expected = format!("false, as `{head}` is not `{embedding}`");
        let error =
            ModelError::Config { key: "tie_word_embeddings".to_owned(), found: "true".to_owned(), expected };
        Err(io(&self.folder.join("config.json"), "use it", error))
    }

    /// Refuses tensors that the model has no place for.
    fn refuse_others(&self) -> Result<(), ModelError> {
        let (head, _) = self.config.family.key("head.weight");
        let used = self.used.borrow();
        let has_place = |key: &str| used.contains(key) || key == head || self.config.family.is_ignored(key);
        let keys: Vec<String> =
            self.weights.keys().filter(|key| !has_place(key)).map(str::to_owned).collect();
        if keys.is_empty() { Ok(()) } else { Err(ModelError::ExtraTensors { path: self.file(), keys }) }
    }
}

/// Files of a checkpoint folder, besides its weights, that its scores depend on.
const SMALL_FILES: [&str; 7] = [
    "config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// All files of a folder that its scores depend on, sorted: config, tokenizer, weights.
///
/// # Errors
/// [`ModelError`] where there are no weights, or the folder cannot be listed.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let mut files = Weights::open(folder)?.files().to_vec();
    for entry in fs::read_dir(folder).map_err(|e| io(folder, "list it", e))? {
        let path = entry.map_err(|e| io(folder, "list it", e))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if SMALL_FILES.contains(&name) || name.ends_with(".model") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Loads a folder's tokenizer and holds it against the model's config.
///
/// # Errors
/// [`ModelError::Config`] where the model has no place for one of the tokenizer's ids, or for a special token.
pub fn load_tokenizer(folder: &Path, config: &ModelConfig) -> Result<HfTokenizer, ModelError> {
    let tokenizer = HfTokenizer::load_folder(folder)?;
    let special = [config.bos_token_id, config.eos_token_id].into_iter().flatten().max();
    let needed = tokenizer.vocab_size().max(special.map_or(0, |id| id as usize + 1));
    if needed > config.decoder.vocab_size {
        let expected = format!(
            "at least {needed}, as the tokenizer and the special tokens have ids up to {}",
            needed - 1
        );
        let found = config.decoder.vocab_size.to_string();
        return Err(ModelError::Config { key: "vocab_size".to_owned(), found, expected });
    }
    Ok(tokenizer)
}

/// Writes a folder that `AutoModelForCausalLM.from_pretrained` loads, in f32; each file beside its place, then renamed.
///
/// A model with adapters leaves those alone, in PEFT's layout: see [`adapter::save`].
///
/// # Errors
/// [`ModelError::Io`] where the disk refuses.
pub fn save<B: Backend>(
    folder: &Path,
    lm: &CausalLm<B>,
    config: &ModelConfig,
    tokenizer: &HfTokenizer,
) -> Result<(), ModelError> {
    fs::create_dir_all(folder).map_err(|e| io(folder, "create it", e))?;
    tokenizer.save(&folder.join("tokenizer.json"))?;
    // Without its class some loaders rebuild the tokenizer that the family usually has.
    let token = |id: Option<u32>| id.and_then(|id| tokenizer.token(id));
    let class = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token(config.bos_token_id),
        "eos_token": token(config.eos_token_id),
    });
    write_json(&folder.join("tokenizer_config.json"), &class)?;
    if lm.is_adapted() {
        return adapter::save(folder, lm, config);
    }
    let mut arranged = Arrangement::new(config);
    Params::for_each(&lm.module, |path, shape, values| arranged.put(path, shape, values));
    weights::write(&folder.join("model.safetensors"), &arranged.tensors, &[("format", "pt")])?;
    config.save(&folder.join("config.json"))?;
    write_json(&folder.join("generation_config.json"), config.generation())
}

/// As [`save`], but the folder has its name only once it is complete; another one of that name is replaced.
///
/// # Errors
/// As [`save`].
pub fn save_whole<B: Backend>(
    folder: &Path,
    lm: &CausalLm<B>,
    config: &ModelConfig,
    tokenizer: &HfTokenizer,
) -> Result<(), ModelError> {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let beside = folder.with_file_name(name);
    remove(&beside)?;
    if folder.exists() {
        // Renamed first: what is removed in part must not have the name either.
        fs::rename(folder, &beside).map_err(|e| io(folder, "replace it", e))?;
        remove(&beside)?;
    }
    save(&beside, lm, config, tokenizer)?;
    fs::rename(&beside, folder).map_err(|e| io(folder, "write it", e))
}

fn remove(folder: &Path) -> Result<(), ModelError> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(|e| io(folder, "remove it", e))
}

/// Named arrays with their shapes.
pub type NamedTensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Parameters, or their gradients, under the keys and in the layouts that the family's checkpoints have.
#[derive(Debug)]
pub struct Arrangement<'a> {
    config: &'a ModelConfig,
    /// What has been put.
    pub tensors: NamedTensors,
}

impl<'a> Arrangement<'a> {
    /// Nothing yet.
    pub fn new(config: &'a ModelConfig) -> Self {
        Self { config, tensors: NamedTensors::new() }
    }

    /// Puts one parameter in its place.
    pub fn put(&mut self, path: &str, shape: &[usize], values: Vec<f32>) {
        let (key, layout) = self.config.family.key(path);
        let stored = layout.stored_shape(shape);
        if layout == Layout::Plain {
            self.tensors.insert(key, (stored, values));
            return;
        }
        let n = stored.iter().product();
        let (_, numbers) = self.tensors.entry(key).or_insert_with(|| (stored, vec![0.0; n]));
        layout.put(&values, shape, self.config.decoder.head_width, numbers);
    }
}

pub(crate) fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), ModelError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| io(path, "arrange it", e))?;
    write_beside(path, text.as_bytes())
}

pub(crate) fn write_beside(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    write_beside_by(path, |file| file.write_all(bytes))
}

/// Writes a file beside its place and renames it: there is no half file.
pub(crate) fn write_beside_by(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<fs::File>) -> std::io::Result<()>,
) -> Result<(), ModelError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let beside = path.with_file_name(name);
    let written = || {
        let mut file = BufWriter::new(fs::File::create(&beside)?);
        write(&mut file)?;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(|e| {
        // What is half written is of no use to anyone; that it cannot be removed adds nothing to the error.
        drop(fs::remove_file(&beside));
        io(path, "write it", e)
    })
}

pub(crate) fn io(
    path: &Path,
    action: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ModelError {
    ModelError::Io { path: path.to_owned(), action, source: source.into() }
}
