//! Private runs: the promise in every place, the key that is gone at the end, and what is refused.

use serde_json::Value;

use crate::experiment_folder::{ExperimentFolder, RUN, TINY};
use crate::interrupted::killed_in;

const PRIVACY: &str = "[target.training.privacy]
sampling = \"users\"
examples_per_user = 4
epsilon = 8.0
delta = 1e-3
";

/// The tiny experiment with other lines in `[target.training]`.
fn experiment(lines: &str) -> String {
    let (before, rest) = TINY.split_once("[target.training]").expect("the tiny experiment has a target");
    let (training, after) = rest.split_once("[score]").expect("scores come after the target");
    let training = training.replace("\"blocks\"", "\"documents\"").replace("batch_size = 8\n", "");
    format!("{before}[target.training]{training}{lines}\n[score]{after}")
}

fn json(folder: &ExperimentFolder, name: &str) -> Value {
    serde_json::from_slice(&folder.read(&format!("{RUN}/{name}"))).expect("it is JSON")
}

#[test]
fn the_promise_is_kept_beside_the_checkpoint_and_in_results_and_report() {
    let folder = ExperimentFolder::new(&experiment(&format!("batch_size = 9\nclip_norm = 0.5\n{PRIVACY}")));
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    let claim = "epsilon 8.00 at delta 1e-3 for adding or removing one user of 18, 2 steps";
    assert!(said.stderr.contains(claim), "{}", said.stderr);
    assert!(said.stderr.contains("the corpus is too small: with 18 users"), "{}", said.stderr);
    let record = json(&folder, "checkpoints/target/training.json");
    assert!(record.get("n_tokens").is_none(), "how much was sampled is a secret: {record}");
    let promise = &record["promise"];
    assert!(promise["claim"]["epsilon"].as_f64().is_some_and(|epsilon| epsilon <= 8.0), "{promise}");
    assert_eq!(promise, &json(&folder, "results.json")["promise"]);
    let report = String::from_utf8(folder.read(&format!("{RUN}/report.html"))).expect("UTF-8");
    assert!(report.contains("Adding or removing one user of 18"));
    assert!(!folder.path(&format!("{RUN}/checkpoints/target/noise-key")).exists());
}

/// A private training of 40 steps, killed at step 10.
fn killed_half_way() -> ExperimentFolder {
    let lines = format!("batch_size = 9\nclip_norm = 0.5\n{PRIVACY}")
        .replace("epsilon = 8.0", "noise_multiplier = 1.0");
    let start = || {
        ExperimentFolder::new(&experiment(&lines).replacen(
            "epochs = 1\nlearning_rate = 3e-3",
            "epochs = 20\nlearning_rate = 3e-3",
            1,
        ))
    };
    killed_in("train", "train step 10/40", start)
}

/// The key survives a kill, and nobody else can read it; what changes rounding alone changes no training.
#[test]
fn a_killed_run_goes_on_with_its_key() {
    let folder = killed_half_way();
    let key = folder.path(&format!("{RUN}/checkpoints/target/noise-key"));
    #[cfg(unix)]
    {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&key.metadata().expect("the key is kept").permissions());
        assert_eq!(mode & 0o077, 0, "others can read the key");
    }
    let text = String::from_utf8(folder.read("experiment.toml")).expect("UTF-8");
    let passes = text.replace("clip_norm = 0.5", "clip_norm = 0.5\nmicrobatch_size = 4");
    folder
        .write("experiment.toml", passes.replace("clip_norm", "activation_checkpointing = true\nclip_norm"));
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    assert!(!said.stderr.contains("train step 0/40"), "it must not start afresh: {}", said.stderr);
    assert!(!key.exists());
}

#[test]
fn a_lost_key_is_not_replaced() {
    let folder = killed_half_way();
    std::fs::remove_file(folder.path(&format!("{RUN}/checkpoints/target/noise-key"))).expect("a key");
    let said = folder.userprint(&["run", "experiment.toml"]);
    said.assert_refused();
    assert!(said.stderr.contains("the key of the training's noise is gone"), "{}", said.stderr);
}

