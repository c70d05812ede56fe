//! The null: a model that was trained on neither side.

use userprint_stats::Interval;

use crate::example_statistics::statistics_with_target;
use crate::result::roc;
use crate::{Aggregate, AttackError, ScoredExamples, TokenMeanLogLikelihood};

/// Whether the reference alone tells held-in from held-out users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NullCheck {
    /// AUROC of the reference's mean token-mean log-likelihood.
    pub auroc: f64,
    /// Its 99.9 % score interval.
    pub interval: Interval,
    /// Whether the interval excludes .5: held-in and held-out users were drawn differently.
    pub void: bool,
}

/// Attacks the reference as if it were the target, without a reference.
///
/// It was trained on neither side, so an AUROC away from .5 comes from the split and not from fine-tuning.
/// A valid split is called void with chance about .001.
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
/// assert!(check.auroc == 1.0 && !check.void); // two users prove nothing
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn null(examples: &ScoredExamples) -> Result<NullCheck, AttackError> {
    let reference = examples.reference();
    let rows = statistics_with_target(examples, reference, &TokenMeanLogLikelihood)?;
    let users = rows.aggregated(Aggregate::Mean)?;
    let roc = roc(&users)?;
    let interval = roc.auroc_interval(0.001)?;
    Ok(NullCheck { auroc: roc.auroc(), interval, void: !interval.contains(0.5) })
}
