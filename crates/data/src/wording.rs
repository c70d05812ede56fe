//! Wording: how far a user's words are those of the others.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::words::{shingles, word_hashes};

/// Words in a phrase.
const PHRASE_WORDS: usize = 5;

/// How many words of the others count beside a user's own, so that few words do not seem a habit.
const PRIOR_WORDS: f64 = 1000.0;

/// A user's texts: those of the attacker, and all others.
#[derive(Clone, Debug, Default)]
pub struct UserWords<'t> {
    /// Attack examples.
    pub attack: Vec<&'t str>,
    /// Every other example, whatever it is used for.
    pub rest: Vec<&'t str>,
}

/// How far users' words are those of the others, in columns, one entry a user; `None` for a user whose attack
/// examples have no words.
///
/// Fresh words are judged: what the user's other texts say about its habits is tried on the attack examples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wording {
    /// Share of the phrases of the attack examples (runs of 5 words) that the user's other texts have, too, and
    /// no other user's texts.
    pub phrase_overlap: Vec<Option<f64>>,
    /// Mean of `log p_u(w) / p_-u(w)` over the words of the attack examples, nats a word: on average no more
    /// than `KL(D_u || D_-u)` of single words.
    pub kl_per_word: Vec<Option<f64>>,
    /// Mean of `p_u(w) / p_-u(w) - 1` over those words: `chi2(D_u || D_-u)` of single words, as far as `p_u`
    /// and `p_-u` are right.
    pub chi2_per_word: Vec<Option<f64>>,
    /// Mean number of words of an attack example.
    pub words_per_example: Vec<f64>,
}

