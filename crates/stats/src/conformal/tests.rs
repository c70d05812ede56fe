//! Against the count that defines them, and under exchangeability.

use super::*;

#[test]
fn bad_input() {
    let error = conformal_p_values(&[], &[1.0]).unwrap_err();
    assert_eq!(error.to_string(), "column `values` is empty");
    let error = conformal_p_values(&[1.0], &[1.0, f64::NAN]).unwrap_err();
    assert_eq!(error.to_string(), "row 1 of `calibration` is NaN, expected a finite number");
}
