//! Special and added tokens of a folder without `tokenizer.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::read_json;
use crate::ModelError;
use crate::checkpoint::io;

const CONFIG: &str = "tokenizer_config.json";

/// What GPT-2 calls each of its special tokens where a folder does not say.
const DEFAULT: &str = "<|endoftext|>";

/// Those that have a default.
const BASIC: [&str; 3] = ["bos_token", "eos_token", "unk_token"];

/// In the order in which transformers gives ids to those that have none.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Where further special tokens are listed, by older and newer versions of transformers.
const LISTS: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];

/// A row of `added_tokens` in a `tokenizer.json`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct AddedToken {
    pub(crate) id: Option<u32>,
    pub(crate) content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

/// The files that name special tokens; null where one is not there.
#[derive(Debug)]
pub(crate) struct SpecialTokens {
    folder: PathBuf,
    config: Value,
    special: Value,
    added: Value,
}

impl SpecialTokens {
    pub(crate) fn read(folder: &Path) -> Result<Self, ModelError> {
        Ok(Self {
            folder: folder.to_owned(),
            config: read_json(&folder.join(CONFIG))?,
            special: read_json(&folder.join("special_tokens_map.json"))?,
            added: read_json(&folder.join("added_tokens.json"))?,
        })
    }

    /// A setting of `tokenizer_config.json` that is off where it is not there.
    pub(crate) fn is_on(&self, key: &str) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The class that `tokenizer_config.json` names.
    pub(crate) fn class(&self) -> Option<&str> {
        self.config.get("tokenizer_class").and_then(Value::as_str)
    }

    /// What stands before texts, and its id.
    ///
    /// # Errors
    /// [`ModelError::UnsupportedTokenizer`] where one is asked for that no id is known of.
    pub(crate) fn bos(
        &self,
        vocab: &BTreeMap<String, u32>,
        added: &[AddedToken],
    ) -> Result<Option<(String, u32)>, ModelError> {
        if !self.is_on("add_bos_token") {
            return Ok(None);
        }
        let content = self.named("bos_token")?.map_or(DEFAULT.to_owned(), |token| token.content);
        let id = added.iter().find(|token| token.content == content).and_then(|token| token.id);
        let id = id.or_else(|| vocab.get(&content).copied());
        let unsupported = || ModelError::UnsupportedTokenizer {
            path: self.folder.join(CONFIG),
            found: "add_bos_token without a bos_token that has an id".to_owned(),
        };
        Ok(Some((content, id.ok_or_else(unsupported)?)))
    }

    /// All of them by id; those that no file gives an id to come after all others.
    ///
    /// # Errors
    /// [`ModelError::Io`] for a file of another layout.
    pub(crate) fn added(&self, vocab: &BTreeMap<String, u32>) -> Result<Vec<AddedToken>, ModelError> {
        let mut known: BTreeMap<String, AddedToken> = BTreeMap::new();
        for (content, token) in self.with_ids()? {
            known.insert(content, token);
        }
        let mut largest = known.values().filter_map(|token| token.id).chain(vocab.values().copied()).max();
        for token in self.special(vocab)? {
            let flags = known.get(&token.content).cloned().unwrap_or_else(|| token.clone());
            let id = flags.id.or_else(|| vocab.get(&token.content).copied()).unwrap_or_else(|| {
                let next = largest.map_or(0, |id| id.saturating_add(1));
                *largest.insert(next)
            });
            known.insert(token.content, AddedToken { id: Some(id), special: true, ..flags });
        }
        let mut added: Vec<AddedToken> = known.into_values().collect();
        added.sort_by_key(|token| token.id);
        Ok(added)
    }

    /// `added_tokens.json` maps contents to ids, `added_tokens_decoder` ids to tokens, which win.
    fn with_ids(&self) -> Result<Vec<(String, AddedToken)>, ModelError> {
        let failed = |e| io(&self.folder, "read its added tokens", e);
        let ids: Option<BTreeMap<String, u32>> =
            serde_json::from_value(self.added.clone()).map_err(failed)?;
        let decoder = self.config.get("added_tokens_decoder").cloned().unwrap_or_default();
        let tokens: Option<BTreeMap<u32, AddedToken>> = serde_json::from_value(decoder).map_err(failed)?;
        let plain =
            |(content, id)| AddedToken { id: Some(id), content, normalized: true, ..Default::default() };
        let ids = ids.unwrap_or_default().into_iter().map(plain);
        let tokens = tokens.unwrap_or_default().into_iter();
        let tokens = tokens.map(|(id, token)| AddedToken { id: Some(id), ..token });
        Ok(ids.chain(tokens).map(|token| (token.content.clone(), token)).collect())
    }

    fn special(&self, vocab: &BTreeMap<String, u32>) -> Result<Vec<AddedToken>, ModelError> {
        let mut tokens = Vec::new();
        for key in NAMED {
            tokens.extend(self.named(key)?);
        }
        let has_default = vocab.contains_key(DEFAULT);
        if has_default && BASIC.into_iter().any(|key| self.value(key).is_none()) {
            tokens.push(AddedToken { content: DEFAULT.to_owned(), ..Default::default() });
        }
        for key in LISTS {
            let values: Vec<&Value> = match self.value(key) {
                Some(Value::Array(values)) => values.iter().collect(),
                Some(Value::Object(values)) => values.values().collect(),
                _ => Vec::new(),
            };
            for value in values {
                tokens.push(self.token(value)?);
            }
        }
        Ok(tokens)
    }

    fn value(&self, key: &str) -> Option<&Value> {
        let files = [&self.config, &self.special];
        files.into_iter().filter_map(|file| file.get(key)).find(|value| !value.is_null())
    }

    fn named(&self, key: &str) -> Result<Option<AddedToken>, ModelError> {
        self.value(key).map(|value| self.token(value)).transpose()
    }

    /// A token by its text alone, or with what is around it that it takes.
    fn token(&self, value: &Value) -> Result<AddedToken, ModelError> {
        match value {
            Value::String(content) => Ok(AddedToken { content: content.clone(), ..Default::default() }),
            value => {
                AddedToken::deserialize(value).map_err(|e| io(&self.folder, "read its special tokens", e))
            }
        }
    }
}
