//! From text to token ids and byte spans.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::Ragged;

/// The tokens of a batch of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    /// Token ids; row `i` answers text `i`.
    pub ids: Ragged<u32>,
    /// Where each token stands in its text: first byte, and one past the last.
    pub spans: Ragged<[u32; 2]>,
}

/// Text to ids, a batch at a time.
///
/// # Guarantees
/// - Row `i` of both columns answers `texts[i]`, and has as many spans as ids.
/// - Spans do not decrease and lie within the text.
/// - A text's tokens do not depend on the rest of the batch.
/// - No beginning-of-text token is added: whoever scores decides about that.
pub trait Tokenize: Debug + Send + Sync {
    /// Number of ids; every id is below it.
    fn vocab_size(&self) -> usize;

    /// Encodes a batch.
    ///
    /// # Errors
    /// [`TokenizeError`] names the first text that cannot be encoded, by position.
    fn encode(&self, texts: &[&str]) -> Result<Tokens, TokenizeError>;
}

/// Why a text could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizeError {
    /// A piece of text has no id.
    #[error("bytes {start}..{end} of text {index} are in no entry of the vocabulary")]
    UnknownToken {
        /// Position of the text in the batch.
        index: usize,
        /// First byte of the piece.
        start: usize,
        /// One past its last byte.
        end: usize,
    },
    /// The tokenizer itself failed.
    #[error("the tokenizer failed on text {index}")]
    Failed {
        /// Position of the text in the batch.
        index: usize,
    },
}

/// Splits at white space and looks each word up: the tokenizer of the synthetic population.
#[derive(Clone, Debug)]
pub struct WhitespaceTokenizer {
    ids: BTreeMap<String, u32>,
}

impl WhitespaceTokenizer {
    /// The vocabulary, ids by position.
    ///
    /// # Panics
    /// If there are more than `u32::MAX` words.
    pub fn new<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        let ids = words
            .into_iter()
            .enumerate()
            .map(|(id, word)| (word.into(), u32::try_from(id).expect("more than u32::MAX words")))
            .collect();
        Self { ids }
    }
}

impl Tokenize for WhitespaceTokenizer {
    fn vocab_size(&self) -> usize {
        self.ids.len()
    }

    fn encode(&self, texts: &[&str]) -> Result<Tokens, TokenizeError> {
        let mut tokens = Tokens::default();
        for (index, text) in texts.iter().enumerate() {
            let mut ids = Vec::new();
            let mut spans = Vec::new();
            for word in text.split_whitespace() {
                let start = word.as_ptr() as usize - text.as_ptr() as usize;
                let end = start + word.len();
                let id = self.ids.get(word).ok_or(TokenizeError::UnknownToken { index, start, end })?;
                ids.push(*id);
                spans.push([start as u32, end as u32]);
            }
            tokens.ids.push(ids);
            tokens.spans.push(spans);
        }
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_word_is_named_by_position_not_by_text() {
        let tokenizer = WhitespaceTokenizer::new(["a"]);
        let error = tokenizer.encode(&["a", "a secret"]).unwrap_err();
        assert_eq!(error, TokenizeError::UnknownToken { index: 1, start: 2, end: 8 });
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn empty_text_has_no_tokens() {
        let tokens = WhitespaceTokenizer::new(["a"]).encode(&["", " a "]).unwrap();
        assert!(tokens.ids.row(0).is_empty());
        assert_eq!(tokens.spans.row(1), [[1, 2]]);
    }
}
