//! Rank tests: whether held-in values lie higher than held-out ones.

use crate::levels::{Count, Pairs};
use crate::normal::upper_tail;
use crate::{Roc, StatsError};

/// The most additions that the exact null distribution may take.
const MAX_STEPS: usize = 10_000_000;

/// What a test takes as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alternative {
    /// Held-in values are higher.
    Greater,
    /// Held-in values are lower.
    Less,
    /// Either.
    TwoSided,
}

/// The Mann-Whitney test of two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankTest {
    /// `U / (n m)`: chance that a random held-in value outranks a random held-out one; ties count half.
    pub auroc: f64,
    /// Chance of an AUROC at least as far on the side of the alternative if both sides are drawn alike.
    pub p_value: f64,
    /// Whether the p-value is by counting orders rather than by a normal approximation.
    pub is_exact: bool,
}

/// Mann-Whitney's U test of two samples, also called Wilcoxon's rank-sum test.
///
/// Without ties the p-value counts the orders of `n + m` values, exactly, while that takes less than 10^7 additions
/// and counts fit into 127 bits (63 a side, or 8 against 10^5).
/// Otherwise `U` is taken as normal with variance `n m / 12 (N + 1 - sum_t (t³ - t) / (N (N - 1)))`, `N = n + m`, `t`
/// running over the sizes of ties, and a continuity correction of one half.
/// Where all values are tied every order gives the same `U`, and the p-value is 1.
///
/// # Errors
/// Those of [`Roc::new`].
///
/// # Reference
/// Mann & Whitney, Annals of Mathematical Statistics 18(1), 1947 (the recursion);
/// Lehmann, Nonparametrics, 1975, section 1.4 (ties).
/// ```
/// use userprint_stats::{Alternative, mann_whitney};
/// let test = mann_whitney(&[3.0, 4.0], &[1.0, 2.0], Alternative::Greater)?;
/// assert_eq!((test.auroc, test.p_value, test.is_exact), (1.0, 1.0 / 6.0, true));
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn mann_whitney(
    held_in: &[f64],
    held_out: &[f64],
    alternative: Alternative,
) -> Result<RankTest, StatsError> {
    let roc = Roc::new(held_in, held_out)?;
    let pairs = roc.pairs();
    let counts: Vec<Count> = roc.levels().map(|(_, count)| count).collect();
    let tied = counts.iter().any(|count| count.held_in + count.held_out > 1);
    let exact = if tied { None } else { orders_by_wins(held_in.len(), held_out.len()) };
    let p_value = match &exact {
        Some(orders) => exact_p_value(orders, pairs, alternative),
        None => normal_p_value(&counts, pairs, alternative),
    };
    let is_exact = exact.is_some() || counts.len() == 1;
    Ok(RankTest { auroc: roc.auroc(), p_value, is_exact })
}

/// Both tails, the upper and the lower, joined as the alternative says.
pub(crate) fn joined(alternative: Alternative, upper: f64, lower: f64) -> f64 {
    match alternative {
        Alternative::Greater => upper,
        Alternative::Less => lower,
        Alternative::TwoSided => (2.0 * upper.min(lower)).min(1.0),
    }
}

/// For each number of pairs won, how many orders of the two samples win so many; `None` where that takes too long.
///
/// The coefficients of `prod_{i = 1..n} (1 - x^(m + i)) / (1 - x^i)`, `n` the smaller side.
/// They stay below 2^127, so wrapping arithmetic on the way does not harm.
fn orders_by_wins(n_held_in: usize, n_held_out: usize) -> Option<Vec<u128>> {
    let (n, m) = (n_held_in.min(n_held_out), n_held_in.max(n_held_out));
    let all = n.checked_mul(m)?;
    let log_orders: f64 = (1..=n.min(128)).map(|i| ((m + i) as f64 / i as f64).log2()).sum();
    if n.checked_mul(all)? > MAX_STEPS || log_orders > 126.0 {
        return None;
    }
    let mut orders = vec![0u128; all + 1];
    orders[0] = 1;
    for i in 1..=n {
        for won in (m + i..=all).rev() {
            orders[won] = orders[won].wrapping_sub(orders[won - m - i]);
        }
        for won in i..=all {
            orders[won] = orders[won].wrapping_add(orders[won - i]);
        }
    }
    Some(orders)
}

fn exact_p_value(orders: &[u128], pairs: Pairs, alternative: Alternative) -> f64 {
    let won = (pairs.twice_won / 2) as usize;
    let all: u128 = orders.iter().sum();
    let share = |orders: &[u128]| orders.iter().sum::<u128>() as f64 / all as f64;
    joined(alternative, share(&orders[won..]), share(&orders[..=won]))
}

fn normal_p_value(counts: &[Count], pairs: Pairs, alternative: Alternative) -> f64 {
    let ties = counts.iter().map(|count| (count.held_in + count.held_out) as f64);
    let n: f64 = ties.clone().sum();
    let tied = ties.map(|t| t * (t - 1.0) * (t + 1.0)).sum::<f64>() / (n * (n - 1.0));
    let variance = pairs.all as f64 / 12.0 * (n + 1.0 - tied);
    if counts.len() == 1 {
        return 1.0;
    }
    let above_mean = (pairs.twice_won as f64 - pairs.all as f64) / 2.0;
    let tail = |distance: f64| upper_tail((distance - 0.5) / variance.sqrt());
    joined(alternative, tail(above_mean), tail(-above_mean))
}

#[cfg(test)]
mod tests;
