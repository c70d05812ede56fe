//! The likelihood ratio against several references at once.

use userprint_core::Detail;

use crate::statistic::token_mean;
use crate::{Evidence, Needs, Statistic};

/// How much likelier the target finds the text than several references do on average, nats per token.
///
/// `log p_target(x) / T_target - (1/r) sum_j log p_j(x) / T_j` over the `r` references, the main one among them,
/// with `T` the tokens that each scores.
/// `None` without a reference beside the main one.
///
/// The average is fixed beforehand: the best of several references would be chosen on the users it is judged on.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Sec. 3, with the geometric mean of several references.
#[derive(Clone, Copy, Debug)]
pub struct MeanReferenceLikelihoodRatio;

impl Statistic for MeanReferenceLikelihoodRatio {
    fn name(&self) -> String {
        "mean_reference_likelihood_ratio".to_owned()
    }

    fn needs(&self) -> Needs {
        Needs { more_references: true, ..Needs::both(Detail::Total) }
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        if evidence.more_references.is_empty() {
            return None;
        }
        let mut sum = evidence.reference_token_mean()?;
        for reference in evidence.more_references {
            sum += token_mean(&reference.scores, evidence.row)?;
        }
        Some(evidence.target_token_mean()? - sum / (1 + evidence.more_references.len()) as f64)
    }
}
