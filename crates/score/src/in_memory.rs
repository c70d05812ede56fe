//! A scorer that answers from a table: the reference implementation, and how scores of other tools come in.

use std::collections::BTreeMap;
use std::fmt;

use userprint_core::{Detail, Moments, Ragged, TextScores};

use crate::{ScoreError, Scorer, ScorerId};

/// Scores by text.
pub struct InMemoryScorer {
    id: ScorerId,
    rows: BTreeMap<String, usize>,
    scores: TextScores,
}

impl fmt::Debug for InMemoryScorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryScorer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl InMemoryScorer {
    /// Row `i` of `scores` answers the `i`-th text.
    ///
    /// # Errors
    /// [`ScoreError::Length`] where there are not as many rows as texts;
    /// [`ScoreError::NotALogLikelihood`] for one that is not finite or above 0.
    pub fn new<'t>(
        id: ScorerId,
        texts: impl IntoIterator<Item = &'t str>,
        scores: TextScores,
    ) -> Result<Self, ScoreError> {
        let rows: Vec<_> = texts.into_iter().enumerate().map(|(row, text)| (text.to_owned(), row)).collect();
        if rows.len() != scores.len() {
            return Err(ScoreError::Length {
                column: "log_likelihood",
                found: scores.len(),
                expected: rows.len(),
            });
        }
        for (index, &found) in scores.log_likelihood.iter().enumerate() {
            if !(found.is_finite() && found <= 0.0) {
                return Err(ScoreError::NotALogLikelihood { scorer: id, index, found });
            }
        }
        Ok(Self { id, rows: rows.into_iter().collect(), scores })
    }
}

impl Scorer for InMemoryScorer {
    fn id(&self) -> &ScorerId {
        &self.id
    }

    fn detail(&self) -> Detail {
        self.scores.detail()
    }

    fn score(&self, texts: &[&str], detail: Detail) -> Result<TextScores, ScoreError> {
        (self as &dyn Scorer).check_detail(detail)?;
        let mut rows = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let row = self.rows.get(*text);
            rows.push(*row.ok_or_else(|| ScoreError::UnknownText { scorer: self.id.clone(), index })?);
        }
        let tokens = self.scores.token_log_probs.as_ref().filter(|_| detail >= Detail::Tokens);
        let moments = self.scores.moments.as_ref().filter(|_| detail >= Detail::Moments);
        Ok(TextScores {
            log_likelihood: rows.iter().map(|&row| self.scores.log_likelihood[row]).collect(),
            n_tokens: rows.iter().map(|&row| self.scores.n_tokens[row]).collect(),
            token_log_probs: tokens.map(|column| take(column, &rows)),
            moments: moments.map(|moments| Moments {
                mean: take(&moments.mean, &rows),
                std_dev: take(&moments.std_dev, &rows),
                is_argmax: take(&moments.is_argmax, &rows),
            }),
        })
    }
}

fn take<T: Copy>(column: &Ragged<T>, rows: &[usize]) -> Ragged<T> {
    rows.iter().map(|&row| column.row(row).to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    const TEXTS: [&str; 3] = ["one", "two two", "three three three"];

    fn scorer(detail: Detail) -> InMemoryScorer {
        let tokens: Ragged<f32> = (1..=3).map(|n| vec![-0.5; n]).collect();
        let flags: Ragged<bool> = (1..=3).map(|n| vec![true; n]).collect();
        let moments = Moments { mean: tokens.clone(), std_dev: tokens.clone(), is_argmax: flags };
        let scores = TextScores {
            log_likelihood: vec![-0.5, -1.0, -1.5],
            n_tokens: vec![1, 2, 3],
            token_log_probs: (detail >= Detail::Tokens).then_some(tokens),
            moments: (detail >= Detail::Moments).then_some(moments),
        };
        InMemoryScorer::new(ScorerId::new("table"), TEXTS, scores).unwrap()
    }

    #[test]
    fn passes_the_suite_at_every_detail() {
        for detail in [Detail::Total, Detail::Tokens, Detail::Moments] {
            conformance::scorer(&scorer(detail), &TEXTS);
        }
    }

    #[test]
    fn unknown_text_is_an_error_without_the_text() {
        let error = scorer(Detail::Total).score(&["one", "secret"], Detail::Total).unwrap_err();
        assert_eq!(error.to_string(), "text 1 of the batch is not in the table of scorer `table`");
    }

    #[test]
    fn positive_log_likelihood_is_refused() {
        let scores = TextScores { log_likelihood: vec![0.5], n_tokens: vec![1], ..TextScores::default() };
        let error = InMemoryScorer::new(ScorerId::new("table"), ["x"], scores).unwrap_err();
        assert!(matches!(error, ScoreError::NotALogLikelihood { index: 0, .. }), "{error}");
    }
}
