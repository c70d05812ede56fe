//! Near-duplicates against the comparison of every pair.

use proptest::prelude::*;
use rand::RngExt;
use userprint_core::Seed;

use super::*;

/// Texts of 40 words, of which many are earlier ones with some words changed.
fn texts(n: usize) -> Vec<String> {
    let mut rng = Seed(11).rng();
    let mut texts: Vec<Vec<u32>> = Vec::new();
    for _ in 0..n {
        let text = if !texts.is_empty() && rng.random_bool(0.5) {
            let mut copy = texts[rng.random_range(0..texts.len())].clone();
            for _ in 0..rng.random_range(0..12) {
                let at = rng.random_range(0..copy.len());
                copy[at] = rng.random_range(0..2000);
            }
            copy
        } else {
            (0..40).map(|_| rng.random_range(0..2000)).collect()
        };
        texts.push(text);
    }
    texts
        .iter()
        .map(|text| text.iter().map(|word| format!("w{word}")).collect::<Vec<_>>().join(" "))
        .collect()
}

/// By comparing every text with every earlier one that is no copy.
fn brute_force(near: NearDuplicates, texts: &[&str]) -> Vec<Option<NearCopy>> {
    let sets: Vec<Vec<u64>> = texts
        .iter()
        .map(|text| {
            let mut set = shingles(text, near.shingle_words);
            set.sort_unstable();
            set.dedup();
            set
        })
        .collect();
    let mut copies: Vec<Option<NearCopy>> = Vec::new();
    for at in 0..texts.len() {
        let copy = (0..at).filter(|&of| copies[of].is_none() && !sets[of].is_empty()).find_map(|of| {
            let both = n_in_both(&sets[at], &sets[of]);
            let similarity = both as f64 / (sets[at].len() + sets[of].len() - both) as f64;
            (similarity >= near.threshold).then_some(NearCopy { of, similarity })
        });
        copies.push(copy);
    }
    copies
}

fn n_in_both(left: &[u64], right: &[u64]) -> usize {
    let (mut i, mut j, mut n) = (0, 0, 0);
    while i < left.len() && j < right.len() {
        n += usize::from(left[i] == right[j]);
        let (a, b) = (left[i], right[j]);
        i += usize::from(a <= b);
        j += usize::from(b <= a);
    }
    n
}

#[test]
#[expect(clippy::print_stderr, reason = "recall is a figure of the documentation")]
fn recall_and_precision_on_5000_texts() {
    let texts = texts(5000);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for threshold in [0.3, 0.5, 0.8] {
        let near = NearDuplicates { threshold, shingle_words: 3 };
        let (found, expected) = (near.copies(&texts, 0), brute_force(near, &texts));
        let both = found.iter().zip(&expected);
        let n_right = both.filter(|(found, expected)| found.is_some() && expected.is_some()).count();
        let (n_found, n_expected) = (found.iter().flatten().count(), expected.iter().flatten().count());
        // Similarities are exact, whichever text is found first.
        assert!(found.iter().flatten().all(|copy| copy.similarity >= threshold));
        let (precision, recall) = (n_right as f64 / n_found as f64, n_right as f64 / n_expected as f64);
        eprintln!("threshold {threshold}: {n_expected} copies, precision {precision:.4}, recall {recall:.4}");
        assert!(n_expected > 300 && precision >= 0.99 && recall >= 0.99, "{precision} {recall}");
    }
}

#[test]
fn what_is_no_copy() {
    let near = NearDuplicates { threshold: 0.5, shingle_words: 3 };
    // Two of six shingles are shared by the second; the third has no words.
    let copies = near.copies(&["a b c d e f", "a b c d x y", "!?", "...", "a b", "A, b!"], 0);
    assert_eq!(
        copies.iter().map(|copy| copy.map(|copy| copy.of)).collect::<Vec<_>>(),
        [None, None, None, None, None, Some(4)]
    );
    for (threshold, shingle_words) in [(0.0, 3), (1.1, 3), (f64::NAN, 3), (0.5, 0)] {
        assert!(NearDuplicates { threshold, shingle_words }.check().is_err());
    }
}

#[test]
fn what_is_kept_is_compared_with_all_the_same() {
    let near = NearDuplicates { threshold: 0.5, shingle_words: 1 };
    // The second is a copy of the first but stays, and the third is nearly the second alone.
    let texts = ["a b c d", "c d a b e f", "c d e f g"];
    let of =
        |n_kept| near.copies(&texts, n_kept).iter().map(|copy| copy.map(|copy| copy.of)).collect::<Vec<_>>();
    assert_eq!(of(0), [None, Some(0), None]);
    assert_eq!(of(2), [None, None, Some(1)]);
}

proptest! {
    /// With few words and a threshold of 1, equal sets of shingles alone are copies, and all of them.
    #[test]
    fn equal_sets_are_always_found(texts in prop::collection::vec("[ab]( [ab]){0,6}", 0..30)) {
        let near = NearDuplicates { threshold: 1.0, shingle_words: 2 };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        prop_assert_eq!(near.copies(&texts, 0), brute_force(near, &texts));
    }
}
