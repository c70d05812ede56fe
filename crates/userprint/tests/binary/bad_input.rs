//! Corpora that cannot be used: one line that says where and why, no text of a user, and nothing lost.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use expect_test::{Expect, expect};

use crate::experiment_folder::{ExperimentFolder, Files, RUN, TINY};

/// What the ids and texts of these corpora have in them, and no message may have.
const SECRETS: [&str; 3] = ["ada", "letter", "dear"];

const USERS: usize = 12;
const TEXTS: usize = 10;

/// The tiny experiment on a file.
fn experiment(columns: [&str; 3]) -> String {
    let [user_id, text, example_id] = columns;
    let (before, rest) = TINY.split_once("[corpus.synthetic]").expect("the tiny experiment is synthetic");
    let (_, after) = rest.split_once("[split]").expect("the split comes after the corpus");
    format!(
        "{before}[corpus]\npath = \"corpus.jsonl\"\nuser_id = \"{user_id}\"\ntext = \"{text}\"\nexample_id = \"{example_id}\"\n\n[split]{after}"
    )
}

const COLUMNS: [&str; 3] = ["author", "body", "key"];

fn line(user: usize, text: usize) -> String {
    format!(
        "{{\"author\": \"ada-{user:02}\", \"key\": \"letter-{text}\", \"body\": \"dear friend {text}, yours {user}\"}}\n"
    )
}

fn lines(n_users: usize, n_texts: usize) -> String {
    (0..n_users).flat_map(|user| (0..n_texts).map(move |text| line(user, text))).collect()
}

