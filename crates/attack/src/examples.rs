//! Scored examples: what an attack knows.

use std::collections::BTreeMap;

use userprint_core::{TextScores, UserIdx};

use crate::{AttackError, Model};

/// The attack examples of held-in and held-out users, scored by target and reference.
///
/// # Guarantees
/// - All columns have one entry a row.
/// - A user is on one side only.
/// - Log-likelihoods are finite and at most 0, and every row has a scored token.
#[derive(Clone, Debug)]
pub struct ScoredExamples {
    user: Vec<UserIdx>,
    held_in: Vec<bool>,
    target: TextScores,
    reference: TextScores,
}

impl ScoredExamples {
    /// Puts the columns together: whose text a row is, whether that user was trained on, and the scores.
    ///
    /// # Errors
    /// [`AttackError::UnequalColumns`]; and, with the row, [`AttackError::UserOnBothSides`],
    /// [`AttackError::BadLogLikelihood`], [`AttackError::NoTokens`].
    ///
    /// ```
    /// use userprint_attack::ScoredExamples;
    /// use userprint_core::{TextScores, UserIdx};
    /// let scores = |log_likelihood| TextScores {
    ///     log_likelihood: vec![-1.0, log_likelihood], n_tokens: vec![1, 2], ..TextScores::default()
    /// };
    /// let new = |target| {
    ///     ScoredExamples::new(vec![UserIdx(0), UserIdx(1)], vec![true, false], target, scores(-2.0))
    /// };
    /// assert_eq!(new(scores(-3.0))?.len(), 2);
    /// assert_eq!(
    ///     new(scores(3.0)).unwrap_err().to_string(),
    ///     "the target log-likelihood of row 1 is 3, expected a finite number of at most 0"
    /// );
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn new(
        user: Vec<UserIdx>,
        held_in: Vec<bool>,
        target: TextScores,
        reference: TextScores,
    ) -> Result<Self, AttackError> {
        check_length("held_in", held_in.len(), user.len())?;
        let mut side_of = BTreeMap::new();
        for (row, (&user, &held_in)) in user.iter().zip(&held_in).enumerate() {
            if *side_of.entry(user).or_insert(held_in) != held_in {
                return Err(AttackError::UserOnBothSides { row, user_idx: user.0 });
            }
        }
        check_scores(Model::Target, &target, user.len())?;
        check_scores(Model::Reference, &reference, user.len())?;
        Ok(Self { user, held_in, target, reference })
    }

    /// Number of rows.
    ///
    /// ```
    /// # use userprint_attack::ScoredExamples;
    /// let none = ScoredExamples::new(vec![], vec![], Default::default(), Default::default())?;
    /// assert_eq!(none.len(), 0);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn len(&self) -> usize {
        self.user.len()
    }

    /// Whether there is no row.
    ///
    /// ```
    /// # use userprint_attack::ScoredExamples;
    /// let none = ScoredExamples::new(vec![], vec![], Default::default(), Default::default())?;
    /// assert!(none.is_empty());
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
    }

    /// Whose text each row is.
    ///
    /// ```
    /// # use userprint_attack::ScoredExamples;
    /// let none = ScoredExamples::new(vec![], vec![], Default::default(), Default::default())?;
    /// assert!(none.user().is_empty());
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn user(&self) -> &[UserIdx] {
        &self.user
    }

    /// Whether each row's user was trained on.
    ///
    /// ```
    /// # use userprint_attack::ScoredExamples;
    /// let none = ScoredExamples::new(vec![], vec![], Default::default(), Default::default())?;
    /// assert!(none.held_in().is_empty());
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn held_in(&self) -> &[bool] {
        &self.held_in
    }

    /// Scores by the model under attack.
    ///
    /// ```
    /// # use userprint_attack::ScoredExamples;
    /// let none = ScoredExamples::new(vec![], vec![], Default::default(), Default::default())?;
    /// assert!(none.target().is_empty());
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn target(&self) -> &TextScores {
        &self.target
    }

    /// Scores by the model that calibrates.
    ///
    /// ```
    /// # use userprint_attack::ScoredExamples;
    /// let none = ScoredExamples::new(vec![], vec![], Default::default(), Default::default())?;
    /// assert!(none.reference().is_empty());
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn reference(&self) -> &TextScores {
        &self.reference
    }
}

