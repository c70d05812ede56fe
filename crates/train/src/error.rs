//! What can go wrong in training.

use std::path::PathBuf;

use userprint_core::{SourceError, TokenizeError};
use userprint_mitigate::{MitigateError, TrainingRule};
use userprint_model::ModelError;
use userprint_score::ScoreError;

/// Why training did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting out of range.
    #[error("{key} is {found}, expected {expected}")]
    Setting {
        /// Which setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A training rule out of range.
    #[error("the training rule cannot be used")]
    Rule(#[from] MitigateError),
    /// A training rule that the training loop does not follow.
    #[error(
        "training does not follow the rule {rule:?} yet, expected plain batches or clipping by batch or example"
    )]
    RuleNotTrained {
        /// Which rule.
        rule: TrainingRule,
    },
    /// Nothing to train on.
    #[error("there are no training examples; lower the public fraction or the minimum of examples per user")]
    NoDocuments,
    /// Nothing to pick the checkpoint by.
    #[error("there are no held-in validation examples; the validation fraction of the split must be above 0")]
    NoValidation,
    /// A loss that is not a number any more.
    #[error(
        "the loss of step {step} is {loss}; the checkpoint of step {best_step} is kept; lower the learning rate ({learning_rate:e})"
    )]
    LossNotFinite {
        /// Which step.
        step: u64,
        /// Its loss.
        loss: f64,
        /// The last good checkpoint.
        best_step: u64,
        /// What the rate was.
        learning_rate: f64,
    },
    /// A state file of another run, or none.
    #[error("{}: it is not the state of this training: {reason}; delete it to start afresh", path.display())]
    State {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A checkpoint that cannot be read or written.
    #[error("the checkpoint cannot be kept")]
    Checkpoint(#[from] ModelError),
    /// Validation failed.
    #[error("the validation loss cannot be measured")]
    Score(#[from] ScoreError),
    /// Texts that cannot be read.
    #[error("the training examples cannot be read")]
    Source(#[from] SourceError),
    /// Texts that cannot be tokenised.
    #[error("the training examples cannot be tokenised")]
    Tokenize(#[from] TokenizeError),
}
