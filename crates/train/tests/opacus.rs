//! Norms of examples' gradients, and the sum of the clipped ones, against Opacus.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::backend::Autodiff;
use serde::Deserialize;
use userprint_model::backend::Cpu;
use userprint_model::checkpoint;
use userprint_train::{UnitBatch, clipped_sum};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    clip_norm: f64,
    norms_of_clipped_sum: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Case {
    tokens: Vec<u32>,
    loss: f64,
    norm: f64,
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/per_example_norms")
}

#[track_caller]
fn assert_near(what: &str, found: f64, expected: f64, tolerance: f64) {
    let is_near = (found - expected).abs() <= tolerance * expected;
    assert!(is_near, "{what}: {found}, Opacus says {expected}");
}

#[test]
fn norms_of_examples_agree() {
    let text = fs::read_to_string(fixture().join("golden.json")).expect("golden.json is there");
    let golden: Golden = serde_json::from_str(&text).expect("golden.json has the known layout");
    let (lm, config) = checkpoint::load::<Autodiff<Cpu>>(&fixture(), &Default::default()).expect("it loads");
    assert!(lm.module.head.is_some(), "the head is the token embedding");

    let units: Vec<[&[u32]; 1]> = golden.cases.iter().map(|case| [&case.tokens[..]]).collect();
    let found = clipped_sum(&lm, &UnitBatch::new(&units, &Default::default()), golden.clip_norm);
    assert_eq!(found.norms.len(), golden.cases.len());
    for (index, case) in golden.cases.iter().enumerate() {
        assert_near(&format!("loss of example {index}"), found.losses_nats[index], case.loss, 1e-5);
        assert_near(&format!("norm of example {index}"), found.norms[index], case.norm, 1e-4);
    }

    let mut squares: BTreeMap<String, f64> = BTreeMap::new();
    for (path, sum) in found.by_path {
        let square: f64 = sum.into_data().iter::<f64>().map(|value| value * value).sum();
        *squares.entry(config.family.key(&path).0).or_default() += square;
    }
    assert!(squares.keys().eq(golden.norms_of_clipped_sum.keys()), "{:?}", squares.keys());
    for (key, square) in squares {
        assert_near(&key, square.sqrt(), golden.norms_of_clipped_sum[&key], 1e-4);
    }
}
