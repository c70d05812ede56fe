//! Exposure factors: what makes some users easier to find than others.

mod divergence;

use userprint_stats::{Alternative, Interval, Roc, StatsError, holm_adjusted, mann_whitney, spearman};

pub use divergence::{Bounds, Divergence, DivergenceSource, divergence_from_scores, proposition_1};

use crate::examples::check_length;
use crate::result::split;
use crate::{AttackError, PerUser, UserStatistics};

/// The significance of every interval here, before any adjustment.
const SIGNIFICANCE: f64 = 0.05;

/// A property of a user that may explain how exposed the user is.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Sec. 3, Proposition 1 (the share, KL, chi-square) and Sec. 4 (documents,
/// duplicates, shared phrases).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Factor {
    /// The user's share of the fine-tuning tokens, `alpha_u`.
    Share,
    /// Number of the user's training examples.
    TrainExamples,
    /// Number of tokens in them.
    TrainTokens,
    /// Number of them that repeat another example of the user.
    Duplicates,
    /// Share of the attack examples' phrases that the user's other texts have and no other user's.
    PhraseOverlap,
    /// Distance of the user's words, taken one by one, from the other users'.
    WordDivergence,
    /// Loss of the attack examples under the reference, nats per token.
    ReferenceLoss,
    /// `KL(D_u || D_-u)`, nats per document, see [`divergence_from_scores`]; not independent of the statistic.
    Kl,
    /// `chi2(D_u || D_-u)`, or any increasing function of it: only ranks enter. Not independent of the statistic.
    ChiSquare,
}

impl Factor {
    /// The name in files.
    ///
    /// ```
    /// assert_eq!(userprint_attack::exposure::Factor::PhraseOverlap.name(), "phrase_overlap");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::TrainExamples => "n_train_examples",
            Self::TrainTokens => "n_train_tokens",
            Self::Duplicates => "n_duplicates",
            Self::PhraseOverlap => "phrase_overlap",
            Self::WordDivergence => "word_divergence",
            Self::ReferenceLoss => "reference_loss",
            Self::Kl => "kl",
            Self::ChiSquare => "chi_square",
        }
    }
}

/// A factor of every user, rows as in [`UserStatistics`].
#[derive(Clone, Debug, PartialEq)]
pub struct FactorColumn {
    /// Which factor.
    pub factor: Factor,
    /// Its value; `None` where it is not known or has no meaning, as the training tokens of held-out users.
    pub value: Vec<Option<f64>>,
}

/// How one factor goes with one other column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Association {
    /// Users that enter: those with a value.
    pub n_users: usize,
    /// Spearman's coefficient, or an AUROC; see the fields of [`Exposure`].
    pub estimate: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// Two-sided p-value of no association.
    pub p_value: f64,
    /// The p-value with Holm's adjustment over the factors that were asked the same question.
    pub adjusted_p_value: f64,
}

/// How one factor goes with exposure; an error where that is undefined, such as for a factor that does not vary.
///
/// These are associations: large users write more, repeat more and are more of the mixture at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposure {
    /// Which factor.
    pub factor: Factor,
    /// Spearman correlation with the statistic among held-in users: who of those trained on is exposed.
    pub held_in: Result<Association, AttackError>,
    /// The same among held-out users: what moves the statistic without any training, and so is no exposure.
    pub held_out: Result<Association, AttackError>,
    /// The same among all users; a factor that is 0 for whoever was not trained on shows the attack itself here.
    pub all: Result<Association, AttackError>,
    /// Chance that a random held-in user who is detected has a higher value than one who is not; ties count half.
    pub detected: Result<Association, AttackError>,
}

