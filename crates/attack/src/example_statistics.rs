//! Example statistics: one number an example, computed once for every attack that asks for it again.

use std::collections::BTreeMap;

use userprint_core::{Detail, TextScores, UserIdx};

use crate::examples::check_length;
use crate::{Aggregate, AttackError, Evidence, Model, Needs, ScoredExamples, Statistic, UserStatistics};

/// One statistic of every example, in columns, rows as in the [`ScoredExamples`]; higher means held-in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExampleStatistics {
    /// What the statistic is called in files.
    pub name: String,
    /// Whose text the example is.
    pub user: Vec<UserIdx>,
    /// Whether the target was trained on that user.
    pub held_in: Vec<bool>,
    /// Tokens of the example under the target.
    pub n_tokens: Vec<u32>,
    /// The statistic of the example.
    pub statistic: Vec<f64>,
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
/// let scores = TextScores { log_likelihood: vec![-1.0, -2.0], n_tokens: vec![3; 2], ..TextScores::default() };
/// let user = vec![UserIdx(9), UserIdx(2)];
/// let examples = ScoredExamples::new(user, vec![true, false], scores.clone(), scores)?;
/// assert_eq!(example_statistics(&examples, &LogLikelihood)?.statistic, [-1.0, -2.0]);
/// let error = example_statistics(&examples, &ZlibRatio).unwrap_err();
/// assert_eq!(error.to_string(), "`zlib_ratio` needs the length of each text after zlib");
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn example_statistics(
    examples: &ScoredExamples,
    statistic: &dyn Statistic,
) -> Result<ExampleStatistics, AttackError> {
    statistics_with_target(examples, examples.target(), statistic)
}

/// The same with the reference's scores in the place of the target's: what texts are like before any fine-tuning.
///
/// # Errors
/// Those of [`example_statistics()`].
///
/// ```
/// use userprint_attack::example_statistics::reference_statistics;
/// use userprint_attack::{LogLikelihood, ScoredExamples};
/// use userprint_core::{TextScores, UserIdx};
/// let scores = |log_likelihood| TextScores {
///     log_likelihood: vec![log_likelihood], n_tokens: vec![3], ..TextScores::default()
/// };
/// let examples = ScoredExamples::new(vec![UserIdx(0)], vec![true], scores(-1.0), scores(-2.0))?;
/// assert_eq!(reference_statistics(&examples, &LogLikelihood)?.statistic, [-2.0]);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn reference_statistics(
    examples: &ScoredExamples,
    statistic: &dyn Statistic,
) -> Result<ExampleStatistics, AttackError> {
    statistics_with_target(examples, examples.reference(), statistic)
}

/// The same with other scores in the place of the target's, one row an example.
pub(crate) fn statistics_with_target(
    examples: &ScoredExamples,
    target: &TextScores,
    statistic: &dyn Statistic,
) -> Result<ExampleStatistics, AttackError> {
    let evidence = Evidence { target, ..examples.evidence(0) };
    let values = compute_rows(&evidence, examples.len(), statistic)?;
    Ok(ExampleStatistics {
        n_tokens: target.n_tokens.clone(),
        ..ExampleStatistics::of_rows(statistic.name(), examples, values)
    })
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

/// The example statistics of one user, in the order of the rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserExamples {
    pub(crate) user: UserIdx,
    pub(crate) held_in: bool,
    pub(crate) n_tokens: Vec<u32>,
    pub(crate) statistic: Vec<f64>,
}

impl ExampleStatistics {
    /// Values that were computed for the rows of the examples, under a name.
    pub(crate) fn of_rows(name: String, examples: &ScoredExamples, statistic: Vec<f64>) -> Self {
        Self {
            name,
            user: examples.user().to_vec(),
            held_in: examples.held_in().to_vec(),
            n_tokens: examples.target().n_tokens.clone(),
            statistic,
        }
    }

    /// The rows for which `keep` says so, by position.
    pub(crate) fn filtered(&self, keep: impl Fn(usize) -> bool) -> Self {
        let rows: Vec<usize> = (0..self.user.len()).filter(|&row| keep(row)).collect();
        Self {
            name: self.name.clone(),
            user: rows.iter().map(|&row| self.user[row]).collect(),
            held_in: rows.iter().map(|&row| self.held_in[row]).collect(),
            n_tokens: rows.iter().map(|&row| self.n_tokens[row]).collect(),
            statistic: rows.iter().map(|&row| self.statistic[row]).collect(),
        }
    }

