//! Tokenizers in Hugging Face's `tokenizer.json`: trained here or loaded.

use std::fmt;
use std::path::Path;

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, PostProcessorWrapper, Tokenizer, TokenizerBuilder, TokenizerImpl};
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

/// A tokenizer of the `tokenizers` crate.
#[derive(Clone)]
pub struct HfTokenizer {
    inner: Tokenizer,
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
                key: "vocab_size",
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
        let inner = json.parse::<Tokenizer>().map_err(failed)?;
        Ok(Self { inner })
    }

    /// Loads a `tokenizer.json`; truncation and padding that it may ask for are switched off.
    ///
    /// # Errors
    /// [`ModelError::Io`] for a file that is not there or no tokenizer.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|e| io(path, "read it", e))?;
        let mut inner: Tokenizer =
            text.parse().map_err(|e: tokenizers::Error| io(path, "read it as a tokenizer", e))?;
        inner.with_truncation(None).map_err(|e| io(path, "switch truncation off", e))?;
        inner.with_padding(None);
        Ok(Self { inner })
    }

    /// Writes a `tokenizer.json`, beside its place first and then renamed.
    ///
    /// # Errors
    /// [`ModelError::Io`] where the disk refuses.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        let text = self.inner.to_string(true).map_err(|e| io(path, "arrange it", e))?;
        crate::checkpoint::write_beside(path, text.as_bytes())
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
        self.inner.get_vocab_size(true)
    }

    fn encode(&self, texts: &[&str]) -> Result<Tokens, TokenizeError> {
        let mut tokens = Tokens::default();
        for (index, text) in texts.iter().enumerate() {
            let encoding = self.inner.encode(*text, false);
            let encoding = // What the library says may quote the text.
                encoding.map_err(|_| TokenizeError::Failed { index })?;
            tokens.ids.push(encoding.get_ids().iter().copied());
            tokens.spans.push(encoding.get_offsets().iter().map(|&(start, end)| [start as u32, end as u32]));
        }
        Ok(tokens)
    }
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
