//! Against the step rules as they are written in the papers.

use super::*;

#[test]
fn bad_input() {
    assert_eq!(holm(&[], 0.05), Err(StatsError::EmptyColumn { name: "p-values" }));
    for value in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let error = benjamini_hochberg(&[0.5, value], 0.1).unwrap_err();
        assert_eq!(error.to_string(), format!("p-value 1 is {value}, expected a number between 0 and 1"));
        assert!(benjamini_hochberg(&[0.5], value).is_err() && holm(&[0.5], value).is_err());
    }
}