    /// The rows by user, users sorted; checks the columns, which are public.
    pub(crate) fn by_user(&self) -> Result<Vec<UserExamples>, AttackError> {
        check_length("held_in", self.held_in.len(), self.user.len())?;
        check_length("n_tokens", self.n_tokens.len(), self.user.len())?;
        check_length("statistic", self.statistic.len(), self.user.len())?;
        let mut users: BTreeMap<UserIdx, UserExamples> = BTreeMap::new();
        for (row, (&user, &held_in)) in self.user.iter().zip(&self.held_in).enumerate() {
            let value = self.statistic[row];
            if !value.is_finite() {
                return Err(AttackError::NotFinite { column: "statistic", row, value });
            }
            let nothing = UserExamples { user, held_in, n_tokens: Vec::new(), statistic: Vec::new() };
            let of = users.entry(user).or_insert(nothing);
            if of.held_in != held_in {
                return Err(AttackError::UserOnBothSides { row, user_idx: user.0 });
            }
            of.n_tokens.push(self.n_tokens[row]);
            of.statistic.push(value);
        }
        Ok(users.into_values().collect())
    }

    /// One number a user.
    ///
    /// # Errors
    /// [`AttackError::UnequalColumns`]; with the row, [`AttackError::NotFinite`] and
    /// [`AttackError::UserOnBothSides`]; [`AttackError::UndefinedForUser`] if an aggregate overflows.
    ///
    /// ```
    /// use userprint_attack::{Aggregate, ExampleStatistics};
    /// use userprint_core::UserIdx;
    /// let examples = ExampleStatistics {
    ///     name: "mine".to_owned(), user: vec![UserIdx(4); 2], held_in: vec![true; 2], n_tokens: vec![3, 1],
    ///     statistic: vec![1.0, 5.0],
    /// };
    /// assert_eq!(examples.aggregated(Aggregate::Median)?.statistic, [3.0]);
    /// assert_eq!(examples.aggregated(Aggregate::TokenWeightedMean)?.statistic, [2.0]);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn aggregated(&self, aggregate: Aggregate) -> Result<UserStatistics, AttackError> {
        aggregate_users(&self.by_user()?, &self.name, aggregate)
    }
}

/// One number a user, from examples that are grouped already; `statistic` names them in errors.
pub(crate) fn aggregate_users(
    by_user: &[UserExamples],
    statistic: &str,
    aggregate: Aggregate,
) -> Result<UserStatistics, AttackError> {
    let mut users = UserStatistics::default();
    for of in by_user {
        let value = aggregate.apply(&of.statistic, &of.n_tokens).ok_or_else(|| {
            let (statistic, user_idx) = (statistic.to_owned(), of.user.0);
            AttackError::UndefinedForUser { statistic, aggregate, user_idx }
        })?;
        users.user.push(of.user);
        users.held_in.push(of.held_in);
        users.statistic.push(value);
        users.n_examples.push(of.statistic.len() as u32);
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> ExampleStatistics {
        ExampleStatistics {
            name: "mine".to_owned(),
            user: [3, 1, 3].map(UserIdx).to_vec(),
            held_in: vec![true, false, true],
            n_tokens: vec![1, 2, 3],
            statistic: vec![4.0, 1.0, 6.0],
        }
    }

    #[test]
    fn users_are_sorted_and_weighted_by_their_own_tokens() {
        let users = rows().aggregated(Aggregate::TokenWeightedMean).unwrap();
        assert_eq!(users.user, [UserIdx(1), UserIdx(3)]);
        assert_eq!((users.statistic, users.n_examples), (vec![1.0, 5.5], vec![1, 2]));
        assert_eq!(users.held_in, [false, true]);
    }

    #[test]
    fn bad_columns_are_refused() {
        let error = |rows: ExampleStatistics| rows.by_user().unwrap_err().to_string();
        let short = ExampleStatistics { statistic: vec![1.0], ..rows() };
        assert_eq!(error(short), "column `statistic` has 1 entries, expected 3");
        let short = ExampleStatistics { n_tokens: vec![1], ..rows() };
        assert_eq!(error(short), "column `n_tokens` has 1 entries, expected 3");
        let nan = ExampleStatistics { statistic: vec![1.0, f64::NAN, 0.0], ..rows() };
        assert_eq!(error(nan), "row 1 of column `statistic` is NaN, expected a finite number");
        let torn = ExampleStatistics { held_in: vec![true, false, false], ..rows() };
        assert_eq!(error(torn), "row 2 puts user 3 on the other side than a row before");
    }
}
