//! Contrasts: sums of AUROCs of several attacks and training runs, whose users are often the same.

use std::collections::BTreeMap;

use crate::delong::Influences;
use crate::interval::check_significance;
use crate::normal::{quantile, two_sided_quantile, upper_tail};
use crate::placement::place;
use crate::pooled::check_strata;
use crate::{Interval, StatsError, Stratum};

/// One attack in a contrast: how often its pooled AUROC counts, and its training runs.
#[derive(Clone, Debug)]
pub struct Term {
    /// What its AUROC is multiplied with.
    pub factor: f64,
    /// Its training runs, users numbered alike in all terms.
    pub strata: Vec<Stratum>,
}

/// A sum of AUROCs and how much it varies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrast {
    /// The sum.
    pub estimate: f64,
    /// Its standard error over users.
    pub standard_error: f64,
    /// Distinct users behind it.
    pub n_users: usize,
}

/// `constant + sum_k factor_k AUROC_k`, each AUROC pooled as [`pooled_auroc`](crate::pooled_auroc) has it.
///
/// A user's influences, DeLong's in each run, are added up over all terms and runs before they are squared, so that it does
/// not matter whether attacks share all, some or no users. For two attacks in one run it is
/// [`paired_delong`](crate::paired_delong). Users are taken as drawn independently of each other.
///
/// # Errors
/// Those of [`pooled_auroc`](crate::pooled_auroc); [`StatsError::TooFewValues`] where a run has one user on a side;
/// [`StatsError::NoVariance`] where the sum is the same without any one user.
///
/// # Reference
/// DeLong, DeLong & Clarke-Pearson, Biometrics 44(3), 1988; sums over clusters as Obuchowski, Biometrics 53(2), 1997.
/// ```
/// use userprint_stats::{Stratum, contrast::{Term, contrast}};
/// let run = |statistic: [f64; 8]| vec![Stratum {
///     user: (0..8).collect(),
///     held_in: vec![true, true, true, true, false, false, false, false],
///     statistic: statistic.to_vec(),
/// }];
/// let first = Term { factor: 1.0, strata: run([0.0, 4.0, 6.0, 7.0, 1.0, 2.0, 3.0, 5.0]) };
/// let second = Term { factor: -1.0, strata: run([0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 4.0, 5.0]) };
/// let difference = contrast(&[first, second], 0.0)?;
/// assert!((difference.estimate - 3.0 / 16.0).abs() < 1e-12 && difference.above(0.0) > 0.05);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn contrast(terms: &[Term], constant: f64) -> Result<Contrast, StatsError> {
    let mut influence: BTreeMap<u32, Sum> = BTreeMap::new();
    let mut estimate = Sum::default();
    estimate.add(constant);
    for Term { factor, strata } in terms {
        check_strata(strata)?;
        let runs = strata.iter().map(Run::new).collect::<Result<Vec<_>, _>>()?;
        let n_pairs: f64 = runs.iter().map(|run| run.n_pairs).sum();
        for run in &runs {
            let weight = factor * run.n_pairs / n_pairs;
            estimate.add(weight * run.auroc);
            for (user, own) in &run.influence {
                influence.entry(*user).or_default().add(weight * own);
            }
        }
    }
    let variance: f64 = influence.values().map(|own| own.value() * own.value()).sum();
    if variance == 0.0 {
        return Err(StatsError::NoVariance);
    }
    Ok(Contrast { estimate: estimate.value(), standard_error: variance.sqrt(), n_users: influence.len() })
}

/// A sum whose rounding is known: attacks that are alike cancel to 0.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    sum: f64,
    size: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.size += value.abs();
    }

    fn value(self) -> f64 {
        if self.sum.abs() <= 1e-12 * self.size { 0.0 } else { self.sum }
    }
}

impl Contrast {
    /// Chance of so large an estimate, or a larger one, if the sum were `value`.
    pub fn above(&self, value: f64) -> f64 {
        upper_tail((self.estimate - value) / self.standard_error)
    }

    /// Chance of so small an estimate, or a smaller one, if the sum were `value`.
    pub fn below(&self, value: f64) -> f64 {
        upper_tail((value - self.estimate) / self.standard_error)
    }

    /// p-value of two one-sided tests: the sum is within `margin` of 0.
    ///
    /// # Reference
    /// Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15(6), 1987.
    pub fn within(&self, margin: f64) -> f64 {
        self.above(-margin).max(self.below(margin))
    }

    /// Where the sum lies.
    ///
    /// # Errors
    /// [`StatsError::SignificanceOutOfRange`].
    pub fn interval(&self, significance: f64) -> Result<Interval, StatsError> {
        let reach = two_sided_quantile(significance)? * self.standard_error;
        Ok(Interval { lower: self.estimate - reach, upper: self.estimate + reach })
    }

    /// How many users would show the sum to be a given distance from where a one-sided test looks, with this chance.
    ///
    /// The error is taken to shrink with the root of the number of users, who are like those at hand.
    /// `None` where the distance is 0 or less.
    ///
    /// # Errors
    /// [`StatsError::SignificanceOutOfRange`].
    pub fn users_for(&self, distance: f64, significance: f64, power: f64) -> Result<Option<u64>, StatsError> {
        check_significance(significance)?;
        check_significance(power)?;
        if distance <= 0.0 {
            return Ok(None);
        }
        let reach = (quantile(1.0 - significance) + quantile(power)) * self.standard_error / distance;
        Ok(Some((self.n_users as f64 * reach * reach).ceil() as u64))
    }
}

/// One training run: its AUROC, and how much each user sways it.
struct Run {
    auroc: f64,
    n_pairs: f64,
    influence: Vec<(u32, f64)>,
}

impl Run {
    fn new(stratum: &Stratum) -> Result<Self, StatsError> {
        let rows = || stratum.user.iter().zip(&stratum.held_in).zip(&stratum.statistic);
        let side = |wanted: bool| -> (Vec<u32>, Vec<f64>) {
            rows()
                .filter(|((_, held_in), _)| **held_in == wanted)
                .map(|((user, _), value)| (*user, value + 0.0))
                .unzip()
        };
        let ((users_in, held_in), (users_out, held_out)) = (side(true), side(false));
        let of = Influences::new(&place(&held_in, &held_out), &place(&held_out, &held_in))?;
        let n_pairs = held_in.len() as f64 * held_out.len() as f64;
        let scaled = |users: Vec<u32>, influences: &[f64]| {
            let n = users.len() as f64;
            // So that the squares add up to the variance of a mean.
            let scale = 1.0 / (2.0 * n_pairs * (n * (n - 1.0)).sqrt());
            users.into_iter().zip(influences.iter().map(move |own| own * scale)).collect::<Vec<_>>()
        };
        let mut influence = scaled(users_in, &of.held_in);
        influence.extend(scaled(users_out, &of.held_out));
        Ok(Self { auroc: of.auroc, n_pairs, influence })
    }
}

#[cfg(test)]
mod tests;
