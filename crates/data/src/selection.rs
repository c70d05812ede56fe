//! The part of a corpus that one membership and one role select.

use std::collections::BTreeMap;

use userprint_core::{
    Example, ExampleId, ExampleSource, Membership, Ragged, Role, SourceError, TrainSet, UserId, UserIdx,
};

use crate::split::SaltedHash;
use crate::{Corpus, CorpusError, NearDuplicates, Partition};

/// The examples of one membership with one role; users without any are left out.
///
/// Users and examples are in the order of the corpus.
#[derive(Clone, Debug)]
pub struct Selection<'c> {
    corpus: &'c dyn Corpus,
    users: Vec<UserId>,
    corpus_users: Vec<UserIdx>,
    positions: Ragged<usize>,
    example_ids: Ragged<ExampleId>,
}

impl<'c> Selection<'c> {
    /// Selects from a corpus by the partition that was made of it.
    ///
    /// # Errors
    /// [`CorpusError::OtherCorpus`] if a user of the partition has not as many examples in the corpus. Ids are
    /// compared when the texts are read.
    pub fn new(
        corpus: &'c dyn Corpus,
        partition: &Partition,
        membership: Membership,
        role: Role,
    ) -> Result<Self, CorpusError> {
        let mut selection = Self {
            corpus,
            users: Vec::new(),
            corpus_users: Vec::new(),
            positions: Ragged::new(),
            example_ids: Ragged::new(),
        };
        for (user_idx, user) in partition.users.iter().enumerate() {
            let (roles, ids) = (partition.roles.row(user_idx), partition.example_ids.row(user_idx));
            let corpus_user = corpus_user(corpus, user, user_idx, ids.len())?;
            let positions: Vec<usize> = (0..roles.len()).filter(|&i| roles[i] == Some(role)).collect();
            if partition.membership[user_idx] == membership && !positions.is_empty() {
                selection.users.push(user.clone());
                selection.corpus_users.push(corpus_user);
                selection.example_ids.push(positions.iter().map(|&position| ids[position].clone()));
                selection.positions.push(positions);
            }
        }
        Ok(selection)
    }

    /// Ids of the selected examples, one row a user, in the order of the texts.
    pub fn example_ids(&self) -> &Ragged<ExampleId> {
        &self.example_ids
    }

    /// Number of selected examples of all users.
    pub fn n_examples_total(&self) -> usize {
        self.positions.values().len()
    }

    /// The selected examples of a user, ids and texts.
    ///
    /// # Errors
    /// If the corpus cannot be read, or is not the one that was split.
    pub fn examples(&self, user: UserIdx) -> Result<Vec<Example>, CorpusError> {
        let examples = self.corpus.examples(self.corpus_users[user.index()])?;
        let ids = self.example_ids.row(user.index());
        let found: Vec<Example> = std::iter::zip(self.positions.row(user.index()), ids)
            .filter_map(|(&position, id)| examples.get(position).filter(|example| example.example_id == *id))
            .cloned()
            .collect();
        if found.len() != ids.len() {
            return Err(CorpusError::OtherCorpus {
                user_idx: user.index(),
                found: found.len(),
                expected: ids.len(),
            });
        }
        Ok(found)
    }

    /// Keeps the examples marked `true`, in the order of all examples user by user; users left without any go.
    ///
    /// # Panics
    /// If there is not one mark an example.
    pub fn retain(&mut self, keep: &[bool]) {
        assert_eq!(keep.len(), self.n_examples_total(), "expected one mark an example");
        let mut all = std::mem::replace(
            self,
            Self {
                corpus: self.corpus,
                users: Vec::new(),
                corpus_users: Vec::new(),
                positions: Ragged::new(),
                example_ids: Ragged::new(),
            },
        );
        let mut marks = keep.iter();
        for (user_idx, user) in std::mem::take(&mut all.users).into_iter().enumerate() {
            let (positions, ids) = (all.positions.row(user_idx), all.example_ids.row(user_idx));
            let kept: Vec<usize> = (0..ids.len()).filter(|_| marks.next() == Some(&true)).collect();
            if !kept.is_empty() {
                self.users.push(user);
                self.corpus_users.push(all.corpus_users[user_idx]);
                self.positions.push(kept.iter().map(|&i| positions[i]));
                self.example_ids.push(kept.iter().map(|&i| ids[i].clone()));
            }
        }
    }
}

impl ExampleSource for Selection<'_> {
    fn users(&self) -> &[UserId] {
        &self.users
    }

    fn n_examples(&self, user: UserIdx) -> u32 {
        u32::try_from(self.positions.row(user.index()).len()).expect("not more than the corpus has")
    }

    fn texts(&self, user: UserIdx) -> Result<Vec<String>, SourceError> {
        match self.examples(user) {
            Ok(examples) => Ok(examples.into_iter().map(|example| example.text).collect()),
            Err(error) => Err(SourceError { user_idx: user.0, source: error.into() }),
        }
    }
}

