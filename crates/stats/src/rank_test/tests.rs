//! Against scipy, against counting all orders, and bad input.

use super::*;
use crate::Side;

#[test]
fn bad_input() {
    let error = mann_whitney(&[], &[1.0], Alternative::Less).unwrap_err();
    assert_eq!(error, StatsError::EmptySide { side: Side::HeldIn });
    assert!(mann_whitney(&[1.0], &[f64::NAN], Alternative::Less).is_err());
    let tied = mann_whitney(&[1.0; 3], &[1.0; 4], Alternative::TwoSided).unwrap();
    assert_eq!((tied.auroc, tied.p_value), (0.5, 1.0));
}
