//! A mitigation: everything that a run does to protect its users.

use userprint_core::{Seed, TrainSet};

use crate::{DataFilter, StopRule, TrainingRule};

/// Everything that a run does to protect its users.
#[derive(Debug)]
pub struct Mitigation {
    /// Applied in this order, each to what the ones before it kept.
    pub filters: Vec<Box<dyn DataFilter>>,
    /// How a step treats gradients.
    pub training: TrainingRule,
    /// When training ends early.
    pub stop: StopRule,
}

impl Mitigation {
    /// Whether each training example stays, after all filters.
    ///
    /// # Panics
    /// If a filter breaks its promise of one answer an example.
    /// ```
    /// use userprint_core::{Seed, TrainSet, UserIdx};
    /// use userprint_mitigate::{Mitigation, StopRule, TrainingRule, UserCap};
    /// let train = TrainSet {
    ///     user: vec![UserIdx(0), UserIdx(0)],
    ///     rank: vec![1, 0],
    ///     duplicate_group: vec![0, 1],
    ///     n_bytes: vec![10, 20],
    /// };
    /// let filters: Vec<Box<dyn userprint_mitigate::DataFilter>> = vec![Box::new(UserCap { max_examples: 1 })];
    /// let mitigation = Mitigation { filters, training: TrainingRule::plain(8)?, stop: StopRule::Never };
    /// assert_eq!(mitigation.keep(&train, Seed(1)), [false, true]);
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn keep(&self, train: &TrainSet, seed: Seed) -> Vec<bool> {
        let mut kept: Vec<usize> = (0..train.len()).collect();
        for (position, filter) in self.filters.iter().enumerate() {
            let seed = seed.named(filter.name()).indexed(position as u64);
            let keep = filter.keep(&subset(train, &kept), seed);
            assert_eq!(keep.len(), kept.len(), "filter `{}` must answer for each example", filter.name());
            let mut answers = keep.into_iter();
            kept.retain(|_| answers.next().unwrap_or(false));
        }
        let mut keep = vec![false; train.len()];
        for index in kept {
            keep[index] = true;
        }
        keep
    }
}

fn subset(train: &TrainSet, indices: &[usize]) -> TrainSet {
    let pick = |column: &[u32]| indices.iter().map(|&index| column[index]).collect();
    TrainSet {
        user: indices.iter().map(|&index| train.user[index]).collect(),
        rank: pick(&train.rank),
        duplicate_group: pick(&train.duplicate_group),
        n_bytes: pick(&train.n_bytes),
    }
}
