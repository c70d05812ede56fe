//! Bags of words.

use std::collections::BTreeMap;

use crate::words::words;

/// Word positions and their values, ascending.
pub(super) type SparseRow = Vec<(usize, f64)>;

/// `log(1 + tf) idf` of each user's words, scaled to length 1; `idf = 1 + log((1 + n) / (1 + df))` over users.
///
/// A user without words has no entries.
pub(super) fn user_features(texts: &[&[String]]) -> Vec<SparseRow> {
    let counts: Vec<BTreeMap<String, u32>> = texts.iter().map(|texts| word_counts(texts)).collect();
    let mut n_users_with: BTreeMap<&str, u32> = BTreeMap::new();
    for word in counts.iter().flat_map(BTreeMap::keys) {
        *n_users_with.entry(word).or_default() += 1;
    }
    let n_users = texts.len() as f64;
    let idf = |n_with: u32| 1.0 + ((1.0 + n_users) / (1.0 + f64::from(n_with))).ln();
    let words: BTreeMap<&str, (usize, f64)> = n_users_with
        .into_iter()
        .enumerate()
        .map(|(position, (word, n_with))| (word, (position, idf(n_with))))
        .collect();
    let row = |counts: &BTreeMap<String, u32>| -> SparseRow {
        let values = counts.iter().map(|(word, &count)| {
            let (position, idf) = words[word.as_str()];
            (position, f64::from(count).ln_1p() * idf)
        });
        normalised(values.collect())
    };
    counts.iter().map(row).collect()
}

fn word_counts(texts: &[String]) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for text in texts {
        for word in words(text) {
            *counts.entry(word).or_default() += 1;
        }
    }
    counts
}

fn normalised(mut row: SparseRow) -> SparseRow {
    let norm = row.iter().map(|(_, value)| value * value).sum::<f64>().sqrt();
    row.iter_mut().for_each(|(_, value)| *value /= norm);
    row
}
