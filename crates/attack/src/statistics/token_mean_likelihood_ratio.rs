//! The likelihood ratio, per token.

use userprint_core::Detail;

use crate::{Evidence, Needs, Statistic};

/// How much likelier the target finds the text than the reference does, nats per token.
///
/// `log p_target(x) / T_target - log p_reference(x) / T_reference`, with `T` the tokens that each scores, as the
/// two may tokenise differently.
/// The paper writes [`LikelihoodRatio`](super::LikelihoodRatio); the ranges of its figures are those of this mean.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Sec. 3 and Fig. 2.
#[derive(Clone, Copy, Debug)]
pub struct TokenMeanLikelihoodRatio;

impl Statistic for TokenMeanLikelihoodRatio {
    fn name(&self) -> String {
        "token_mean_likelihood_ratio".to_owned()
    }

    fn needs(&self) -> Needs {
        Needs::both(Detail::Total)
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        Some(evidence.target_token_mean()? - evidence.reference_token_mean()?)
    }
}
