//! DeLong's variance: how much an AUROC varies, from the same users' placements.

use crate::column::{check_column, check_length};
use crate::normal::{two_sided_quantile, upper_tail};
use crate::placement::{Placement, place, place_sorted};
use crate::roc::{check_sizes, check_two_a_side};
use crate::{Interval, Roc, StatsError};

/// Two AUROCs of the same users, compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedAuroc {
    /// AUROC of the first statistic.
    pub first: f64,
    /// AUROC of the second statistic.
    pub second: f64,
    /// `first - second`.
    pub difference: f64,
    /// Where the difference lies at the significance that was asked.
    pub interval: Interval,
    /// Chance of a difference at least as far from 0 if the two AUROCs are equal.
    pub p_value: f64,
}

impl Roc {
    /// DeLong's variance of [`Roc::auroc`].
    ///
    /// `S_in / n + S_out / m`, the sample variances of the placements: the share of the other side that a held-in value
    /// outranks, and that outranks a held-out value. `O(n + m)` after the sort.
    /// It is 0 where the sides are separated completely.
    ///
    /// # Errors
    /// [`StatsError::TooFewValues`] below 2 a side.
    ///
    /// # Reference
    /// DeLong, DeLong & Clarke-Pearson, Biometrics 44(3), 1988; in mid-ranks Sun & Xu, IEEE Signal Processing Letters
    /// 21(11), 2014.
    /// ```
    /// let roc = userprint_stats::Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0])?;
    /// assert!((roc.delong_variance()? - 23.0 / 384.0).abs() < 1e-15);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn delong_variance(&self) -> Result<f64, StatsError> {
        Ok(self.influences()?.variance())
    }

    /// Wald's interval from DeLong's variance on the scale of log-odds.
    ///
    /// `logit(A) ± z sqrt(V) / (A (1 - A))`, `V` being [`Roc::delong_variance`].
    /// It stays within 0 and 1, and covers better than `A ± z sqrt(V)` where the AUROC is high.
    ///
    /// # Errors
    /// [`StatsError::TooFewValues`] below 2 a side, [`StatsError::NoVariance`] where the sides are separated completely or
    /// all values tied, [`StatsError::SignificanceOutOfRange`].
    ///
    /// # Reference
    /// Qin & Hotilovac, Statistical Methods in Medical Research 17(2), 2008 (the comparison of scales).
    /// ```
    /// let roc = userprint_stats::Roc::new(&[0.0, 4.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 5.0])?;
    /// let interval = roc.logit_delong_interval(0.05)?;
    /// assert!((interval.lower - 0.191).abs() < 1e-3 && (interval.upper - 0.954).abs() < 1e-3);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn logit_delong_interval(&self, significance: f64) -> Result<Interval, StatsError> {
        let z = two_sided_quantile(significance)?;
        let (auroc, variance) = (self.auroc(), self.delong_variance()?);
        if variance == 0.0 {
            return Err(StatsError::NoVariance);
        }
        let centre = (auroc / (1.0 - auroc)).ln();
        let reach = z * variance.sqrt() / (auroc * (1.0 - auroc));
        let back = |log_odds: f64| 1.0 / (1.0 + (-log_odds).exp());
        Ok(Interval { lower: back(centre - reach), upper: back(centre + reach) })
    }

    /// What each user contributes to the AUROC.
    pub(crate) fn influences(&self) -> Result<Influences, StatsError> {
        let (held_in, held_out) = self.sorted_sides();
        Influences::new(&place_sorted(held_in, held_out), &place_sorted(held_out, held_in))
    }
}

/// Compares two statistics of the same users by their AUROCs.
///
/// The variance of the difference is that of the differences of placements, `S_in / n + S_out / m`;
/// interval and p-value take it as normal.
///
/// # Errors
/// [`StatsError::EmptyColumn`], [`StatsError::NotFiniteInColumn`], [`StatsError::ColumnLength`] where `second` or `held_in`
/// has not the length of `first`, [`StatsError::EmptySide`], [`StatsError::TooManyValues`], [`StatsError::TooFewValues`] with
/// one user on a side, [`StatsError::NoVariance`] where all
/// differences of placements are alike, as for two statistics of one order, [`StatsError::SignificanceOutOfRange`].
///
/// # Reference
/// DeLong, DeLong & Clarke-Pearson, Biometrics 44(3), 1988, equations 4 to 8.
/// ```
/// let held_in = [true, true, true, true, false, false, false, false];
/// let first = [0.0, 4.0, 6.0, 7.0, 1.0, 2.0, 3.0, 5.0];
/// let second = [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 4.0, 5.0];
/// let paired = userprint_stats::paired_delong(&first, &second, &held_in, 0.05)?;
/// assert_eq!((paired.first, paired.second), (11.0 / 16.0, 0.5));
/// assert!(paired.interval.contains(paired.difference) && paired.p_value > 0.05);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn paired_delong(
    first: &[f64],
    second: &[f64],
    held_in: &[bool],
    significance: f64,
) -> Result<PairedAuroc, StatsError> {
    let z = two_sided_quantile(significance)?;
    let sides = check_paired(first, second, held_in)?;
    let [of_first, of_second] = sides.influences()?;
    let variance = of_first.minus(&of_second).variance();
    if variance == 0.0 {
        return Err(StatsError::NoVariance);
    }
    let difference = of_first.auroc - of_second.auroc;
    let error = variance.sqrt();
    Ok(PairedAuroc {
        first: of_first.auroc,
        second: of_second.auroc,
        difference,
        interval: Interval {
            lower: (difference - z * error).max(-1.0),
            upper: (difference + z * error).min(1.0),
        },
        p_value: 2.0 * upper_tail(difference.abs() / error),
    })
}

