//! What defences see of the training data: labels, no text.

use crate::UserIdx;

/// Columns over the training examples, one entry an example.
///
/// `data` labels, `mitigate` decides from the labels: no text is needed for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainSet {
    /// Whose example it is.
    pub user: Vec<UserIdx>,
    /// Rank within the user by a salted hash, from 0: a cap keeps the first ones.
    pub rank: Vec<u32>,
    /// Examples of one user with equal text share a group; groups are numbered by first appearance.
    pub duplicate_group: Vec<u32>,
    /// Length in bytes of text.
    pub n_bytes: Vec<u32>,
}

impl TrainSet {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.user.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
    }
}
