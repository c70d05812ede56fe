//! Tokenizers of the `tokenizers` crate: trained here, or loaded from a checkpoint folder's files.

mod byte_level;
mod folder;
mod merges;
mod pieces;
mod protobuf;
mod sentence_piece;
mod special_tokens;
mod template;

use std::fmt;
use std::panic::catch_unwind;
use std::path::Path;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde_json::Value;
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Encoding, PostProcessorWrapper, Tokenizer, TokenizerBuilder, TokenizerImpl};
use userprint_core::{Tokenize, TokenizeError, Tokens};

use crate::ModelError;
use crate::checkpoint::io;

/// The token that separates documents, id 0 in tokenizers trained here.
pub(crate) const END_OF_TEXT: &str = "<|endoftext|>";

/// When a beginning-of-text token stands before a text.
///
/// Without one the first token is context and not scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bos {
    /// Where the tokenizer's own post-processor adds one.
    Tokenizer,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Bos {
    /// All rules.
    pub const ALL: [Self; 3] = [Self::Tokenizer, Self::Always, Self::Never];

    /// The name in experiment files and score tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokenizer => "tokenizer",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// A tokenizer of the `tokenizers` crate.
#[derive(Clone)]
pub struct HfTokenizer {
    inner: Tokenizer,
    /// One past the largest id: a vocabulary with holes has fewer tokens than that.
    vocab_size: usize,
}

impl fmt::Debug for HfTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HfTokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

impl HfTokenizer {
    /// Trains a byte-level BPE of at most `vocab_size` tokens, the end-of-text token being the first.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a vocabulary that cannot hold all bytes, [`ModelError::TokenizerTraining`].
    pub fn train(texts: &[&str], vocab_size: usize) -> Result<Self, ModelError> {
        let smallest = ByteLevel::alphabet().len() + 1;
        if vocab_size < smallest {
            return Err(ModelError::Config {
                key: "vocab_size".to_owned(),
                found: vocab_size.to_string(),
                expected: format!("at least {smallest}: all bytes and {END_OF_TEXT}"),
            });
        }
        let failed = |e: tokenizers::Error| ModelError::TokenizerTraining { reason: e.to_string() };
        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(vocab_size)
            .min_frequency(2)
            .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let byte_level = || ByteLevel::new(false, true, true);
        let mut tokenizer: TokenizerImpl<
            BPE,
            NormalizerWrapper,
            ByteLevel,
            PostProcessorWrapper,
            ByteLevelDecoder,
        > = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(None)
            .with_pre_tokenizer(Some(byte_level()))
            .with_post_processor(None)
            .with_decoder(Some(byte_level()))
            .build()
            .map_err(failed)?;
        tokenizer.train(&mut trainer, texts.iter()).map_err(failed)?;
        let json = tokenizer.to_string(false).map_err(failed)?;
        Ok(Self::new(json.parse().map_err(failed)?))
    }

    /// Loads whichever tokenizer a checkpoint folder holds, the first of these:
    ///
    /// 1. `tokenizer.json`, as [`load`](Self::load) does;
    /// 2. GPT-2's `vocab.json` and `merges.txt`, with the special tokens of `tokenizer_config.json`,
    ///    `special_tokens_map.json` and `added_tokens.json`;
    /// 3. SentencePiece's `tokenizer.model`, or the only `*.model` file: byte-pair models without a table of
    ///    characters (Llama's).
    ///
    /// With 2 a beginning-of-text token is put before texts if `tokenizer_config.json` says `add_bos_token`,
    /// with 3 unless it denies it.
    /// With 3, as in SentencePiece, the name of a control token in a text is text.
    ///
    /// # Errors
    /// [`ModelError::NoTokenizer`] where there is none of them, [`ModelError::Io`] for a file that is none,
    /// [`ModelError::UnsupportedTokenizer`] where `tokenizers` would find other ids than the original.
    pub fn load_folder(folder: &Path) -> Result<Self, ModelError> {
        folder::load(folder)
    }

    /// Loads a `tokenizer.json`; truncation and padding that it may ask for are switched off.
    ///
    /// # Errors
    /// [`ModelError::Io`] for a file that is not there or no tokenizer.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|e| io(path, "read it", e))?;
        let json: Value = serde_json::from_str(&text).map_err(|e| io(path, "read it as JSON", e))?;
        let mut inner = parse(&json).map_err(|e| io(path, "read it as a tokenizer", e))?;
        inner.with_truncation(None).map_err(|e| io(path, "switch truncation off", e))?;
        inner.with_padding(None);
        Ok(Self::new(inner))
    }

    fn new(inner: Tokenizer) -> Self {
        let largest = inner.get_vocab(true).into_values().max();
        Self { inner, vocab_size: largest.map_or(0, |id| id as usize + 1) }
    }

    /// From the parts of a `tokenizer.json`, made of the file at `path`.
    fn from_parts(path: &Path, parts: &Value) -> Result<Self, ModelError> {
        Ok(Self::new(parse(parts).map_err(|e| io(path, "make a tokenizer of it", e))?))
    }

    /// Writes a `tokenizer.json`, beside its place first and then renamed.
    ///
    /// # Errors
    /// [`ModelError::Io`] where the disk refuses.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        let text = self.inner.to_string(true).map_err(|e| io(path, "arrange it", e))?;
        crate::checkpoint::write_beside(path, text.as_bytes())
    }

    /// Whether another tokenizer finds the same ids for every text: what describes them is the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let described = |tokenizer: &Self| tokenizer.inner.to_string(false).ok();
        described(self).is_some_and(|text| Some(text) == described(other))
    }

    /// The token of an id, as `tokenizer.json` spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The token to put before a text, if any, given the checkpoint's `bos_token_id`.
    ///
    /// # Errors
    /// [`ModelError::NoBosToken`] where one is asked for and there is none.
    pub fn bos_token(&self, bos: Bos, bos_token_id: Option<u32>) -> Result<Option<u32>, ModelError> {
        match bos {
            Bos::Never => Ok(None),
            Bos::Always => bos_token_id.map(Some).ok_or(ModelError::NoBosToken),
            Bos::Tokenizer => {
                let first = |special| self.inner.encode("a", special).ok()?.get_ids().first().copied();
                let (with, without) = (first(true), first(false));
                Ok(if with == without { None } else { with })
            }
        }
    }
}

