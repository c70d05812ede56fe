//! Where training reads its texts from.

use std::fmt::Debug;

use crate::{UserId, UserIdx};

/// Texts by user: what training sees of a corpus.
///
/// # Guarantees
/// - `users` is sorted and unique, and every user has at least one example.
/// - `texts(user)` has `n_examples(user)` rows, in an order that never changes.
pub trait ExampleSource: Debug + Send + Sync {
    /// The users, sorted.
    fn users(&self) -> &[UserId];

    /// How many examples a user has.
    fn n_examples(&self, user: UserIdx) -> u32;

    /// All texts of a user.
    ///
    /// # Errors
    /// [`SourceError`] if the place behind it can no longer be read.
    fn texts(&self, user: UserIdx) -> Result<Vec<String>, SourceError>;
}

/// A source that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the examples of user {user_idx} cannot be read")]
pub struct SourceError {
    /// Position of the user in the source.
    pub user_idx: u32,
    /// What went wrong below.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
