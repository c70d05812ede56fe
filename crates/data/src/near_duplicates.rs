//! Near-duplicates: texts that share most of their runs of words.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use gaoya::minhash::{MinHashIndex, MinHasher, MinHasher64V1};

use crate::CorpusError;
use crate::words::shingles;

/// Hashes of a signature.
const N_HASHES: usize = 128;

/// Smallest chance that two texts just at the threshold share a band, and so are compared.
const CHANCE: f64 = 0.95;

/// When one text is nearly another.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearDuplicates {
    /// Least Jaccard similarity of the two sets of shingles, above 0 and up to 1.
    pub threshold: f64,
    /// Words in a shingle.
    pub shingle_words: usize,
}

/// An earlier text that a text is nearly a copy of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearCopy {
    /// Its position.
    pub of: usize,
    /// Jaccard similarity of the two.
    pub similarity: f64,
}

impl NearDuplicates {
    /// Checks both settings.
    ///
    /// # Errors
    /// [`CorpusError::Setting`].
    pub fn check(&self) -> Result<(), CorpusError> {
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            let (name, found) = ("near-duplicate threshold", self.threshold);
            return Err(CorpusError::Setting { name, found, expected: "a similarity above 0 and up to 1" });
        }
        if self.shingle_words == 0 {
            return Err(CorpusError::Setting { name: "shingle words", found: 0.0, expected: "at least 1" });
        }
        Ok(())
    }

    /// For each text, the first earlier one that it is nearly a copy of and that is itself none; the first `n_kept` are none.
    ///
    /// Shingles are runs of words without case and punctuation; a text of fewer words is one shingle, one without words is no
    /// copy. Candidates come from MinHash signatures of 128 hashes in bands, so that a pair at the threshold is missed at
    /// most once in twenty; each is then compared exactly, so none is marked wrongly.
    ///
    /// ```
    /// use userprint_data::NearDuplicates;
    /// let near = NearDuplicates { threshold: 0.5, shingle_words: 2 };
    /// let copies = near.copies(&["one two three four five", "other words", "One two three four, six"], 0);
    /// assert_eq!(copies.iter().map(|copy| copy.map(|copy| copy.of)).collect::<Vec<_>>(), [None, None, Some(0)]);
    /// ```
    ///
    /// # Reference
    /// Broder, On the resemblance and containment of documents, 1997.
    pub fn copies(&self, texts: &[&str], n_kept: usize) -> Vec<Option<NearCopy>> {
        let sets: Vec<BTreeSet<u64>> =
            texts.iter().map(|text| shingles(text, self.shingle_words).into_iter().collect()).collect();
        let (n_bands, width) = self.bands();
        let hasher = MinHasher64V1::new(n_bands * width);
        // Every candidate is wanted: the comparison below is exact.
        let mut index: MinHashIndex<u64, usize> = MinHashIndex::new(n_bands, width, 0.0);
        let mut copies = Vec::with_capacity(texts.len());
        for (at, set) in sets.iter().enumerate() {
            if set.is_empty() {
                copies.push(None);
                continue;
            }
            let signature = hasher.create_signature(set.iter());
            let similar = index.query_owned(&signature).into_iter().filter_map(|of| {
                let similarity = jaccard(&sets[of], set);
                (similarity >= self.threshold).then_some(NearCopy { of, similarity })
            });
            let copy = similar.min_by_key(|copy| copy.of).filter(|_| at >= n_kept);
            if copy.is_none() {
                index.insert(at, signature);
            }
            copies.push(copy);
        }
        copies
    }

    /// The fewest and widest bands that keep [`CHANCE`] at the threshold.
    fn bands(&self) -> (usize, usize) {
        let chance = |width: usize| {
            let n_bands = (N_HASHES / width) as f64;
            1.0 - (1.0 - self.threshold.powf(width as f64)).powf(n_bands)
        };
        let width = (1..=N_HASHES).rev().find(|&width| chance(width) >= CHANCE).unwrap_or(1);
        (N_HASHES / width, width)
    }
}

fn jaccard(left: &BTreeSet<u64>, right: &BTreeSet<u64>) -> f64 {
    let both = left.intersection(right).count();
    both as f64 / (left.len() + right.len() - both) as f64
}
