//! One user as a distribution over token sequences.

use rand::{Rng, RngExt};

use super::PopulationConfig;

/// Probabilities of the words, and their running sums to draw from.
#[derive(Clone, Debug)]
pub(super) struct Categorical {
    pub(super) probability: Vec<f64>,
    cumulative: Vec<f64>,
}

impl Categorical {
    /// Normalises weights that are not negative and not all zero.
    pub(super) fn new(weights: Vec<f64>) -> Self {
        let total: f64 = weights.iter().sum();
        let probability: Vec<f64> = weights.into_iter().map(|weight| weight / total).collect();
        let mut sum = 0.0;
        let cumulative = probability
            .iter()
            .map(|p| {
                sum += p;
                sum
            })
            .collect();
        Self { probability, cumulative }
    }

    pub(super) fn sample(&self, rng: &mut impl Rng) -> usize {
        let point: f64 = rng.random();
        // The last sum may round to less than 1.
        self.cumulative.partition_point(|&sum| sum <= point).min(self.cumulative.len() - 1)
    }
}

/// What is one user's own.
#[derive(Clone, Debug)]
pub(super) struct Author {
    pub(super) topics: Categorical,
    pub(super) habit: Categorical,
    pub(super) phrases: Vec<Vec<u32>>,
}

impl Author {
    /// Draws a document: length, topic, then segments from left to right.
    pub(super) fn sample(
        &self,
        config: &PopulationConfig,
        topic_words: &[Categorical],
        rng: &mut impl Rng,
    ) -> Vec<u32> {
        let n_tokens = rng.random_range(config.min_tokens..=config.max_tokens) as usize;
        let words = &topic_words[self.topics.sample(rng)];
        let mut tokens = Vec::with_capacity(n_tokens);
        while tokens.len() < n_tokens {
            let fits = n_tokens - tokens.len() >= config.phrase_tokens as usize;
            if fits && rng.random_bool(config.phrase_probability) {
                tokens.extend(&self.phrases[rng.random_range(0..self.phrases.len())]);
            } else {
                let source = if rng.random_bool(config.habit_probability) { &self.habit } else { words };
                tokens.push(source.sample(rng) as u32);
            }
        }
        tokens
    }

    /// `log D_u(tokens)`: a sum over topics, and over every way to cut the tokens into phrases and single tokens.
    ///
    /// With `f(i)` the probability of the first `i` tokens, `f(i + 1)` gains `f(i)` times the chance of a single
    /// token and `f(i + L)` gains `f(i)` times the chance of a phrase that matches there. In logarithms, for a
    /// document is too improbable for a double.
    pub(super) fn log_prob(
        &self,
        config: &PopulationConfig,
        topic_words: &[Categorical],
        tokens: &[u32],
    ) -> f64 {
        let (min, max) = (config.min_tokens as usize, config.max_tokens as usize);
        let known = |&token: &u32| token < config.n_words;
        if !(min..=max).contains(&tokens.len()) || !tokens.iter().all(known) {
            return f64::NEG_INFINITY;
        }
        let phrase = self.log_phrase(config, tokens);
        let by_topic = std::iter::zip(&self.topics.probability, topic_words)
            .map(|(weight, words)| weight.ln() + self.log_prob_given(config, words, tokens, &phrase));
        log_sum_exp(&by_topic.collect::<Vec<_>>()) - ((max - min + 1) as f64).ln()
    }

    fn log_prob_given(
        &self,
        config: &PopulationConfig,
        words: &Categorical,
        tokens: &[u32],
        log_phrase: &[f64],
    ) -> f64 {
        let (n_tokens, length) = (tokens.len(), config.phrase_tokens as usize);
        let habit = config.habit_probability;
        let log_no_phrase = (-config.phrase_probability).ln_1p();
        let mut log_prefix = vec![f64::NEG_INFINITY; n_tokens + 1];
        log_prefix[0] = 0.0;
        for (i, &token) in tokens.iter().enumerate() {
            let fits = n_tokens - i >= length;
            let token = token as usize;
            let single = habit * self.habit.probability[token] + (1.0 - habit) * words.probability[token];
            let log_single = single.ln() + if fits { log_no_phrase } else { 0.0 };
            log_prefix[i + 1] = log_add_exp(log_prefix[i + 1], log_prefix[i] + log_single);
            if log_phrase[i] > f64::NEG_INFINITY {
                log_prefix[i + length] = log_add_exp(log_prefix[i + length], log_prefix[i] + log_phrase[i]);
            }
        }
        log_prefix[n_tokens]
    }

    /// The log-chance that a segment which starts at each token is a phrase, and one that matches.
    fn log_phrase(&self, config: &PopulationConfig, tokens: &[u32]) -> Vec<f64> {
        let each = config.phrase_probability / self.phrases.len() as f64;
        let n_matching = |rest: &[u32]| self.phrases.iter().filter(|phrase| rest.starts_with(phrase)).count();
        (0..tokens.len()).map(|i| (each * n_matching(&tokens[i..]) as f64).ln()).collect()
    }
}

/// `log(exp(a) + exp(b))`.
fn log_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `log Σ exp(x)`.
pub fn log_sum_exp(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + values.iter().map(|value| (value - max).exp()).sum::<f64>().ln()
}
