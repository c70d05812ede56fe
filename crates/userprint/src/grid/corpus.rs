//! What a corpus is, before anything is split: users, documents, words, copies.

use std::collections::BTreeSet;

use userprint_core::UserIdx;
use userprint_data::{Corpus, NearDuplicates};

use super::outcome::CorpusOutcome;
use crate::experiment::Experiment;
use crate::stages::prepare::read_choice;

/// When two documents of a user are near-copies.
const NEAR: NearDuplicates = NearDuplicates { threshold: 0.3, shingle_words: 5 };

/// Counts the corpus of an experiment, as it is read.
pub(super) fn describe(experiment: &Experiment) -> anyhow::Result<CorpusOutcome> {
    let (corpus, _) = read_choice(experiment)?;
    let (mut documents, mut words) = (Vec::new(), Vec::new());
    let (mut n_copies, mut n_near_copies) = (0, 0);
    for user in 0..corpus.users().len() {
        let examples = corpus.examples(UserIdx(user as u32))?;
        let texts: Vec<&str> = examples.iter().map(|example| example.text.as_str()).collect();
        documents.push(texts.len() as u64);
        words.extend(texts.iter().map(|text| text.split_whitespace().count() as u64));
        n_copies += (texts.len() - texts.iter().collect::<BTreeSet<_>>().len()) as u64;
        n_near_copies += NEAR.copies(&texts, 0).iter().flatten().count() as u64;
    }
    let min_documents = u64::from(experiment.raw.split.map_or(1, |split| split.min_examples));
    Ok(CorpusOutcome {
        n_users: documents.len() as u64,
        n_kept_users: documents.iter().filter(|n| **n >= min_documents).count() as u64,
        min_documents,
        n_documents: words.len() as u64,
        n_words: words.iter().sum(),
        documents: percentiles(&mut documents),
        words: percentiles(&mut words),
        n_copies,
        n_near_copies,
        users_by_documents: by_powers(&documents),
        documents_by_words: by_powers(&words),
    })
}

/// The percentiles 0, 25, 50, 75 and 100: the least values that so many are at most.
fn percentiles(values: &mut [u64]) -> [u64; 5] {
    values.sort_unstable();
    let at = |share: f64| {
        let rank = (share * values.len() as f64).ceil() as usize;
        values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    };
    [0.0, 0.25, 0.5, 0.75, 1.0].map(at)
}

/// How many values are from each power of 2 to below the next, none left out between the first and the last.
fn by_powers(values: &[u64]) -> Vec<(u64, u64)> {
    let power = |value: u64| value.max(1).ilog2();
    let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) else { return Vec::new() };
    let count = |of: u32| values.iter().filter(|value| power(**value) == of).count() as u64;
    (power(*least)..=power(*most)).map(|of| (1 << of, count(of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_hand() {
        let mut values = vec![9, 1, 2, 3, 100];
        assert_eq!(percentiles(&mut values), [1, 2, 3, 9, 100]);
        assert_eq!(by_powers(&values), [(1, 1), (2, 2), (4, 0), (8, 1), (16, 0), (32, 0), (64, 1)]);
        assert_eq!((percentiles(&mut []), by_powers(&[])), ([0; 5], Vec::new()));
    }
}
