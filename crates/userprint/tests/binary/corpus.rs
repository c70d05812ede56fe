//! `userprint corpus`: splits and counts of corpora in files.

use serde_json::{Value, json};

use crate::experiment_folder::ExperimentFolder;

/// Forty users with 3 to 42 texts, of which every tenth is the user's first again.
fn folder() -> ExperimentFolder {
    let folder = ExperimentFolder::new("");
    let line = |user: u32, text: u32| {
        let text = if text % 10 == 9 { 0 } else { text };
        json!({"who": user, "body": format!("user {user} says {text} words")}).to_string()
    };
    let lines: Vec<String> =
        (0..40).flat_map(|user| (0..user + 3).map(move |text| line(user, text))).collect();
    folder.write("corpus.jsonl", lines.join("\n"));
    folder
}

const COLUMNS: [&str; 5] = ["corpus.jsonl", "--user-id", "who", "--text", "body"];

fn told<'a>(command: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    ["corpus", command].iter().chain(&COLUMNS).chain(rest).copied().collect()
}

#[test]
fn a_split_counts_what_it_wrote() {
    let folder = folder();
    let args =
        told("split", &["--out", "split", "--duplicates", "one-a-user", "--min-examples", "10", "--json"]);
    let said = folder.userprint(&args).assert_success();
    let counts = serde_json::from_str::<Value>(&said.stdout).expect("--json prints JSON")["counts"].clone();
    assert_eq!(counts["n_rows"], (3..43).sum::<u32>());
    // User u has ⌊(u + 3) / 10⌋ copies, and is kept with at least 10 texts without them.
    assert_eq!(counts["n_duplicates"], (3..43).map(|n| n / 10).sum::<u32>());
    let kept: Vec<u32> = (3..43).map(|n| n - n / 10).filter(|&n| n >= 10).collect();
    assert_eq!(counts["n_dropped"], 40 - kept.len());
    let n_examples: u64 = (0..5).filter_map(|role| counts["n_examples"][role].as_u64()).sum();
    assert_eq!(n_examples, u64::from(kept.iter().sum::<u32>()));
    let first = folder.read("split/documents.parquet");
    let words = folder.userprint(&told(
        "split",
        &["--out", "again", "--duplicates", "one-a-user", "--min-examples", "10", "--threads", "1"],
    ));
    assert!(words.assert_success().stdout.contains("held in"));
    assert!(folder.read("again/documents.parquet") == first, "the same seed gives the same file");
    assert!(!folder.path("split/.userprint-work").exists());
}

#[test]
fn an_inspection_counts_and_warns() {
    let folder = folder();
    let found: Value =
        serde_json::from_str(&folder.userprint(&told("inspect", &["--json"])).assert_success().stdout)
            .expect("JSON");
    assert_eq!((&found["n_users"], &found["n_examples"]), (&json!(40), &json!((3..43).sum::<u32>())));
    assert_eq!(found["n_words"], 5 * (3..43).sum::<u32>());
    assert_eq!(found["n_copies_within"], (3..43).map(|n| n / 10).sum::<u32>());
    assert_eq!(found["n_shared_texts"], 0);
    let said = folder.userprint(&told("inspect", &[])).assert_success().stdout;
    for words in
        ["3 / 13 / 23 / 32 / 42 a user", "needs 100 held-out users", "--duplicates one-a-user", "32-63"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!folder.path("corpus.jsonl.userprint").exists());
}

#[test]
fn what_cannot_be_split_is_refused() {
    let folder = folder();
    let check = |args: Vec<&str>, words: &str| {
        let said = folder.userprint(&args);
        said.assert_refused();
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    };
    check(told("split", &["--out", "split", "--min-examples", "42"]), "have at least 42 examples");
    check(told("split", &["--out", "split", "--attack", "0.9"]), "validation + test + attack");
    check(vec!["corpus", "split", "corpus.jsonl", "--out", "split"], "`user_id`");
    check(vec!["corpus", "inspect", "nothing.parquet"], "nothing.parquet");
    folder.write("cut.jsonl", "{\"who\": 1, \"body\": \"te");
    check(vec!["corpus", "inspect", "cut.jsonl", "--user-id", "who", "--text", "body"], "cut.jsonl, line 1");
}

/// Users, documents, and documents of the users at 0, 25, 50, 75 and 100 %, as the corpora's own table has them.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn real_corpora_have_what_is_said_of_them() {
    let shared = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    if !shared.exists() {
        eprintln!("SKIPPED: there is no ../shared/corpora");
        return;
    }
    let folder = ExperimentFolder::new("");
    for (name, words) in [
        ("enron_aeslc", ["56", "7,764 (10 / 23 / 65 / 155 / 991 a user"]),
        ("news_domains", ["113", "4,646 (10 / 18 / 53 / 60 / 60 a user"]),
        ("acl_abstracts", ["453", "17,311 (20 / 24 / 32 / 46 / 120 a user"]),
        ("usenet_20news", ["96", "2,322 (15 / 16 / 19 / 28 / 119 a user"]),
        ("delving_forum", ["80", "2,766 (10 / 14 / 22 / 40 / 283 a user"]),
        ("tc39_notes", ["90", "7,403 (21 / 37 / 92 / 120 / 120 a user"]),
        ("reuters_c50", ["50", "4,960 (95 / 99 / 100 / 100 / 100 a user"]),
    ] {
        let file = shared.join(format!("{name}.parquet"));
        let file = file.to_str().expect("UTF-8");
        let said = folder.userprint(&["corpus", "inspect", file, "--work", "work"]).assert_success().stdout;
        let [users, documents] = words;
        assert!(
            said.contains(&format!("users      {users}\n")) && said.contains(documents),
            "{name}: {said}"
        );
    }
}

