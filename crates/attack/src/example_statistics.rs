//! Example statistics: one number an example, computed once for every attack that asks for it again.

use std::collections::BTreeMap;

use userprint_core::UserIdx;

use crate::scores::check_length;
use crate::{Aggregate, AttackError, ScoredExamples, Statistic, UserStatistics, example_statistics};

/// One statistic of every example, in columns, rows as in the [`ScoredExamples`]; higher means held-in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExampleStatistics {
    /// Whose text the example is.
    pub user: Vec<UserIdx>,
    /// Whether the target was trained on that user.
    pub held_in: Vec<bool>,
    /// The statistic of the example.
    pub statistic: Vec<f64>,
    /// Tokens of the target in the example.
    pub n_tokens: Vec<u32>,
}

/// The example statistics of one user, in the order of the rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserExamples {
    pub(crate) user: UserIdx,
    pub(crate) held_in: bool,
    pub(crate) statistic: Vec<f64>,
    pub(crate) n_tokens: Vec<u32>,
}

impl ExampleStatistics {
    /// Computes a statistic of each example.
    ///
    /// # Errors
    /// Those of [`example_statistics`].
    ///
    /// ```
    /// use userprint_attack::{ExampleStatistics, LogLikelihood, ScoredExamples};
    /// use userprint_core::{TextScores, UserIdx};
    /// let scores =
    ///     TextScores { log_likelihood: vec![-1.0, -2.0], n_tokens: vec![3; 2], ..TextScores::default() };
    /// let user = vec![UserIdx(9), UserIdx(2)];
    /// let examples = ScoredExamples::new(user, vec![true, false], scores.clone(), scores)?;
    /// assert_eq!(ExampleStatistics::new(&examples, &LogLikelihood)?.statistic, [-1.0, -2.0]);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn new(examples: &ScoredExamples, statistic: &dyn Statistic) -> Result<Self, AttackError> {
        Ok(Self {
            user: examples.user().to_vec(),
            held_in: examples.held_in().to_vec(),
            statistic: example_statistics(examples, statistic)?,
            n_tokens: examples.target().n_tokens.clone(),
        })
    }

    /// The rows for which `keep` says so, by position.
    pub(crate) fn filtered(&self, keep: impl Fn(usize) -> bool) -> Self {
        let rows: Vec<usize> = (0..self.user.len()).filter(|&row| keep(row)).collect();
        Self {
            user: rows.iter().map(|&row| self.user[row]).collect(),
            held_in: rows.iter().map(|&row| self.held_in[row]).collect(),
            statistic: rows.iter().map(|&row| self.statistic[row]).collect(),
            n_tokens: rows.iter().map(|&row| self.n_tokens[row]).collect(),
        }
    }

    /// The rows by user, users sorted; checks the columns, which are public.
    pub(crate) fn by_user(&self) -> Result<Vec<UserExamples>, AttackError> {
        check_length("held_in", self.held_in.len(), self.user.len())?;
        check_length("statistic", self.statistic.len(), self.user.len())?;
        check_length("n_tokens", self.n_tokens.len(), self.user.len())?;
        let mut users: BTreeMap<UserIdx, UserExamples> = BTreeMap::new();
        for (row, (&user, &held_in)) in self.user.iter().zip(&self.held_in).enumerate() {
            let value = self.statistic[row];
            if !value.is_finite() {
                return Err(AttackError::NotFinite { column: "statistic", row, value });
            }
            let of = users.entry(user).or_insert_with(|| UserExamples {
                user,
                held_in,
                statistic: Vec::new(),
                n_tokens: Vec::new(),
            });
            if of.held_in != held_in {
                return Err(AttackError::UserOnBothSides { row, user_idx: user.0 });
            }
            of.statistic.push(value);
            of.n_tokens.push(self.n_tokens[row]);
        }
        Ok(users.into_values().collect())
    }

    /// One number a user.
    pub(crate) fn aggregated(&self, aggregate: Aggregate) -> Result<UserStatistics, AttackError> {
        let mut users = UserStatistics::default();
        for of in self.by_user()? {
            let value =
                aggregate.apply(&of.statistic, &of.n_tokens).ok_or(AttackError::UndefinedForUser {
                    statistic: "statistic".to_owned(),
                    aggregate,
                    user_idx: of.user.0,
                })?;
            users.user.push(of.user);
            users.held_in.push(of.held_in);
            users.statistic.push(value);
            users.n_examples.push(of.statistic.len() as u32);
        }
        Ok(users)
    }
}

#[cfg(test)]
mod tests {
    use userprint_core::{Seed, TextScores};

    use super::*;
    use crate::{TokenMeanLikelihoodRatio, user_statistics};

    fn rows() -> ExampleStatistics {
        ExampleStatistics {
            user: [3, 1, 3].map(UserIdx).to_vec(),
            held_in: vec![true, false, true],
            statistic: vec![4.0, 1.0, 6.0],
            n_tokens: vec![1; 3],
        }
    }

    /// The same numbers as the way that computes and aggregates at once.
    #[test]
    fn aggregates_as_user_statistics_does() {
        use rand::RngExt;
        let mut rng = Seed(5).rng();
        let mut scores = || TextScores {
            log_likelihood: (0..60).map(|_| -rng.random_range(0.0..90.0)).collect(),
            n_tokens: (0..60).map(|_| rng.random_range(1..9)).collect(),
            ..TextScores::default()
        };
        let user: Vec<UserIdx> = (0..60).map(|row| UserIdx(row * 7 % 11)).collect();
        let held_in = user.iter().map(|user| user.0 < 5).collect();
        let examples = ScoredExamples::new(user, held_in, scores(), scores()).unwrap();
        let rows = ExampleStatistics::new(&examples, &TokenMeanLikelihoodRatio).unwrap();
        for &aggregate in Aggregate::ALL {
            let users = user_statistics(&examples, &TokenMeanLikelihoodRatio, aggregate).unwrap();
            assert_eq!(rows.aggregated(aggregate).unwrap(), users);
        }
    }

    #[test]
    fn bad_columns_are_refused() {
        let error = |rows: ExampleStatistics| rows.by_user().unwrap_err().to_string();
        let short = ExampleStatistics { statistic: vec![1.0], ..rows() };
        assert_eq!(error(short), "column `statistic` has 1 entries, expected 3");
        let nan = ExampleStatistics { statistic: vec![1.0, f64::NAN, 0.0], ..rows() };
        assert_eq!(error(nan), "row 1 of column `statistic` is NaN, expected a finite number");
        let torn = ExampleStatistics { held_in: vec![true, false, false], ..rows() };
        assert_eq!(error(torn), "row 2 puts user 3 on the other side than a row before");
    }

    #[test]
    fn rows_are_kept_by_position() {
        let kept = rows().filtered(|row| row != 0);
        assert_eq!(kept.user, [UserIdx(1), UserIdx(3)]);
        assert_eq!(kept.aggregated(Aggregate::Mean).unwrap().statistic, [1.0, 6.0]);
    }
}
