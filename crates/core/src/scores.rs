//! Scores: the likelihood of texts under one model.

use crate::Ragged;

/// How much a scorer says about each text; finer includes coarser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detail {
    /// Log-likelihood and number of tokens.
    Total,
    /// Also the log-probability of each token.
    Tokens,
    /// Also mean and standard deviation of log p over the vocabulary, and whether the token was the argmax.
    Moments,
}

/// What the whole vocabulary looked like at each scored token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// `Σ_v p_v log p_v`, nats.
    pub mean: Ragged<f32>,
    /// Standard deviation of `log p_v` under `p`, nats.
    pub std_dev: Ragged<f32>,
    /// Whether no other token was more likely.
    pub is_argmax: Ragged<bool>,
}

/// Scores of a batch of texts, in columns; row `i` answers text `i`.
///
/// Log-likelihoods are in nats and at most 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextScores {
    /// `Σ_t log p(x_t | x_<t)` over the scored tokens, summed in f64.
    pub log_likelihood: Vec<f64>,
    /// Number of scored tokens, at least 1: a first token that is only context does not count.
    pub n_tokens: Vec<u32>,
    /// `log p(x_t | x_<t)`, from [`Detail::Tokens`] on.
    pub token_log_probs: Option<Ragged<f32>>,
    /// From [`Detail::Moments`] on.
    pub moments: Option<Moments>,
}

impl TextScores {
    /// Appends the rows of another batch of the same detail.
    ///
    /// # Panics
    /// If the details differ, unless this batch is empty.
    pub fn append(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        assert_eq!(self.detail(), other.detail(), "batches of different detail");
        self.log_likelihood.extend(other.log_likelihood);
        self.n_tokens.extend(other.n_tokens);
        if let (Some(column), Some(more)) = (&mut self.token_log_probs, other.token_log_probs) {
            column.append(&more);
        }
        if let (Some(columns), Some(more)) = (&mut self.moments, other.moments) {
            columns.mean.append(&more.mean);
            columns.std_dev.append(&more.std_dev);
            columns.is_argmax.append(&more.is_argmax);
        }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.log_likelihood.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.log_likelihood.is_empty()
    }

    /// The finest detail that is present.
    pub fn detail(&self) -> Detail {
        match (&self.token_log_probs, &self.moments) {
            (Some(_), Some(_)) => Detail::Moments,
            (Some(_), None) => Detail::Tokens,
            (None, _) => Detail::Total,
        }
    }
}