/// Lines of a dump of abstracts, each submitter with 25.
fn abstracts() -> String {
    let line = |submitter: u32, i: u32| {
        json!({
            "id": format!("{submitter}.{i}"), "submitter": format!("S {submitter}"),
            "authors_parsed": [[format!("A{}", i % 5), "Ann", ""]],
            "abstract": format!("  We show {i} of {submitter}\n"),
            "versions": [{"version": "v1", "created": "Mon, 2 Apr 2007 19:18:42 GMT"}],
        })
        .to_string()
    };
    let lines: Vec<String> = (0..12).flat_map(|submitter| (0..25).map(move |i| line(submitter, i))).collect();
    lines.join("\n") + "\n{\"submitter\": 7\n"
}

#[test]
fn a_recipe_prints_its_table_beside_the_published_one() {
    let folder = ExperimentFolder::new("");
    folder.write("dumps/arxiv-1.json", abstracts());
    let args = ["corpus", "arxiv", "--from", "dumps/arxiv-*.json", "--out", "out"];
    let said = folder.userprint(&args).assert_success().stdout;
    for row in [
        "records    301",
        "1 unreadable, the first: dumps/arxiv-1.json, line 301",
        "users                          12     16,511",
        "documents                     300      625 K",
        "documents a user P50           25         30",
    ] {
        assert!(said.contains(row), "{row} is not in\n{said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let json = folder.userprint(&[&args[..], &["--json"]].concat()).assert_success().stdout;
    let found: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        [&found["inspection"]["n_users"], &found["published"]["n_users"]],
        [&json!(12), &json!(16511)]
    );
    let none = folder.userprint(&["corpus", "arxiv", "--from", "dumps/*.zst", "--out", "out"]);
    assert!(none.stderr.contains("no file matches dumps/*.zst"), "{}", none.stderr);
    let strict = folder.userprint(&[&args[..], &["--max-malformed", "0"]].concat());
    assert!(strict.stderr.contains("1 of 301 records"), "{}", strict.stderr);
    let other = folder.userprint(&["corpus", "reddit", "--from", "dumps/arxiv-1.json", "--out", "out"]);
    assert!(other.stderr.contains("301 of 301 records"), "{}", other.stderr);
}

#[test]
fn shared_texts_and_near_duplicates_are_told() {
    let folder = ExperimentFolder::new("");
    let words = |user: u32, i: u32| {
        let words: Vec<String> = (0..20).map(|word| format!("w{user}x{i}x{word}")).collect();
        words.join(" ")
    };
    let line = |user: u32, i: u32| {
        let text = match i {
            // One that all share, and one nearly the same as that before it.
            0 => "a text that all of them have".to_owned(),
            9 => format!("{} changed", words(user, 8)),
            _ => words(user, i),
        };
        json!({"user_id": format!("u{user:02}"), "text": text}).to_string()
    };
    let lines: Vec<String> = (0..30).flat_map(|user| (0..12).map(move |i| line(user, i))).collect();
    folder.write("corpus.jsonl", lines.join("\n"));
    let split = |out: &str, more: &[&str]| {
        let args = ["corpus", "split", "corpus.jsonl", "--out", out, "--min-examples", "5"];
        folder.userprint(&[&args[..], more].concat())
    };
    let said = split("kept", &[]).assert_success().stdout;
    assert!(said.contains("documents of held-out users are texts that held-in users"), "{said}");
    let said = split("dropped", &["--shared", "dropped"]).assert_success().stdout;
    assert!(!said.contains("leaked") && said.contains("360, of which 30 copies were left out"), "{said}");
    let error = split("grouped", &["--shared", "grouped"]).stderr;
    assert!(error.contains("expected at least 2 of both"), "{error}");
    let said = split("near", &["--near-duplicates", "0.5", "--shingle-words", "3"]).assert_success().stdout;
    // Of one of the thirty users both are reserved, and so neither is marked.
    assert!(said.contains("29 documents are nearly another of their user"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    assert!(folder.path("near/near_duplicates.parquet").exists());
    split("near", &[]).assert_success();
    assert!(!folder.path("near/near_duplicates.parquet").exists(), "it is of the split before");
    let error = split("near", &["--near-duplicates", "1.5"]).stderr;
    assert!(error.contains("near-duplicate threshold"), "{error}");
}
