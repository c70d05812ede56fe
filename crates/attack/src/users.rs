//! User statistics: one number a user.

use userprint_core::UserIdx;

use crate::{Aggregate, AttackError, ScoredExamples, Statistic, example_statistics};

/// One statistic of every user, in columns sorted by user; higher means held-in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserStatistics {
    /// The user.
    pub user: Vec<UserIdx>,
    /// Whether the target was trained on the user.
    pub held_in: Vec<bool>,
    /// The aggregate of the user's example statistics.
    pub statistic: Vec<f64>,
    /// How many examples it aggregates.
    pub n_examples: Vec<u32>,
}

/// Computes a statistic of each example and aggregates by user.
///
/// # Errors
/// Those of [`example_statistics()`]; [`AttackError::UndefinedForUser`] if an aggregate overflows.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Sec. 3.
/// ```
/// use userprint_attack::{Aggregate, LogLikelihood, ScoredExamples, user_statistics};
/// use userprint_core::{TextScores, UserIdx};
/// let scores = TextScores {
///     log_likelihood: vec![-1.0, -2.0, -4.0], n_tokens: vec![3; 3], ..TextScores::default()
/// };
/// let user = vec![UserIdx(9), UserIdx(2), UserIdx(2)];
/// let examples = ScoredExamples::new(user, vec![true, false, false], scores.clone(), scores)?;
/// let users = user_statistics(&examples, &LogLikelihood, Aggregate::Mean)?;
/// assert_eq!(users.user, [UserIdx(2), UserIdx(9)]);
/// assert_eq!(users.statistic, [-3.0, -1.0]);
/// assert_eq!(users.n_examples, [2, 1]);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn user_statistics(
    examples: &ScoredExamples,
    statistic: &dyn Statistic,
    aggregate: Aggregate,
) -> Result<UserStatistics, AttackError> {
    example_statistics(examples, statistic)?.aggregated(aggregate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use userprint_core::{Detail, TextScores};

    use super::*;
    use crate::{Evidence, LikelihoodRatio, Needs};

    /// Defined as told, at a detail as told.
    #[derive(Debug)]
    struct Fixed {
        detail: Detail,
        value: Option<f64>,
    }

    impl Statistic for Fixed {
        fn name(&self) -> String {
            "fixed".to_owned()
        }

        fn needs(&self) -> Needs {
            Needs { reference: Some(Detail::Total), ..Needs::target(self.detail) }
        }

        fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
            if evidence.row == 1 { self.value } else { Some(f64::MAX) }
        }
    }

    fn examples(rows: &[(u32, f64, f64)]) -> ScoredExamples {
        let scores = |log_likelihood: Vec<f64>| TextScores {
            n_tokens: vec![2; log_likelihood.len()],
            log_likelihood,
            ..TextScores::default()
        };
        ScoredExamples::new(
            rows.iter().map(|row| UserIdx(row.0)).collect(),
            rows.iter().map(|row| row.0 % 2 == 0).collect(),
            scores(rows.iter().map(|row| row.1).collect()),
            scores(rows.iter().map(|row| row.2).collect()),
        )
        .unwrap()
    }

    #[track_caller]
    fn check_error(statistic: Fixed, expect: &str) {
        let examples = examples(&[(0, -1.0, -1.0), (0, -1.0, -1.0)]);
        let error = user_statistics(&examples, &statistic, Aggregate::Mean).unwrap_err();
        assert_eq!(error.to_string(), expect);
    }

    #[test]
    fn undefined_is_an_error_with_the_row() {
        let total = Detail::Total;
        check_error(Fixed { detail: total, value: None }, "`fixed` has no finite value for row 1");
        check_error(Fixed { detail: total, value: Some(f64::NAN) }, "`fixed` has no finite value for row 1");
        check_error(
            Fixed { detail: total, value: Some(f64::MAX) },
            "the mean of `fixed` over the examples of user 0 is not finite",
        );
        check_error(
            Fixed { detail: Detail::Tokens, value: None },
            "`fixed` needs Tokens detail, the scores of the target have Total",
        );
    }

    proptest! {
        /// Each user's mean ratio, by filtering the rows user by user.
        #[test]
        fn agrees_with_the_definition(
            rows in prop::collection::vec((0u32..6, -9.0f64..=0.0, -9.0f64..=0.0), 0..30)
        ) {
            let users = user_statistics(&examples(&rows), &LikelihoodRatio, Aggregate::Mean).unwrap();
            prop_assert!(users.user.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(users.n_examples.iter().sum::<u32>() as usize, rows.len());
            for (position, user) in users.user.iter().enumerate() {
                let own: Vec<_> = rows.iter().filter(|row| row.0 == user.0).collect();
                let mean = own.iter().map(|row| row.1 - row.2).sum::<f64>() / own.len() as f64;
                prop_assert!((users.statistic[position] - mean).abs() < 1e-12);
                prop_assert_eq!(users.held_in[position], user.0 % 2 == 0);
            }
        }
    }
}
