//! The log-likelihood, summed.

use userprint_core::Detail;

use crate::{Evidence, Needs, Statistic};

/// How likely the target finds the text, nats: `log p_target(x)`.
///
/// It needs no reference, so it ranks users by how plain and how short their texts are, too.
///
/// # Reference
/// Yeom et al., arXiv:1709.01604.
#[derive(Clone, Copy, Debug)]
pub struct LogLikelihood;

impl Statistic for LogLikelihood {
    fn name(&self) -> String {
        "log_likelihood".to_owned()
    }

    fn needs(&self) -> Needs {
        Needs::target(Detail::Total)
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        evidence.target_log_likelihood()
    }
}
