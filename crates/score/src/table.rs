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
    /// Whether a beginning-of-text token stood before each text; without one the first token is not scored.
    pub with_bos: bool,
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

/// Bytes of a text under zlib at its default level.
pub fn zlib_bytes(text: &str) -> u64 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail").len() as u64
}
