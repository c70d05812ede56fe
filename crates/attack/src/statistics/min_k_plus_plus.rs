//! Min-K%++: the tokens that are least likely for their place.

use userprint_core::{Detail, TextScores};

use super::min_k::mean_of_lowest;
use crate::statistic::{moments_row, token_log_probs};
use crate::{Evidence, Needs, Percent, Statistic};

/// How likely the target finds the tokens that it finds least likely for their place, standard deviations.
///
/// The mean of the `ceil(k n / 100)` lowest `z_t = (log p_target(x_t) - mu_t) / sigma_t` of `n` tokens, with
/// `mu_t` and `sigma_t` mean and standard deviation of `log p_target` over the vocabulary at `t`.
///
/// `sigma_t >= sqrt(p(x_t)) |log p(x_t) - mu_t|`, since the token's own term is part of the variance, so
/// `|z_t| <= 1 / sqrt(p(x_t))`.
/// A stored `sigma_t` below that has been lost to rounding and is replaced by the bound; a token that is as
/// likely as the mean has `z_t = 0`, also where `sigma_t` is 0.
///
/// # Reference
/// Zhang et al., arXiv:2404.02936.
#[derive(Clone, Copy, Debug)]
pub struct MinKPlusPlus {
    /// Which share of the tokens counts.
    pub k: Percent,
}

impl Statistic for MinKPlusPlus {
    fn name(&self) -> String {
        format!("min_k_plus_plus_{}", self.k.get())
    }

    fn needs(&self) -> Needs {
        Needs::target(Detail::Moments)
    }

    fn compute(&self, evidence: &Evidence<'_>) -> Option<f64> {
        min_k_plus_plus(evidence.target, evidence.row, self.k)
    }
}

pub(super) fn min_k_plus_plus(scores: &TextScores, row: usize, k: Percent) -> Option<f64> {
    let tokens = token_log_probs(scores, row)?;
    let means = moments_row(scores, |moments| &moments.mean, row)?;
    let std_devs = moments_row(scores, |moments| &moments.std_dev, row)?;
    let places = tokens.iter().zip(means).zip(std_devs);
    let standardised = places.map(|((&token, &mean), &std_dev)| standardise(token, mean, std_dev));
    mean_of_lowest(standardised.collect(), k)
}

fn standardise(token: f32, mean: f32, std_dev: f32) -> f64 {
    let gap = f64::from(token) - f64::from(mean);
    if gap == 0.0 {
        return 0.0;
    }
    let least = gap.abs() * (f64::from(token) / 2.0).exp();
    gap / f64::from(std_dev).max(least)
}