/// From a norm that no gradient has, down; the default noise of the count must do.
#[test]
fn an_adaptive_clip_norm_ends_where_the_record_says() {
    let lines =
        format!("batch_size = 9\nclip_norm = 100.0\n{PRIVACY}\n[target.training.privacy.adaptive_clip]\n");
    let folder = ExperimentFolder::new(&experiment(&lines));
    folder.userprint(&["run", "experiment.toml", "--until", "train"]).assert_success();
    let record = json(&folder, "checkpoints/target/training.json");
    let last = record["last_clip_norm"].as_f64().expect("it adapts");
    assert!(last != 100.0 && last > 0.0 && last.is_finite(), "{last}");
    let rule = &record["promise"]["claim"]["rule"]["dp_sgd"]["adaptive_clip"];
    assert!(rule["count_noise"].as_f64().is_some_and(|noise| noise > 0.0), "{rule}");
    check_refused(
        &lines.replace("adaptive_clip]", "adaptive_clip]\ntarget_quantile = 2.0"),
        "target_quantile",
    );
}

#[test]
fn no_noise_is_said_to_promise_nothing() {
    let lines = format!(
        "batch_size = 9\nclip_norm = 0.5\n{}",
        PRIVACY.replace("epsilon = 8.0", "noise_multiplier = 0.0")
    );
    let folder = ExperimentFolder::new(&experiment(&lines));
    let said = folder.userprint(&["run", "experiment.toml", "--until", "train"]).assert_success();
    assert!(said.stderr.contains("promises nothing"), "{}", said.stderr);
}

#[track_caller]
fn check_refused(lines: &str, words: &str) {
    let folder = ExperimentFolder::new(&experiment(lines));
    let said = folder.userprint(&["run", "experiment.toml"]);
    said.assert_refused();
    assert!(said.stderr.contains(words), "{}", said.stderr);
}

#[test]
fn what_promises_nothing_is_refused() {
    let with = |training: &str, old: &str, new: &str| format!("{training}\n{}", PRIVACY.replace(old, new));
    let sound = "batch_size = 9\nclip_norm = 0.5";
    check_refused(&with("batch_size = 9", "", ""), "clip_norm is missing");
    check_refused(&with("clip_norm = 0.5", "", ""), "expected one of `batch_size`");
    check_refused(&with(sound, "examples_per_user = 4\n", ""), "examples_per_user is missing");
    check_refused(&with(sound, "= 4\n", "= 0\n"), "examples per user are 0");
    check_refused(&with(sound, "= 8.0", "= -1.0"), "epsilon is -1, expected a finite number above 0");
    check_refused(&with(sound, "1e-3", "0.5"), "delta is 0.5");
    check_refused(&with(sound, "1e-3", "2"), "delta is 2");
    check_refused(&with(sound, "epsilon = 8.0\n", ""), "neither `epsilon` nor");
    check_refused(&with("batch_size = 90\nclip_norm = 0.5", "", ""), "expected at most the 18");
    check_refused(&with("batch_size = 9\nclip_norm = 0.0", "", ""), "the clip norm is 0");
    check_refused(
        &with(&format!("{sound}\nclip_unit = \"example\""), "", ""),
        "whose `sampling` says what is clipped",
    );
    check_refused(&with(&format!("{sound}\npatience = 2"), "", ""), "patience is set");
}

/// As the paper does: the least norm that a run without clipping saw.
#[test]
fn a_clip_norm_from_a_recorded_run() {
    let clipped = |line: &str| experiment(&format!("batch_size = 8\nclip_unit = \"example\"\n{line}\n"));
    let folder = ExperimentFolder::new(&clipped("clip_norm = 1e30"));
    folder.userprint(&["run", "experiment.toml", "--until", "train"]).assert_success();
    let least = json(&folder, "checkpoints/target/training.json")["least_norm"].clone();
    assert!(least.as_f64().is_some_and(|least| least > 0.0), "{least}");

    let again =
        clipped(&format!("clip_norm_from = \"{RUN}\"")).replace("name = \"tiny\"", "name = \"least\"");
    folder.write("again.toml", again);
    folder.userprint(&["run", "again.toml", "--until", "train"]).assert_success();
    let resolved = String::from_utf8(folder.read("runs/least-seed1/experiment.toml")).expect("UTF-8");
    assert!(resolved.contains(&format!("clip_norm = {least}")), "{resolved}");

    let batch = clipped(&format!("clip_norm_from = \"{RUN}\"")).replace("clip_unit = \"example\"\n", "");
    folder.write("batch.toml", batch);
    let said = folder.userprint(&["run", "batch.toml"]);
    said.assert_refused();
    assert!(said.stderr.contains("it clipped by example, expected by batch"), "{}", said.stderr);
}
