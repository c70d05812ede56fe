//! The blind baseline: how well users are told apart by their texts alone, without any model.

mod cholesky;
mod features;
#[cfg(test)]
mod tests;

use rand::seq::SliceRandom;
use rayon::prelude::*;
use userprint_core::Seed;

use self::cholesky::Cholesky;
use self::features::{SparseRow, user_features};

/// Users beyond this many are left out: time grows with their cube.
pub const MAX_USERS: usize = 2000;

const N_FOLDS: usize = 5;

/// Added to the diagonal of the Gram matrix, whose entries are cosines.
const RIDGE: f64 = 0.1;

/// A classifier of held-in against held-out users that sees their words and no model.
///
/// If it does better than chance, the two groups were drawn differently, and an attack that does no better has
/// found nothing about the training.
///
/// Features of a user are `log(1 + tf) idf` of the lower-cased words of all of its texts, scaled to length 1;
/// the classifier is a kernel ridge regression on class-balanced labels, cross-fitted over whole users: each
/// user's score comes from the users of the other folds. Everything but the labels is computed once, so trying
/// thousands of random labellings is cheap.
///
/// # Guarantees
/// - Scores are linear in the balanced labels, and a user's own label never enters its score.
/// - Under labels drawn at random the expected score is 0 for every user: labels of a training fold sum to 0
///   within it, whatever its composition, so that leaving users out does not tell their label.
#[derive(Clone, Debug)]
pub struct BlindClassifier {
    used_users: Vec<usize>,
    folds: Vec<Fold>,
}

/// The users of one fold, those of the others, and the weights that take the latter's labels to the former's scores.
#[derive(Clone, Debug)]
struct Fold {
    tested: Vec<usize>,
    trained: Vec<usize>,
    weights: Vec<Vec<f64>>,
}

impl BlindClassifier {
    /// Prepares everything but the labels; `texts` has one entry a user.
    ///
    /// Of more than [`MAX_USERS`] users a random selection is used.
    pub fn new(texts: &[Vec<String>], seed: Seed) -> Self {
        let used_users = select_users(texts.len(), MAX_USERS, seed);
        let used_texts: Vec<&[String]> = used_users.iter().map(|&user| &*texts[user]).collect();
        let gram = gram(&user_features(&used_texts));

        let mut order: Vec<usize> = (0..used_users.len()).collect();
        order.shuffle(&mut seed.named("folds").rng());
        let folds = (0..N_FOLDS).into_par_iter().map(|fold| Fold::new(&gram, &order, fold)).collect();
        Self { used_users, folds }
    }

    /// Positions among all users of those that are used, ascending: all of them up to [`MAX_USERS`].
    pub fn used_users(&self) -> &[usize] {
        &self.used_users
    }

    /// A score for each used user, higher where it looks held-in; `held_in` has one entry a used user.
    ///
    /// A fold that has only one kind of user to train on scores 0.
    ///
    /// # Panics
    /// If there is not one label a used user.
    pub fn scores(&self, held_in: &[bool]) -> Vec<f64> {
        assert_eq!(held_in.len(), self.used_users.len(), "expected one label a used user");
        let mut scores = vec![0.0; held_in.len()];
        for fold in &self.folds {
            let labels = balanced_labels(&fold.trained, held_in);
            for (&user, weights) in fold.tested.iter().zip(&fold.weights) {
                scores[user] = dot(weights, &labels);
            }
        }
        scores
    }
}

impl Fold {
    fn new(gram: &[Vec<f64>], order: &[usize], fold: usize) -> Self {
        let tested: Vec<usize> = order.iter().copied().skip(fold).step_by(N_FOLDS).collect();
        let is_tested = |place: &usize| place % N_FOLDS == fold;
        let trained: Vec<usize> =
            (0..order.len()).filter(|place| !is_tested(place)).map(|place| order[place]).collect();
        let row = |user: usize| trained.iter().map(|&other| gram[user][other]).collect::<Vec<f64>>();
        let mut system: Vec<Vec<f64>> = trained.iter().map(|&user| row(user)).collect();
        for (i, row) in system.iter_mut().enumerate() {
            row[i] += RIDGE;
        }
        let factor = Cholesky::new(system);
        let weights = tested.par_iter().map(|&user| factor.solve(row(user))).collect();
        Self { tested, trained, weights }
    }
}

/// Positions of the first `most` users of a shuffle, ascending.
fn select_users(n_users: usize, most: usize, seed: Seed) -> Vec<usize> {
    let mut users: Vec<usize> = (0..n_users).collect();
    users.shuffle(&mut seed.named("users").rng());
    users.truncate(most);
    users.sort_unstable();
    users
}

/// `+n / (2 n_in)` for held-in and `-n / (2 n_out)` for held-out users: they sum to 0.
fn balanced_labels(users: &[usize], held_in: &[bool]) -> Vec<f64> {
    let n = users.len() as f64;
    let n_in = users.iter().filter(|&&user| held_in[user]).count() as f64;
    if n_in == 0.0 || n_in == n {
        return vec![0.0; users.len()];
    }
    users.iter().map(|&user| if held_in[user] { n / (2.0 * n_in) } else { -n / (2.0 * (n - n_in)) }).collect()
}

/// Cosines between all pairs of users.
fn gram(features: &[SparseRow]) -> Vec<Vec<f64>> {
    let n_words = features.iter().flatten().map(|(word, _)| word + 1).max().unwrap_or(0);
    features
        .par_iter()
        .map_init(
            || vec![0.0; n_words],
            |dense, row| {
                row.iter().for_each(|&(word, value)| dense[word] = value);
                let cosine = |other: &SparseRow| other.iter().map(|&(word, value)| dense[word] * value).sum();
                let cosines = features.iter().map(cosine).collect();
                row.iter().for_each(|&(word, _)| dense[word] = 0.0);
                cosines
            },
        )
        .collect()
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}
