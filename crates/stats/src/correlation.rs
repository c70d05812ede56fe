//! Rank correlation: whether a property of users goes with their statistic.

use crate::column::{check_column, check_length};
use crate::levels::Levels;
use crate::normal::two_sided_quantile;
use crate::student::upper_tail;
use crate::{Interval, StatsError};

/// The most rows whose orders are all tried for the p-value: 8! = 40 320.
const MAX_EXACT: usize = 8;

/// A correlation of two columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correlation {
    /// From -1, where one falls as the other rises, to 1.
    pub coefficient: f64,
    /// Where the coefficient lies at the significance that was asked.
    pub interval: Interval,
    /// Chance of a coefficient at least as far from 0 if the columns are independent; never 0.
    pub p_value: f64,
}

/// Spearman's rank correlation, ties at their mid-ranks.
///
/// The coefficient `r` is Pearson's of the mid-ranks.
/// The interval is `tanh(atanh r ± z sqrt((1 + r²/2) / (n - 3)))`; beyond the last coefficient that `n` ranks can
/// have next to ±1 it is taken halfway there and ends at ±1, so it always has a width.
/// The p-value is two-sided: over all orders up to 8 rows, else from `t = r sqrt((n - 2) / (1 - r²))` with `n - 2`
/// degrees of freedom, and never below `2 / n!`.
///
/// # Errors
/// [`StatsError::EmptyColumn`], [`StatsError::NotFiniteInColumn`], [`StatsError::ColumnLength`] where `y` has not the
/// length of `x`, [`StatsError::TooFewRows`] below 4, [`StatsError::ConstantColumn`],
/// [`StatsError::SignificanceOutOfRange`].
///
/// # Reference
/// Spearman, American Journal of Psychology 15(1), 1904; Bonett & Wright, Psychometrika 65(1), 2000 (the interval).
/// ```
/// let correlation = userprint_stats::spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 4.0, 9.0, 5.0], 0.05)?;
/// assert!((correlation.coefficient - 0.8).abs() < 1e-15);
/// assert_eq!(correlation.p_value, 8.0 / 24.0); // 8 of the 24 orders are as far from 0
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn spearman(x: &[f64], y: &[f64], significance: f64) -> Result<Correlation, StatsError> {
    let z = two_sided_quantile(significance)?;
    check_column("x", x)?;
    check_column("y", y)?;
    check_length("y", y.len(), x.len())?;
    if x.len() < 4 {
        return Err(StatsError::TooFewRows { found: x.len(), needed: 4 });
    }
    let (ranks_of_x, ranks_of_y) = (centred_ranks("x", x)?, centred_ranks("y", y)?);
    let scale = (squares(&ranks_of_x) as f64 * squares(&ranks_of_y) as f64).sqrt();
    let product = product(&ranks_of_x, &ranks_of_y);
    let coefficient = (product as f64 / scale).clamp(-1.0, 1.0);
    let p_value = if x.len() <= MAX_EXACT {
        share_as_far(&ranks_of_x, ranks_of_y, product.abs())
    } else {
        t_p_value(coefficient, x.len())
    };
    Ok(Correlation { coefficient, interval: fisher_interval(coefficient, x.len(), z), p_value })
}

/// Twice the distance of each mid-rank from the mean rank, an integer.
fn centred_ranks(name: &'static str, values: &[f64]) -> Result<Vec<i64>, StatsError> {
    let levels = Levels::new(values);
    if levels.value.len() == 1 {
        return Err(StatsError::ConstantColumn { name, value: levels.value[0] });
    }
    let mut rows_of_level = vec![0i64; levels.value.len()];
    levels.of_row.iter().for_each(|&level| rows_of_level[level] += 1);
    let mut below = 0;
    let centred: Vec<i64> = rows_of_level
        .iter()
        .map(|rows| {
            below += rows;
            2 * below - rows - values.len() as i64
        })
        .collect();
    Ok(levels.of_row.iter().map(|&level| centred[level]).collect())
}

fn product(x: &[i64], y: &[i64]) -> i128 {
    x.iter().zip(y).map(|(&x, &y)| i128::from(x) * i128::from(y)).sum()
}

fn squares(x: &[i64]) -> i128 {
    product(x, x)
}

/// The share of all orders of `y` whose product with `x` is at least as far from 0: Heap's algorithm.
fn share_as_far(x: &[i64], mut y: Vec<i64>, observed: i128) -> f64 {
    let (mut as_far, mut all) = (0u32, 0u32);
    let mut count = |y: &[i64]| {
        as_far += u32::from(product(x, y).abs() >= observed);
        all += 1;
    };
    count(&y);
    let mut swaps = vec![0; y.len()];
    let mut i = 1;
    while i < y.len() {
        if swaps[i] < i {
            y.swap(if i % 2 == 0 { 0 } else { swaps[i] }, i);
            count(&y);
            swaps[i] += 1;
            i = 1;
        } else {
            swaps[i] = 0;
            i += 1;
        }
    }
    f64::from(as_far) / f64::from(all)
}

fn t_p_value(coefficient: f64, n: usize) -> f64 {
    let freedom = (n - 2) as f64;
    let t = coefficient.abs() * (freedom / ((1.0 - coefficient) * (1.0 + coefficient))).sqrt();
    let tail = upper_tail(t, freedom).unwrap_or(1.0);
    let least = (1..=n).map(|i| i as f64).product::<f64>().recip() * 2.0;
    (2.0 * tail).max(least).clamp(f64::MIN_POSITIVE, 1.0)
}

fn fisher_interval(coefficient: f64, n: usize, z: f64) -> Interval {
    let size = n as f64;
    // One swap of neighbours away from order is 12 / (n (n² - 1)) below 1.
    let last = 1.0 - 6.0 / (size * (size * size - 1.0));
    let inner = coefficient.clamp(-last, last);
    let reach = z * ((1.0 + inner * inner / 2.0) / (size - 3.0)).sqrt();
    Interval {
        lower: if coefficient < -last { -1.0 } else { (inner.atanh() - reach).tanh() },
        upper: if coefficient > last { 1.0 } else { (inner.atanh() + reach).tanh() },
    }
}

#[cfg(test)]
mod tests;
