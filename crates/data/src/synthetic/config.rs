//! What a synthetic population is made of.

use crate::CorpusError;

/// The shape of a [`Population`](super::Population).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopulationConfig {
    /// Number of users, at least 2.
    pub n_users: u32,
    /// Number of topics that the users share.
    pub n_topics: u32,
    /// Number of words that the users share.
    pub n_words: u32,
    /// Fewest tokens of a document; lengths are uniform and the same for every user.
    pub min_tokens: u32,
    /// Most tokens of a document.
    pub max_tokens: u32,
    /// How unevenly a user likes the topics: 0 is evenly.
    pub topic_sharpness: f64,
    /// Words of a topic follow Zipf's law with this exponent.
    pub word_exponent: f64,
    /// Number of words in a user's habit.
    pub n_habit_words: u32,
    /// Chance that a single token comes from the habit and not from the topic.
    pub habit_probability: f64,
    /// Number of signature phrases of a user.
    pub n_phrases: u32,
    /// Tokens of a phrase, at least 2.
    pub phrase_tokens: u32,
    /// Chance that a segment is a phrase, where one still fits.
    pub phrase_probability: f64,
    /// Shares of the users follow Zipf's law with this exponent.
    pub share_exponent: f64,
    /// Number of documents that the shares divide.
    pub total_documents: u32,
    /// Fewest documents of a user, whatever the share.
    pub min_documents: u32,
}

impl PopulationConfig {
    /// A population that a model of a few hundred thousand parameters learns in a minute.
    pub fn smoke() -> Self {
        Self {
            n_users: 150,
            n_topics: 8,
            n_words: 400,
            min_tokens: 24,
            max_tokens: 64,
            topic_sharpness: 1.5,
            word_exponent: 0.9,
            n_habit_words: 12,
            habit_probability: 0.15,
            n_phrases: 6,
            phrase_tokens: 4,
            phrase_probability: 0.08,
            share_exponent: 0.7,
            total_documents: 4500,
            min_documents: 24,
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`CorpusError::Setting`] names the first setting outside its range.
    pub fn check(&self) -> Result<(), CorpusError> {
        let whole = [
            ("n_users", self.n_users, 2..=9999, "2 to 9999"),
            ("n_topics", self.n_topics, 1..=u32::MAX, "at least 1"),
            ("n_words", self.n_words, 1..=super::words::MAX_WORDS, "1 to 343000"),
            ("min_tokens", self.min_tokens, 1..=u32::MAX, "at least 1"),
            ("max_tokens", self.max_tokens, self.min_tokens..=u32::MAX, "at least `min_tokens`"),
            ("n_habit_words", self.n_habit_words, 1..=self.n_words, "1 to `n_words`"),
            ("n_phrases", self.n_phrases, 1..=u32::MAX, "at least 1"),
            ("phrase_tokens", self.phrase_tokens, 2..=u32::MAX, "at least 2"),
            ("min_documents", self.min_documents, 1..=u32::MAX, "at least 1"),
        ];
        for (name, found, range, expected) in whole {
            if !range.contains(&found) {
                return Err(CorpusError::Setting { name, found: f64::from(found), expected });
            }
        }
        let below_one = (1.0, "a number of at least 0 and below 1");
        let exponent = (8.0, "a number of at least 0 and below 8");
        let real = [
            ("topic_sharpness", self.topic_sharpness, exponent),
            ("word_exponent", self.word_exponent, exponent),
            ("habit_probability", self.habit_probability, below_one),
            ("phrase_probability", self.phrase_probability, below_one),
            ("share_exponent", self.share_exponent, exponent),
        ];
        for (name, found, (end, expected)) in real {
            if !(0.0..end).contains(&found) {
                return Err(CorpusError::Setting { name, found, expected });
            }
        }
        Ok(())
    }
}
