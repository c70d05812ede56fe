//! Many tests at once: false discovery rate and family-wise error.

use crate::StatsError;

/// Which hypotheses are rejected so that the expected share of false ones among them is at most `rate`.
///
/// Rejects the `k` smallest p-values for the largest `k` with `p_(k) <= k rate / m`, compared as `m / k p_(k) <= rate`, as in
/// scipy: where both sides are equal, rounding may keep a hypothesis that exact numbers reject.
/// The rate holds for independent p-values and those of positive regression dependence, conformal ones included.
///
/// # Errors
/// [`StatsError::RateOutOfRange`] unless `0 < rate < 1`, and those of [`benjamini_hochberg_adjusted`].
///
/// # Reference
/// Benjamini & Hochberg, Journal of the Royal Statistical Society B 57(1), 1995.
/// ```
/// let rejected = userprint_stats::benjamini_hochberg(&[0.01, 0.5, 0.03, 0.04], 0.1)?;
/// assert_eq!(rejected, [true, false, true, true]);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn benjamini_hochberg(p_values: &[f64], rate: f64) -> Result<Vec<bool>, StatsError> {
    if !(rate > 0.0 && rate < 1.0) {
        return Err(StatsError::RateOutOfRange { name: "false discovery rate", value: rate });
    }
    Ok(benjamini_hochberg_adjusted(p_values)?.into_iter().map(|q_value| q_value <= rate).collect())
}

/// For each p-value the smallest rate at which [`benjamini_hochberg`] rejects: the q-value.
///
/// `q_(k) = min_{j >= k} m p_(j) / j`, at most 1, in the order of the input.
///
/// # Errors
/// [`StatsError::EmptyColumn`] without p-values, [`StatsError::PValueOutOfRange`] with the position.
///
/// # Reference
/// Benjamini & Hochberg, Journal of the Royal Statistical Society B 57(1), 1995.
/// ```
/// let q_values = userprint_stats::benjamini_hochberg_adjusted(&[0.25, 0.5, 0.0625, 0.125])?;
/// assert_eq!(q_values, [1.0 / 3.0, 0.5, 0.25, 0.25]);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn benjamini_hochberg_adjusted(p_values: &[f64]) -> Result<Vec<f64>, StatsError> {
    let order = ascending(p_values)?;
    let n = p_values.len() as f64;
    let mut adjusted = vec![0.0; p_values.len()];
    let mut smallest = 1.0f64;
    for (position, &index) in order.iter().enumerate().rev() {
        smallest = smallest.min(p_values[index] * (n / (position + 1) as f64));
        adjusted[index] = smallest;
    }
    Ok(adjusted)
}

/// Which hypotheses are rejected so that any false rejection at all has chance at most `significance`.
///
/// Rejects from the smallest p-value on while `p_(k) <= significance / (m - k + 1)`; any dependence is allowed.
///
/// # Errors
/// [`StatsError::SignificanceOutOfRange`] unless `0 < significance < 1`, and those of [`holm_adjusted`].
///
/// # Reference
/// Holm, Scandinavian Journal of Statistics 6(2), 1979.
/// ```
/// let rejected = userprint_stats::holm(&[0.01, 0.5, 0.03, 0.04], 0.05)?;
/// assert_eq!(rejected, [true, false, false, false]);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn holm(p_values: &[f64], significance: f64) -> Result<Vec<bool>, StatsError> {
    crate::interval::check_significance(significance)?;
    Ok(holm_adjusted(p_values)?.into_iter().map(|adjusted| adjusted <= significance).collect())
}

/// For each p-value the smallest significance at which [`holm`] rejects.
///
/// `max_{j <= k} (m - j + 1) p_(j)`, at most 1, in the order of the input.
///
/// # Errors
/// [`StatsError::EmptyColumn`] without p-values, [`StatsError::PValueOutOfRange`] with the position.
///
/// # Reference
/// Holm, Scandinavian Journal of Statistics 6(2), 1979.
/// ```
/// let adjusted = userprint_stats::holm_adjusted(&[0.25, 0.125, 0.5])?;
/// assert_eq!(adjusted, [0.5, 0.375, 0.5]);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn holm_adjusted(p_values: &[f64]) -> Result<Vec<f64>, StatsError> {
    let order = ascending(p_values)?;
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest = 0.0f64;
    for (position, &index) in order.iter().enumerate() {
        largest = largest.max(p_values[index] * (p_values.len() - position) as f64).min(1.0);
        adjusted[index] = largest;
    }
    Ok(adjusted)
}

/// Positions of checked p-values, smallest first.
fn ascending(p_values: &[f64]) -> Result<Vec<usize>, StatsError> {
    if p_values.is_empty() {
        return Err(StatsError::EmptyColumn { name: "p-values" });
    }
    if let Some(index) = p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(StatsError::PValueOutOfRange { index, value: p_values[index] });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_unstable_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    Ok(order)
}

#[cfg(test)]
mod tests;
