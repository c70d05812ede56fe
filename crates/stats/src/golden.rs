//! Known answers of `fixtures/statistics`, for tests.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

use crate::Alternative;

#[derive(Deserialize)]
struct Golden<T> {
    cases: Vec<T>,
}

/// The cases of a file that `fixtures/generate/stats.py` wrote.
pub(crate) fn cases<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = format!("{}/../../fixtures/statistics/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let golden: Golden<T> = serde_json::from_str(&text).unwrap();
    assert!(golden.cases.len() >= 40, "{name} has {} cases", golden.cases.len());
    golden.cases
}

/// Asserts that two numbers agree but for so much of the larger.
#[track_caller]
pub(crate) fn check_close(found: f64, expected: f64, relative: f64, case: &impl std::fmt::Debug) {
    let allowed = relative * found.abs().max(expected.abs());
    assert!((found - expected).abs() <= allowed, "{found:e}, expected {expected:e}: {case:?}");
}

/// scipy's name of an alternative.
pub(crate) fn alternative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Alternative, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "greater" => Ok(Alternative::Greater),
        "less" => Ok(Alternative::Less),
        "two-sided" => Ok(Alternative::TwoSided),
        other => Err(D::Error::custom(format!("unknown alternative {other}"))),
    }
}
