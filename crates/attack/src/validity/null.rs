//! The null: a model that was trained on neither side.

use userprint_stats::{Alternative, Interval, Roc, mann_whitney};

use super::{Finding, share_of_one_split};
use crate::result::split;
use crate::{Aggregate, AttackError, ScoredExamples, TokenMeanLogLikelihood, reference_statistics};

/// Whether the reference alone tells held-in from held-out users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NullCheck {
    /// AUROC of the reference's mean token-mean log-likelihood.
    pub auroc: f64,
    /// Its 99.9 % score interval.
    pub interval: Interval,
    /// Two-sided Mann-Whitney p-value of an AUROC of .5: held-in and held-out users were drawn alike.
    pub p_value: f64,
    /// The least p-value that so many users can have.
    pub least_p_value: f64,
}

impl NullCheck {
    pub(super) fn finding(&self) -> Finding {
        let reason =
            format!("the reference alone tells held-in from held-out users: AUROC {:.3}", self.auroc);
        Finding::Tested { p_value: self.p_value, least_p_value: self.least_p_value, reason }
    }
}

/// Attacks the reference as if it were the target, without a reference.
///
/// It was trained on neither side, so an AUROC away from .5 comes from the split and not from fine-tuning.
/// Either direction counts: a split whose held-out texts are the plainer ones is no better.
///
/// # Errors
/// Those of [`user_statistics`](crate::user_statistics) and [`evaluate`](crate::evaluate).
///
/// ```
/// use userprint_attack::{ScoredExamples, validity::null};
/// use userprint_core::{TextScores, UserIdx};
/// let scores = |log_likelihood: [f64; 2]| TextScores {
///     log_likelihood: log_likelihood.to_vec(), n_tokens: vec![3; 2], ..TextScores::default()
/// };
/// let user = vec![UserIdx(0), UserIdx(1)];
/// let examples = ScoredExamples::new(user, vec![true, false], scores([-1.0, -9.0]), scores([-2.0, -4.0]))?;
/// let check = null(&examples)?;
/// assert_eq!((check.auroc, check.p_value), (1.0, 1.0)); // two users prove nothing
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn null(examples: &ScoredExamples) -> Result<NullCheck, AttackError> {
    let rows = reference_statistics(examples, &TokenMeanLogLikelihood)?;
    let users = rows.aggregated(Aggregate::Mean)?;
    let (held_in, held_out) = split(&users.statistic, &users.held_in);
    let roc = Roc::new(&held_in, &held_out)?;
    let test = mann_whitney(&held_in, &held_out, Alternative::TwoSided)?;
    Ok(NullCheck {
        auroc: roc.auroc(),
        interval: roc.auroc_interval(0.001)?,
        p_value: test.p_value,
        least_p_value: 2.0 * share_of_one_split(held_in.len(), held_out.len()),
    })
}
