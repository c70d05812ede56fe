//! Conformal p-values: how a user ranks among users that are known to be held-out.

use crate::StatsError;
use crate::column::check_column;

/// For each value the chance that a calibration value is at least as high, the value itself counted among them.
///
/// `p = (1 + #{calibration >= value}) / (1 + n)`, in `O((n + m) log n)`.
/// Where value and calibration are exchangeable `P[p <= s] <= s` at every `s`, ties or not.
///
/// # Errors
/// [`StatsError::EmptyColumn`] or [`StatsError::NotFiniteInColumn`] for `values` or `calibration`.
///
/// # Reference
/// Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005, section 2.2;
/// Bates et al., Annals of Statistics 51(1), 2023 (arXiv:2104.08279), equation 2.
/// ```
/// let p_values = userprint_stats::conformal_p_values(&[9.0, 2.0, -1.0], &[0.0, 1.0, 2.0])?;
/// assert_eq!(p_values, [0.25, 0.5, 1.0]);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn conformal_p_values(values: &[f64], calibration: &[f64]) -> Result<Vec<f64>, StatsError> {
    check_column("values", values)?;
    check_column("calibration", calibration)?;
    let mut sorted = calibration.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    let p_value = |value: &f64| (1 + n - sorted.partition_point(|c| c < value)) as f64 / (1 + n) as f64;
    Ok(values.iter().map(p_value).collect())
}

#[cfg(test)]
mod tests;
