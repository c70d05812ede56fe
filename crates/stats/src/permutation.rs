//! Permutation tests.

use crate::StatsError;

/// Chance under the null of a value as high as the observed one.
///
/// `p = (1 + #{permuted >= observed}) / (1 + n)`: valid for any `n`, and never 0.
///
/// # Errors
/// [`StatsError::TooFewResamples`] without permuted values; [`StatsError::ObservedNotFinite`] or
/// [`StatsError::PermutedNotFinite`] with the position.
///
/// # Reference
/// Phipson & Smyth, Statistical Applications in Genetics and Molecular Biology 9(1), 2010.
/// ```
/// let p_value = userprint_stats::permutation_p_value(2.0, &[0.0, 1.0, 2.0])?;
/// assert_eq!(p_value, 0.5);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn permutation_p_value(observed: f64, permuted: &[f64]) -> Result<f64, StatsError> {
    if permuted.is_empty() {
        return Err(StatsError::TooFewResamples { found: 0, needed: 1 });
    }
    if !observed.is_finite() {
        return Err(StatsError::ObservedNotFinite { value: observed });
    }
    if let Some(index) = permuted.iter().position(|value| !value.is_finite()) {
        return Err(StatsError::PermutedNotFinite { index, value: permuted[index] });
    }
    let as_high = permuted.iter().filter(|&&value| value >= observed).count();
    Ok((1 + as_high) as f64 / (1 + permuted.len()) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ties_against_the_observed() {
        assert_eq!(permutation_p_value(1.0, &[1.0; 9]), Ok(1.0));
        assert_eq!(permutation_p_value(1.0, &[0.0; 999]), Ok(0.001));
    }

    #[test]
    fn bad_input() {
        assert!(permutation_p_value(1.0, &[]).is_err());
        assert!(permutation_p_value(f64::NAN, &[1.0]).is_err());
        let error = permutation_p_value(1.0, &[0.0, f64::NAN]).unwrap_err();
        assert_eq!(error.to_string(), "permuted value 1 is NaN, expected a finite number");
    }
}
