//! Error rates by simulation, and bad input.

use super::*;

#[test]
fn bad_input() {
    for rate in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(Sprt::new(rate, 0.05).is_err() && Sprt::new(0.05, rate).is_err());
    }
    let error = Sprt::new(0.6, 0.5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a false positive rate of 0.6 and a false negative rate of 0.5 do not sum to less than 1"
    );
    let mut test = Sprt::new(0.05, 0.05).unwrap();
    assert_eq!(test.observe(f64::NAN), Err(StatsError::IncrementIsNan));
    assert_eq!(test.observe(f64::NEG_INFINITY), Ok(Decision::HeldOut));
    assert_eq!(test.observe(f64::INFINITY), Ok(Decision::HeldOut));
    assert!(test.expected_observations(Side::HeldIn, -1.0).is_err());
    assert!(test.expected_observations(Side::HeldOut, f64::NEG_INFINITY).is_err());
}
