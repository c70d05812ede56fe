//! Against scipy, and bad input.

use super::*;

#[test]
fn bad_input() {
    let text = |a: &[f64], b: &[f64]| welch(a, b, Alternative::TwoSided).unwrap_err().to_string();
    assert_eq!(text(&[1.0], &[1.0, 2.0]), "expected at least 2 held-in values, found 1");
    assert_eq!(text(&[1.0, 1.0], &[2.0, 2.0]), "nothing varies: all users, or all resamples, say the same");
    assert_eq!(text(&[1.0, 2.0], &[2.0, f64::INFINITY]), "held-out value 1 is inf, expected a finite number");
    assert_eq!(
        text(&[1e300, -1e300], &[2.0, 1.0]),
        "values are too large for their squares to be represented"
    );
}