/// A good corpus with its 35th line changed.
fn with_line(change: impl Fn(&str) -> String) -> String {
    let mut corpus = String::new();
    for (at, line) in lines(USERS, TEXTS).lines().enumerate() {
        let line = if at + 1 == 35 { change(line) } else { line.to_owned() };
        writeln!(corpus, "{line}").expect("a string takes all");
    }
    corpus
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// A folder where the good corpus was prepared.
fn prepared() -> ExperimentFolder {
    let folder = ExperimentFolder::new(&experiment(COLUMNS));
    folder.write("corpus.jsonl", lines(USERS, TEXTS));
    folder.userprint(&["run", "experiment.toml", "--until", "prepare"]).assert_success();
    folder
}

/// Refused with one line; what was finished before stays so. The answer is the line.
#[track_caller]
fn refused(folder: &ExperimentFolder, file: &str) -> String {
    let before = folder.run_files();
    let said = folder.userprint(&["run", "experiment.toml", "--corpus-path", file]);
    said.assert_refused();
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    for secret in SECRETS {
        assert!(!said.stderr.contains(secret), "`{secret}` is in: {}", said.stderr);
    }
    // But for the experiment as it was last asked for.
    let without = |mut files: Files| files.remove(Path::new("experiment.toml")).map(|_| files);
    assert!(without(before) == without(folder.run_files()), "the run folder has changed");
    said.stderr.trim_end().to_owned()
}

#[track_caller]
fn refused_after_a_good_one(file: &str, content: impl AsRef<[u8]>) -> String {
    let folder = prepared();
    folder.write(file, content);
    let error = refused(&folder, file);
    let said = folder.userprint(&["run", "experiment.toml", "--until", "prepare"]).assert_success();
    assert_eq!(said.done_before(), ["prepare"], "{}", said.stderr);
    error
}

#[track_caller]
fn check(file: &str, content: impl AsRef<[u8]>, expect: Expect) {
    expect.assert_eq(&refused_after_a_good_one(file, content));
}

#[track_caller]
fn check_words(file: &str, content: impl AsRef<[u8]>, words: &[&str]) {
    let error = refused_after_a_good_one(file, content);
    assert!(words.iter().all(|word| error.contains(word)), "{words:?} are not all in: {error}");
}

#[test]
fn no_such_file() {
    expect!["error: the corpus: other.jsonl: cannot be opened: No such file or directory (os error 2)"]
        .assert_eq(&refused(&prepared(), "other.jsonl"));
}

#[test]
fn unknown_format() {
    check(
        "bad.docx",
        lines(USERS, TEXTS - 1),
        expect![
            "error: stage prepare: the extension of bad.docx is none of .parquet, .arrow, .feather, .jsonl, .ndjson, .csv, .tsv, .mbox (all but the first three also with .gz, .zst or .bz2) or a folder of mails, rename or convert the file"
        ],
    );
}

#[test]
fn missing_column() {
    check(
        "bad.jsonl",
        lines(USERS, TEXTS).replace("\"body\"", "\"bodi\""),
        expect![
            "error: stage prepare: bad.jsonl, line 1: there is no column `body`, found author, bodi, key; the nearest is `bodi`; set the column names to match"
        ],
    );
    check(
        "bad.csv",
        "author,key,bodi\nada-1,letter-1,dear friend\n",
        expect![
            "error: stage prepare: bad.csv, line 1: there is no column `body`, found author, key, bodi; the nearest is `bodi`; set the column names to match"
        ],
    );
}

/// Its first row stands where the names of columns should be, and is a user's text.
#[test]
fn missing_header() {
    let headless = "ada-1,letter-1,dear friend of mine\nada-1,letter-2,dear friend\n";
    check_words(
        "headless.csv",
        headless,
        &["headless.csv, line 1: there is no column `author`", "first row"],
    );
}

#[test]
fn null_text() {
    check(
        "bad.jsonl",
        with_line(|_| "{\"author\": \"ada-1\", \"key\": \"letter-x\", \"body\": null}".to_owned()),
        expect![
            "error: stage prepare: bad.jsonl, line 35: column `body` is null, expected a value in every row; fill it or drop the row"
        ],
    );
}

#[test]
fn empty_text() {
    check(
        "bad.jsonl",
        with_line(|_| "{\"author\": \"ada-1\", \"key\": \"letter-x\", \"body\": \"\"}".to_owned()),
        expect![
            "error: stage prepare: bad.jsonl, line 35: column `body` is empty, expected a value in every row; fill it or drop the row"
        ],
    );
    check(
        "blank.jsonl",
        with_line(|_| "{\"author\": \"ada-1\", \"key\": \"letter-x\", \"body\": \" \\n\"}".to_owned()),
        expect![
            "error: stage prepare: blank.jsonl, line 35: column `body` is empty, expected a value in every row; fill it or drop the row"
        ],
    );
}

#[test]
fn text_that_is_no_string() {
    check(
        "bad.jsonl",
        with_line(|_| "{\"author\": \"ada-1\", \"key\": \"letter-x\", \"body\": [\"dear\"]}".to_owned()),
        expect![
            "error: stage prepare: bad.jsonl, line 35: column `body` holds an array, expected a string; convert the column"
        ],
    );
}

#[test]
fn cut_in_half() {
    let corpus = lines(USERS, TEXTS);
    check(
        "bad.jsonl",
        &corpus[..corpus.len() / 2 + 20],
        expect![
            "error: stage prepare: bad.jsonl, line 61: the line ends within a JSON value; if it is the last line the file was cut off, copy it again, else write one object a line"
        ],
    );
    let packed = gzip(corpus.as_bytes());
    // The line depends on how far the decoder got.
    check_words(
        "bad.jsonl.gz",
        &packed[..packed.len() / 2],
        &["bad.jsonl.gz, line ", "the file ends too early"],
    );
    check(
        "renamed.jsonl.gz",
        lines(USERS, TEXTS - 1),
        expect![
            "error: stage prepare: renamed.jsonl.gz, line 1: the content is damaged or not what the extension says; copy or convert the file again: invalid gzip header"
        ],
    );
}

/// The partition of a run is a Parquet file with nulls in its column `role`.
#[test]
fn parquet() {
    let folder = prepared();
    let parquet = folder.read(&format!("{RUN}/partition.parquet"));
    folder.write("whole.parquet", &parquet);
    folder.write("half.parquet", &parquet[..parquet.len() / 2]);
    folder.write("renamed.parquet", lines(USERS, TEXTS - 1));
    expect![
            "error: stage prepare: whole.parquet, row 1: there is no column `author`, found user_id, example_id, membership, role; the nearest is `role`; set the column names to match"
        ].assert_eq(&refused(&folder, "whole.parquet"));
    expect![
            "error: stage prepare: half.parquet, row 1: the file ends too early, it was cut off; copy or download it again"
        ].assert_eq(&refused(&folder, "half.parquet"));
    expect![
            "error: stage prepare: renamed.parquet, row 1: the content is damaged or not what the extension says; copy or convert the file again: Parquet error: Invalid Parquet file. Corrupt footer"
        ].assert_eq(&refused(&folder, "renamed.parquet"));
    folder.write("experiment.toml", experiment(["user_id", "role", "example_id"]));
    expect![
            "error: stage prepare: whole.parquet, row 81: column `role` is null, expected a value in every row; fill it or drop the row"
        ].assert_eq(&refused(&folder, "whole.parquet"));
}

#[test]
fn not_utf8() {
    let corpus = with_line(|line| line.replace("friend", "fr\u{1}end")).into_bytes();
    let corpus: Vec<u8> = corpus.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    check(
        "bad.jsonl",
        corpus,
        expect![
            "error: stage prepare: bad.jsonl, line 35: byte 56 of it is not UTF-8; convert the file, for example with iconv -t UTF-8"
        ],
    );
}

#[test]
fn duplicate_ids() {
    check(
        "bad.jsonl",
        with_line(|_| line(3, 0).trim_end().to_owned()),
        expect![
            "error: stage prepare: bad.jsonl, line 35: the user and example id of line 31 again, expected them once; drop one of the rows or choose another example id column"
        ],
    );
}

#[test]
fn zero_rows() {
    check(
        "bad.jsonl",
        "",
        expect![
            "error: stage prepare: bad.jsonl has no rows, expected at least one; check how it was written"
        ],
    );
    check(
        "blank.jsonl",
        "\n\n",
        expect![
            "error: stage prepare: blank.jsonl has no rows, expected at least one; check how it was written"
        ],
    );
    check(
        "bad.csv",
        "author,key,body\n",
        expect!["error: stage prepare: bad.csv has no rows, expected at least one; check how it was written"],
    );
}

#[test]
fn too_few_users() {
    check(
        "one.jsonl",
        lines(1, TEXTS),
        expect![
            "error: stage prepare: 1 users have at least 5 examples (0 have fewer): 1 public, 0 held-in and 0 held-out, expected at least 2 of both held-in and held-out; lower `min_examples` or the `public` fraction, or bring `held_in` nearer to one half"
        ],
    );
    check(
        "four.jsonl",
        lines(4, TEXTS),
        expect![
            "error: stage prepare: 4 users have at least 5 examples (0 have fewer): 2 public, 1 held-in and 1 held-out, expected at least 2 of both held-in and held-out; lower `min_examples` or the `public` fraction, or bring `held_in` nearer to one half"
        ],
    );
    check(
        "short.jsonl",
        lines(USERS, 4),
        expect![
            "error: stage prepare: 0 users have at least 5 examples (12 have fewer): 0 public, 0 held-in and 0 held-out, expected at least 2 of both held-in and held-out; lower `min_examples` or the `public` fraction, or bring `held_in` nearer to one half"
        ],
    );
}

#[test]
fn too_few_texts_for_the_split() {
    let folder = prepared();
    let split = experiment(COLUMNS)
        .replace("validation = 0.1", "validation = 0.4")
        .replace("attack = 0.2", "attack = 0.5");
    folder.write("experiment.toml", split);
    folder.write("bad.jsonl", lines(USERS, 5));
    expect![
            "error: stage prepare: user 0 has 5 examples and the fractions reserve 5 of them, expected at least one left to train on; raise `min_examples` to 6 or lower `validation`, `test` or `attack`"
        ].assert_eq(&refused(&folder, "bad.jsonl"));
}
