//! Min-K%++ under the target minus the same under the reference.

use userprint_core::Detail;

use super::min_k_plus_plus::min_k_plus_plus;
use crate::{Evidence, Needs, Percent, Statistic};

/// How much likelier the target finds its least likely tokens than the reference finds its own.
///
/// [`MinKPlusPlus`](super::MinKPlusPlus) of the target minus that of the reference.
/// Each takes the lowest of its own tokens, so the two may tokenise differently.
///
/// # Reference
/// Zhang et al., arXiv:2404.02936, calibrated as in Kandpal et al., arXiv:2310.09266, Sec. 3.
#[derive(Clone, Copy, Debug)]
pub struct CalibratedMinKPlusPlus {
    /// Which share of the tokens counts.
    pub k: Percent,
}

impl Statistic for CalibratedMinKPlusPlus {
    fn name(&self) -> String {
        format!("calibrated_min_k_plus_plus_{}", self.k.get())
    }

    fn needs(&self) -> Needs {
        Needs::both(Detail::Moments)
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        let of = |scores| min_k_plus_plus(scores, evidence.row, self.k);
        Some(of(evidence.target)? - of(evidence.reference?)?)
    }
}
