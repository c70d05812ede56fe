//! An experiment file says what it means, or what is wrong with it.

use super::*;

const SMOKE: &str = include_str!("../../../../xtask/recipes/experiments/smoke.toml");
const DESK: &str = include_str!("../../../../xtask/recipes/experiments/desk.toml");

fn error_of(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("experiment.toml");
    std::fs::write(&path, text).unwrap();
    let error = RawExperiment::read(&path).and_then(RawExperiment::check).unwrap_err();
    format!("{error:#}")
}

#[test]
fn recipes_and_the_example_parse() {
    toml::from_str::<RawExperiment>(SMOKE).unwrap().check().unwrap();
    let mut desk = toml::from_str::<RawExperiment>(DESK).unwrap();
    desk.corpus.path = Some("corpus.parquet".into());
    desk.check().unwrap();
    toml::from_str::<RawExperiment>(include_str!("../../example.toml")).unwrap().check().unwrap();
}

#[test]
fn unknown_key_names_the_nearest() {
    let error = error_of(&SMOKE.replace("learning_rate", "learning_rat"));
    assert!(error.contains("unknown field `learning_rat`"), "{error}");
    assert!(error.ends_with("did you mean `learning_rate`?"), "{error}");
}

#[test]
fn unknown_name_names_the_nearest() {
    let error = error_of(&SMOKE.replace("\"mean\"", "\"maen\""));
    assert!(error.contains("attack.aggregate is `maen`, expected one of mean"), "{error}");
    assert!(error.ends_with("did you mean `mean`?"), "{error}");
}

#[test]
fn out_of_range_names_key_and_range() {
    let error = error_of(&SMOKE.replace("batch_size = 8", "batch_size = 0"));
    assert!(error.contains("training]"), "{error}");
    let error = error_of(&SMOKE.replace("public = 0.4", "public = 1.4"));
    assert!(error.contains("[split]") && error.contains("public"), "{error}");
}

#[test]
fn checkpoints_are_kept_of_the_target_at_least_a_step_apart() {
    let (reference, target) = SMOKE.split_once("[target.training]").unwrap();
    let with = |text: &str, every: u32| {
        text.replace("evaluations", &format!("checkpoint_every = {every}\nevaluations"))
    };
    let error = error_of(&format!("{reference}[target.training]{}", with(target, 0)));
    assert_eq!(error, "[target.training]: checkpoint_every is 0, expected at least 1");
    let error = error_of(&format!("{}[target.training]{target}", with(reference, 10)));
    assert!(error.starts_with("[reference.training] has a `checkpoint_every`"), "{error}");
}

#[test]
fn a_corpus_is_a_file_or_synthetic() {
    let error =
        error_of(&SMOKE.replace("[corpus.synthetic]", "[corpus]\npath = \"x.parquet\"\n[corpus.synthetic]"));
    assert!(error.contains("both `path` and `synthetic`"), "{error}");
}
