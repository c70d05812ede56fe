//! Against scipy, all orders, and bad input.

use super::*;

#[test]
fn bad_input() {
    let text = |x: &[f64], y: &[f64]| spearman(x, y, 0.05).unwrap_err().to_string();
    assert_eq!(text(&[1.0; 5], &[1.0, 2.0, 3.0, 4.0, 5.0]), "column `x` is 1 in every row");
    assert_eq!(text(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), "expected at least 4 rows, found 3");
    assert_eq!(text(&[1.0, 2.0, 3.0], &[1.0, 2.0]), "column `y` has 2 rows, expected 3");
    assert_eq!(text(&[1.0], &[]), "column `y` is empty");
    assert_eq!(text(&[1.0], &[f64::NAN]), "row 0 of `y` is NaN, expected a finite number");
    assert!(spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0], 0.0).is_err());
}
