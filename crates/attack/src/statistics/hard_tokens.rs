//! What the target learned of the tokens that the reference finds hardest.

use userprint_core::Detail;

use crate::{Evidence, Needs, Percent, Statistic};

/// By how much the target raised the probability of the tokens that the reference finds least likely.
///
/// The mean of `p_target(x_t) - p_reference(x_t)` over the `ceil(k n / 100)` tokens of `n` with the lowest
/// `p_reference(x_t)`, at least one; among equals those with the lowest `p_target(x_t)`.
/// Probabilities, not logarithms: a token that went from `1e-9` to `1e-6` was not learned.
/// `None` where the two models tokenise differently.
///
/// # Reference
/// Ours; that hard tokens carry the signal is the idea of Min-K%, arXiv:2310.16789.
#[derive(Clone, Copy, Debug)]
pub struct HardTokens {
    /// Which share of the tokens counts.
    pub k: Percent,
}

impl Statistic for HardTokens {
    fn name(&self) -> String {
        format!("hard_tokens_{}", self.k.get())
    }

    fn needs(&self) -> Needs {
        Needs::both(Detail::Tokens)
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        let mut hardest: Vec<(f64, f64)> = evidence.token_pairs()?.collect();
        hardest.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.total_cmp(&b.0)));
        hardest.truncate(self.k.of_at_least_one(hardest.len()));
        let rises = hardest.iter().map(|(target, reference)| target.exp() - reference.exp());
        Some(rises.sum::<f64>() / hardest.len() as f64)
    }
}
