//! The score table: what attacks read of scoring.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};
use userprint_core::{ExampleId, TextScores, UserId};

use crate::ScorerId;

/// One scorer's scores of many examples, in columns; no text.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreTable {
    /// Who scored.
    pub scorer: ScorerId,
    /// How texts were read.
    pub reading: Reading,
    /// Whose example it is.
    pub user_id: Vec<UserId>,
    /// Which example of that user.
    pub example_id: Vec<ExampleId>,
    /// Bytes of text.
    pub n_bytes: Vec<u64>,
    /// Bytes of the text under zlib, for the ratio of arXiv:2012.07805.
    pub zlib_bytes: Vec<u64>,
    /// The scores.
    pub scores: TextScores,
}

/// How a scorer read texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The rule by which a beginning-of-text token stands before each text.
    pub bos: String,
    /// That token, where there is one; without it the first token of a text is not scored.
    pub bos_token: Option<u32>,
    /// Longest input in tokens.
    pub max_tokens: u64,
    /// What became of longer texts.
    pub long_texts: String,
}

/// Bytes of a text under zlib at its default level.
pub fn zlib_bytes(text: &str) -> u64 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail").len() as u64
}
