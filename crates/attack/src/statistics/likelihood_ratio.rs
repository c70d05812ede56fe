//! The likelihood ratio, summed.

use userprint_core::Detail;

use crate::{Evidence, Needs, Statistic};

/// How much likelier the target finds the text than the reference does, nats.
///
/// `log p_target(x) - log p_reference(x)`, each summed over its own tokens: the formula of the paper.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Sec. 3.
#[derive(Clone, Copy, Debug)]
pub struct LikelihoodRatio;

impl Statistic for LikelihoodRatio {
    fn name(&self) -> String {
        "likelihood_ratio".to_owned()
    }

    fn needs(&self) -> Needs {
        Needs::both(Detail::Total)
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        Some(evidence.target_log_likelihood()? - evidence.reference_log_likelihood()?)
    }
}
