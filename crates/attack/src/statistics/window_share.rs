//! WBC: in how many windows of a text the target is the likelier.

use userprint_core::Detail;

use crate::{Evidence, Needs, Statistic};

/// Lengths of the windows, tokens.
const LENGTHS: [usize; 10] = [2, 3, 4, 6, 9, 13, 18, 25, 32, 40];

/// In which share of its windows the target finds the text likelier than the reference does.
///
/// `(1/10) sum_w #{windows of w tokens with sum delta_t > 0} / (n - w + 1)`, with
/// `delta_t = log p_target(x_t) - log p_reference(x_t)` and `w` 2, 3, 4, 6, 9, 13, 18, 25, 32, 40 tokens.
/// A length above the text's `n` counts as `n`: one window, the whole text.
/// `None` where the two models tokenise differently.
///
/// # Reference
/// WBC, arXiv:2601.02751.
#[derive(Clone, Copy, Debug)]
pub struct WindowShare;

impl Statistic for WindowShare {
    fn name(&self) -> String {
        "window_share".to_owned()
    }

    fn needs(&self) -> Needs {
        Needs::both(Detail::Tokens)
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        let pairs = evidence.token_pairs()?;
        let mut sum_to = vec![0.0];
        for (position, (target, reference)) in pairs.enumerate() {
            sum_to.push(sum_to[position] + (target - reference));
        }
        let n_tokens = sum_to.len() - 1;
        let share = |length: usize| {
            let length = length.min(n_tokens);
            let ends = sum_to.iter().zip(&sum_to[length..]);
            ends.filter(|(before, after)| after > before).count() as f64 / (n_tokens - length + 1) as f64
        };
        Some(LENGTHS.into_iter().map(share).sum::<f64>() / LENGTHS.len() as f64)
    }
}
