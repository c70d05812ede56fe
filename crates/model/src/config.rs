//! `config.json`: which family a checkpoint is of, its shape, and every key of it for writing it back.

use std::path::Path;

use serde_json::{Map, Value};

use crate::checkpoint::{io, write_json};
use crate::families::{self, Family};
use crate::{Activation, DecoderConfig, ModelError};

/// A checkpoint's `config.json`: kept whole, and understood as far as the decoder needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    json: Map<String, Value>,
    generation: Map<String, Value>,
    /// The family that `model_type` names.
    pub family: &'static Family,
    /// The decoder's shape.
    pub decoder: DecoderConfig,
    /// Beginning-of-text token.
    pub bos_token_id: Option<u32>,
    /// End-of-text token; the first where the config lists several.
    pub eos_token_id: Option<u32>,
}

impl ModelConfig {
    /// Understands a config.
    ///
    /// # Errors
    /// [`ModelError::UnknownFamily`], or [`ModelError::Config`] for a key that is missing or that no decoder here can have.
    pub fn new(json: Value) -> Result<Self, ModelError> {
        let Value::Object(json) = json else {
            return Err(ModelError::UnknownFamily { found: "absent".to_owned() });
        };
        let keys = Keys(&json);
        let family = families::by_name(json.get("model_type").and_then(Value::as_str).unwrap_or("absent"))?;
        if keys.has("quantization_config") {
            let (key, found) = ("quantization_config".to_owned(), "present".to_owned());
            let expected = "none: weights in f64, f32, f16 or bf16".to_owned();
            return Err(ModelError::Config { key, found, expected });
        }
        let decoder = (family.decoder)(keys)?;
        decoder.check()?;
        let (bos_token_id, eos_token_id) = (keys.token("bos_token_id")?, keys.token("eos_token_id")?);
        let of_generation = |(key, _): &(&String, &Value)| GENERATION.contains(&key.as_str());
        let generation = json.iter().filter(of_generation).map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Self { family, decoder, bos_token_id, eos_token_id, generation, json })
    }

    /// Reads a file, with the `generation_config.json` beside it if there is one.
    ///
    /// # Errors
    /// [`ModelError::Io`] with the file's name; its source is what [`ModelConfig::new`] says.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|e| io(path, "read it", e))?;
        let json = serde_json::from_str(&text).map_err(|e| io(path, "read it as JSON", e))?;
        let mut config = Self::new(json).map_err(|e| io(path, "use it", e))?;
        let beside = path.with_file_name("generation_config.json");
        if let Ok(text) = std::fs::read_to_string(&beside) {
            config.generation =
                serde_json::from_str(&text).map_err(|e| io(&beside, "read it as a JSON object", e))?;
        }
        Ok(config)
    }

    /// Writes all keys back, with the type that weights are saved in here.
    ///
    /// # Errors
    /// [`ModelError::Io`] where the disk refuses.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        let mut json = self.json.clone();
        let key = if json.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
        json.insert(key.to_owned(), "float32".into());
        json.insert("architectures".to_owned(), vec![self.family.architecture].into());
        write_json(path, &json)
    }

    /// The same with one key changed.
    ///
    /// # Errors
    /// As [`ModelConfig::new`].
    pub fn with(&self, key: &str, value: impl Into<Value>) -> Result<Self, ModelError> {
        let mut json = self.json.clone();
        json.insert(key.to_owned(), value.into());
        Self::new(Value::Object(json))
    }

    /// What `generation_config.json` says: the folder's own, or the special tokens of `config.json`.
    pub(crate) fn generation(&self) -> &Map<String, Value> {
        &self.generation
    }

    /// The type that the checkpoint says its weights are stored in.
    pub fn stored_dtype(&self) -> Option<&str> {
        self.json.get("dtype").or_else(|| self.json.get("torch_dtype")).and_then(Value::as_str)
    }
}

/// Keys of a config that belong into `generation_config.json`.
const GENERATION: [&str; 3] = ["bos_token_id", "eos_token_id", "pad_token_id"];