/// Compares each user's words with those of all other users.
///
/// `p_-u(w) = (c_-u(w) + 1) / (n_-u + v)` from the counts `c_-u` of the other users' texts that are not attack
/// examples, with `v` the number of distinct words and one for all that nobody used;
/// `p_u(w) = (c_u(w) + 1000 p_-u(w)) / (n_u + 1000)` (Dirichlet smoothing, Zhai & Lafferty, TOIS 22(2), 2004).
///
/// ```
/// use userprint_data::{UserWords, wording};
/// let ada = UserWords { attack: vec!["the sum of all sums"], rest: vec!["so it is the sum of all sums"] };
/// let bob = UserWords { attack: vec!["the rest of it"], rest: vec!["and so it is with the rest"] };
/// let wording = wording(&[ada, bob]);
/// assert_eq!(wording.phrase_overlap, [Some(1.0), Some(0.0)]);
/// assert!(wording.kl_per_word[0] > Some(0.0));
/// ```
pub fn wording(users: &[UserWords<'_>]) -> Wording {
    let phrases = Phrases::new(users);
    let words = WordCounts::new(users);
    let rows: Vec<_> = users.par_iter().map(|user| (phrases.overlap(user), words.distance(user))).collect();
    let mut wording = Wording::default();
    for ((overlap, distance), user) in rows.into_iter().zip(users) {
        wording.phrase_overlap.push(overlap);
        wording.kl_per_word.push(distance.map(|distance| distance.kl));
        wording.chi2_per_word.push(distance.map(|distance| distance.chi2));
        let n_words = distance.map_or(0.0, |distance| distance.n_words);
        wording.words_per_example.push(n_words / user.attack.len().max(1) as f64);
    }
    wording
}

/// Every phrase of every user's texts with its user, sorted and once.
#[derive(Debug)]
struct Phrases(Vec<(u64, usize)>);

impl Phrases {
    fn new(users: &[UserWords<'_>]) -> Self {
        let of_user = |(at, user): (usize, &UserWords<'_>)| {
            let all = phrases(&user.attack).into_iter().chain(phrases(&user.rest));
            all.map(|phrase| (phrase, at)).collect::<Vec<_>>()
        };
        let mut all: Vec<(u64, usize)> = users.par_iter().enumerate().flat_map_iter(of_user).collect();
        all.par_sort_unstable();
        all.dedup();
        Self(all)
    }

    /// Whether a phrase, which some user has, is another's, too.
    fn is_shared(&self, phrase: u64) -> bool {
        let first = self.0.partition_point(|(other, _)| *other < phrase);
        self.0.get(first + 1).is_some_and(|(other, _)| *other == phrase)
    }

    /// Share of the phrases of the attack examples that the user repeats and nobody else has.
    fn overlap(&self, user: &UserWords<'_>) -> Option<f64> {
        let (attack, rest) = (phrases(&user.attack), phrases(&user.rest));
        let rest: BTreeSet<u64> = rest.into_iter().collect();
        let n_own =
            attack.iter().filter(|&&phrase| rest.contains(&phrase) && !self.is_shared(phrase)).count();
        (!attack.is_empty()).then(|| n_own as f64 / attack.len() as f64)
    }
}

fn phrases(texts: &[&str]) -> Vec<u64> {
    texts.iter().flat_map(|text| shingles(text, PHRASE_WORDS)).collect()
}

/// How often words occur in texts that are not attack examples.
#[derive(Debug)]
struct WordCounts {
    all: BTreeMap<u64, f64>,
    n_all: f64,
}

/// How far a user's fresh words are from the others'.
#[derive(Clone, Copy, Debug)]
struct Distance {
    kl: f64,
    chi2: f64,
    n_words: f64,
}

impl WordCounts {
    fn new(users: &[UserWords<'_>]) -> Self {
        let texts: Vec<&str> = users.iter().flat_map(|user| user.rest.iter().copied()).collect();
        let all = counts(&texts);
        Self { n_all: all.values().sum(), all }
    }

    fn distance(&self, user: &UserWords<'_>) -> Option<Distance> {
        let (own, fresh) = (counts(&user.rest), counts(&user.attack));
        let n_own: f64 = own.values().sum();
        let of = |counts: &BTreeMap<u64, f64>, word| counts.get(word).copied().unwrap_or(0.0);
        let n_others = self.n_all - n_own + self.all.len() as f64 + 1.0;
        let ratio = |word| {
            let others = (of(&self.all, word) - of(&own, word) + 1.0) / n_others;
            (of(&own, word) + PRIOR_WORDS * others) / (n_own + PRIOR_WORDS) / others
        };
        let n_words: f64 = fresh.values().sum();
        let mean = |of_ratio: fn(f64) -> f64| {
            fresh.iter().map(|(word, n)| n * of_ratio(ratio(word))).sum::<f64>() / n_words
        };
        (n_words > 0.0).then(|| Distance { kl: mean(f64::ln), chi2: mean(|ratio| ratio - 1.0), n_words })
    }
}

fn counts(texts: &[&str]) -> BTreeMap<u64, f64> {
    let mut counts = BTreeMap::new();
    for word in texts.iter().flat_map(|text| word_hashes(text)) {
        *counts.entry(word).or_default() += 1.0;
    }
    counts
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use userprint_core::Seed;

    use super::*;

    fn user<'t>(attack: &[&'t str], rest: &[&'t str]) -> UserWords<'t> {
        UserWords { attack: attack.to_vec(), rest: rest.to_vec() }
    }

    #[test]
    fn phrases_count_if_own_and_repeated() {
        let found = wording(&[
            user(&["a b c d e f", "a b c d x"], &["a b c d e", "q"]), // a b c d e is repeated, two others are new
            user(&["a b c d x"], &["b c d e f"]),
            user(&["A; b!"], &["a b"]),
            user(&["..."], &["a b c d e f g h"]),
        ]);
        assert_eq!(found.phrase_overlap, [Some(0.0), Some(0.0), Some(1.0), None]);
        let alone =
            wording(&[user(&["a b c d e f", "a b c d x"], &["a b c d e", "q"]), user(&["y"], &["z"])]);
        assert_eq!(alone.phrase_overlap, [Some(1.0 / 3.0), Some(0.0)]);
        assert_eq!([found.kl_per_word[3], found.chi2_per_word[3]], [None, None]);
        assert_eq!(found.words_per_example, [5.5, 5.0, 2.0, 0.0]);
        assert_eq!(wording(&[]), Wording::default());
    }

    #[test]
    fn distances_by_hand() {
        // Words of the others: b three times, c once; v = 3 distinct words.
        let found = wording(&[user(&["a b"], &["a a"]), user(&["c"], &["b b b c"])]);
        let (p_a, p_b) = (1.0 / 8.0, 4.0 / 8.0);
        let smoothed = |own: f64, others: f64| (own + 1000.0 * others) / 1002.0 / others;
        let [a, b] = [smoothed(2.0, p_a), smoothed(0.0, p_b)];
        assert!((found.kl_per_word[0].unwrap() - (a.ln() + b.ln()) / 2.0).abs() < 1e-12);
        assert!((found.chi2_per_word[0].unwrap() - ((a + b) / 2.0 - 1.0)).abs() < 1e-12);
    }

    /// Users that draw from known distributions over 20 words, 40,000 words of the user's: the estimates are
    /// within 5 % of the divergences, far more than the deviation of the draws.
    #[test]
    fn distances_approach_the_divergences() {
        let mut rng = Seed(5).rng();
        let mut text = |rare: f64, n: usize| {
            let word = |_| {
                let half = if rng.random_bool(rare) { 0 } else { 10 };
                format!("w{}", half + rng.random_range(0..10))
            };
            (0..n).map(word).collect::<Vec<_>>().join(" ")
        };
        let [attack, rest, others] = [text(0.8, 40_000), text(0.8, 40_000), text(0.3, 200_000)];
        let found = wording(&[user(&[&attack], &[&rest]), user(&["w0"], &[&others])]);
        let (kl, chi2) =
            (0.8 * (0.8f64 / 0.3).ln() + 0.2 * (0.2f64 / 0.7).ln(), 0.64 / 0.3 + 0.04 / 0.7 - 1.0);
        assert!((found.kl_per_word[0].unwrap() / kl - 1.0).abs() < 0.05, "{found:?} {kl}");
        assert!((found.chi2_per_word[0].unwrap() / chi2 - 1.0).abs() < 0.05, "{found:?} {chi2}");
    }
}
