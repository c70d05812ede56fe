//! What coins are tossed for: examples or users, each with its documents.

use std::collections::BTreeMap;

use rand::seq::index;
use userprint_core::UserIdx;
use userprint_mitigate::{DpSampling, PrivacyUnit};

use crate::{NoiseKey, TrainData, TrainError};

/// What coins are tossed for: examples or users, each with its documents.
///
/// Documents without tokens are no examples, and users without other ones no users.
#[derive(Debug)]
pub(crate) struct SampledUnits<'a> {
    data: &'a TrainData<'a>,
    block_tokens: usize,
    /// Rows of each unit's documents.
    rows: Vec<Vec<usize>>,
    /// Most documents of a unit in a step.
    most: usize,
    n_examples: usize,
    n_users: usize,
}

impl<'a> SampledUnits<'a> {
    /// The units of this sampling; sequences are cut at `block_tokens + 1` tokens.
    ///
    /// # Errors
    /// [`TrainError::NoDocuments`]; [`TrainError::AboveCap`] where a capped user has more examples than the cap.
    pub(crate) fn new(
        data: &'a TrainData<'a>,
        sampling: DpSampling,
        block_tokens: usize,
    ) -> Result<Self, TrainError> {
        let mut of_user: BTreeMap<UserIdx, Vec<usize>> = BTreeMap::new();
        for (row, (document, &owner)) in data.documents.rows().zip(data.owners).enumerate() {
            if !document.is_empty() {
                of_user.entry(owner).or_default().push(row);
            }
        }
        let (n_users, n_examples) = (of_user.len(), of_user.values().map(Vec::len).sum());
        if n_examples == 0 {
            return Err(TrainError::NoDocuments);
        }
        if let DpSampling::CappedUsers { examples_per_user } = sampling {
            check_cap(of_user.values(), examples_per_user)?;
        }
        let rows = match sampling.sampled_unit() {
            PrivacyUnit::Example => {
                let mut rows: Vec<usize> = of_user.into_values().flatten().collect();
                rows.sort_unstable();
                rows.into_iter().map(|row| vec![row]).collect()
            }
            PrivacyUnit::User => of_user.into_values().collect(),
        };
        let most = match sampling {
            DpSampling::Users { examples_per_user } => examples_per_user as usize,
            DpSampling::Examples | DpSampling::CappedUsers { .. } => 1,
        };
        Ok(Self { data, block_tokens, rows, most, n_examples, n_users })
    }

    /// How many the coins are tossed for.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many of this kind there are, sampled or not.
    pub(crate) fn count(&self, unit: PrivacyUnit) -> u64 {
        match unit {
            PrivacyUnit::Example => self.n_examples as u64,
            PrivacyUnit::User => self.n_users as u64,
        }
    }

    /// Sequences of a unit in a step: of a user with many documents, some that the key draws for the step.
    pub(crate) fn sequences(&self, key: &NoiseKey, step: u64, unit: usize) -> Vec<Vec<u32>> {
        let rows = &self.rows[unit];
        if rows.len() <= self.most {
            return rows.iter().map(|&row| self.sequence(row)).collect();
        }
        let mut rng = key.generator("documents", step, &unit.to_string());
        let mut chosen = index::sample(&mut rng, rows.len(), self.most).into_vec();
        chosen.sort_unstable();
        chosen.into_iter().map(|index| self.sequence(rows[index])).collect()
    }

    fn sequence(&self, row: usize) -> Vec<u32> {
        let tokens = self.data.documents.row(row).iter().copied();
        std::iter::once(self.data.separator).chain(tokens).take(self.block_tokens + 1).collect()
    }
}

fn check_cap<'r>(
    users: impl Iterator<Item = &'r Vec<usize>>,
    examples_per_user: u32,
) -> Result<(), TrainError> {
    let above: Vec<usize> = users.map(Vec::len).filter(|&n| n > examples_per_user as usize).collect();
    match above.iter().max() {
        None => Ok(()),
        Some(&most) => Err(TrainError::AboveCap { n_users: above.len(), most, examples_per_user }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Validation;
    use userprint_core::Ragged;

    /// Two users: of three documents, one of them empty, and of one.
    fn check_with(sampling: DpSampling, check: impl FnOnce(Result<SampledUnits<'_>, TrainError>)) {
        let documents: Ragged<u32> =
            [vec![1, 2, 3], vec![], vec![4], vec![5, 6], vec![7]].into_iter().collect();
        let owners = [0, 0, 1, 0, 0].map(UserIdx);
        let validation = Validation::default();
        let data =
            TrainData { documents: &documents, owners: &owners, separator: 0, validation: &validation };
        check(SampledUnits::new(&data, sampling, 2));
    }

    fn key() -> NoiseKey {
        NoiseKey::new([7; 32])
    }

    #[test]
    fn examples_are_documents_with_tokens() {
        check_with(DpSampling::Examples, |units| {
            let units = units.expect("units");
            assert_eq!(units.len(), 4);
            assert_eq!((units.count(PrivacyUnit::Example), units.count(PrivacyUnit::User)), (4, 2));
            let all: Vec<_> = (0..4).map(|unit| units.sequences(&key(), 1, unit)).collect();
            assert_eq!(all, [vec![vec![0, 1, 2]], vec![vec![0, 4]], vec![vec![0, 5, 6]], vec![vec![0, 7]]]);
        });
    }

    #[test]
    fn users_have_up_to_so_many_documents_which_change() {
        check_with(DpSampling::Users { examples_per_user: 2 }, |units| {
            let units = units.expect("units");
            assert_eq!(units.len(), 2);
            assert_eq!(units.sequences(&key(), 1, 1), [[0, 4]]);
            let drawn: Vec<_> = (0..40).map(|step| units.sequences(&key(), step, 0)).collect();
            assert_eq!(drawn[3], units.sequences(&key(), 3, 0));
            assert!(drawn.iter().all(|sequences| sequences.len() == 2));
            for document in [vec![0, 1, 2], vec![0, 5, 6], vec![0, 7]] {
                assert!(drawn.iter().any(|sequences| sequences.contains(&document)), "{document:?}");
            }
        });
    }

    #[test]
    fn a_user_above_the_cap() {
        let capped = |examples_per_user| DpSampling::CappedUsers { examples_per_user };
        check_with(capped(3), |units| assert_eq!(units.expect("units").len(), 4));
        check_with(capped(2), |units| {
            let error = units.expect_err("a user has three");
            assert!(matches!(error, TrainError::AboveCap { n_users: 1, most: 3, examples_per_user: 2 }));
        });
    }
}
