//! The blind baseline: a classifier that sees texts and no model.

use rand::seq::SliceRandom;
use userprint_core::Seed;
use userprint_stats::{Roc, permutation_p_value};

use super::{Finding, check_permutations, least_permutation_p_value};
use crate::AttackError;
use crate::result::split;

/// Whether the texts alone tell held-in from held-out users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlindCheck {
    /// AUROC of the classifier at the real labels.
    pub auroc: f64,
    /// Chance of an AUROC as high at shuffled labels.
    pub p_value: f64,
    /// The least p-value that so many users and permutations can have.
    pub least_p_value: f64,
}

impl BlindCheck {
    pub(super) fn finding(&self) -> Finding {
        let reason = format!(
            "a classifier that sees no model tells held-in from held-out users: AUROC {:.3}",
            self.auroc
        );
        Finding::Tested { p_value: self.p_value, least_p_value: self.least_p_value, reason }
    }
}

/// Tests by permuting users whether a classifier that sees no model does better than chance.
///
/// `classify` gives one score a user, higher for held-in, from a classifier fitted to the labels that it is given;
/// a user's score comes from a fit without that user (cross-fitting, whole users held out).
/// It runs once for the real labels and once for each permutation.
/// `p = (1 + #{permuted AUROC >= observed}) / (1 + permutations)`.
///
/// # Errors
/// [`AttackError::TooFewPermutations`] below 1000, [`AttackError::BlindScores`] if `classify` gives another number
/// of scores than users, [`AttackError::Stats`] if a side is empty or a score not finite.
///
/// # Reference
/// Das et al., arXiv:2406.16201; the p-value is Phipson & Smyth's, 2010.
/// ```
/// use userprint_attack::validity::blind;
/// use userprint_core::Seed;
/// // The texts of the first half carry a date, so a classifier finds them whatever it is told.
/// let held_in: Vec<bool> = (0..40).map(|user| user < 20).collect();
/// let dates = |_: &[bool]| (0..40).map(|user| f64::from(user < 20)).collect();
/// let check = blind(&held_in, &dates, 1000, Seed(7))?;
/// assert!(check.auroc == 1.0 && check.p_value < 0.001);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn blind(
    held_in: &[bool],
    classify: &(dyn Fn(&[bool]) -> Vec<f64> + Sync),
    permutations: u32,
    seed: Seed,
) -> Result<BlindCheck, AttackError> {
    check_permutations(permutations)?;
    let auroc_of = |labels: &[bool]| {
        let scores = classify(labels);
        if scores.len() != labels.len() {
            return Err(AttackError::BlindScores { found: scores.len(), expected: labels.len() });
        }
        let (held_in, held_out) = split(&scores, labels);
        Ok(Roc::new(&held_in, &held_out)?.auroc())
    };
    let auroc = auroc_of(held_in)?;
    let stream = seed.named("blind");
    let permuted = (0..permutations).map(|permutation| {
        let mut labels = held_in.to_vec();
        labels.shuffle(&mut stream.indexed(u64::from(permutation)).rng());
        auroc_of(&labels)
    });
    let p_value = permutation_p_value(auroc, &permuted.collect::<Result<Vec<_>, _>>()?)?;
    Ok(BlindCheck { auroc, p_value, least_p_value: least_permutation_p_value(held_in, permutations) })
}