pub(crate) fn check_length(column: &'static str, found: usize, expected: usize) -> Result<(), AttackError> {
    if found == expected { Ok(()) } else { Err(AttackError::UnequalColumns { column, found, expected }) }
}

fn check_scores(model: Model, scores: &TextScores, n_rows: usize) -> Result<(), AttackError> {
    let [log_likelihood, n_tokens, tokens, moments] = match model {
        Model::Target => {
            ["target.log_likelihood", "target.n_tokens", "target.token_log_probs", "target.moments"]
        }
        Model::Reference => [
            "reference.log_likelihood",
            "reference.n_tokens",
            "reference.token_log_probs",
            "reference.moments",
        ],
    };
    check_length(log_likelihood, scores.log_likelihood.len(), n_rows)?;
    check_length(n_tokens, scores.n_tokens.len(), n_rows)?;
    if let Some(token_log_probs) = &scores.token_log_probs {
        check_length(tokens, token_log_probs.n_rows(), n_rows)?;
    }
    if let Some(columns) = &scores.moments {
        for found in [columns.mean.n_rows(), columns.std_dev.n_rows(), columns.is_argmax.n_rows()] {
            check_length(moments, found, n_rows)?;
        }
    }
    for (row, &value) in scores.log_likelihood.iter().enumerate() {
        if !value.is_finite() || value > 0.0 {
            return Err(AttackError::BadLogLikelihood { model, row, value });
        }
    }
    match scores.n_tokens.iter().position(|&n| n == 0) {
        Some(row) => Err(AttackError::NoTokens { model, row }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use userprint_core::Ragged;

    use super::*;

    fn scores(log_likelihood: &[f64], n_tokens: &[u32]) -> TextScores {
        TextScores {
            log_likelihood: log_likelihood.to_vec(),
            n_tokens: n_tokens.to_vec(),
            ..TextScores::default()
        }
    }

    #[track_caller]
    fn check(user: &[u32], held_in: &[bool], target: TextScores, expect: Expect) {
        let user: Vec<UserIdx> = user.iter().copied().map(UserIdx).collect();
        let reference = scores(&vec![-1.0; user.len()], &vec![1; user.len()]);
        let error = ScoredExamples::new(user, held_in.to_vec(), target, reference).unwrap_err();
        expect.assert_eq(&error.to_string());
    }

    #[test]
    fn uneven_columns_are_named() {
        let good = || scores(&[-1.0, -2.0], &[1, 2]);
        check(&[0, 1], &[true], good(), expect!["column `held_in` has 1 entries, expected 2"]);
        check(&[0], &[true], good(), expect!["column `target.log_likelihood` has 2 entries, expected 1"]);
        let short = scores(&[-1.0, -2.0], &[1]);
        check(&[0, 1], &[true, false], short, expect!["column `target.n_tokens` has 1 entries, expected 2"]);
        let ragged = TextScores { token_log_probs: Some(Ragged::new()), ..good() };
        check(
            &[0, 1],
            &[true, false],
            ragged,
            expect!["column `target.token_log_probs` has 0 entries, expected 2"],
        );
    }

    #[test]
    fn bad_rows_are_named() {
        let (user, held_in) = ([0, 1], [true, false]);
        check(
            &[5, 5],
            &held_in,
            scores(&[-1.0, -2.0], &[1, 2]),
            expect!["row 1 puts user 5 on the other side than a row before"],
        );
        for (value, expect) in [
            (
                f64::NAN,
                expect!["the target log-likelihood of row 1 is NaN, expected a finite number of at most 0"],
            ),
            (
                f64::NEG_INFINITY,
                expect!["the target log-likelihood of row 1 is -inf, expected a finite number of at most 0"],
            ),
        ] {
            check(&user, &held_in, scores(&[-1.0, value], &[1, 2]), expect);
        }
        check(
            &user,
            &held_in,
            scores(&[-1.0, -2.0], &[0, 2]),
            expect!["row 0 has no tokens scored by the target"],
        );
    }
}