/// Sets every factor beside the statistic and beside being detected.
///
/// # Errors
/// [`AttackError::UnequalColumns`]; [`AttackError::NotFinite`] with the user's position.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Sec. 4: what drives exposure.
/// ```
/// use userprint_attack::exposure::{Factor, FactorColumn, exposure};
/// use userprint_attack::{UserStatistics, per_user};
/// use userprint_core::UserIdx;
/// // Of 20 held-in users the larger ones stand out.
/// let users = UserStatistics {
///     user: (0..40).map(UserIdx).collect(),
///     held_in: (0..40).map(|user| user < 20).collect(),
///     statistic: (0..40).map(|user| if user < 20 { f64::from(user) + 0.5 } else { f64::from(user % 10) }).collect(),
///     n_examples: vec![1; 40],
/// };
/// let value = (0..40).map(|user| (user < 20).then_some(f64::from(user * user))).collect();
/// let columns = [FactorColumn { factor: Factor::TrainTokens, value }];
/// let found = &exposure(&users, &per_user(&users, 0.2)?, &columns)?[0];
/// assert!(found.held_in.as_ref().is_ok_and(|held_in| held_in.estimate == 1.0));
/// assert!(found.held_out.is_err()); // they have no training tokens
/// assert!(found.detected.as_ref().is_ok_and(|detected| detected.estimate == 1.0));
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn exposure(
    users: &UserStatistics,
    decisions: &PerUser,
    columns: &[FactorColumn],
) -> Result<Vec<Exposure>, AttackError> {
    let n_users = users.user.len();
    check_length("held_in", users.held_in.len(), n_users)?;
    check_length("statistic", users.statistic.len(), n_users)?;
    check_length("is_detected", decisions.is_detected.len(), n_users)?;
    for column in columns {
        check_length(column.factor.name(), column.value.len(), n_users)?;
        let values = column.value.iter().enumerate().filter_map(|(row, value)| Some((row, (*value)?)));
        if let Some((row, value)) = values.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(AttackError::NotFinite { column: column.factor.name(), row, value });
        }
    }
    let with_statistic = |is_in_scope: &dyn Fn(bool) -> bool| {
        answers(columns, |column| {
            let rows = known(column, |row| is_in_scope(users.held_in[row]));
            let statistic: Vec<f64> = rows.iter().map(|(row, _)| users.statistic[*row]).collect();
            correlate(&rows.iter().map(|row| row.1).collect::<Vec<_>>(), &statistic)
        })
    };
    let detected = answers(columns, |column| {
        let rows = known(column, |row| users.held_in[row]);
        let is_detected: Vec<bool> = rows.iter().map(|(row, _)| decisions.is_detected[*row]).collect();
        contrast(&rows.iter().map(|row| row.1).collect::<Vec<_>>(), &is_detected)
    })?;
    let held_in = with_statistic(&|held_in| held_in)?;
    let held_out = with_statistic(&|held_in| !held_in)?;
    let all = with_statistic(&|_| true)?;
    let answers = columns.iter().zip(held_in).zip(held_out).zip(all).zip(detected);
    Ok(answers
        .map(|((((column, held_in), held_out), all), detected)| Exposure {
            factor: column.factor,
            held_in,
            held_out,
            all,
            detected,
        })
        .collect())
}

/// The users in scope that have a value, and the value.
fn known(column: &FactorColumn, is_in_scope: impl Fn(usize) -> bool) -> Vec<(usize, f64)> {
    let rows = column.value.iter().enumerate().filter(|(row, _)| is_in_scope(*row));
    rows.filter_map(|(row, value)| Some((row, (*value)?))).collect()
}

/// One question put to every factor, with p-values adjusted over those that have an answer.
fn answers(
    columns: &[FactorColumn],
    question: impl Fn(&FactorColumn) -> Result<Association, AttackError>,
) -> Result<Vec<Result<Association, AttackError>>, AttackError> {
    let mut answers: Vec<_> = columns.iter().map(question).collect();
    let p_values: Vec<f64> = answers.iter().flatten().map(|answer| answer.p_value).collect();
    if p_values.is_empty() {
        return Ok(answers);
    }
    for (answer, adjusted) in answers.iter_mut().flatten().zip(holm_adjusted(&p_values)?) {
        answer.adjusted_p_value = adjusted;
    }
    Ok(answers)
}

fn correlate(factor: &[f64], statistic: &[f64]) -> Result<Association, AttackError> {
    let found = spearman(factor, statistic, SIGNIFICANCE)?;
    Ok(Association {
        n_users: factor.len(),
        estimate: found.coefficient,
        interval: found.interval,
        p_value: found.p_value,
        adjusted_p_value: found.p_value,
    })
}

fn contrast(factor: &[f64], is_detected: &[bool]) -> Result<Association, AttackError> {
    let (detected, others) = split(factor, is_detected);
    if detected.is_empty() || others.is_empty() {
        return Err(AttackError::DetectionDoesNotVary { n_detected: detected.len(), n_users: factor.len() });
    }
    if factor.iter().all(|value| *value == factor[0]) {
        return Err(StatsError::ConstantColumn { name: "factor", value: factor[0] }.into());
    }
    let test = mann_whitney(&detected, &others, Alternative::TwoSided)?;
    Ok(Association {
        n_users: factor.len(),
        estimate: test.auroc,
        interval: Roc::new(&detected, &others)?.auroc_interval(SIGNIFICANCE)?,
        p_value: test.p_value,
        adjusted_p_value: test.p_value,
    })
}

#[cfg(test)]
mod tests;
