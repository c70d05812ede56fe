//! Against known answers and closed forms.

use super::*;

#[test]
fn known_answers() {
    let shown = |k, n| {
        let interval = clopper_pearson(k, n, 0.05).unwrap();
        format!("{:.4} {:.4}", interval.lower, interval.upper)
    };
    assert_eq!(shown(18, 100), "0.1103 0.2695");
    assert_eq!(shown(0, 100), "0.0000 0.0362");
    assert_eq!(shown(3, 68), "0.0092 0.1236");
}

#[test]
fn bad_input() {
    assert_eq!(clopper_pearson(0, 0, 0.05), Err(StatsError::NoTrials));
    let error = clopper_pearson(3, 2, 0.05).unwrap_err();
    assert_eq!(error.to_string(), "3 successes in 2 trials");
    assert!(clopper_pearson(3, u64::MAX, 0.05).is_err());
    for significance in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(clopper_pearson(1, 2, significance).is_err());
        assert!(binomial_lower_bound(0, 2, significance).is_err());
        assert!(binomial_upper_bound(2, 2, significance).is_err());
    }
}
