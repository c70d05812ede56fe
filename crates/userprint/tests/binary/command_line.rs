//! Help, the example, and what is wrong with a command or an experiment file.

use crate::experiment_folder::{ExperimentFolder, RUN, TINY};

const COMMANDS: [&str; 6] = ["run", "mitigate", "score", "pool", "stats", "example"];
const ACCOUNTS: [&str; 5] = ["epsilon", "noise", "plan", "one-run", "trainings"];

#[track_caller]
fn check_help(args: &[&str], has_example: bool) {
    let said = ExperimentFolder::new(TINY).userprint(args).assert_success();
    assert_eq!(said.stderr, "");
    let wide: Vec<&str> = said.stdout.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{args:?}: wider than 80 columns: {wide:#?}");
    assert!(said.stdout.contains("Usage: userprint"), "{}", said.stdout);
    assert!(!has_example || said.stdout.contains("Example"), "{args:?}: {}", said.stdout);
}

#[test]
fn help_fits_a_terminal() {
    check_help(&["--help"], true);
    for command in COMMANDS {
        check_help(&[command, "--help"], true);
    }
    for command in ACCOUNTS {
        check_help(&["account", command, "--help"], true);
    }
}

/// Twelve users with thirty texts each.
fn corpus() -> String {
    let rows = (0..360).map(|row| {
        let (user, text) = (row % 12, row / 12);
        format!(
            "{{\"user_id\": \"user {user}\", \"text\": \"text {text} of user {user}, some words long\"}}\n"
        )
    });
    rows.collect()
}

#[test]
fn example_is_an_experiment_file() {
    let folder = ExperimentFolder::new("");
    let said = folder.userprint(&["example"]).assert_success();
    folder.write("experiment.toml", said.stdout);
    folder.write("corpus.jsonl", corpus());
    let args =
        ["run", "experiment.toml", "--until", "prepare", "--corpus-path", "corpus.jsonl", "--name", "mine"];
    let said = folder.userprint(&args).assert_success();
    assert!(said.stderr.contains("12 users, 360 examples"), "{}", said.stderr);
    assert!(folder.path("runs/mine-seed1/partition.parquet").exists());
}

/// None, and more than any processor has threads.
#[test]
fn devices_that_are_not_there() {
    let folder = ExperimentFolder::new(TINY);
    let said = folder.userprint(&["run", "experiment.toml", "--devices", "0"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("invalid value '0' for '--devices <N>'"), "{}", said.stderr);
    let said = folder.userprint(&["run", "experiment.toml", "--devices", "100000"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("devices is 100000, expected 1 to "), "{}", said.stderr);
}

#[test]
fn quiet_says_nothing() {
    let said = ExperimentFolder::new(TINY)
        .userprint(&["run", "experiment.toml", "--until", "prepare", "--quiet"])
        .assert_success();
    assert_eq!(said.stderr, "");
}

/// An experiment file with a fault: an error with these words, and no run folder.
#[track_caller]
fn check_experiment(old: &str, new: &str, words: &[&str]) {
    assert!(TINY.contains(old), "{old}");
    let folder = ExperimentFolder::new(&TINY.replacen(old, new, 1));
    let said = folder.userprint(&["run", "experiment.toml"]);
    assert_eq!((said.code, said.errors().len()), (Some(1), 1), "{}", said.stderr);
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    for word in words {
        assert!(said.stderr.contains(word), "`{word}` is not in: {}", said.stderr);
    }
    assert!(!folder.path("runs").exists(), "{}", said.stderr);
}

#[test]
fn a_typo_names_the_nearest_key() {
    let words = ["experiment.toml", "unknown field `learning_rat`", "did you mean `learning_rate`?"];
    check_experiment("learning_rate", "learning_rat", &words);
    check_experiment(
        "held_in",
        "helt_in",
        &["experiment.toml", "unknown field `helt_in`", "did you mean `held_in`?"],
    );
}

#[test]
fn a_wrong_name_lists_the_names() {
    let words = ["attack.aggregate is `maen`", "expected one of mean", "did you mean `mean`?"];
    check_experiment("\"mean\"", "\"maen\"", &words);
}

#[test]
fn a_missing_key_is_named() {
    check_experiment("bos = \"always\"", "", &["experiment.toml", "missing field `bos`"]);
}

#[test]
fn a_number_out_of_range_is_named() {
    check_experiment("public = 0.4", "public = 1.4", &["`public` is 1.4", "at least 0 and below 1"]);
    check_experiment("n_users = 60", "n_users = 1", &["[corpus.synthetic]", "`n_users` is 1", "2 to 9999"]);
    check_experiment("heads = 2", "heads = 5", &["[reference]", "heads"]);
}

/// What can be known before anything is trained is said before.
#[test]
fn training_settings_are_checked_first() {
    check_experiment(
        "learning_rate = 3e-3",
        "learning_rate = -1.0",
        &["[target.training]", "learning_rate is -1"],
    );
}

/// Without attack examples there is nothing to score, without validation examples no checkpoint to pick.
#[test]
fn needed_fractions_are_checked_first() {
    check_experiment("\nattack = 0.2", "\nattack = 0.0", &["[split]", "attack"]);
    check_experiment("\nvalidation = 0.1", "\nvalidation = 0.0", &["[split]", "validation"]);
}

#[test]
fn a_missing_experiment_file_is_named() {
    let said = ExperimentFolder::new(TINY).userprint(&["run", "other.toml"]);
    said.assert_refused();
    assert!(said.stderr.contains("other.toml: the experiment file cannot be read"), "{}", said.stderr);
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_backend_that_was_not_built_names_its_feature() {
    let folder = ExperimentFolder::new(TINY);
    let said = folder.userprint(&["run", "experiment.toml", "--backend", "cuda"]);
    said.assert_refused();
    assert!(
        said.stderr.contains("no backend `cuda`") && said.stderr.contains("--features cuda"),
        "{}",
        said.stderr
    );
}

#[test]
fn an_unknown_backend_lists_those_that_exist() {
    let said = ExperimentFolder::new(TINY).userprint(&["run", "experiment.toml", "--backend", "tpu"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("cpu, wgpu, cuda"), "{}", said.stderr);
}

/// The first run holds the folder from before it writes `experiment.toml` until its end.
#[test]
fn a_folder_has_one_run_at_a_time() {
    let folder = ExperimentFolder::new(TINY);
    let mut first = folder.start(&["run", "experiment.toml"]);
    let resolved = folder.path(RUN).join("experiment.toml");
    while !resolved.exists() && first.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let second = folder.userprint(&["run", "experiment.toml"]);
    second.assert_refused();
    assert!(
        second.stderr.contains(RUN) && second.stderr.contains("another run is using this folder"),
        "{}",
        second.stderr
    );
    assert!(first.wait().unwrap().success());
    folder.assert_finished();
}
