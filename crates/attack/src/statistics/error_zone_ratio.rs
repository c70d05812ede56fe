//! EZ-MIA: rises against falls where the target is wrong.

use userprint_core::Detail;

use crate::statistic::moments_row;
use crate::{Evidence, Needs, Statistic};

/// What both sums start from, nats.
const PRIOR_NATS: f64 = 0.1;

/// How much fine-tuning raised the tokens that the target still gets wrong, against how much it lowered them.
///
/// `(c + sum delta_t^+) / (c + sum |delta_t^-|)` over the tokens that are not the target's argmax, with
/// `delta_t = log p_target(x_t) - log p_reference(x_t)` and `c = 0.1` nats.
/// `None` where the two models tokenise differently.
///
/// The paper has `c = 0`, and its description and its code disagree about a text without a fall: infinite, or 0.
/// Zero would put the clearest texts below all others, and infinity has no mean; a ratio with a prior is finite,
/// grows with every `delta_t`, is 1 where nothing is known, and goes to the paper's as the sums grow.
/// The prior is small beside the sums of a text of some dozen tokens, and large enough that one text without a
/// fall does not decide a user's mean.
///
/// # Reference
/// EZ-MIA, arXiv:2601.12104.
#[derive(Clone, Copy, Debug)]
pub struct ErrorZoneRatio;

impl Statistic for ErrorZoneRatio {
    fn name(&self) -> String {
        "error_zone_ratio".to_owned()
    }

    fn needs(&self) -> Needs {
        Needs { reference: Some(Detail::Tokens), ..Needs::target(Detail::Moments) }
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        let is_argmax = moments_row(evidence.target, |moments| &moments.is_argmax, evidence.row)?;
        let (mut rise, mut fall) = (PRIOR_NATS, PRIOR_NATS);
        for ((target, reference), _) in evidence.token_pairs()?.zip(is_argmax).filter(|(_, right)| !**right) {
            rise += (target - reference).max(0.0);
            fall += (reference - target).max(0.0);
        }
        Some(rise / fall)
    }
}
