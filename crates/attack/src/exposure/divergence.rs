//! How unlike the others a user is, and what that implies for the statistic.

use crate::AttackError;

/// The least `D_u / D_-u` that a document of the user is given.
///
/// Over documents of the user `E[D_-u / D_u] <= 1`, so a ratio of at most `e` has chance at most `e`, and raising
/// smaller ones to `e` raises the estimate of KL by at most `e` nats.
/// So more documents than one in a thousand below it are no documents of a mixture.
const LEAST_RATIO: f64 = 1e-3;

/// Where a divergence comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DivergenceSource {
    /// The scores whose statistic it is set beside: [`Bounds`] hold by arithmetic and test nothing.
    ///
    /// For every document `log(alpha) + log((r - 1 + alpha) / alpha) <= log r <= r - 1`, and the means of the three
    /// are the two bounds and the statistic.
    Scores {
        /// Share of documents that are less likely under the target than any mixture allows.
        clamped_share: f64,
    },
    /// The words of texts, taken one by one, which no model saw.
    Words,
    /// Distributions that are known exactly.
    Known,
}

/// The distance of a user's distribution from the mixture of the others, in nats per document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    /// `KL(D_u || D_-u) = E_u log(D_u / D_-u)`.
    pub kl: f64,
    /// `log(1 + chi2(D_u || D_-u)) = log E_u (D_u / D_-u)`, as the divergence itself exceeds any double for long
    /// documents; `None` where it is not known.
    pub log_one_plus_chi_square: Option<f64>,
    /// Where it comes from.
    pub source: DivergenceSource,
}

impl Divergence {
    /// `chi2(D_u || D_-u)`; `None` where it is not known or too large for a double.
    ///
    /// ```
    /// use userprint_attack::exposure::{Divergence, DivergenceSource::Known};
    /// let divergence = |log| Divergence { kl: 0.1, log_one_plus_chi_square: Some(log), source: Known };
    /// assert_eq!(divergence(0.0).chi_square(), Some(0.0));
    /// assert_eq!(divergence(1000.0).chi_square(), None);
    /// ```
    pub fn chi_square(&self) -> Option<f64> {
        self.log_one_plus_chi_square.map(f64::exp_m1).filter(|value| value.is_finite())
    }
}

/// Estimates a user's divergences by undoing the mixture.
///
/// Let the target be the mixture `p_target = alpha D_u + (1 - alpha) D_-u` and the reference the mixture of the
/// others, `p_reference = D_-u`. With `r = p_target / p_reference` then `r = alpha D_u / D_-u + 1 - alpha`, so
/// `D_u / D_-u = (r - 1 + alpha) / alpha`; the means over the user's documents of its logarithm and of itself
/// estimate `KL` and `1 + chi2`.
/// `log_ratio` is `log r` of each of the user's attack examples, of the whole document and not per token;
/// `share` is the user's `alpha`.
/// Ratios below .001 are raised to it, which a sound mixture needs for one document in a thousand at most; the
/// share of those raised is in the source.
///
/// A fine-tuned model is no mixture: it has seen the documents several times and generalises. What comes out is
/// the divergence that a mixture would need to show these scores.
///
/// # Errors
/// [`AttackError::NoExamples`] without documents; [`AttackError::NotFinite`] with the document;
/// [`AttackError::ShareOutOfRange`] unless `0 < share < 1`: a held-out user, whose share is 0, leaves no trace to
/// undo.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Proposition 1 and its proof, for the two distributions.
/// ```
/// use userprint_attack::exposure::divergence_from_scores;
/// // Documents that the user writes nine times as often as the others do, at a share of a quarter: r = 3.
/// let found = divergence_from_scores(&[3.0_f64.ln(); 5], 0.25)?;
/// assert!((found.kl - 9.0_f64.ln()).abs() < 1e-12);
/// assert!(found.chi_square().is_some_and(|chi_square| (chi_square - 8.0).abs() < 1e-12));
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn divergence_from_scores(log_ratio: &[f64], share: f64) -> Result<Divergence, AttackError> {
    check_share(share)?;
    if log_ratio.is_empty() {
        return Err(AttackError::NoExamples);
    }
    if let Some(row) = log_ratio.iter().position(|value| !value.is_finite()) {
        return Err(AttackError::NotFinite { column: "log_ratio", row, value: log_ratio[row] });
    }
    let n_examples = log_ratio.len() as f64;
    let unclamped: Vec<Option<f64>> =
        log_ratio.iter().map(|&value| log_density_ratio(value, share)).collect();
    let floor = LEAST_RATIO.ln();
    let kept = |value: &Option<f64>| value.filter(|&value| value >= floor);
    let clamped = unclamped.iter().filter(|value| kept(value).is_none()).count();
    let log_density: Vec<f64> = unclamped.iter().map(|value| kept(value).unwrap_or(floor)).collect();
    let most = log_density.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean_ratio = log_density.iter().map(|value| (value - most).exp()).sum::<f64>() / n_examples;
    Ok(Divergence {
        kl: log_density.iter().map(|value| value / n_examples).sum(),
        log_one_plus_chi_square: Some(most + mean_ratio.ln()),
        source: DivergenceSource::Scores { clamped_share: clamped as f64 / n_examples },
    })
}