/// The keys of a config or of an object in it; null counts as absent.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    /// Largest size that a config may name.
    const MOST: u64 = 1 << 31;

    fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// Whether there is such a key.
    pub fn has(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether the key is there and says null.
    pub fn is_null(self, key: &str) -> bool {
        self.0.get(key).is_some_and(Value::is_null)
    }

    /// The object of a key.
    pub fn object(self, key: &str) -> Option<Keys<'a>> {
        self.get(key).and_then(Value::as_object).map(Keys)
    }

    /// A positive whole number.
    ///
    /// # Errors
    /// [`ModelError::Config`] where it is absent or something else.
    pub fn size(self, key: &str) -> Result<usize, ModelError> {
        let size = self.get(key).and_then(Value::as_u64).filter(|size| (1..=Self::MOST).contains(size));
        size.map(|size| size as usize).ok_or_else(|| self.refuse(key, "a whole number from 1 to 2³¹"))
    }

    /// A positive whole number, or a default where the key is absent.
    ///
    /// # Errors
    /// [`ModelError::Config`] where it is something else.
    pub fn size_or(self, key: &str, default: usize) -> Result<usize, ModelError> {
        if self.has(key) { self.size(key) } else { Ok(default) }
    }

    /// A whole number, or a default where the key is absent.
    ///
    /// # Errors
    /// [`ModelError::Config`] where it is something else.
    pub fn count_or(self, key: &str, default: usize) -> Result<usize, ModelError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let count = value.as_u64().filter(|count| *count <= Self::MOST);
        count.map(|count| count as usize).ok_or_else(|| self.refuse(key, "a whole number to 2³¹"))
    }

    /// A number of layers.
    ///
    /// # Errors
    /// [`ModelError::Config`] where it is absent, or more than any model has.
    pub fn layers(self, key: &str) -> Result<usize, ModelError> {
        let n_layers = self.size(key)?;
        if n_layers > 10_000 { Err(self.refuse(key, "at most 10000")) } else { Ok(n_layers) }
    }

    /// A finite number above 0.
    ///
    /// # Errors
    /// [`ModelError::Config`] where it is absent or something else.
    pub fn number(self, key: &str) -> Result<f64, ModelError> {
        let number = self.get(key).and_then(Value::as_f64).filter(|x| x.is_finite() && *x > 0.0);
        number.ok_or_else(|| self.refuse(key, "a number above 0"))
    }

    /// A finite number above 0, or a default where the key is absent.
    ///
    /// # Errors
    /// [`ModelError::Config`] where it is something else.
    pub fn number_or(self, key: &str, default: f64) -> Result<f64, ModelError> {
        if self.has(key) { self.number(key) } else { Ok(default) }
    }

    /// True or false, or a default where the key is absent.
    ///
    /// # Errors
    /// [`ModelError::Config`] where it is something else.
    pub fn flag_or(self, key: &str, default: bool) -> Result<bool, ModelError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.refuse(key, "true or false")),
        }
    }

    /// Refuses any value of a flag but one, which is also the family's default.
    ///
    /// # Errors
    /// [`ModelError::Config`] where it is another.
    pub fn only(self, key: &str, value: bool) -> Result<(), ModelError> {
        if self.flag_or(key, value)? == value { Ok(()) } else { Err(self.refuse(key, &value.to_string())) }
    }

    /// A list of words, where there is one.
    ///
    /// # Errors
    /// [`ModelError::Config`] where it is something else.
    pub fn words(self, key: &str) -> Result<Option<Vec<&'a str>>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let words = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        words.map(Some).ok_or_else(|| self.refuse(key, "a list of words"))
    }

    /// A word, or a default where the key is absent.
    ///
    /// # Errors
    /// [`ModelError::Config`] where it is something else.
    pub fn word_or(self, key: &str, default: &'a str) -> Result<&'a str, ModelError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| self.refuse(key, "a word")),
        }
    }

    /// An activation by its name in transformers.
    ///
    /// # Errors
    /// [`ModelError::Config`] for one that is not built in.
    pub fn activation(self, key: &str, default: &'a str) -> Result<Activation, ModelError> {
        let name = self.word_or(key, default)?;
        let known = Activation::NAMES.iter().find(|(known, _)| *known == name);
        let names = Activation::NAMES.map(|(name, _)| name).join(", ");
        known.map(|(_, activation)| *activation).ok_or_else(|| self.refuse(key, &format!("one of {names}")))
    }

    /// The value of any key, for a family that reads what no other does.
    pub fn value(self, key: &str) -> Option<&'a Value> {
        self.get(key)
    }

    /// A token id, the first where there are several.
    fn token(self, key: &str) -> Result<Option<u32>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let first = value.as_array().map_or(Some(value), |several| several.first());
        let id = first.and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        id.map(Some).ok_or_else(|| self.refuse(key, "a token id"))
    }

    /// The error of a key whose value does not do.
    pub fn refuse(self, key: &str, expected: &str) -> ModelError {
        let found = self.get(key).map_or_else(|| "absent".to_owned(), Value::to_string);
        ModelError::Config { key: key.to_owned(), found, expected: expected.to_owned() }
    }
}
