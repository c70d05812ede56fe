//! The mixture of all users.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use userprint_core::{Origin, Seed, UserIdx};

use super::author::{Author, Categorical, log_sum_exp};
use super::{PopulationConfig, words};
use crate::{CorpusError, CorpusRow, InMemoryCorpus};

/// Users with known distributions `D_u` over token sequences and known shares `alpha_u`.
///
/// A document of a user: a length, uniform and the same for all users; a topic from the user's mixture; then
/// segments from left to right until the length is full: one of the user's signature phrases, where one still
/// fits, or a single word, from the user's habit or from the topic. A token is the position of its word in
/// [`Population::words`].
///
/// So `D_task = Σ_u alpha_u D_u` and the mixture without a user are known exactly, and with them what
/// a target model and a reference model would say of a document if they were perfect.
///
/// # Reference
/// Kandpal et al., EMNLP 2024, Section 3: the analysis of the attack statistic.
///
/// # Panics
/// Every method that takes a user panics if there is no such user.
#[derive(Clone, Debug)]
pub struct Population {
    config: PopulationConfig,
    words: Vec<String>,
    topic_words: Vec<Categorical>,
    authors: Vec<Author>,
    alpha: Vec<f64>,
}

impl Population {
    /// Draws topics, habits, phrases and shares.
    ///
    /// # Errors
    /// [`CorpusError::Setting`] if a setting is out of range.
    pub fn new(config: PopulationConfig, seed: Seed) -> Result<Self, CorpusError> {
        config.check()?;
        let mut rng = seed.named("topics").rng();
        let topic_words = (0..config.n_topics)
            .map(|_| Categorical::new(shuffled(zipf(config.n_words, config.word_exponent), &mut rng)))
            .collect();
        let authors = (0..u64::from(config.n_users))
            .map(|user| author(&config, &mut seed.named("authors").indexed(user).rng()))
            .collect();
        let shares = zipf(config.n_users, config.share_exponent);
        let alpha = Categorical::new(shuffled(shares, &mut seed.named("shares").rng())).probability;
        Ok(Self { config, words: words::words(config.n_words), topic_words, authors, alpha })
    }

    /// The settings it was drawn with.
    pub fn config(&self) -> &PopulationConfig {
        &self.config
    }

    /// The vocabulary; ids by position.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Share of a user in the mixture; they sum to 1 and have a heavy tail.
    pub fn alpha(&self, user: UserIdx) -> f64 {
        self.alpha[user.index()]
    }

    /// Number of documents that a user writes: the share of all, but not below the minimum.
    pub fn n_documents(&self, user: UserIdx) -> u32 {
        let share = (f64::from(self.config.total_documents) * self.alpha(user)).round() as u32;
        share.max(self.config.min_documents)
    }

    /// `log D_u(tokens)`, exactly; minus infinity for what the user can never write.
    pub fn log_prob(&self, user: UserIdx, tokens: &[u32]) -> f64 {
        self.authors[user.index()].log_prob(&self.config, &self.topic_words, tokens)
    }

    /// `log D_task(tokens) = log Σ_u alpha_u D_u(tokens)`.
    pub fn log_prob_task(&self, tokens: &[u32]) -> f64 {
        self.log_mixture(tokens, |_| true)
    }

    /// `log D_-u(tokens)`: the mixture of all users but one, renormalised.
    pub fn log_prob_without(&self, user: UserIdx, tokens: &[u32]) -> f64 {
        self.log_mixture(tokens, |other| other != user)
    }

    /// Draws a document of a user.
    pub fn sample_document(&self, user: UserIdx, rng: &mut impl Rng) -> Vec<u32> {
        self.authors[user.index()].sample(&self.config, &self.topic_words, rng)
    }

    /// Draws every user's documents: texts are words joined by spaces, users `user-0001` and on, in order.
    pub fn sample_corpus(&self, seed: Seed) -> InMemoryCorpus {
        let mut rows = Vec::new();
        for user in self.users() {
            let mut rng = seed.named("documents").indexed(u64::from(user.0)).rng();
            for document in 1..=self.n_documents(user) {
                let tokens = self.sample_document(user, &mut rng);
                let words: Vec<&str> = tokens.iter().map(|&token| &*self.words[token as usize]).collect();
                rows.push(CorpusRow {
                    user_id: format!("user-{:04}", user.0 + 1),
                    example_id: Some(format!("doc-{document:06}")),
                    text: words.join(" "),
                    origin: Origin::default(),
                });
            }
        }
        InMemoryCorpus::from_rows(rows).expect("documents are not empty and their ids are unique")
    }

    fn users(&self) -> impl Iterator<Item = UserIdx> {
        (0..self.config.n_users).map(UserIdx)
    }

    fn log_mixture(&self, tokens: &[u32], includes: impl Fn(UserIdx) -> bool) -> f64 {
        let users: Vec<UserIdx> = self.users().filter(|&user| includes(user)).collect();
        let total: f64 = users.iter().map(|&user| self.alpha(user)).sum();
        let terms = users.iter().map(|&user| self.alpha(user).ln() + self.log_prob(user, tokens));
        log_sum_exp(&terms.collect::<Vec<_>>()) - total.ln()
    }
}

fn author(config: &PopulationConfig, rng: &mut impl Rng) -> Author {
    // Powers of exponential draws: a Dirichlet mixture at sharpness 1, one topic for each user far above it.
    let topics = (0..config.n_topics).map(|_| exponential(rng).powf(config.topic_sharpness));
    let topics = Categorical::new(topics.collect());
    let mut habit = zipf(config.n_habit_words, 1.0);
    habit.resize(config.n_words as usize, 0.0);
    let habit = Categorical::new(shuffled(habit, rng));
    let phrases = (0..config.n_phrases).map(|_| random_tokens(config, rng)).collect();
    Author { topics, habit, phrases }
}

fn random_tokens(config: &PopulationConfig, rng: &mut impl Rng) -> Vec<u32> {
    (0..config.phrase_tokens).map(|_| rng.random_range(0..config.n_words)).collect()
}

/// A draw of mean 1, never 0.
fn exponential(rng: &mut impl Rng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln().min(-f64::EPSILON)
}

/// Weights `1 / rank^exponent`.
fn zipf(n: u32, exponent: f64) -> Vec<f64> {
    (1..=n).map(|rank| f64::from(rank).powf(-exponent)).collect()
}

fn shuffled(mut weights: Vec<f64>, rng: &mut impl Rng) -> Vec<f64> {
    weights.shuffle(rng);
    weights
}
