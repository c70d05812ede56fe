//! Scored examples: what an attack knows.

use std::collections::BTreeMap;

use userprint_core::{TextScores, UserIdx};

use crate::scores::check_scores;
use crate::{AttackError, Evidence, Model};

/// Scores of texts by a model that has a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedScores {
    /// What the model is called in results.
    pub name: String,
    /// Its scores, one row a text.
    pub scores: TextScores,
}

/// The attack examples of held-in and held-out users, scored by target and reference.
///
/// # Guarantees
/// - All columns have one entry a row.
/// - A user is on one side only.
/// - Log-likelihoods are finite and at most 0, every row has a scored token, and some row of each model is not 0.
/// - Where there are token log-probabilities, each row has as many as it says and they add up to its total.
/// - References have names, each its own.
#[derive(Clone, Debug)]
pub struct ScoredExamples {
    user: Vec<UserIdx>,
    held_in: Vec<bool>,
    target: TextScores,
    reference: TextScores,
    more_references: Vec<NamedScores>,
    zlib_bytes: Option<Vec<u32>>,
}

impl ScoredExamples {
    /// Puts the columns together: whose text a row is, whether that user was trained on, and the scores.
    ///
    /// # Errors
    /// [`AttackError::UnequalColumns`] and [`AttackError::NothingScored`]; and, with the row,
    /// [`AttackError::UserOnBothSides`], [`AttackError::BadLogLikelihood`], [`AttackError::NoTokens`],
    /// [`AttackError::UnequalTokens`], [`AttackError::BadTokenValue`], [`AttackError::TokensDoNotSum`].
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
        Ok(Self { user, held_in, target, reference, more_references: Vec::new(), zlib_bytes: None })
    }

    /// Adds the length of each text after zlib, bytes.
    ///
    /// # Errors
    /// [`AttackError::UnequalColumns`]; [`AttackError::NoBytes`] with the row that has none, as no text does.
    ///
    /// ```
    /// # use userprint_attack::{AttackError, ScoredExamples};
    /// # use userprint_core::{TextScores, UserIdx};
    /// let scores = TextScores { log_likelihood: vec![-1.0], n_tokens: vec![2], ..TextScores::default() };
    /// let examples = ScoredExamples::new(vec![UserIdx(0)], vec![true], scores.clone(), scores)?;
    /// assert_eq!(examples.clone().with_zlib_bytes(vec![14])?.zlib_bytes(), Some(&[14][..]));
    /// assert_eq!(examples.with_zlib_bytes(vec![0]).unwrap_err(), AttackError::NoBytes { row: 0 });
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn with_zlib_bytes(mut self, zlib_bytes: Vec<u32>) -> Result<Self, AttackError> {
        check_length("zlib_bytes", zlib_bytes.len(), self.len())?;
        if let Some(row) = zlib_bytes.iter().position(|&bytes| bytes == 0) {
            return Err(AttackError::NoBytes { row });
        }
        self.zlib_bytes = Some(zlib_bytes);
        Ok(self)
    }

    /// Adds the scores of further models that were trained on none of the users: other checkpoints, or shadows.
    ///
    /// Results are of their average, or of each; there is no way to ask for the best, since that would be chosen
    /// on the users that it is judged on.
    ///
    /// # Errors
    /// Those of [`Self::new`] for each model's scores; [`AttackError::ReferenceName`] for an empty name or one
    /// that is taken.
    ///
    /// ```
    /// # use userprint_attack::{NamedScores, ScoredExamples};
    /// # use userprint_core::{TextScores, UserIdx};
    /// let scores = TextScores { log_likelihood: vec![-1.0], n_tokens: vec![2], ..TextScores::default() };
    /// let examples = ScoredExamples::new(vec![UserIdx(0)], vec![true], scores.clone(), scores.clone())?;
    /// let gpt2 = || NamedScores { name: "gpt2".to_owned(), scores: scores.clone() };
    /// assert_eq!(examples.clone().with_more_references(vec![gpt2()])?.more_references()[0].name, "gpt2");
    /// let twice = examples.with_more_references(vec![gpt2(), gpt2()]).unwrap_err();
    /// assert_eq!(twice.to_string(), "reference 1 is named `gpt2`, expected a name that no other has");
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn with_more_references(mut self, references: Vec<NamedScores>) -> Result<Self, AttackError> {
        for (index, NamedScores { name, scores }) in references.iter().enumerate() {
            if name.is_empty() || references[..index].iter().any(|before| before.name == *name) {
                return Err(AttackError::ReferenceName { index, name: name.clone() });
            }
            check_scores(Model::MoreReference { index }, scores, self.len())?;
        }
        self.more_references = references;
        Ok(self)
    }

    /// The same examples with a further reference in the main one's place, and without further ones.
    ///
    /// For results by reference, all of which are shown: each is an attack of its own.
    /// `None` if there is no such reference.
    ///
    /// ```
    /// # use userprint_attack::{LikelihoodRatio, NamedScores, ScoredExamples, example_statistics};
    /// # use userprint_core::{TextScores, UserIdx};
    /// let scores = |total| TextScores { log_likelihood: vec![total], n_tokens: vec![2], ..TextScores::default() };
    /// let gpt2 = NamedScores { name: "gpt2".to_owned(), scores: scores(-5.0) };
    /// let examples = ScoredExamples::new(vec![UserIdx(0)], vec![true], scores(-1.0), scores(-3.0))?
    ///     .with_more_references(vec![gpt2])?;
    /// assert_eq!(example_statistics(&examples, &LikelihoodRatio)?.statistic, [2.0]);
    /// let by_gpt2 = examples.calibrated_by(0).unwrap();
    /// assert_eq!(example_statistics(&by_gpt2, &LikelihoodRatio)?.statistic, [4.0]);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn calibrated_by(&self, more_reference: usize) -> Option<Self> {
        let reference = self.more_references.get(more_reference)?.scores.clone();
        Some(Self { reference, more_references: Vec::new(), ..self.clone() })
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

    /// Scores by further models, in the order in which they were given.
    ///
    /// ```
    /// # use userprint_attack::ScoredExamples;
    /// let none = ScoredExamples::new(vec![], vec![], Default::default(), Default::default())?;
    /// assert!(none.more_references().is_empty());
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn more_references(&self) -> &[NamedScores] {
        &self.more_references
    }

    /// Length of each text after zlib, bytes, where it was measured.
    ///
    /// ```
    /// # use userprint_attack::ScoredExamples;
    /// let none = ScoredExamples::new(vec![], vec![], Default::default(), Default::default())?;
    /// assert_eq!(none.zlib_bytes(), None);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn zlib_bytes(&self) -> Option<&[u32]> {
        self.zlib_bytes.as_deref()
    }

    /// All that is known about a row; its fields are empty if there is no such row.
    ///
    /// ```
    /// # use userprint_attack::ScoredExamples;
    /// let none = ScoredExamples::new(vec![], vec![], Default::default(), Default::default())?;
    /// assert_eq!(none.evidence(0).target_log_likelihood(), None);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn evidence(&self, row: usize) -> Evidence<'_> {
        Evidence {
            target: &self.target,
            reference: Some(&self.reference),
            more_references: &self.more_references,
            zlib_bytes: self.zlib_bytes(),
            row,
        }
    }
}

