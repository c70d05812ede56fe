//! The baseline finds what is there, and nothing where nothing is.

use rand::RngExt;
use userprint_core::UserIdx;

use super::*;
use crate::{Corpus, Population, PopulationConfig};

/// AUROC by its definition.
fn auroc(scores: &[f64], held_in: &[bool]) -> f64 {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for (a, _) in scores.iter().zip(held_in).filter(|(_, held_in)| **held_in) {
        for (b, _) in scores.iter().zip(held_in).filter(|(_, held_in)| !**held_in) {
            wins += if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            };
            pairs += 1.0;
        }
    }
    wins / pairs
}

/// Texts of synthetic users, who differ in topics, habits and phrases.
fn texts(n_users: u32) -> Vec<Vec<String>> {
    let config =
        PopulationConfig { n_users, total_documents: 1, min_documents: 5, ..PopulationConfig::smoke() };
    let corpus = Population::new(config, Seed(1)).unwrap().sample_corpus(Seed(2));
    let of = |user| corpus.examples(user).unwrap().into_iter().map(|example| example.text).collect();
    (0..n_users).map(|user| of(UserIdx(user))).collect()
}

fn random_labels(n: usize, n_in: usize, seed: Seed) -> Vec<bool> {
    let mut labels: Vec<bool> = (0..n).map(|user| user < n_in).collect();
    labels.shuffle(&mut seed.rng());
    labels
}

/// Mean AUROC over 1000 labellings, balanced and not. Single AUROCs scatter by about .07, so the mean's standard
/// error is .0022 and a mean off by .011 (five of them) has probability below 1e-6.
#[test]
fn random_labels_give_one_half() {
    let classifier = BlindClassifier::new(&texts(80), Seed(3));
    for n_in in [40, 20] {
        let one = |draw| {
            let labels = random_labels(80, n_in, Seed(4).indexed(draw));
            auroc(&classifier.scores(&labels), &labels)
        };
        let mean = (0..1000).map(one).sum::<f64>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.011, "{n_in} held-in: {mean}");
    }
}

#[test]
fn a_planted_word_is_found() {
    let mut texts = texts(200);
    let labels = random_labels(200, 100, Seed(5));
    for (texts, _) in texts.iter_mut().zip(&labels).filter(|(_, held_in)| **held_in) {
        texts.iter_mut().for_each(|text| text.push_str(" Xylophone."));
    }
    let classifier = BlindClassifier::new(&texts, Seed(3));
    let found = auroc(&classifier.scores(&labels), &labels);
    assert!(found > 0.95, "{found}");
}

#[test]
fn scores_are_the_same_on_any_number_of_threads() {
    let texts = texts(30);
    let labels = random_labels(30, 15, Seed(6));
    let scores = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| BlindClassifier::new(&texts, Seed(3)).scores(&labels))
    };
    assert_eq!(scores(1), scores(3));
}

#[test]
fn a_users_own_label_does_not_enter_its_score() {
    // With one label more or less the balance changes for the others, never for the user itself.
    let classifier = BlindClassifier::new(&texts(30), Seed(3));
    let mut rng = Seed(7).rng();
    let labels = random_labels(30, 15, Seed(8));
    let user = rng.random_range(0..30);
    let mut flipped = labels.clone();
    flipped[user] = !flipped[user];
    assert_eq!(classifier.scores(&labels)[user], classifier.scores(&flipped)[user]);
}

#[test]
fn degenerate_inputs_score_zero() {
    assert!(BlindClassifier::new(&[], Seed(1)).scores(&[]).is_empty());
    assert_eq!(BlindClassifier::new(&[vec!["a".into()]], Seed(1)).scores(&[true]), [0.0]);
    let same = BlindClassifier::new(&vec![vec![]; 12], Seed(1));
    assert_eq!(same.scores(&[true; 12]), [0.0; 12]);
    assert_eq!(same.scores(&random_labels(12, 6, Seed(2))), [0.0; 12]);
}

#[test]
fn at_most_max_users_are_used() {
    let texts = vec![vec!["a b".to_owned()]; 7];
    assert_eq!(BlindClassifier::new(&texts, Seed(1)).used_users(), [0, 1, 2, 3, 4, 5, 6]);
    let used = select_users(7, 3, Seed(1));
    assert!(used.len() == 3 && used.is_sorted() && used[2] < 7);
}
