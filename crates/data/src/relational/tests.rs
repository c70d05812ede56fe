//! The plan against the function that it repeats.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use std::sync::Arc;
use tempfile::TempDir;
use userprint_core::Origin;

use super::*;
use crate::{Corpus, CorpusRow, InMemoryCorpus, Partition, partition};

const SPLIT: UserSplit =
    UserSplit { public: 0.2, held_in: 0.5, validation: 0.1, test: 0.1, attack: 0.2, min_examples: 6 };

fn split(with_ids: bool) -> RelationalSplit {
    RelationalSplit {
        columns: Columns {
            user_id: "user".to_owned(),
            text: "a \"text\"".to_owned(),
            example_id: with_ids.then(|| "id".to_owned()),
            ..Columns::default()
        },
        split: SPLIT,
        max_examples: None,
        duplicates: Duplicates::Kept,
        shared: SharedTexts::Kept,
        near_duplicates: None,
        seed: Seed(7),
        memory_bytes: 256 << 20,
        n_threads: NonZeroUsize::new(2).expect("2 is above 0"),
        cluster: None,
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Rows of some 30 users, of which some have few, and of texts that come again within users and across them.
fn rows(rng: &mut impl Rng, with_ids: bool) -> Vec<CorpusRow> {
    let mut rows = Vec::new();
    for user in 0..30 {
        for example in 0..rng.random_range(1..40) {
            let text = match rng.random_range(0..4) {
                0 => format!("often {}", rng.random_range(0..5)),
                1 => format!("own {user} {}", rng.random_range(0..9)),
                _ => format!("text {user} {example} ünï\ncode's"),
            };
            let example_id = with_ids.then(|| format!("{}", example * 7 % 41));
            rows.push(CorpusRow {
                user_id: format!("user {user}"),
                example_id,
                text,
                origin: Origin::default(),
            });
        }
    }
    rows
}

fn write(path: &Path, rows: &[CorpusRow]) {
    let user: StringArray = rows.iter().map(|row| Some(&row.user_id)).collect();
    let text: StringArray = rows.iter().map(|row| Some(&row.text)).collect();
    let id: Int64Array =
        rows.iter().map(|row| row.example_id.as_ref().map(|id| id.parse().expect("a number"))).collect();
    let columns =
        [("a \"text\"", Arc::new(text) as ArrayRef), ("id", Arc::new(id)), ("user", Arc::new(user))];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let file = fs::File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

fn run(split: &RelationalSplit, files: &[PathBuf], to: &Path) -> Result<SplitCounts, CorpusError> {
    split.run(files, to, &mut |_| {})
}

/// Users and texts of the documents, row by row.
fn texts(folder: &Path) -> Vec<(String, String)> {
    let file = fs::File::open(folder.join(DOCUMENTS)).expect("documents");
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader");
    let mut texts = Vec::new();
    for batch in batches.map(|batch| batch.expect("rows")) {
        let column = |name| {
            batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>())
        };
        let (users, own) = (column("user_id").expect("users"), column("text").expect("texts"));
        texts.extend(
            (0..batch.num_rows()).map(|row| (users.value(row).to_owned(), own.value(row).to_owned())),
        );
    }
    texts
}

/// The plan's split is the function's, with the texts of the corpus.
fn assert_is(found: &Path, counts: SplitCounts, rows: Vec<CorpusRow>, split: &RelationalSplit) {
    let corpus = InMemoryCorpus::from_rows(rows).expect("sound rows");
    let expected = partition(&corpus, &split.split, split.seed).expect("enough users");
    let partition = Partition::read_parquet(&found.join(DOCUMENTS)).expect("a partition");
    assert_eq!(partition, expected);
    let kept = |user: &&userprint_core::UserId| expected.users.contains(user);
    let expected_texts =
        corpus.users().iter().enumerate().filter(|(_, user)| kept(user)).flat_map(|(idx, user)| {
            let examples = corpus.examples(userprint_core::UserIdx(idx as u32)).expect("in memory");
            examples.into_iter().map(|example| (user.as_str().to_owned(), example.text))
        });
    assert_eq!(texts(found), expected_texts.collect::<Vec<_>>());
    assert_eq!(counts.n_users.iter().sum::<u64>(), expected.users.len() as u64);
    assert_eq!(counts.n_examples.iter().sum::<u64>(), expected.roles.values().len() as u64);
    assert_eq!(counts.n_dropped, u64::from(expected.n_dropped));
}

#[test]
fn the_plan_is_the_function() {
    let mut rng = Seed(3).rng();
    for (case, with_ids) in [true, false, true, false].into_iter().enumerate() {
        let (folder, rows) = (folder(), rows(&mut rng, with_ids));
        let file = folder.path().join("corpus.parquet");
        write(&file, &rows);
        let split = RelationalSplit { seed: Seed(case as u64), ..split(with_ids) };
        let counts = run(&split, &[file], folder.path()).expect("a split");
        assert_eq!((counts.n_rows, counts.n_duplicates), (rows.len() as u64, 0));
        assert_is(folder.path(), counts, rows, &split);
        assert!(!folder.path().join("work").exists());
    }
}

/// Whatever the order of rows, files, formats and threads.
#[test]
fn equal_splits_have_equal_bytes() {
    let mut rng = Seed(4).rng();
    for with_ids in [true, false] {
        let mut rows = rows(&mut rng, with_ids);
        let bytes = |rows: &[CorpusRow], n_files: usize, split: &RelationalSplit| {
            let folder = folder();
            let files = rows.chunks(rows.len().div_ceil(n_files)).enumerate().map(|(at, rows)| {
                let file = folder.path().join(format!("{at}.parquet"));
                write(&file, rows);
                file
            });
            let files: Vec<PathBuf> = files.collect();
            run(split, &files, folder.path()).expect("a split");
            fs::read(folder.path().join(DOCUMENTS)).expect("documents")
        };
        let expected = bytes(&rows, 1, &split(with_ids));
        rows.shuffle(&mut rng);
        let one = NonZeroUsize::MIN;
        assert!(bytes(&rows, 3, &RelationalSplit { n_threads: one, ..split(with_ids) }) == expected);
    }
}

/// Memory for a few of the users at a time.
#[test]
fn a_split_in_pieces_is_the_same() {
    let rows = many_rows();
    let bytes = |memory_bytes| {
        let folder = folder();
        let file = folder.path().join("corpus.parquet");
        write(&file, &rows);
        let split = RelationalSplit { memory_bytes, ..split(true) };
        run(&split, &[file], folder.path()).expect("a split");
        fs::read(folder.path().join(DOCUMENTS)).expect("documents")
    };
    // Texts have 16 MB, of which pieces of 8 and of 32 MiB have less and more.
    assert!(bytes(64 << 20) == bytes(256 << 20));
}

/// Eighty users with 50 texts of about four thousand bytes each.
fn many_rows() -> Vec<CorpusRow> {
    let mut rows = rows(&mut Seed(11).rng(), true);
    for user in 0..80 {
        let text = |example| format!("user {user} example {example} {}", "of many words ".repeat(290));
        rows.extend((0..50).map(|example| CorpusRow {
            user_id: format!("writer {user}"),
            example_id: Some(example.to_string()),
            text: text(example),
            origin: Origin::default(),
        }));
    }
    rows
}

#[test]
fn pieces_are_at_most_so_many() {
    assert_eq!(pieces::piece_bytes(10, 120), 10);
    assert_eq!(pieces::piece_bytes(500_000, 120), 1000);
}

#[test]
fn one_of_equal_texts_stays() {
    let (folder, rows) = (folder(), rows(&mut Seed(5).rng(), true));
    let file = folder.path().join("corpus.parquet");
    write(&file, &rows);
    let mut sorted = rows.clone();
    sorted.sort_by(|a, b| (&a.user_id, &a.example_id).cmp(&(&b.user_id, &b.example_id)));
    let mut seen = BTreeSet::new();
    sorted.retain(|row| seen.insert((row.user_id.clone(), row.text.clone())));
    let split = RelationalSplit { duplicates: Duplicates::OneAUser, ..split(true) };
    let counts = run(&split, std::slice::from_ref(&file), folder.path()).expect("a split");
    assert_eq!(counts.n_duplicates, (rows.len() - sorted.len()) as u64);
    assert_is(folder.path(), counts, sorted, &split);

    let split = RelationalSplit { duplicates: Duplicates::OneInAll, ..split };
    let counts = run(&split, &[file], folder.path()).expect("a split");
    let texts = texts(folder.path());
    let distinct: BTreeSet<&String> = texts.iter().map(|(_, text)| text).collect();
    assert!(distinct.len() == texts.len() && counts.n_duplicates > (rows.len() - seen.len()) as u64);
}

/// Other formats, and times and sources, go through the readers.
#[test]
fn lines_of_json_are_split_alike() {
    let (folder, rows) = (folder(), rows(&mut Seed(6).rng(), false));
    let file = folder.path().join("corpus.jsonl");
    let line = |row: &CorpusRow| {
        serde_json::json!({"user": row.user_id, "a \"text\"": row.text, "when": "2009-11-10"}).to_string()
    };
    fs::write(&file, rows.iter().map(line).collect::<Vec<_>>().join("\n")).expect("written");
    let mut split = split(false);
    split.columns.timestamp = Some("when".to_owned());
    let counts = run(&split, &[file], folder.path()).expect("a split");
    assert_is(folder.path(), counts, rows, &split);
    let documents = fs::File::open(folder.path().join(DOCUMENTS)).expect("documents");
    let schema = ParquetRecordBatchReaderBuilder::try_new(documents).expect("Parquet").schema().clone();
    assert!(schema.field_with_name("timestamp_s").is_ok() && schema.field_with_name("source").is_err());
}

/// The error that the readers and the function have.
#[track_caller]
fn check_error(
    rows: &[CorpusRow],
    with_ids: bool,
    change: impl FnOnce(&mut RelationalSplit),
    expected: &str,
) {
    let folder = folder();
    let file = folder.path().join("corpus.parquet");
    write(&file, rows);
    let mut split = split(with_ids);
    change(&mut split);
    let error = run(&split, &[file], folder.path()).expect_err("it must be refused").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_the_function_refuses_is_refused() {
    let rows = rows(&mut Seed(8).rng(), true);
    let changed = |at: usize, change: fn(&mut CorpusRow)| {
        let mut rows = rows.clone();
        change(&mut rows[at]);
        rows
    };
    check_error(
        &changed(5, |row| row.text = " \u{2003}\n".to_owned()),
        true,
        |_| {},
        "row 6: column `a \"text\"` is empty",
    );
    check_error(&changed(0, |row| row.user_id.clear()), false, |_| {}, "row 1: column `user` is empty");
    let first = rows[0].clone();
    let mut twice = rows.clone();
    twice.push(CorpusRow { text: "another".to_owned(), ..first });
    let last = format!("row {}: the user and example id of row 1 again", twice.len());
    check_error(&twice, true, |_| {}, &last);
    check_error(&[], true, |_| {}, "has no rows");
    check_error(&rows, true, |split| split.split.min_examples = 41, "have at least 41 examples");
    check_error(
        &rows,
        true,
        |split| (split.split.min_examples, split.split.attack) = (1, 0.7),
        "at least one left to train on",
    );
    check_error(&rows, true, |split| split.columns.text = "txt".to_owned(), "`txt`");
    check_error(&rows, true, |split| split.split.held_in = 1.0, "setting `held_in`");
    check_error(&rows, true, |split| split.memory_bytes = 1 << 10, "give it more memory");
}

#[test]
fn users_with_too_many_examples_are_dropped() {
    let (folder, rows) = (folder(), rows(&mut Seed(9).rng(), true));
    let file = folder.path().join("corpus.parquet");
    write(&file, &rows);
    let split = RelationalSplit { max_examples: Some(20), ..split(true) };
    run(&split, &[file], folder.path()).expect("a split");
    let partition = Partition::read_parquet(&folder.path().join(DOCUMENTS)).expect("a partition");
    assert!(partition.users.len() > 5 && partition.example_ids.rows().all(|ids| ids.len() <= 20));
}

/// Rows of the split: user, id, membership, role.
fn labels(folder: &Path) -> Vec<[Option<String>; 4]> {
    let file = fs::File::open(folder.join(DOCUMENTS)).expect("documents");
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader");
    let mut rows = Vec::new();
    for batch in batches.map(|batch| batch.expect("rows")) {
        let columns = ["user_id", "example_id", "membership", "role"].map(|name| {
            let column = batch.column_by_name(name).expect("a column");
            column.as_any().downcast_ref::<StringArray>().expect("strings").clone()
        });
        let cell = |column: &StringArray, row| column.is_valid(row).then(|| column.value(row).to_owned());
        rows.extend((0..batch.num_rows()).map(|row| columns.each_ref().map(|column| cell(column, row))));
    }
    rows
}

/// Three users of whom one has nearly the same text every time, one twice the same, one never.
#[test]
fn near_duplicates_are_not_trained_on() {
    let mut rows = Vec::new();
    for user in 0..12 {
        for example in 0..20 {
            let own: Vec<String> = (0..20).map(|word| format!("w{user}x{example}x{word}")).collect();
            let common: Vec<String> = (0..20).map(|word| format!("c{user}x{word}")).collect();
            let text = match user % 3 {
                0 => format!("{} {}", common.join(" "), own[0]),
                1 if example < 10 => format!("{} {}", common.join(" "), own[0]),
                _ => own.join(" "),
            };
            rows.push(CorpusRow {
                user_id: format!("user {user:02}"),
                example_id: Some(example.to_string()),
                text,
                origin: Origin::default(),
            });
        }
    }
    let near = NearDuplicates { threshold: 0.7, shingle_words: 3 };
    let (folder, plain) = (folder(), folder());
    let file = folder.path().join("corpus.parquet");
    write(&file, &rows);
    run(&split(true), std::slice::from_ref(&file), plain.path()).expect("a split");
    let with = RelationalSplit { near_duplicates: Some(near), ..split(true) };
    let counts = run(&with, &[file], folder.path()).expect("a split");
    let (before, after) = (labels(plain.path()), labels(folder.path()));
    let is_reserved = |row: &[Option<String>; 4]| row[3].as_deref().is_some_and(|role| role != "train");
    let of = |labels: &[[Option<String>; 4]], user: usize| -> Vec<[Option<String>; 4]> {
        let name = format!("user {user:02}");
        labels.iter().filter(|row| row[0].as_ref() == Some(&name)).cloned().collect()
    };
    for user in 0..12 {
        let (before, after) = (of(&before, user), of(&after, user));
        match user % 3 {
            // What is reserved has the text, so that nothing is left.
            0 => assert!(after.is_empty() && !before.is_empty()),
            2 => assert_eq!(before, after),
            _ => {
                let same = before.iter().zip(&after);
                assert!(same.clone().all(|(before, after)| !is_reserved(before) || before == after));
                // One of the ten at most is trained on, and none if one of them is reserved.
                let ten = |row: &&[Option<String>; 4]| row[1].as_ref().is_some_and(|id| id.len() == 1);
                let n = after.iter().filter(ten).filter(|row| row[3].as_deref() == Some("train")).count();
                let any_reserved = after.iter().filter(ten).any(is_reserved);
                assert!(n <= usize::from(!any_reserved), "{n} of the ten are trained on");
                let others = same.filter(|(before, _)| !ten(before));
                assert!(
                    others.clone().count() == 10 && others.clone().all(|(before, after)| before == after)
                );
            }
        }
    }
    assert_eq!(counts.n_users.iter().sum::<u64>(), 8);
    assert_eq!(counts.n_dropped, 4);
    assert_eq!(counts.n_examples.iter().sum::<u64>(), 160);
    let table = fs::File::open(folder.path().join(NEAR_DUPLICATES)).expect("a table");
    let n_rows = ParquetRecordBatchReaderBuilder::try_new(table)
        .expect("Parquet")
        .metadata()
        .file_metadata()
        .num_rows();
    assert_eq!(u64::try_from(n_rows), Ok(counts.n_near_duplicates));
    assert!(counts.n_near_duplicates > 0);
    Partition::read_parquet(&folder.path().join(DOCUMENTS)).expect("a partition");
}

/// One more user changes nobody's roles, and at most one membership a boundary.
#[test]
fn another_user_changes_little() {
    for seed in 0..6 {
        let mut rng = Seed(seed).named("another user").rng();
        let mut all = rows(&mut rng, true);
        let newcomer = (0..12).map(|example| CorpusRow {
            user_id: format!("newcomer {seed}"),
            example_id: Some(example.to_string()),
            text: format!("new text {example}"),
            origin: Origin::default(),
        });
        let labelled = |rows: &[CorpusRow]| {
            let folder = folder();
            let file = folder.path().join("corpus.parquet");
            write(&file, rows);
            run(&split(true), &[file], folder.path()).expect("a split");
            labels(folder.path())
        };
        let before = labelled(&all);
        all.extend(newcomer);
        let after: Vec<_> = labelled(&all)
            .into_iter()
            .filter(|row| row[0].as_ref().is_some_and(|user| !user.starts_with("newcomer")))
            .collect();
        assert_eq!(before.len(), after.len());
        let mut moved = BTreeSet::new();
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before[..2], after[..2]);
            match before[2] == after[2] {
                true => assert_eq!(before[3], after[3], "a role changed without a membership"),
                false => _ = moved.insert((before[0].clone(), before[2].clone(), after[2].clone())),
            }
        }
        // Two boundaries: public and held in, held in and held out.
        assert!(moved.len() <= 2, "{} users moved", moved.len());
        let boundaries: BTreeSet<_> = moved
            .iter()
            .map(|(_, from, to)| (from.clone().min(to.clone()), from.clone().max(to.clone())))
            .collect();
        assert_eq!(boundaries.len(), moved.len());
    }
}

/// Users in rings who share texts with the next, and others who share none.
fn sharing_rows() -> Vec<CorpusRow> {
    let mut rows = Vec::new();
    for user in 0..48 {
        for example in 0..10 {
            // Rings of three: 0-1-2, 3-4-5, ... of the first thirty.
            let text = match example {
                0 if user < 30 => format!("shared {} {}", user / 3, user % 3),
                1 if user < 30 => format!("shared {} {}", user / 3, (user + 1) % 3),
                _ => format!("own {user} {example}"),
            };
            rows.push(CorpusRow {
                user_id: format!("user {user:02}"),
                example_id: Some(example.to_string()),
                text,
                origin: Origin::default(),
            });
        }
    }
    rows
}

#[test]
fn shared_texts_follow_the_policy() {
    let done = |shared| {
        let folder = folder();
        let file = folder.path().join("corpus.parquet");
        write(&file, &sharing_rows());
        let split = RelationalSplit { shared, ..split(true) };
        let counts = run(&split, &[file], folder.path()).expect("a split");
        (counts, labels(folder.path()))
    };
    let (kept, labelled) = done(SharedTexts::Kept);
    // By counting: the texts that held-in users train on, among those of held-out ones.
    let rows = sharing_rows();
    let text = |row: &[Option<String>; 4]| {
        let same = |own: &&CorpusRow| Some(&own.user_id) == row[0].as_ref() && own.example_id == row[1];
        rows.iter().find(same).expect("a row").text.clone()
    };
    let trained: BTreeSet<String> = labelled
        .iter()
        .filter(|row| row[2].as_deref() == Some("held_in") && row[3].as_deref() == Some("train"))
        .map(text)
        .collect();
    let held_out = labelled.iter().filter(|row| row[2].as_deref() == Some("held_out"));
    let n_leaked = held_out.filter(|row| trained.contains(&text(row))).count();
    assert!(n_leaked > 0);
    assert_eq!(kept.n_leaked, n_leaked as u64);

    let (dropped, labelled) = done(SharedTexts::Dropped);
    assert_eq!(dropped.n_leaked, 0);
    assert!(labelled.iter().all(|row| !text(row).starts_with("shared")));
    assert_eq!(labelled.len(), 480 - 60);

    let (grouped, labelled) = done(SharedTexts::Grouped);
    assert_eq!(grouped.n_leaked, 0);
    assert_eq!(labelled.len(), 480);
    // What is reserved of one owner, no other trains on.
    let of = |wanted: fn(&str) -> bool| -> BTreeSet<String> {
        labelled.iter().filter(|row| row[3].as_deref().is_some_and(wanted)).map(text).collect()
    };
    assert!(of(|role| role == "train").is_disjoint(&of(|role| role != "train")));
    let membership = |user: usize| {
        let name = format!("user {user:02}");
        labelled.iter().find(|row| row[0].as_ref() == Some(&name)).expect("a user")[2].clone()
    };
    for ring in 0..10 {
        assert_eq!(membership(3 * ring), membership(3 * ring + 1));
        assert_eq!(membership(3 * ring), membership(3 * ring + 2));
    }
    // 48 users: 10 public and 19 held in, up to two users of a group at each boundary.
    for (n, wanted) in grouped.n_users.into_iter().zip([10_u64, 19, 19]) {
        assert!(n.abs_diff(wanted) <= 4, "{:?}", grouped.n_users);
    }
}

#[test]
fn each_co_user_has_the_text() {
    let folder = folder();
    let line = |user: u32, i: u32| {
        let others =
            if i == 0 { vec![format!("u{}", (user + 1) % 12), format!("u{user}")] } else { Vec::new() };
        serde_json::json!({"user": format!("u{user}"), "a \"text\"": format!("{user} {i}"), "with": others})
            .to_string()
    };
    let lines: Vec<String> = (0..12).flat_map(|user| (0..8).map(move |i| line(user, i))).collect();
    let file = folder.path().join("corpus.jsonl");
    fs::write(&file, lines.join("\n")).expect("written");
    let mut split = split(false);
    split.columns.co_users = Some("with".to_owned());
    let counts = run(&split, std::slice::from_ref(&file), folder.path()).expect("a split");
    assert_eq!((counts.n_rows, counts.n_users.iter().sum::<u64>()), (12 * 9, 12));
    // All are one ring, so that one group has them all.
    split.shared = SharedTexts::Grouped;
    let error = run(&split, &[file], folder.path()).unwrap_err();
    assert!(matches!(error, CorpusError::TooFewUsers { .. }), "{error}");
}
