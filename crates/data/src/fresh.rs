//! Fresh documents: what the attacker has must not stand in training, not even nearly.

use std::collections::{BTreeMap, BTreeSet};

use userprint_core::{Membership, Ragged, Role};

use crate::canary::Texts;
use crate::overlap::SHINGLE_WORDS;
use crate::words::shingles;
use crate::{CorpusError, InMemoryCorpus, Partition};

/// The partition without those training documents of held-in users that share more than `share` of their phrases with a reserved document of the same
/// user, counted in the one that has fewer: they are used for nothing.
///
/// A phrase is a run of 13 words; a document of fewer words is one phrase. Public users stay as they are: nobody attacks them.
///
/// # Errors
/// [`CorpusError::Setting`] for a share outside 0 to 1; [`CorpusError::OtherCorpus`] where the partition is of another corpus.
pub fn keep_fresh(
    corpus: &InMemoryCorpus,
    partition: &Partition,
    share: f64,
) -> Result<Partition, CorpusError> {
    if !(0.0..=1.0).contains(&share) {
        let (name, expected) = ("fresh", "a share of phrases from 0 to 1");
        return Err(CorpusError::Setting { name, found: share, expected });
    }
    let phrases = |text: &str| -> BTreeSet<u64> { shingles(text, SHINGLE_WORDS).into_iter().collect() };
    let mut changed = Partition { roles: Ragged::new(), ..partition.clone() };
    for (user, examples) in Texts::new(corpus, partition)?.0.into_iter().enumerate() {
        let roles = partition.roles.row(user);
        if partition.membership[user] != Membership::HeldIn {
            changed.roles.push(roles.iter().copied());
            continue;
        }
        let own: Vec<BTreeSet<u64>> = examples.iter().map(|example| phrases(&example.text)).collect();
        let is_reserved = |role: &Option<Role>| role.is_some_and(|role| role != Role::Train);
        // Which reserved documents have a phrase: most have none of another's.
        let mut having: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (at, own) in own.iter().enumerate().filter(|(at, _)| is_reserved(&roles[*at])) {
            own.iter().for_each(|phrase| having.entry(*phrase).or_default().push(at));
        }
        let is_near = |one: &BTreeSet<u64>| {
            let mut n_shared: BTreeMap<usize, usize> = BTreeMap::new();
            for at in one.iter().filter_map(|phrase| having.get(phrase)).flatten() {
                *n_shared.entry(*at).or_default() += 1;
            }
            n_shared.iter().any(|(at, n)| *n as f64 > share * one.len().min(own[*at].len()) as f64)
        };
        let kept = roles.iter().zip(&own).map(|(role, own)| match role {
            Some(Role::Train) if is_near(own) => None,
            role => *role,
        });
        changed.roles.push(kept.collect::<Vec<_>>());
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use userprint_core::{ExampleId, Seed, UserId};

    use super::*;
    use crate::CorpusRow;

    #[test]
    fn what_shares_phrases_with_a_reserved_document_is_not_trained_on() {
        let text =
            |words: std::ops::Range<u32>| words.map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ");
        // Phrases of 13 words: 8 in the reserved text, of which the second shares 2 of 8, the third 6, the fourth all its 1.
        let texts = [text(0..20), text(6..26), text(2..22), text(3..16), text(50..70)];
        let row = |(at, text): (usize, &String)| CorpusRow {
            user_id: "u".to_owned(),
            example_id: Some(at.to_string()),
            text: text.clone(),
            origin: Default::default(),
        };
        let corpus =
            InMemoryCorpus::from_rows(texts.iter().enumerate().map(row).collect()).expect("rows that fit");
        let (train, attack) = (Some(Role::Train), Some(Role::Attack));
        let partition = Partition {
            users: vec![UserId::new("u")],
            membership: vec![Membership::HeldIn],
            example_ids: Ragged::from_iter([(0..5)
                .map(|at| ExampleId::new(at.to_string()))
                .collect::<Vec<_>>()]),
            roles: Ragged::from_iter([vec![attack, train, train, train, train]]),
            n_dropped: 0,
            seed: Seed(1),
        };
        let roles = |share: f64| {
            keep_fresh(&corpus, &partition, share).expect("the same corpus").roles.row(0).to_vec()
        };
        assert_eq!(roles(0.2), [attack, None, None, None, train]);
        assert_eq!(roles(0.5), [attack, train, None, None, train]);
        assert_eq!(roles(1.0), [attack, train, train, train, train]);
        assert!(keep_fresh(&corpus, &partition, 1.5).is_err());
        let public = Partition { membership: vec![Membership::Public], ..partition.clone() };
        assert_eq!(keep_fresh(&corpus, &public, 0.2).expect("the same corpus"), public);
    }
}
