//! Copies of training documents, planted: what duplicates do to a user can be measured where a corpus has none.

use rand::RngExt;
use userprint_core::{Example, ExampleId, Membership, Ragged, Role, Seed};

use crate::canary::Texts;
use crate::{CorpusError, CorpusRow, InMemoryCorpus, Partition};

/// How much is copied.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopiesConfig {
    /// Share of a held-in user's training documents that are copied, each drawn by a coin of its own.
    pub share: f64,
    /// How many copies of each there are, beside it.
    pub n_copies: u32,
}

impl CopiesConfig {
    /// Plants the copies: more documents to train on, of the same users, with the example id of the first and `~k` behind it.
    ///
    /// Neither what is reserved nor the documents of other users are copied.
    ///
    /// # Errors
    /// [`CorpusError::OtherCorpus`] where the partition is of another corpus.
    pub fn plant(
        &self,
        corpus: &InMemoryCorpus,
        partition: &Partition,
        seed: Seed,
    ) -> Result<(InMemoryCorpus, Partition), CorpusError> {
        let mut changed = Partition { roles: Ragged::new(), example_ids: Ragged::new(), ..partition.clone() };
        let mut rows = Vec::new();
        for (user, examples) in Texts::new(corpus, partition)?.0.into_iter().enumerate() {
            let roles = partition.roles.row(user);
            let mut own: Vec<(Example, Option<Role>)> =
                examples.into_iter().zip(roles.iter().copied()).collect();
            if partition.membership[user] == Membership::HeldIn {
                let copies = self.copies(&own, seed.indexed(user as u64));
                own.extend(copies);
                own.sort_by(|a, b| a.0.example_id.cmp(&b.0.example_id));
            }
            changed.roles.push(own.iter().map(|(_, role)| *role));
            changed.example_ids.push(own.iter().map(|(example, _)| example.example_id.clone()));
            rows.extend(own.into_iter().map(|(example, _)| CorpusRow {
                user_id: partition.users[user].as_str().to_owned(),
                example_id: Some(example.example_id.as_str().to_owned()),
                text: example.text,
                origin: example.origin,
            }));
        }
        Ok((InMemoryCorpus::from_rows(rows)?, changed))
    }

    fn copies(&self, own: &[(Example, Option<Role>)], seed: Seed) -> Vec<(Example, Option<Role>)> {
        let mut rng = seed.rng();
        let mut copies = Vec::new();
        for (example, role) in own.iter().filter(|(_, role)| *role == Some(Role::Train)) {
            if rng.random_bool(self.share) {
                let copy = |k: u32| {
                    let id = ExampleId::new(format!("{}~{k}", example.example_id.as_str()));
                    (Example { example_id: id, ..example.clone() }, *role)
                };
                copies.extend((1..=self.n_copies).map(copy));
            }
        }
        copies
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Corpus, UserSplit, partition};

    /// 24 users of 20 documents, of whom 6 are public and 9 held in, with 14 documents to train on.
    pub(crate) fn small_split() -> (InMemoryCorpus, Partition) {
        let rows = (0..24).flat_map(|user| {
            (0..20).map(move |text| CorpusRow {
                user_id: format!("user {user}"),
                example_id: Some(format!("{text:02}")),
                text: format!("text {text} of {user}"),
                origin: Default::default(),
            })
        });
        let corpus = InMemoryCorpus::from_rows(rows.collect()).expect("rows that fit");
        let split = UserSplit {
            public: 0.25,
            held_in: 0.5,
            validation: 0.1,
            test: 0.0,
            attack: 0.2,
            min_examples: 5,
        };
        let partition = partition(&corpus, &split, Seed(1)).expect("enough users");
        (corpus, partition)
    }

    #[test]
    fn held_in_users_get_copies_of_what_they_train_on_and_nobody_else_changes() {
        let (corpus, before) = small_split();
        let copies = CopiesConfig { share: 0.5, n_copies: 3 };
        let (copied, after) = copies.plant(&corpus, &before, Seed(2)).expect("the same corpus");
        assert_eq!((&after.users, &after.membership), (&before.users, &before.membership));
        let mut n_copied = 0;
        for (user, membership) in before.membership.iter().enumerate() {
            let (ids, roles) = (after.example_ids.row(user), after.roles.row(user));
            assert!(ids.is_sorted() && ids.len() == roles.len());
            if *membership != Membership::HeldIn {
                assert_eq!((ids, roles), (before.example_ids.row(user), before.roles.row(user)));
                continue;
            }
            let mut times: BTreeMap<String, Vec<Option<Role>>> = BTreeMap::new();
            let at = copied.users().binary_search(&after.users[user]).expect("it is a user");
            let examples = copied.examples(userprint_core::UserIdx(at as u32)).expect("in memory");
            for (example, role) in examples.into_iter().zip(roles) {
                times.entry(example.text).or_default().push(*role);
            }
            assert_eq!(times.len(), 20);
            for roles in times.values().filter(|roles| roles.len() > 1) {
                assert_eq!(roles[..], [Some(Role::Train); 4]);
                n_copied += 1;
            }
        }
        // 9 held-in users with 14 training documents each.
        assert!((40..=86).contains(&n_copied), "{n_copied} of 126");
    }
}
