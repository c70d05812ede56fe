//! Filters: which training examples stay.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use userprint_core::{Seed, TrainSet, UserIdx};

/// Decides from labels which training examples stay.
///
/// # Guarantees
/// - The answer has one entry an example; a filter can only remove.
/// - The same labels and seed give the same answer, in whatever order the examples stand.
/// - A filter that is applied to what it kept keeps all of it.
pub trait DataFilter: Debug + Send + Sync {
    /// The name in experiment files and reports.
    fn name(&self) -> &'static str;

    /// Whether each example stays.
    fn keep(&self, train: &TrainSet, seed: Seed) -> Vec<bool>;
}

/// Keeps at most so many examples of each user: those of lowest rank among the ones present.
///
/// Ranks come from a salted hash, so this is a random choice made once; a larger cap keeps a superset.
///
/// # Reference
/// Data limits per user, arXiv:2310.09266, Section 5.
/// ```
/// use userprint_core::{Seed, TrainSet, UserIdx};
/// use userprint_mitigate::{DataFilter, UserCap};
/// let train = TrainSet {
///     user: vec![UserIdx(0); 3],
///     rank: vec![7, 3, 5],
///     duplicate_group: vec![0, 1, 2],
///     n_bytes: vec![10; 3],
/// };
/// assert_eq!(UserCap { max_examples: 2 }.keep(&train, Seed(0)), [false, true, true]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserCap {
    /// Most examples a user may train with; 0 removes everything.
    pub max_examples: u32,
}

impl DataFilter for UserCap {
    fn name(&self) -> &'static str {
        "user_cap"
    }

    fn keep(&self, train: &TrainSet, _seed: Seed) -> Vec<bool> {
        let mut seen: BTreeMap<UserIdx, u32> = BTreeMap::new();
        let mut keep = vec![false; train.len()];
        for index in by_rank(train) {
            let n_seen = seen.entry(train.user[index]).or_default();
            keep[index] = *n_seen < self.max_examples;
            *n_seen = n_seen.saturating_add(1);
        }
        keep
    }
}

/// Keeps one example of each group of equal texts of a user: the one of lowest rank.
///
/// Equal texts of different users stay.
///
/// # Reference
/// Deduplication within the user, arXiv:2310.09266, Section 5.
/// ```
/// use userprint_core::{Seed, TrainSet, UserIdx};
/// use userprint_mitigate::{DataFilter, ExactDedup};
/// let train = TrainSet {
///     user: vec![UserIdx(0); 3],
///     rank: vec![2, 1, 0],
///     duplicate_group: vec![0, 0, 1],
///     n_bytes: vec![10; 3],
/// };
/// assert_eq!(ExactDedup.keep(&train, Seed(0)), [false, true, true]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExactDedup;

impl DataFilter for ExactDedup {
    fn name(&self) -> &'static str {
        "exact_dedup"
    }

    fn keep(&self, train: &TrainSet, _seed: Seed) -> Vec<bool> {
        let mut seen = BTreeSet::new();
        let mut keep = vec![false; train.len()];
        for index in by_rank(train) {
            keep[index] = seen.insert((train.user[index], train.duplicate_group[index]));
        }
        keep
    }
}

/// Positions of the examples by user, then rank.
fn by_rank(train: &TrainSet) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..train.len()).collect();
    indices.sort_by_key(|&index| (train.user[index], train.rank[index], index));
    indices
}
