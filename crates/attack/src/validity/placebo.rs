//! The placebo: the reference attacks itself.

use crate::example_statistics::statistics_with_target;
use crate::result::roc;
use crate::{Aggregate, AttackError, ScoredExamples, TokenMeanLikelihoodRatio};

/// AUROC of the mean token-mean likelihood ratio with the reference in the place of the target.
///
/// All statistics are 0, so it is exactly .5; anything else shows that rows were shifted or scores mixed up on
/// the way that the attack takes, too.
///
/// # Errors
/// Those of [`user_statistics`](crate::user_statistics) and [`evaluate`](crate::evaluate).
///
/// ```
/// use userprint_attack::{ScoredExamples, validity::placebo};
/// use userprint_core::{TextScores, UserIdx};
/// let scores = |log_likelihood: [f64; 2]| TextScores {
///     log_likelihood: log_likelihood.to_vec(), n_tokens: vec![3; 2], ..TextScores::default()
/// };
/// let user = vec![UserIdx(0), UserIdx(1)];
/// let examples = ScoredExamples::new(user, vec![true, false], scores([-1.0, -9.0]), scores([-2.0, -4.0]))?;
/// assert_eq!(placebo(&examples)?, 0.5);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn placebo(examples: &ScoredExamples) -> Result<f64, AttackError> {
    let reference = examples.reference();
    let rows = statistics_with_target(examples, reference, &TokenMeanLikelihoodRatio)?;
    let users = rows.aggregated(Aggregate::Mean)?;
    Ok(roc(&users)?.auroc())
}