/// Two statistics, each by side, users of a side in one order.
#[derive(Debug)]
pub(crate) struct PairedSides {
    pub(crate) held_in: [Vec<f64>; 2],
    pub(crate) held_out: [Vec<f64>; 2],
}

impl PairedSides {
    pub(crate) fn influences(&self) -> Result<[Influences; 2], StatsError> {
        let of = |which: usize| {
            let (held_in, held_out) = (&self.held_in[which], &self.held_out[which]);
            Influences::new(&place(held_in, held_out), &place(held_out, held_in))
        };
        Ok([of(0)?, of(1)?])
    }
}

pub(crate) fn check_paired(
    first: &[f64],
    second: &[f64],
    held_in: &[bool],
) -> Result<PairedSides, StatsError> {
    check_column("first", first)?;
    check_column("second", second)?;
    check_length("second", second.len(), first.len())?;
    check_length("held_in", held_in.len(), first.len())?;
    let side = |values: &[f64], wanted: bool| -> Vec<f64> {
        values.iter().zip(held_in).filter(|row| *row.1 == wanted).map(|row| *row.0 + 0.0).collect()
    };
    let sides = PairedSides {
        held_in: [side(first, true), side(second, true)],
        held_out: [side(first, false), side(second, false)],
    };
    check_sizes(sides.held_in[0].len(), sides.held_out[0].len())?;
    Ok(sides)
}

/// What each user adds to an AUROC beyond the mean: `n` times what leaving it out would take away.
///
/// In units of half a pair, `1 / (2 n m)`: whole numbers, exact up to 10^15 pairs, so that what is alike is 0 when it is
/// subtracted.
#[derive(Debug)]
pub(crate) struct Influences {
    pub(crate) auroc: f64,
    pub(crate) held_in: Vec<f64>,
    pub(crate) held_out: Vec<f64>,
}

impl Influences {
    pub(crate) fn new(of_held_in: &[Placement], of_held_out: &[Placement]) -> Result<Self, StatsError> {
        let (n, m) = (of_held_in.len(), of_held_out.len());
        check_two_a_side(n, m)?;
        let (n, m) = (n as i128, m as i128);
        let twice_won: i128 = of_held_in.iter().map(|placement| placement.twice()).sum();
        let less_mean = |twice: i128, size: i128| (size * twice - twice_won) as f64;
        Ok(Self {
            auroc: twice_won as f64 / 2.0 / (n * m) as f64,
            held_in: of_held_in.iter().map(|placement| less_mean(placement.twice(), n)).collect(),
            held_out: of_held_out.iter().map(|placement| less_mean(2 * n - placement.twice(), m)).collect(),
        })
    }

    /// Of the difference of two AUROCs.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        Self {
            auroc: self.auroc - other.auroc,
            held_in: minus(&self.held_in, &other.held_in),
            held_out: minus(&self.held_out, &other.held_out),
        }
    }

    fn variance(&self) -> f64 {
        self.variances().iter().sum()
    }

    /// What either side contributes to the variance.
    pub(crate) fn variances(&self) -> [f64; 2] {
        let half_pairs = 2.0 * self.held_in.len() as f64 * self.held_out.len() as f64;
        [&self.held_in, &self.held_out].map(|side| variance_of_mean(side) / half_pairs / half_pairs)
    }
}

/// The variance of the mean of numbers whose mean is 0.
fn variance_of_mean(centred: &[f64]) -> f64 {
    let n = centred.len() as f64;
    centred.iter().map(|value| value * value).sum::<f64>() / (n - 1.0) / n
}

#[cfg(test)]
mod tests;
