//! `userprint account`: known answers, what is warned of, and what is refused.

use serde_json::Value;

use crate::experiment_folder::{ExperimentFolder, Said};

const TRAINING: [&str; 6] = ["--sampling-probability", "0.04", "--steps", "2250", "--delta", "1e-5"];

fn account(args: &[&str]) -> Said {
    ExperimentFolder::new("").userprint(&[&["account"], args].concat())
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    let said = account(&[args, &["--json"]].concat()).assert_success();
    serde_json::from_str(&said.stdout).expect("--json prints JSON")
}

#[track_caller]
fn check_close(found: &Value, expected: f64, relative: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found} is no number"));
    assert!((found - expected).abs() <= relative * expected, "{found}, expected {expected}");
}

/// The published value of Opacus, and less by privacy loss distributions.
#[test]
fn epsilon_of_a_known_training() {
    let args = [&["epsilon", "--noise-multiplier", "1.5"], &TRAINING[..]].concat();
    let renyi = json(&[&args[..], &["--accountant", "rdp"]].concat());
    check_close(&renyi["epsilon"], 7.329_111_171_43, 1e-11);
    assert_eq!([&renyi["unit"], &renyi["relation"]], ["example", "add_or_remove"]);
    let tight = json(&args);
    let [epsilon, optimistic] = ["epsilon", "epsilon_optimistic"].map(|key| tight[key].as_f64().unwrap());
    assert!(optimistic <= epsilon && epsilon < 7.329 && epsilon - optimistic < 1e-3, "{tight}");
    // methods.md 4: another quantity has another cap.
    let caps = ["per_user_auroc_cap", "expected_run_auroc_cap"].map(|key| tight[key].as_f64().unwrap());
    assert!(caps[0] < caps[1], "{tight}");
}

/// Users with many examples, of which nearly every step has some: a bound that was once 0.
#[test]
fn epsilon_of_a_user_with_many_examples() {
    let args = [
        "epsilon",
        "--noise-multiplier",
        "10",
        "--sampling-probability",
        "0.5",
        "--steps",
        "2",
        "--delta",
        "1e-6",
        "--users",
        "10",
        "--examples-per-user",
        "100",
    ];
    let found = json(&args);
    check_close(&found["epsilon"], 64.49, 1e-3);
    let renyi = json(&[&args[..], &["--accountant", "rdp"]].concat());
    assert!(renyi["epsilon"].as_f64() > found["epsilon"].as_f64());
}

/// At most four examples a user: a mixture of Gaussians, published as 10.01530.
#[test]
fn epsilon_of_a_user() {
    let args = [
        "epsilon",
        "--noise-multiplier",
        "1",
        "--sampling-probability",
        "0.01",
        "--steps",
        "1000",
        "--delta",
        "1e-6",
        "--users",
        "100000",
    ];
    let by_examples = json(&[&args[..], &["--examples-per-user", "4"]].concat());
    check_close(&by_examples["epsilon"], 10.015_30, 1e-4);
    let by_users = json(&args);
    check_close(&by_users["epsilon"], 2.124_52, 1e-4);
    assert_eq!(by_users["unit"], "user");
    assert_eq!(by_users["warning"], Value::Null);
}

#[test]
fn a_delta_that_gives_users_away_is_warned_of() {
    let args = [&["epsilon", "--noise-multiplier", "1.5", "--users", "100000"], &TRAINING[..]].concat();
    let said = account(&args).assert_success();
    assert!(said.stdout.contains("warning: delta 1e-5 is at least 1/100000"), "{}", said.stdout);
}

#[test]
fn words_fit_a_terminal_and_name_the_unit() {
    let args = [&["epsilon", "--noise-multiplier", "1.5", "--users", "400"], &TRAINING[..]].concat();
    let said = account(&args).assert_success();
    assert!(said.stdout.lines().all(|line| line.starts_with("warning") || line.chars().count() <= 80));
    assert!(said.stdout.contains("adding or removing one user"), "{}", said.stdout);
    assert!(said.stdout.contains("by the central limit: approximate, no claim"), "{}", said.stdout);
}

#[test]
fn noise_reaches_its_target() {
    let args = [&["noise", "--epsilon", "2"], &TRAINING[..]].concat();
    let found = json(&args);
    let noise = found["noise_multiplier"].to_string();
    let back = json(&[&["epsilon", "--noise-multiplier", &noise], &TRAINING[..]].concat());
    check_close(&back["epsilon"], 2.0, 1e-6);
    assert!(back["epsilon"].as_f64().unwrap() <= 2.0);
}

