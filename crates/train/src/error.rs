//! What can go wrong in training.

use std::path::PathBuf;

use userprint_core::{SourceError, TokenizeError};
use userprint_mitigate::MitigateError;
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
    /// Secret coins and noise need a secret.
    #[error(
        "the rule draws secret coins and noise, and there is no key for them; expected 32 bytes from the operating system"
    )]
    NoKey,
    /// Users with more examples than the cap that the claim counts on.
    #[error(
        "{n_users} users have more than {examples_per_user} examples, up to {most}; cap the training data at {examples_per_user} examples a user"
    )]
    AboveCap {
        /// How many users are above the cap.
        n_users: usize,
        /// The most examples of a user.
        most: usize,
        /// The cap.
        examples_per_user: u32,
    },
    /// A private training that does not do what its claim says.
    #[error(
        "self-check of {check} before private training: found {found}, expected {expected}; no step was made"
    )]
    SelfCheck {
        /// What was checked.
        check: &'static str,
        /// What was seen.
        found: String,
        /// What a sound training would show.
        expected: String,
    },
    /// A gradient that is not a number any more.
    #[error(
        "the norm of a gradient of step {step} is not finite; the last checkpoint is kept; lower the learning rate"
    )]
    NormNotFinite {
        /// Which step.
        step: u64,
    },
    /// Devices that cannot work together.
    #[error("{n} devices cannot share the work: {reason}; take fewer devices")]
    Devices {
        /// How many.
        n: usize,
        /// What went wrong.
        reason: String,
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
