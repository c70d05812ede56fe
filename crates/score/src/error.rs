//! What can go wrong when scoring, and when keeping scores.

use std::path::PathBuf;

use userprint_core::{Detail, TokenizeError};

use crate::ScorerId;

/// Why texts could not be scored, or scores not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// A finer detail than the scorer has.
    #[error("scorer `{scorer}` offers {offered:?} detail, {asked:?} was asked")]
    TooFine {
        /// Who was asked.
        scorer: ScorerId,
        /// The finest it has.
        offered: Detail,
        /// What was asked.
        asked: Detail,
    },
    /// A text without a token to score: empty, or one token long with nothing before it.
    #[error(
        "text {index} of the batch has {n_tokens} tokens and so none to score; \
         leave it out, or prepend a beginning-of-text token (bos = \"always\")"
    )]
    NothingToScore {
        /// Position in the batch.
        index: usize,
        /// How many tokens it has.
        n_tokens: usize,
    },
    /// A text that an imported table does not hold.
    #[error("text {index} of the batch is not in the table of scorer `{scorer}`")]
    UnknownText {
        /// Who was asked.
        scorer: ScorerId,
        /// Position in the batch.
        index: usize,
    },
    /// A log-likelihood that is not a finite number at most 0.
    #[error(
        "text {index} of the batch got log-likelihood {found} from scorer `{scorer}`, expected finite and <= 0"
    )]
    NotALogLikelihood {
        /// Who scored.
        scorer: ScorerId,
        /// Position in the batch.
        index: usize,
        /// What it said.
        found: f64,
    },
    /// The tokenizer failed.
    #[error("the text cannot be tokenised")]
    Tokenize(#[from] TokenizeError),
    /// Columns of unequal length.
    #[error("column `{column}` has {found} rows, expected {expected}")]
    Length {
        /// Which column.
        column: &'static str,
        /// Its rows.
        found: usize,
        /// The rows of the others.
        expected: usize,
    },
    /// A file that cannot be read or written.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that is not a table of scores.
    #[error("{}: expected column `{column}` of type {expected} without nulls, found columns {found}", path.display())]
    Column {
        /// Which file.
        path: PathBuf,
        /// The column that was wanted.
        column: String,
        /// Its type.
        expected: &'static str,
        /// The columns there.
        found: String,
    },
}
