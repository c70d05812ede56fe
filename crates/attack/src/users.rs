//! User statistics: one number a user.

use std::collections::BTreeMap;

use userprint_core::{Detail, TextScores, UserIdx};

use crate::scores::check_length;
use crate::{Aggregate, AttackError, Evidence, Model, Needs, ScoredExamples, Statistic};

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
/// Those of [`example_statistics`]; [`AttackError::UndefinedForUser`] if an aggregate overflows.
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
    let values = example_statistics(examples, statistic)?;
    aggregate_by_user(examples, &statistic.name(), &values, aggregate)
}

/// The same with other scores in the place of the target's, one row an example.
pub(crate) fn statistics_with_target(
    examples: &ScoredExamples,
    target: &TextScores,
    statistic: &dyn Statistic,
    aggregate: Aggregate,
) -> Result<UserStatistics, AttackError> {
    let evidence = Evidence { target, ..examples.evidence(0) };
    let values = compute_rows(&evidence, examples.len(), statistic)?;
    aggregate_by_user(examples, &statistic.name(), &values, aggregate)
}

/// Computes a statistic of each example.
///
/// # Errors
/// [`AttackError::TooCoarse`], [`AttackError::NoZlibBytes`] or [`AttackError::OneReference`] if something is absent
/// that the statistic needs; with the row, [`AttackError::TokenisedApart`] where it compares token by token and the
/// models tokenise differently, [`AttackError::Undefined`] where it is otherwise `None` or not finite.
///
/// ```
/// use userprint_attack::{LogLikelihood, ScoredExamples, ZlibRatio, example_statistics};
/// use userprint_core::{TextScores, UserIdx};
/// let scores = TextScores { log_likelihood: vec![-6.0], n_tokens: vec![3], ..TextScores::default() };
/// let examples = ScoredExamples::new(vec![UserIdx(0)], vec![true], scores.clone(), scores)?;
/// assert_eq!(example_statistics(&examples, &LogLikelihood)?, [-6.0]);
/// let error = example_statistics(&examples, &ZlibRatio).unwrap_err();
/// assert_eq!(error.to_string(), "`zlib_ratio` needs the length of each text after zlib");
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn example_statistics(
    examples: &ScoredExamples,
    statistic: &dyn Statistic,
) -> Result<Vec<f64>, AttackError> {
    compute_rows(&examples.evidence(0), examples.len(), statistic)
}

fn compute_rows(
    evidence: &Evidence<'_>,
    n_rows: usize,
    statistic: &dyn Statistic,
) -> Result<Vec<f64>, AttackError> {
    let needs = statistic.needs();
    check_needs(statistic, &needs, evidence)?;
    // A statistic is shown what it says that it needs, and no more.
    let shown = Evidence {
        reference: evidence.reference.filter(|_| needs.reference.is_some()),
        more_references: if needs.more_references { evidence.more_references } else { &[] },
        zlib_bytes: evidence.zlib_bytes.filter(|_| needs.zlib_bytes),
        ..*evidence
    };
    let value = |row| {
        let evidence = Evidence { row, ..shown };
        let value = statistic.compute(&evidence).filter(|value| value.is_finite());
        value.ok_or_else(|| why_undefined(statistic, &needs, &evidence))
    };
    (0..n_rows).map(value).collect()
}

fn check_needs(statistic: &dyn Statistic, needs: &Needs, evidence: &Evidence<'_>) -> Result<(), AttackError> {
    let models = [
        (Model::Target, Some(needs.target), Some(evidence.target)),
        (Model::Reference, needs.reference, evidence.reference),
    ];
    for (model, needed, scores) in models {
        if let (Some(needed), Some(scores)) = (needed, scores)
            && scores.detail() < needed
        {
            let (statistic, found) = (statistic.name(), scores.detail());
            return Err(AttackError::TooCoarse { statistic, model, needed, found });
        }
    }
    if needs.zlib_bytes && evidence.zlib_bytes.is_none() {
        return Err(AttackError::NoZlibBytes { statistic: statistic.name() });
    }
    if needs.more_references && evidence.more_references.is_empty() {
        return Err(AttackError::OneReference { statistic: statistic.name() });
    }
    Ok(())
}

fn why_undefined(statistic: &dyn Statistic, needs: &Needs, evidence: &Evidence<'_>) -> AttackError {
    let (statistic, row) = (statistic.name(), evidence.row);
    let n_tokens = |scores: &TextScores| scores.n_tokens.get(row).copied().unwrap_or(0);
    match evidence.reference.map(|reference| (n_tokens(evidence.target), n_tokens(reference))) {
        Some((target, reference)) if needs.reference >= Some(Detail::Tokens) && target != reference => {
            AttackError::TokenisedApart { statistic, row, target, reference }
        }
        _ => AttackError::Undefined { statistic, row },
    }
}

/// Aggregates example statistics, one a row, by user; `statistic` is what they are called in errors.
///
/// # Errors
/// [`AttackError::UnequalColumns`]; [`AttackError::UndefinedForUser`] where a value is not finite or an aggregate
/// overflows.
///
/// ```
/// use userprint_attack::{Aggregate, ScoredExamples, aggregate_by_user};
/// use userprint_core::{TextScores, UserIdx};
/// let scores = TextScores { log_likelihood: vec![-6.0; 2], n_tokens: vec![3; 2], ..TextScores::default() };
/// let examples = ScoredExamples::new(vec![UserIdx(4); 2], vec![true; 2], scores.clone(), scores)?;
/// let users = aggregate_by_user(&examples, "mine", &[1.0, 5.0], Aggregate::Median)?;
/// assert_eq!((users.user, users.statistic), (vec![UserIdx(4)], vec![3.0]));
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn aggregate_by_user(
    examples: &ScoredExamples,
    statistic: &str,
    values: &[f64],
    aggregate: Aggregate,
) -> Result<UserStatistics, AttackError> {
    check_length("statistic", values.len(), examples.len())?;
    aggregate_groups(&by_user(examples), examples, statistic, values, aggregate)
}

/// The rows of each user, users sorted, rows in order.
pub(crate) fn by_user(examples: &ScoredExamples) -> BTreeMap<UserIdx, Vec<usize>> {
    let mut by_user: BTreeMap<UserIdx, Vec<usize>> = BTreeMap::new();
    for (row, &user) in examples.user().iter().enumerate() {
        by_user.entry(user).or_default().push(row);
    }
    by_user
}

pub(crate) fn aggregate_groups(
    by_user: &BTreeMap<UserIdx, Vec<usize>>,
    examples: &ScoredExamples,
    statistic: &str,
    values: &[f64],
    aggregate: Aggregate,
) -> Result<UserStatistics, AttackError> {
    let mut users = UserStatistics::default();
    for (&user, rows) in by_user {
        let own: Vec<f64> = rows.iter().map(|&row| values[row]).collect();
        let n_tokens: Vec<u32> = rows.iter().map(|&row| examples.target().n_tokens[row]).collect();
        let value = aggregate.apply(&own, &n_tokens).ok_or_else(|| AttackError::UndefinedForUser {
            statistic: statistic.to_owned(),
            aggregate,
            user_idx: user.0,
        })?;
        users.user.push(user);
        users.held_in.push(examples.held_in()[rows[0]]);
        users.statistic.push(value);
        users.n_examples.push(rows.len() as u32);
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::LikelihoodRatio;

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