fn corpus_user(
    corpus: &dyn Corpus,
    user: &UserId,
    user_idx: usize,
    expected: usize,
) -> Result<UserIdx, CorpusError> {
    let Ok(position) = corpus.users().binary_search(user) else {
        return Err(CorpusError::OtherCorpus { user_idx, found: 0, expected });
    };
    let corpus_user = UserIdx(u32::try_from(position).expect("fewer than u32::MAX users"));
    match corpus.n_examples(corpus_user) as usize {
        found if found == expected => Ok(corpus_user),
        found => Err(CorpusError::OtherCorpus { user_idx, found, expected }),
    }
}

/// Labels the training examples of a membership, in the order in which its [`Selection`] iterates.
///
/// Ranks order a user's training examples by the salted hash that gave them their roles. Examples of one user
/// with equal text share a duplicate group; groups are numbered through all users.
///
/// # Errors
/// If the corpus cannot be read, or is not the one that was split.
pub fn train_set(
    corpus: &dyn Corpus,
    partition: &Partition,
    membership: Membership,
) -> Result<TrainSet, CorpusError> {
    let selection = Selection::new(corpus, partition, membership, Role::Train)?;
    let salted = SaltedHash::new(partition.seed, "roles");
    let mut train_set = TrainSet::default();
    let mut n_groups = 0;
    for (user_idx, user_id) in (0..).zip(&selection.users) {
        let user = UserIdx(user_idx);
        let mut groups: BTreeMap<String, u32> = BTreeMap::new();
        let first = train_set.len();
        for example in selection.examples(user)? {
            train_set.user.push(user);
            train_set.n_bytes.push(u32::try_from(example.text.len()).unwrap_or(u32::MAX));
            let group = *groups.entry(example.text).or_insert_with(|| {
                n_groups += 1;
                n_groups - 1
            });
            train_set.duplicate_group.push(group);
        }
        train_set.rank.resize(train_set.len(), 0);
        let order = salted.order_examples(user_id, selection.example_ids.row(user.index()));
        for (rank, position) in (0..).zip(order) {
            train_set.rank[first + position] = rank;
        }
    }
    Ok(train_set)
}

/// Gives near-copies among a user's training examples the duplicate group of the one that they are copies of: of them all the one
/// of lowest rank.
///
/// `examples` are those that the labels are of.
///
/// # Errors
/// [`SourceError`] where a text cannot be read.
///
/// # Reference
/// Approximate deduplication within the user, Kandpal et al., EMNLP 2024, Section 5.
pub fn join_near_copies(
    train: &mut TrainSet,
    examples: &dyn ExampleSource,
    near: &NearDuplicates,
) -> Result<(), SourceError> {
    let mut first = 0;
    for user in 0..examples.users().len() {
        let texts = examples.texts(UserIdx(user as u32))?;
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&at| train.rank[first + at]);
        let ranked: Vec<&str> = order.iter().map(|&at| texts[at].as_str()).collect();
        for (place, copy) in near.copies(&ranked, 0).into_iter().enumerate() {
            if let Some(copy) = copy {
                train.duplicate_group[first + order[place]] = train.duplicate_group[first + order[copy.of]];
            }
        }
        first += texts.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use userprint_core::Seed;

    use super::*;
    use crate::{CorpusRow, InMemoryCorpus};

    /// Two users with the same four texts, of which three share most words: a group within each user, none across.
    #[test]
    fn near_copies_get_the_group_of_the_one_of_lowest_rank() {
        let texts = ["a b c d e f g h", "a b c d e f g i", "x y z", "a b c d e f j k"];
        let rows = ["u", "v"].into_iter().flat_map(|user| {
            texts.iter().enumerate().map(move |(at, text)| CorpusRow {
                user_id: user.to_owned(),
                example_id: Some(at.to_string()),
                text: (*text).to_owned(),
                origin: Default::default(),
            })
        });
        let corpus = InMemoryCorpus::from_rows(rows.collect()).expect("rows that fit");
        let ids = || (0..4).map(|at| ExampleId::new(at.to_string())).collect::<Vec<_>>();
        let partition = Partition {
            users: vec![UserId::new("u"), UserId::new("v")],
            membership: vec![Membership::HeldIn; 2],
            example_ids: Ragged::from_iter([ids(), ids()]),
            roles: Ragged::from_iter([vec![Some(Role::Train); 4], vec![Some(Role::Train); 4]]),
            n_dropped: 0,
            seed: Seed(1),
        };
        let mut train = train_set(&corpus, &partition, Membership::HeldIn).expect("the same corpus");
        assert_eq!(train.duplicate_group, [0, 1, 2, 3, 4, 5, 6, 7]);
        let examples =
            Selection::new(&corpus, &partition, Membership::HeldIn, Role::Train).expect("the same corpus");
        let near = NearDuplicates { threshold: 0.4, shingle_words: 2 };
        join_near_copies(&mut train, &examples, &near).expect("in memory");
        for first in [0, 4] {
            let group = &train.duplicate_group[first..first + 4];
            let lowest = [0, 1, 3].into_iter().min_by_key(|&at| train.rank[first + at]).expect("three");
            assert_eq!(group, {
                let joined = (first + lowest) as u32;
                [joined, joined, first as u32 + 2, joined]
            });
        }
    }
}
