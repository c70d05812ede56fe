//! Min-K%: the least likely tokens alone.

use userprint_core::Detail;

use crate::statistic::token_log_probs;
use crate::{Evidence, Needs, Percent, Statistic};

/// How likely the target finds the tokens that it finds least likely, nats per token.
///
/// The mean of the `ceil(k n / 100)` lowest `log p_target(x_t)` of `n` tokens: at least one.
/// Published code takes the floor, which is none for a short text.
///
/// # Reference
/// Shi et al., arXiv:2310.16789; 20 % is its choice.
#[derive(Clone, Copy, Debug)]
pub struct MinK {
    /// Which share of the tokens counts.
    pub k: Percent,
}

impl Statistic for MinK {
    fn name(&self) -> String {
        format!("min_k_{}", self.k.get())
    }

    fn needs(&self) -> Needs {
        Needs::target(Detail::Tokens)
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        let tokens = token_log_probs(evidence.target, evidence.row)?;
        mean_of_lowest(tokens.iter().map(|&token| f64::from(token)).collect(), self.k)
    }
}

/// Mean of the lowest `k` % of the values, `None` without any.
pub(super) fn mean_of_lowest(mut values: Vec<f64>, k: Percent) -> Option<f64> {
    let n_lowest = k.of_at_least_one(values.len());
    let last = n_lowest.checked_sub(1)?;
    values.select_nth_unstable_by(last, f64::total_cmp);
    let lowest = &mut values[..n_lowest];
    lowest.sort_unstable_by(f64::total_cmp); // so that the order of the tokens does not change the rounding
    Some(lowest.iter().sum::<f64>() / n_lowest as f64)
}
