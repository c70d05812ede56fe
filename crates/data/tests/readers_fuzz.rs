//! Damaged files of every format that is read: an error, or rows with all their values, and never a panic.
//!
//! Runs some hundred inputs each under `cargo test`, and without end under `cargo bolero test`.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use bolero::check;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;
use userprint_core::Seed;
use userprint_data::relational::DOCUMENTS;
use userprint_data::{
    Columns, Duplicates, Partition, Preparation, Recipe, RelationalSplit, SharedTexts, UserDocuments,
    UserSplit, read_rows,
};

/// One change of a file: what, where, and with which byte.
type Change = (u8, u32, u8);

fn changed(mut file: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for (what, at, byte) in changes.iter().take(3) {
        let at = *at as usize % file.len().max(1);
        match what % 6 {
            0 if !file.is_empty() => file[at] = *byte,
            1 => file.insert(at, *byte),
            2 if !file.is_empty() => drop(file.remove(at)),
            3 => file.truncate(at),
            // Sizes that lie.
            4 => file.splice(at..at, [0xff; 4]).for_each(drop),
            _ => file.insert(at, b'0' + byte % 10),
        }
    }
    file
}

fn columns() -> Columns {
    Columns {
        user_id: "user_id".to_owned(),
        text: "text".to_owned(),
        timestamp: Some("when".to_owned()),
        ..Columns::default()
    }
}

fn batch() -> RecordBatch {
    let users = (0..60).map(|row| format!("user {}", row % 6));
    let texts = (0..60).map(|row| format!("text {row} ü"));
    let column = |values: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    RecordBatch::try_from_iter([
        ("user_id", column(users.collect())),
        ("text", column(texts.collect())),
        ("when", column(vec!["2001-02-03".to_owned(); 60])),
    ])
    .expect("columns of one length")
}

fn mbox() -> String {
    let message = |i: u32| {
        format!(
            "From x@y.org Mon May 14 16:39:00 2001\nFrom: \"A\" <a{i}@b.org>\nDate: Mon, 14 May 2001 16:39:00 -0700\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
             A text =C3=BC {i}\n>From here on\n\n"
        )
    };
    (0..4).map(message).collect()
}

fn write(folder: &Path, name: &str) -> Vec<u8> {
    let path = folder.join(name);
    match name.rsplit('.').next() {
        Some("parquet") => {
            let mut writer =
                ArrowWriter::try_new(File::create(&path).expect("a file"), batch().schema(), None).expect("a writer");
            writer.write(&batch()).and_then(|()| writer.close()).expect("written");
        }
        Some(arrow @ ("arrow" | "feather")) => {
            let pressed = (arrow == "feather").then_some(CompressionType::ZSTD);
            let options = IpcWriteOptions::default().try_with_compression(pressed).expect("it is built in");
            let file = File::create(&path).expect("a file");
            let mut writer = FileWriter::try_new_with_options(file, &batch().schema(), options).expect("a writer");
            writer.write(&batch()).and_then(|()| writer.finish()).expect("written");
        }
        Some("mbox") => fs::write(&path, mbox()).expect("written"),
        Some("csv") => {
            fs::write(&path, "user_id,when,text\nu,1999,\"a \"\"text\"\"\nof lines\"\nv,,b\n").expect("written");
        }
        _ => fs::write(&path, "{\"user_id\": 7, \"text\": \"a\\u00fc\", \"when\": null}\n{\"user_id\":\"b\",\"text\":\"c\",\"when\":3}\n")
            .expect("written"),
    }
    fs::read(path).expect("a file")
}

/// Rows of a damaged file have their values, and an error says neither text nor user.
fn check_format(name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let sound = write(folder.path(), name);
    let path = folder.path().join(name);
    check!().with_type::<Vec<Change>>().with_iterations(300).for_each(|changes| {
        fs::write(&path, changed(sound.clone(), changes)).expect("written");
        // An error is as good as rows.
        let _ = read_rows(&path, &columns(), &mut |_, row| {
            assert!(!row.user_id.trim().is_empty() && !row.text.trim().is_empty());
            std::ops::ControlFlow::Continue(())
        });
    });
}

