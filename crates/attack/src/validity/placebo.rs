//! The placebo: the reference attacks itself.

use crate::result::roc;
use crate::{Aggregate, AttackError, ScoredExamples, Statistic, TokenMeanLikelihoodRatio, user_statistics};

/// AUROC of an attack on examples whose target scores are the reference's.
///
/// `examples` are put together as those of the attack are, by the same code from the same files, but for the
/// reference's table in the place of the target's.
/// A statistic that compares the two models is then the same number for every example, and an aggregate that
/// depends on nothing else gives every user the same, so that the AUROC is exactly .5.
/// Anything else shows that rows were shifted or tables mixed up on the way that the attack takes, too, or that the
/// aggregate tells users apart by something else than their scores, such as their number of examples.
///
/// A statistic that looks at the target alone, or at further references, is no constant here;
/// [`TokenMeanLikelihoodRatio`] then takes its place.
///
/// # Errors
/// Those of [`user_statistics`] and [`evaluate`](crate::evaluate).
///
/// ```
/// use userprint_attack::{Aggregate, LikelihoodRatio, ScoredExamples, validity::placebo};
/// use userprint_core::{TextScores, UserIdx};
/// let user: Vec<UserIdx> = [0, 0, 1].map(UserIdx).to_vec();
/// let reference = TextScores {
///     log_likelihood: vec![-2.0, -4.0, -3.0], n_tokens: vec![3; 3], ..TextScores::default()
/// };
/// let examples = ScoredExamples::new(user, vec![true, true, false], reference.clone(), reference)?;
/// assert_eq!(placebo(&examples, &LikelihoodRatio, Aggregate::Mean)?, 0.5);
/// // Two examples sum to more than one: this aggregate finds the sides without any model.
/// assert_eq!(placebo(&examples, &LikelihoodRatio, Aggregate::LogSumExp)?, 1.0);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn placebo(
    examples: &ScoredExamples,
    statistic: &dyn Statistic,
    aggregate: Aggregate,
) -> Result<f64, AttackError> {
    let needs = statistic.needs();
    let compares = needs.reference.is_some() && !needs.more_references;
    let statistic = if compares { statistic } else { &TokenMeanLikelihoodRatio };
    Ok(roc(&user_statistics(examples, statistic, aggregate)?)?.auroc())
}