#[test]
fn a_plan_says_what_is_too_small() {
    let corpus = ["--examples", "41000", "--users", "138", "--parameters", "125198592", "--steps", "1200"];
    let target = ["plan", "--epsilon", "2", "--delta", "1e-6"];
    let examples = [&target[..], &corpus, &["--sampling", "examples", "--batch", "1024"]].concat();
    let plan = json(&examples);
    let rate = ["--sampling-probability", "0.024975609756097563", "--steps", "1200"];
    let noise = json(&[&["noise", "--epsilon", "2", "--delta", "1e-6"], &rate[..]].concat());
    check_close(&plan["noise_multiplier"], noise["noise_multiplier"].as_f64().unwrap(), 1e-5);
    assert_eq!(plan["warnings"].as_array().map(Vec::len), Some(0), "{plan}");
    let users = ["--sampling", "users", "--examples-per-user", "16", "--batch", "64"];
    let said = account(&[&target[..], &corpus, &users].concat()).assert_success();
    assert!(said.stdout.contains("warning: the corpus is too small: with 138 users"), "{}", said.stdout);
    check_refused(&[&target[..], &corpus, &["--sampling", "users"]].concat(), "examples_per_user is missing");
}

#[test]
fn a_trade_off_curve_is_drawn() {
    let folder = ExperimentFolder::new("");
    let args = [&["account", "epsilon", "--noise-multiplier", "1.5", "--plot", "curve.svg"], &TRAINING[..]];
    folder.userprint(&args.concat()).assert_success();
    let drawn = String::from_utf8(folder.read("curve.svg")).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("largest true positive rate"), "{drawn}");
}

const ONE_RUN: [&str; 7] = ["one-run", "--canaries", "1000", "--guesses", "600", "--delta", "1e-5"];

/// 2305.08846's bound; 600 right guesses refute a claim of 2, and the exit code says so.
#[test]
fn an_audit_of_one_run() {
    let args = [&ONE_RUN[..], &["--correct", "600", "--claim", "2"]].concat();
    let said = account(&args);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stdout.contains("epsilon is at least 5.2704 at significance 0.05"), "{}", said.stdout);
    assert!(said.stdout.contains("FAILED"), "{}", said.stdout);
    assert_eq!(said.errors(), ["error: the audit refutes the claim"]);
    let consistent = json(&[&ONE_RUN[..], &["--correct", "500", "--claim", "2"]].concat());
    check_close(&consistent["epsilon_lower_bound"], 1.425_271, 1e-6);
    assert_eq!(consistent["verdict"], "consistent");
}

/// One trial a training; both rates at half the significance.
#[test]
fn an_audit_of_many_trainings() {
    let found = json(&[
        "trainings",
        "--with",
        "68",
        "--found",
        "68",
        "--without",
        "68",
        "--accused",
        "0",
        "--delta",
        "0",
    ]);
    check_close(&found["epsilon_lower_bound"], 2.887, 2e-4);
    assert_eq!(found["verdict"], Value::Null);
}

#[track_caller]
fn check_refused(args: &[&str], words: &str) {
    let said = account(args);
    said.assert_refused();
    assert!(said.stderr.contains(words), "`{words}` is not in: {}", said.stderr);
}

#[test]
fn what_makes_no_sense_is_named() {
    let epsilon = |noise, rate, delta| {
        [
            "epsilon",
            "--noise-multiplier",
            noise,
            "--sampling-probability",
            rate,
            "--steps",
            "9",
            "--delta",
            delta,
        ]
    };
    check_refused(&epsilon("-1", "0.1", "1e-5"), "the noise multiplier is -1");
    check_refused(&epsilon("NaN", "0.1", "1e-5"), "the noise multiplier is NaN");
    check_refused(&epsilon("1", "1.5", "1e-5"), "the sampling probability is 1.5");
    check_refused(&epsilon("1", "-0.5", "1e-5"), "the sampling probability is -0.5");
    check_refused(&epsilon("1", "0.1", "0"), "the target delta is 0");
    check_refused(&epsilon("1e-9", "0.1", "1e-5"), "there is no finite epsilon");
    check_refused(&[&ONE_RUN[..], &["--correct", "601"]].concat(), "601 of 600 guesses are correct");
}

#[test]
fn no_steps_cost_nothing() {
    let args = ["epsilon", "--noise-multiplier", "1", "--sampling-probability", "0.1", "--steps", "0"];
    let said = account(&[&args[..], &["--delta", "1e-5"]].concat()).assert_success();
    assert!(said.stdout.starts_with("epsilon 0.0000 ") && !said.stdout.contains("-0"), "{}", said.stdout);
}
