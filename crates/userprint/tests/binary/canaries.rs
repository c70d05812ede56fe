//! Canary users through a whole run, and runs on a corpus that is split already.

use serde_json::{Value, json};

use crate::experiment_folder::{ExperimentFolder, RUN, TINY};

/// The tiny experiment with canaries in all that are not public.
fn with_canaries(tiers: &str) -> ExperimentFolder {
    ExperimentFolder::new(&format!("{TINY}\n{tiers}"))
}

fn json_of(folder: &ExperimentFolder, name: &str) -> Value {
    serde_json::from_slice(&folder.read(&format!("{RUN}/{name}"))).expect("JSON")
}

#[test]
fn canaries_are_recorded_and_compared_with_their_like() {
    let folder = with_canaries(
        "[[canaries]]\nkind = \"shared-substring\"\nn_tokens = 5\nn_users = 16\nn_documents = 3\n\
         [[canaries]]\nkind = \"signature\"\nn_tokens = 3\nn_users = 12\n",
    );
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    assert!(said.stderr.contains("28 canaries among them"), "{}", said.stderr);
    let recorded = json_of(&folder, "canaries.json");
    let recorded = recorded.as_array().expect("a list");
    let n = |tier: usize, membership: &str| {
        let kind = ["shared-substring", "signature"][tier];
        recorded.iter().filter(|canary| canary["kind"] == kind && canary["membership"] == membership).count()
    };
    let rows = json_of(&folder, "results.json")["canaries"].clone();
    for (tier, n_users) in [16, 12].into_iter().enumerate() {
        assert_eq!(n(tier, "held_in") + n(tier, "held_out"), n_users);
        assert_eq!(
            [&rows[tier]["held_in"], &rows[tier]["held_out"]],
            [&json!(n(tier, "held_in")), &json!(n(tier, "held_out"))]
        );
        let auroc = rows[tier]["auroc"].as_f64().expect("enough canaries on both sides");
        let ends = rows[tier]["auroc_interval"].as_array().expect("an interval");
        assert!(ends[0].as_f64() <= Some(auroc) && Some(auroc) <= ends[1].as_f64());
    }
    let report = String::from_utf8(folder.read(&format!("{RUN}/report.html"))).expect("UTF-8");
    assert!(report.contains("Canary users") && report.contains("shared substring"));
    // Nothing is done again, and other canaries are another preparation.
    let again = folder.userprint(&["run", "experiment.toml"]).assert_success();
    assert_eq!(again.stderr.matches("done before").count(), 7, "{}", again.stderr);
    let other = format!("{TINY}\n[[canaries]]\nkind = \"rare-words\"\nn_tokens = 2\nn_users = 10\n");
    folder.write("experiment.toml", other.replace("n_words = 100", "n_words = 5000"));
    let said = folder.userprint(&["run", "experiment.toml", "--until", "prepare"]);
    assert!(!said.stderr.contains("prepare         done before"), "{}", said.stderr);
}

#[test]
fn canaries_that_cannot_be_are_refused() {
    let folder = with_canaries("[[canaries]]\nkind = \"shared-substring\"\nn_tokens = 5\nn_users = 500\n");
    let said = folder.userprint(&["run", "experiment.toml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("are fit for canary tier 1, expected 500"), "{}", said.stderr);
    let folder = with_canaries("[[canaries]]\nkind = \"shared-substring\"\nn_tokens = 0\n");
    let said = folder.userprint(&["run", "experiment.toml"]);
    assert!(said.stderr.contains("[[canaries]] 1: n_tokens is 0"), "{}", said.stderr);
}

#[test]
fn a_split_is_run_as_it_is() {
    let folder = ExperimentFolder::new("");
    let line = |user: u32, text: u32| {
        let words: Vec<String> =
            (0..30).map(|word| format!("w{}", (user * 13 + text * word * 7 + word) % (40 + user))).collect();
        json!({"user_id": format!("u{user}"), "text": words.join(" "), "when": 1_000_000 + text}).to_string()
    };
    let lines: Vec<String> = (0..50).flat_map(|user| (0..10).map(move |text| line(user, text))).collect();
    folder.write("corpus.jsonl", lines.join("\n"));
    let split =
        ["corpus", "split", "corpus.jsonl", "--out", "split", "--public", "0.4", "--min-examples", "5"];
    folder
        .userprint(&[&split[..], &["--timestamp", "when", "--attack", "0.2", "--validation", "0.1"]].concat())
        .assert_success();
    let (before, after) = TINY.split_once("[corpus.synthetic]").expect("a corpus");
    let (split, rest) = after.split_once("[split]").expect("a split");
    let (own_split, rest) = rest.split_once("[reference]").expect("a reference");
    folder.write("experiment.toml", format!("{before}[corpus]\nsplit = \"split\"\n\n[reference]{rest}"));
    let said = folder.userprint(&["run", "experiment.toml"]).assert_success();
    assert!(
        said.stderr.contains("50 users, 500 examples: 20 public, 15 held-in, 15 held-out"),
        "{}",
        said.stderr
    );
    assert_eq!(json_of(&folder, "results.json")["users"]["held_in"], 15);

    let both = format!("{before}[corpus]\nsplit = \"split\"\n[split]{own_split}[reference]{rest}");
    folder.write("experiment.toml", both);
    let said = folder.userprint(&["run", "experiment.toml"]);
    assert!(said.stderr.contains("expected one: the corpus is split already"), "{}", said.stderr);
    folder.write("experiment.toml", format!("{before}[corpus.synthetic]{split}[reference]{rest}"));
    let said = folder.userprint(&["run", "experiment.toml"]);
    assert!(said.stderr.contains("[split] is missing"), "{}", said.stderr);
}
