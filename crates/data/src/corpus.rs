//! A corpus: texts by user, with random access.

use std::fmt::Debug;

use userprint_core::{Example, Fingerprint, UserId, UserIdx};

use crate::CorpusError;

/// Texts by user.
///
/// # Guarantees
/// - `users` is sorted and unique, and every user has at least one example.
/// - `examples(user)` has `n_examples(user)` rows, sorted by example id, which is unique within the user.
/// - No text and no id is empty or white space only.
/// - `fingerprint` changes with any id or text, and does not depend on the order of the rows.
pub trait Corpus: Debug + Send + Sync {
    /// A hash of every id and text.
    fn fingerprint(&self) -> Fingerprint;

    /// The users, sorted.
    fn users(&self) -> &[UserId];

    /// How many examples a user has.
    fn n_examples(&self, user: UserIdx) -> u32;

    /// All examples of a user, sorted by example id.
    ///
    /// # Errors
    /// If the place behind the corpus can no longer be read.
    fn examples(&self, user: UserIdx) -> Result<Vec<Example>, CorpusError>;
}
