//! Documents by user against a reader of the whole file.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use tempfile::TempDir;
use userprint_core::Seed;

use super::*;
use crate::relational::DOCUMENTS;
use crate::{Columns, Corpus, Duplicates, Partition, RelationalSplit, SharedTexts, UserSplit, read_corpus};

/// A split of texts from one byte to more than a page, with its corpus.
fn split() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lines = String::new();
    for user in 0..40 {
        for i in 0..30 + user {
            let n = if i == 7 { 300_000 } else { (i * i * 13 + user) % 977 };
            let text = format!("{user}-{i} {}", "ü text ".repeat(n / 7));
            lines += &serde_json::json!({"user_id": format!("u{user}"), "text": text}).to_string();
            lines.push('\n');
        }
    }
    let corpus = folder.path().join("corpus.jsonl");
    std::fs::write(&corpus, lines).expect("written");
    let split = RelationalSplit {
        columns: Columns { user_id: "user_id".to_owned(), text: "text".to_owned(), ..Columns::default() },
        split: UserSplit {
            public: 0.2,
            held_in: 0.5,
            validation: 0.1,
            test: 0.1,
            attack: 0.1,
            min_examples: 5,
        },
        max_examples: None,
        duplicates: Duplicates::Kept,
        shared: SharedTexts::Kept,
        near_duplicates: None,
        seed: Seed(1),
        memory_bytes: 64 << 20,
        n_threads: NonZeroUsize::MIN,
        cluster: None,
    };
    split.run(&[corpus], folder.path(), &mut |_| {}).expect("a split");
    folder
}

#[test]
fn every_text_is_the_one_that_a_reader_of_it_all_finds() {
    let folder = split();
    let path = folder.path().join(DOCUMENTS);
    let documents = UserDocuments::open(&path).expect("a split");
    let columns = Columns {
        user_id: "user_id".to_owned(),
        text: "text".to_owned(),
        example_id: Some("example_id".to_owned()),
        ..Columns::default()
    };
    let corpus = read_corpus(&path, &columns).expect("a corpus");
    let partition = Partition::read_parquet(&path).expect("a partition");
    assert_eq!(documents.users(), corpus.users());
    for user in 0..corpus.users().len() {
        let examples = corpus.examples(userprint_core::UserIdx(user as u32)).expect("in memory");
        assert_eq!(documents.roles(user), partition.roles.row(user));
        assert_eq!(documents.membership(user), partition.membership[user]);
        for (at, example) in examples.iter().enumerate() {
            assert!(documents.text(user, at).expect("a text") == example.text);
        }
    }
}

#[test]
fn draws_are_of_the_role_without_repetition_and_fair() {
    let folder = split();
    let documents = UserDocuments::open(&folder.path().join(DOCUMENTS)).expect("a split");
    let held_in: Vec<usize> = (0..documents.users().len())
        .filter(|&user| documents.membership(user) == Membership::HeldIn)
        .collect();
    let mut rng = Seed(3).rng();
    let mut n_drawn: BTreeMap<usize, u32> = BTreeMap::new();
    for _ in 0..1000 {
        let draws = documents.draw(&held_in, 4, 2, Role::Train, &mut rng).expect("texts");
        assert_eq!(draws.len(), 4);
        for UserDraw { user, documents: own, texts } in draws {
            *n_drawn.entry(user).or_default() += 1;
            assert!(own.len() == 2 && own[0] != own[1]);
            assert!(own.iter().all(|&at| documents.roles(user)[at] == Some(Role::Train)));
            assert_eq!(texts[1], documents.text(user, own[1]).expect("a text"));
        }
    }
    let mean = 4000.0 / held_in.len() as f64;
    assert_eq!(n_drawn.len(), held_in.len());
    // Five standard deviations of a binomial count.
    assert!(n_drawn.values().all(|&n| (f64::from(n) - mean).abs() < 5.0 * mean.sqrt()), "{n_drawn:?}");
}

#[test]
fn other_files_are_refused() {
    let folder = split();
    let path = folder.path().join(DOCUMENTS);
    let partition = folder.path().join("partition.parquet");
    Partition::read_parquet(&path).and_then(|found| found.write_parquet(&partition)).expect("a partition");
    assert!(matches!(UserDocuments::open(&partition).unwrap_err(), CorpusError::Damaged { .. }));
    let open = UserDocuments::open(&path).expect("a split");
    let mut bytes = std::fs::read(&path).expect("a file");
    for byte in bytes.iter_mut().skip(4) {
        *byte ^= 0x55;
    }
    std::fs::write(&path, bytes).expect("written");
    assert!(matches!(open.text(0, 0).unwrap_err(), CorpusError::Damaged { .. }));
    assert!(UserDocuments::open(&path).is_err());
}
