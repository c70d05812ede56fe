//! Overlap: texts that stand, or nearly stand, among others.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::words::shingles;

/// Words in a shingle.
pub(crate) const SHINGLE_WORDS: usize = 13;

/// Whether more than half of a text's runs of 13 words occur among other texts: one mark a text.
///
/// Words are compared without case and punctuation; a text of fewer than 13 words is one run, which only an
/// equally short text has; a text without words is no copy of anything.
/// An attack example that is nearly a training example tests whether that text was trained on, not whether its
/// user was.
///
/// ```
/// let train = ["one two three four five six seven eight nine ten eleven twelve thirteen fourteen"];
/// let attack = ["One two three four five six seven eight nine ten eleven twelve thirteen", "Good morning"];
/// assert_eq!(userprint_data::near_copies(&attack, &train), [true, false]);
/// ```
pub fn near_copies(texts: &[&str], among: &[&str]) -> Vec<bool> {
    let known: BTreeSet<u64> = among
        .par_iter()
        .flat_map_iter(|text| shingles(text, SHINGLE_WORDS))
        .collect::<Vec<_>>()
        .into_iter()
        .collect();
    let is_copy = |text: &&str| {
        let shingles = shingles(text, SHINGLE_WORDS);
        2 * shingles.iter().filter(|shingle| known.contains(shingle)).count() > shingles.len()
    };
    texts.par_iter().map(is_copy).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(words: std::ops::Range<u32>) -> String {
        words.map(|word| word.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn more_than_half_is_a_copy() {
        // 30 words are 18 runs, of which the first words of a text of n words share n - 12.
        let long = text(0..30);
        for (shared, is_copy) in [(20, false), (21, false), (22, true), (30, true)] {
            assert_eq!(near_copies(&[&long], &[&text(0..shared)]), [is_copy], "{shared}");
        }
        assert_eq!(
            near_copies(&[&text(0..3), &text(0..4), "!"], &[&text(0..3), &long]),
            [true, false, false]
        );
        // Half here and half there counts together.
        assert_eq!(near_copies(&[&long], &[&text(0..18), &text(12..30)]), [true]);
        assert!(near_copies(&[], &[&long]).is_empty());
    }

    proptest! {
        /// By comparing all runs of words with all others.
        #[test]
        fn agrees_with_the_definition(texts in prop::collection::vec("[ab ]{0,40}", 1..5), among in prop::collection::vec("[ab ]{0,40}", 0..5)) {
            let runs = |text: &String| -> Vec<Vec<String>> {
                let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                if words.is_empty() { return Vec::new(); }
                words.windows(13.min(words.len())).map(<[String]>::to_vec).collect()
            };
            let known: Vec<Vec<String>> = among.iter().flat_map(runs).collect();
            let expect: Vec<bool> = texts.iter().map(|text| {
                let runs = runs(text);
                let shared = runs.iter().filter(|run| known.contains(run)).count();
                2 * shared > runs.len()
            }).collect();
            let borrowed = |texts: &'_ [String]| texts.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
            let (texts, among) = (borrowed(&texts), borrowed(&among));
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let among: Vec<&str> = among.iter().map(String::as_str).collect();
            prop_assert_eq!(near_copies(&texts, &among), expect);
        }
    }
}
