//! The trait of everything that scores texts.

use std::fmt::{self, Debug};

use userprint_core::{Detail, TextScores};

use crate::ScoreError;

/// What a score depends on besides the text: weights, tokenizer, beginning-of-text rule, precision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScorerId(String);

impl ScorerId {
    /// Wraps a name; equal names must mean equal scores.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScorerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Log-likelihood of texts under one model.
///
/// # Guarantees
/// - Row `i` of the answer is about `texts[i]`; all rows are there, or it is an error.
/// - The answer has the detail that was asked, no finer and no coarser.
/// - Log-likelihoods are finite, in nats and at most 0; every row has at least one scored token.
/// - `log_likelihood` is the sum of the row's token log-probabilities, where those are given.
/// - A text's scores do not depend on the other texts of the batch, within 1e-4 nats per token.
///
/// `conformance` (feature of that name) checks each line.
pub trait Scorer: Debug + Send + Sync {
    /// What the scores depend on.
    fn id(&self) -> &ScorerId;

    /// The finest detail on offer.
    fn detail(&self) -> Detail;

    /// Scores a batch.
    ///
    /// # Errors
    /// [`ScoreError::TooFine`] above [`Scorer::detail`], [`ScoreError::NothingToScore`] for a text without
    /// a token to score, and whatever the model behind it runs into.
    fn score(&self, texts: &[&str], detail: Detail) -> Result<TextScores, ScoreError>;
}

impl dyn Scorer + '_ {
    /// Refuses a detail finer than the scorer has: the first line of every `score`.
    ///
    /// # Errors
    /// [`ScoreError::TooFine`].
    pub fn check_detail(&self, asked: Detail) -> Result<(), ScoreError> {
        let offered = self.detail();
        if asked > offered {
            return Err(ScoreError::TooFine { scorer: self.id().clone(), offered, asked });
        }
        Ok(())
    }
}