pub(crate) fn check_length(column: &'static str, found: usize, expected: usize) -> Result<(), AttackError> {
    if found == expected { Ok(()) } else { Err(AttackError::UnequalColumns { column, found, expected }) }
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
    fn bad_references_and_bytes_are_named() {
        let examples = || {
            let column = || scores(&[-1.0, -2.0], &[1, 2]);
            ScoredExamples::new(vec![UserIdx(0), UserIdx(1)], vec![true, false], column(), column()).unwrap()
        };
        let named = |name: &str, scores| vec![NamedScores { name: name.to_owned(), scores }];
        let error = |references| examples().with_more_references(references).unwrap_err().to_string();
        expect!["reference 0 is named ``, expected a name that no other has"]
            .assert_eq(&error(named("", scores(&[-1.0, -2.0], &[1, 2]))));
        expect!["column `log_likelihood` has 1 entries, expected 2"]
            .assert_eq(&error(named("b", scores(&[-1.0], &[1]))));
        expect![[
            "the further reference 0 log-likelihood of row 1 is 2, expected a finite number of at most 0"
        ]]
        .assert_eq(&error(named("b", scores(&[-1.0, 2.0], &[1, 2]))));
        expect!["every further reference 0 log-likelihood is 0: the model gave no score and no error"]
            .assert_eq(&error(named("b", scores(&[0.0, 0.0], &[1, 2]))));
        expect!["column `zlib_bytes` has 3 entries, expected 2"]
            .assert_eq(&examples().with_zlib_bytes(vec![9; 3]).unwrap_err().to_string());
        expect!["row 1 has 0 bytes after zlib, expected at least 1"]
            .assert_eq(&examples().with_zlib_bytes(vec![9, 0]).unwrap_err().to_string());
        assert!(examples().calibrated_by(0).is_none());
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