#[test]
fn damaged_json_lines() {
    check_format("x.jsonl");
}

#[test]
fn damaged_csv() {
    check_format("x.csv");
}

#[test]
fn damaged_mailboxes() {
    check_format("x.mbox");
}

#[test]
fn damaged_arrow_files() {
    check_format("x.arrow");
}

#[test]
fn damaged_pressed_arrow_files() {
    check_format("x.feather");
}

#[test]
fn damaged_parquet() {
    check_format("x.parquet");
}

fn split(columns: Columns) -> RelationalSplit {
    RelationalSplit {
        columns,
        split: UserSplit {
            public: 0.0,
            held_in: 0.5,
            validation: 0.1,
            test: 0.1,
            attack: 0.1,
            min_examples: 4,
        },
        max_examples: None,
        duplicates: Duplicates::Kept,
        shared: SharedTexts::Kept,
        near_duplicates: None,
        seed: Seed(1),
        memory_bytes: 64 << 20,
        n_threads: NonZeroUsize::MIN,
        cluster: None,
    }
}

/// A split and its bytes.
fn documents() -> (TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "x.parquet");
    let columns = Columns { timestamp: None, ..columns() };
    split(columns).run(&[folder.path().join("x.parquet")], folder.path(), &mut |_| {}).expect("a split");
    let path = folder.path().join(DOCUMENTS);
    let bytes = fs::read(&path).expect("a file");
    (folder, path, bytes)
}

#[test]
fn damaged_splits() {
    let (_folder, path, sound) = documents();
    check!().with_type::<Vec<Change>>().with_iterations(300).for_each(|changes| {
        fs::write(&path, changed(sound.clone(), changes)).expect("written");
        let _ = Partition::read_parquet(&path);
        let Ok(open) = UserDocuments::open(&path) else { return };
        for user in 0..open.users().len() {
            for document in 0..open.roles(user).len() {
                let _ = open.text(user, document);
            }
        }
    });
}

/// A tar archive of mails, not pressed, so that changes reach its headers.
fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for owner in ["lay-k", "dasovich-j", "kean-s", "beck-s"] {
        for i in 0..6 {
            let last = owner.split('-').next().expect("a name");
            let mail = format!(
                "From: x.{last}@enron.com\r\nDate: Mon, 14 May 2001 16:39:00 -0700\r\n\r\nmail {i}\r\n"
            );
            let mut header = tar::Header::new_gnu();
            header.set_size(mail.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder
                .append_data(&mut header, format!("maildir/{owner}/sent/{i}."), mail.as_bytes())
                .expect("a member");
        }
    }
    builder.into_inner().expect("an archive")
}

#[test]
fn damaged_archives_and_dumps() {
    let folder = tempfile::tempdir().expect("a folder");
    let abstracts: String = (0..40)
        .map(|i| format!("{{\"submitter\": \"S {}\", \"abstract\": \"text {i}\", \"versions\": [{{\"created\": \"Mon, 2 Apr 2007 19:18:42 GMT\"}}]}}\n", i % 4))
        .collect();
    for (recipe, name, sound) in
        [(Recipe::Enron, "mail.tar", archive()), (Recipe::Arxiv, "dump.json", abstracts.into_bytes())]
    {
        let path = folder.path().join(name);
        check!().with_type::<Vec<Change>>().with_iterations(60).for_each(|changes| {
            fs::write(&path, changed(sound.clone(), changes)).expect("written");
            let n_tokens = |text: &str| text.len();
            let preparation = Preparation {
                recipe,
                first_author: false,
                min_tokens: 0,
                n_tokens: &n_tokens,
                max_malformed: 1.0,
            };
            let _ = preparation.run(
                std::slice::from_ref(&path),
                &folder.path().join("out"),
                &split(Columns::default()),
                &mut |_| {},
            );
            // Whatever a member is called, nothing is written but in the folder that was named.
            let n_entries = fs::read_dir(folder.path()).expect("a folder").count();
            assert!(n_entries <= 3, "{n_entries}");
        });
    }
}