impl Tokenize for HfTokenizer {
    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn encode(&self, texts: &[&str]) -> Result<Tokens, TokenizeError> {
        // What the library says may quote the text.
        let encode = |text: &&str| self.inner.encode(*text, false).map_err(drop).map(columns);
        let encoded: Vec<_> = texts.par_iter().map(encode).collect();
        let mut tokens = Tokens::default();
        for (index, columns) in encoded.into_iter().enumerate() {
            let (ids, spans) = columns.map_err(|()| TokenizeError::Failed { index })?;
            tokens.ids.push(ids);
            tokens.spans.push(spans);
        }
        Ok(tokens)
    }
}

/// What a `tokenizer.json` describes; the library panics at some parts that do not fit together.
fn parse(json: &Value) -> Result<Tokenizer, tokenizers::Error> {
    let parse = || json.to_string().parse::<Tokenizer>();
    catch_unwind(parse).unwrap_or_else(|_| Err("its parts do not fit together".into()))
}

fn columns(encoding: Encoding) -> (Vec<u32>, Vec<[u32; 2]>) {
    let span = |&(start, end): &(usize, usize)| [start as u32, end as u32];
    (encoding.get_ids().to_vec(), encoding.get_offsets().iter().map(span).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 3] = ["the cat sat on the mat", "the dog sat on the cat", "naïve café"];

    #[test]
    fn trains_saves_and_loads() {
        let tokenizer = HfTokenizer::train(&TEXTS, 280).unwrap();
        assert!(tokenizer.vocab_size() <= 280);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        tokenizer.save(&path).unwrap();
        let loaded = HfTokenizer::load(&path).unwrap();
        assert_eq!(loaded.encode(&TEXTS).unwrap(), tokenizer.encode(&TEXTS).unwrap());
        assert!(loaded.is_same(&tokenizer));
        assert!(!loaded.is_same(&HfTokenizer::train(&TEXTS, 258).unwrap()));
    }

    #[test]
    fn spans_cover_the_text_in_bytes() {
        let tokenizer = HfTokenizer::train(&TEXTS, 300).unwrap();
        let tokens = tokenizer.encode(&TEXTS).unwrap();
        for (row, text) in TEXTS.iter().enumerate() {
            let spans = tokens.spans.row(row);
            assert_eq!(spans.len(), tokens.ids.row(row).len());
            assert_eq!(spans[0][0], 0);
            assert_eq!(spans[spans.len() - 1][1] as usize, text.len(), "text {row}");
            assert!(spans.is_sorted_by_key(|span| span[0]));
        }
    }

    #[test]
    fn bos_follows_the_rule() {
        let tokenizer = HfTokenizer::train(&TEXTS, 280).unwrap();
        assert_eq!(tokenizer.bos_token(Bos::Tokenizer, Some(0)).unwrap(), None);
        assert_eq!(tokenizer.bos_token(Bos::Always, Some(0)).unwrap(), Some(0));
        assert_eq!(tokenizer.bos_token(Bos::Never, Some(0)).unwrap(), None);
        assert!(matches!(tokenizer.bos_token(Bos::Always, None), Err(ModelError::NoBosToken)));
    }

    #[test]
    fn too_small_a_vocabulary_is_refused() {
        let error = HfTokenizer::train(&TEXTS, 100).unwrap_err().to_string();
        assert_eq!(error, "vocab_size is 100, expected at least 257: all bytes and <|endoftext|>");
    }
}
