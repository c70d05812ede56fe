//! The log-likelihood, per token.

use userprint_core::Detail;

use crate::{Evidence, Needs, Statistic};

/// How likely the target finds the text, nats per token: `log p_target(x) / T`.
///
/// It needs no reference, so it ranks users by how plain their texts are, too.
///
/// # Reference
/// Yeom et al., arXiv:1709.01604.
#[derive(Clone, Copy, Debug)]
pub struct TokenMeanLogLikelihood;

impl Statistic for TokenMeanLogLikelihood {
    fn name(&self) -> String {
        "token_mean_log_likelihood".to_owned()
    }

    fn needs(&self) -> Needs {
        Needs::target(Detail::Total)
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        evidence.target_token_mean()
    }
}
