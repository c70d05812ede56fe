//! What a grid finds beyond AUROCs: shadow models, audits, detection, exact exposure, losses, the corpus; and its estimate.

use serde_json::Value;

use crate::experiment_folder::{ExperimentFolder, TINY};

const GRID: &str = r#"
name = "grid"
experiment = "experiment.toml"
describes_corpus = true

[[variants]]
name = "none"

[[variants]]
name = "shadow 1"
set.shadow = 1

[[variants]]
name = "shadow 2"
set.shadow = 2

[[variants]]
name = "shadow 3"
set.shadow = 3

[[variants]]
name = "shadow 4"
set.shadow = 4

[[variants]]
name = "canaries"
set.target.gradient_norms = 20
set.fresh = 0.5
[[variants.set.canaries]]
kind = "shared-substring"
n_tokens = 3
n_users = 30

[[rows]]
name = "none"
variant = "none"

[[rows]]
name = "shadows"
variant = "none"
shadows = ["shadow 1", "shadow 2", "shadow 3", "shadow 4"]

[[rows]]
name = "canaries"
variant = "canaries"
canary = 0

[[claims]]
says = "Canaries certify more than any training could"
leaks = { row = "canaries", epsilon = 90.0 }

[[claims]]
says = "A promise is kept"
keeps_promise = "canaries"

[[claims]]
says = "Some are detected"
detects = "none"

[[claims]]
says = "The statistic follows"
follows_exact = "none"

[[claims]]
says = "A loss is lower"
lower_loss = ["none", "canaries"]

[[claims]]
says = "The same loss is higher"
lower_loss = ["canaries", "none"]
"#;

fn grid(text: &str) -> ExperimentFolder {
    let folder = ExperimentFolder::new(TINY);
    folder.write("grid.toml", text);
    folder
}

#[test]
fn claims_that_are_not_about_aurocs() {
    let folder = grid(GRID);
    let said = folder.userprint(&["mitigate", "grid.toml"]);
    assert!(said.code == Some(0) || said.stderr.contains("a claim is contradicted"), "{}", said.stderr);
    // Shadows share the pre-training: only who is held in is another.
    let taken = said.stderr.lines().filter(|line| line.starts_with("pretrain        taken from")).count();
    assert_eq!(taken, 5, "{}", said.stderr);
    let found: Value = serde_json::from_slice(&folder.read("runs/grid/grid.json")).expect("JSON");
    let claim = |at: usize| {
        let claim = &found["claims"][at];
        (claim["verdict"].as_str().expect("a verdict"), claim["found"].as_str().unwrap_or_default())
    };
    let (verdict, guesses) = claim(0);
    assert!(verdict == "undecided" && guesses.contains("of 20 guesses right: epsilon at least"), "{guesses}");
    assert_eq!(found["claims"][1]["undefined"], "a run promises nothing to users");
    assert!(claim(2).1.starts_with("users detected at 5 %: "), "{}", claim(2).1);
    assert!(found["claims"][3]["estimate"].as_f64().is_some_and(|r| (-1.0..=1.0).contains(&r)));
    // One of two opposite claims has the sign, and neither is decided without the other being contradicted.
    let losses = [claim(4).1, claim(5).1];
    assert_ne!(losses[0].contains("loss −"), losses[1].contains("loss −"), "{losses:?}");

    let audit = &found["rows"][2]["audit"];
    assert_eq!((audit["n_canaries"].as_u64(), audit["n_guesses"].as_u64()), (Some(30), Some(20)), "{audit}");
    assert!(found["rows"][0]["audit"].is_null() && found["rows"][1]["audit"].is_null());
    assert_eq!(found["rows"][1]["n_held_in"], found["rows"][0]["n_held_in"]);
    assert_ne!(found["rows"][1]["auroc"], found["rows"][0]["auroc"]);
    let norms = &found["variants"][5]["norms"];
    assert!(norms["canaries"][1].as_f64().is_some_and(|median| median > 0.0), "{norms}");
    assert!(found["corpus"]["n_documents"].as_u64() > found["corpus"]["n_users"].as_u64());
    let page = String::from_utf8(folder.read("runs/grid/page.md")).expect("UTF-8");
    for says in ["| corpus | |", "| audit | canaries |", "| gradient norms of examples", "(bounds.svg)"] {
        assert!(page.contains(says), "{says} is not in {page}");
    }
}

#[test]
fn an_estimate_leaves_nothing() {
    let folder = grid(GRID);
    let said = folder.userprint(&["mitigate", "grid.toml", "--estimate"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for says in ["pre-train", "shadow 4", "in all, 1 seed: ", " of disk"] {
        assert!(said.stdout.contains(says), "{says} is not in {}", said.stdout);
    }
    assert!(said.stdout.lines().all(|line| line.chars().count() <= 80), "{}", said.stdout);
    let left: Vec<_> = std::fs::read_dir(folder.path("runs")).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn audits_are_of_canaries_alone() {
    let folder = grid(&GRID.replace("keeps_promise = \"canaries\"", "keeps_promise = \"none\""));
    let said = folder.userprint(&["mitigate", "grid.toml"]);
    assert!(said.stderr.contains("an audit is of canaries alone, and row `none` is not"), "{}", said.stderr);
    assert_eq!(said.code, Some(1));
}

#[test]
fn a_corpus_needs_no_variants() {
    let folder = grid("name = \"grid\"\nexperiment = \"experiment.toml\"\ndescribes_corpus = true\n");
    let said = folder.userprint(&["mitigate", "grid.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("documents a user, P0 / P25 / P50 / P75 / P100"), "{}", said.stdout);
    assert!(
        folder.path("runs/grid/documents.svg").exists() && !folder.path("runs/grid/exposure.svg").exists()
    );
}