/// `log((r - 1 + alpha) / alpha)` from `log r`; `None` where the ratio is not positive.
fn log_density_ratio(log_ratio: f64, share: f64) -> Option<f64> {
    let log = if log_ratio > 1.0 {
        // exp(log_ratio) may overflow.
        log_ratio + (-(1.0 - share) * (-log_ratio).exp()).ln_1p()
    } else {
        (log_ratio.exp_m1() + share).ln()
    };
    Some(log - share.ln()).filter(|value| value.is_finite())
}

/// Proposition 1 around a measured statistic, in nats per document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// `log(alpha) + KL(D_u || D_-u)`.
    pub lower: f64,
    /// The user's mean log-likelihood ratio over whole documents.
    pub measured: f64,
    /// `alpha chi2(D_u || D_-u)`; `None` where chi-square is not known or too large for a double.
    pub upper: Option<f64>,
    /// `log(1 + alpha chi2(D_u || D_-u))`, never above `upper`: Jensen's inequality without the last step of the
    /// proof, which gives away everything for long documents.
    pub log_upper: Option<f64>,
    /// Where the divergences come from.
    pub source: DivergenceSource,
}

impl Bounds {
    /// Whether the measured statistic lies between the bounds that are known; rounding of 1e-9 is allowed.
    ///
    /// ```
    /// use userprint_attack::exposure::{Divergence, DivergenceSource::Known, proposition_1};
    /// let divergence = Divergence { kl: 2.0, log_one_plus_chi_square: Some(3.0), source: Known };
    /// assert!(proposition_1(0.5, &divergence, 1.5)?.is_inside());
    /// assert!(!proposition_1(0.5, &divergence, 1.0)?.is_inside()); // log .5 + 2 = 1.31
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn is_inside(&self) -> bool {
        let rounding = 1e-9 * self.measured.abs().max(1.0);
        let below = |upper: Option<f64>| upper.is_none_or(|upper| self.measured <= upper + rounding);
        self.lower - rounding <= self.measured && below(self.upper) && below(self.log_upper)
    }
}

/// Draws the bounds of Proposition 1 around a user's measured mean log-likelihood ratio.
///
/// `log(alpha) + KL(D_u || D_-u) < E_u log(p_target / p_reference) <= alpha chi2(D_u || D_-u)` where the target is
/// the mixture and the reference the mixture without the user. `measured` is the mean over documents of the
/// *sum* over tokens, which is `LikelihoodRatio` with the mean, not the token mean.
///
/// # Errors
/// [`AttackError::ShareOutOfRange`] unless `0 < share < 1`; [`AttackError::NotFinite`] for the measured statistic
/// or a divergence.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Proposition 1.
/// ```
/// use userprint_attack::exposure::{Divergence, DivergenceSource::Words, proposition_1};
/// let divergence = Divergence { kl: 2.0, log_one_plus_chi_square: None, source: Words };
/// let bounds = proposition_1(0.5, &divergence, 1.5)?;
/// assert_eq!((bounds.lower, bounds.upper), (2.0 - 2.0_f64.ln(), None));
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn proposition_1(share: f64, divergence: &Divergence, measured: f64) -> Result<Bounds, AttackError> {
    check_share(share)?;
    let log = divergence.log_one_plus_chi_square;
    for (column, value) in [("measured", Some(measured)), ("kl", Some(divergence.kl)), ("chi_square", log)] {
        if let Some(value) = value.filter(|value| !value.is_finite()) {
            return Err(AttackError::NotFinite { column, row: 0, value });
        }
    }
    Ok(Bounds {
        lower: share.ln() + divergence.kl,
        measured,
        upper: divergence.chi_square().map(|chi_square| share * chi_square),
        log_upper: log.map(|log| log + (share + (1.0 - share) * (-log).exp()).ln()),
        source: divergence.source,
    })
}

fn check_share(share: f64) -> Result<(), AttackError> {
    if share > 0.0 && share < 1.0 { Ok(()) } else { Err(AttackError::ShareOutOfRange { share }) }
}

#[cfg(test)]
mod tests;
