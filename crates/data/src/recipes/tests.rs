//! Small dumps in the true formats, malformed records included.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::num::NonZeroUsize;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use serde_json::json;
use std::sync::Arc;
use tempfile::TempDir;
use userprint_core::Seed;

use super::*;
use crate::relational::DOCUMENTS;
use crate::{SharedTexts, UserSplit, read_corpus};

/// A moment of October 2015.
const OCTOBER: i64 = 1_445_000_000;

fn split() -> RelationalSplit {
    RelationalSplit {
        columns: Columns::default(),
        split: UserSplit {
            public: 0.0,
            held_in: 0.5,
            validation: 0.1,
            test: 0.1,
            attack: 0.2,
            min_examples: 5,
        },
        max_examples: None,
        duplicates: Duplicates::Kept,
        shared: SharedTexts::Kept,
        near_duplicates: None,
        seed: Seed(1),
        memory_bytes: 64 << 20,
        n_threads: NonZeroUsize::new(2).expect("2 is above 0"),
        cluster: None,
    }
}

/// Name and content of a member, or user and text of a document.
type Pair = (String, String);

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

struct Dump(TempDir);

impl Dump {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(
        &self,
        recipe: Recipe,
        file: &str,
        max_malformed: f64,
    ) -> Result<(RecordCounts, SplitCounts), CorpusError> {
        let min_tokens = if recipe.min_tokens() > 0 { 5 } else { 0 };
        let preparation =
            Preparation { recipe, first_author: false, min_tokens, n_tokens: &words, max_malformed };
        let split = RelationalSplit { duplicates: recipe.duplicates(), ..split() };
        preparation.run(&[self.path(file)], &self.path("out"), &split, &mut |_| {})
    }

    /// Users and texts of the split.
    fn documents(&self) -> BTreeSet<(String, String)> {
        let columns =
            Columns { user_id: "user_id".to_owned(), text: "text".to_owned(), ..Columns::default() };
        let mut documents = BTreeSet::new();
        crate::read_rows(&self.path("out").join(DOCUMENTS), &columns, &mut |_, row| {
            documents.insert((row.user_id, row.text));
            std::ops::ControlFlow::Continue(())
        })
        .expect("documents");
        documents
    }
}

/// Lines of comments, and what is to be left of them.
fn comments() -> (Vec<String>, BTreeSet<Pair>) {
    let (mut lines, mut kept) = (Vec::new(), BTreeSet::new());
    let line = |author: &str, body: &str, created: i64| {
        json!({"author": author, "body": body, "created_utc": created, "id": "x", "score": 1}).to_string()
    };
    for user in 0..8 {
        for i in 0..9 {
            let body = format!("{user} says the {i} th thing");
            lines.push(line(&format!("user{user}"), &body, OCTOBER + i));
            kept.insert((format!("user{user}"), body));
        }
        // Short, late and deleted ones count for nothing.
        lines.push(line(&format!("user{user}"), "too short", OCTOBER));
        lines.push(line(&format!("user{user}"), "long enough but written much later", OCTOBER + 31_536_000));
        lines.push(line(&format!("user{user}"), "[removed]", OCTOBER));
    }
    for name in ["GoodBot", "AutoModerator", "[deleted]"] {
        lines.extend((0..9).map(|i| line(name, &format!("a long enough text number {i}"), OCTOBER)));
    }
    // One comment too many.
    lines.extend((0..2001).map(|i| line("busy", &format!("a long enough text number {i}"), OCTOBER)));
    // The most that may be, most of them short.
    lines.extend((0..1992).map(|_| line("chatty", "short", OCTOBER)));
    for i in 0..8 {
        let body = format!("a long enough text number {i}");
        lines.push(line("chatty", &body, OCTOBER));
        kept.insert(("chatty".to_owned(), body));
    }
    (lines, kept)
}

#[test]
fn reddit_from_a_monthly_dump() {
    let dump = Dump::new();
    let (mut lines, kept) = comments();
    let n_sound = lines.len();
    lines.insert(3, "{\"author\": \"user0\", \"bo".to_owned());
    lines.insert(9, "[1, 2]".to_owned());
    lines.push(json!({"author": "user1", "body": "a text without any time at all"}).to_string());
    let file = File::create(dump.path("RC_2015-10.zst")).expect("a file");
    let mut encoder = zstd::Encoder::new(file, 1).expect("an encoder");
    encoder.long_distance_matching(true).and_then(|()| encoder.window_log(28)).expect("a long window");
    encoder.write_all(lines.join("\n").as_bytes()).expect("written");
    encoder.write_all(b"\n\xff\xfe not utf-8\n").expect("written");
    encoder.finish().expect("finished");

    let (records, counts) = dump.run(Recipe::Reddit, "RC_2015-10.zst", 0.01).expect("a split");
    assert_eq!(dump.documents(), kept);
    assert_eq!((records.n_records, records.n_malformed), (n_sound as u64 + 4, 4));
    assert!(records.malformed_at[0].ends_with("RC_2015-10.zst, line 4"), "{:?}", records.malformed_at);
    assert_eq!(counts.n_users.iter().sum::<u64>(), 9);
    assert_eq!(records.n_dropped["of a bot or a moderator, by the name"], 18);
    assert_eq!(records.n_dropped["deleted"], 9 + 8);
    assert_eq!(records.n_dropped["written in other months"], 8);
    let left = fs::read_dir(dump.path("out")).expect("a folder").count();
    assert_eq!(left, 1, "the documents alone are left");

    let error = dump.run(Recipe::Reddit, "RC_2015-10.zst", 0.0).unwrap_err().to_string();
    assert!(error.starts_with("4 of 4") && error.contains("line 4"), "{error}");
}

#[test]
fn reddit_from_the_hubs_parquet() {
    let dump = Dump::new();
    let (lines, kept) = comments();
    let rows: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let column = |name: &str| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row[name].as_str()).collect::<StringArray>())
    };
    let created: Int64Array = rows.iter().map(|row| row["created_utc"].as_i64()).collect();
    let batch = RecordBatch::try_from_iter([
        ("author", column("author")),
        ("body", column("body")),
        ("created_utc", Arc::new(created)),
        ("id", column("id")),
    ]);
    let batch = batch.expect("columns of one length");
    let file = File::create(dump.path("part.parquet")).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).and_then(|()| writer.close()).expect("written");
    dump.run(Recipe::RedditSmall, "part.parquet", 0.0).expect("a split");
    assert_eq!(dump.documents(), kept);
}

#[test]
fn cc_news_from_json_lines() {
    let dump = Dump::new();
    let (mut lines, mut kept) = (Vec::new(), BTreeSet::new());
    for site in 0..6 {
        for i in 0..7 {
            let text = format!("news {i} of {site}");
            let url = format!("https://www.Site{site}.org:80/news/{i}?a=b");
            // A copy under another address.
            for _ in 0..2 {
                lines
                    .push(json!({"url": url, "text": text, "date": "2018-03-04 05:06:07", "language": "en"}));
            }
            kept.insert((format!("site{site}.org"), text));
        }
        let domain = format!("site{site}.org");
        lines.push(json!({"domain": domain, "text": "undated", "date": null}));
        kept.insert((domain.clone(), "undated".to_owned()));
        lines.push(json!({"domain": domain, "text": "old", "date": "2016-12-31"}));
        lines.push(json!({"domain": domain, "text": "neu", "date": "2018-12-31", "language": "de"}));
        lines.push(json!({"domain": domain, "text": "  ", "date": "2018-12-31"}));
    }
    lines.push(json!({"domain": "site0.org", "text": "when?", "date": "+271828-00-00"}));
    lines.push(json!({"text": "where?", "date": "2018-01-01"}));
    let mut encoder = GzEncoder::new(
        File::create(dump.path("news.jsonl.gz")).expect("a file"),
        flate2::Compression::fast(),
    );
    for line in &lines {
        writeln!(encoder, "{line}").expect("written");
    }
    encoder.finish().expect("finished");
    let (records, counts) = dump.run(Recipe::CcNews, "news.jsonl.gz", 0.05).expect("a split");
    assert_eq!(dump.documents(), kept);
    assert_eq!((records.n_malformed, counts.n_duplicates), (2, 42));
}

#[test]
fn arxiv_by_submitter_and_by_first_author() {
    let dump = Dump::new();
    let mut file = File::create(dump.path("arxiv.json")).expect("a file");
    let (mut by_submitter, mut by_author) = (BTreeSet::new(), BTreeSet::new());
    for submitter in 0..6 {
        for i in 0..6 {
            let text = format!("We show {i} of\n {submitter}");
            let record = json!({
                "id": format!("07{i:02}.{submitter:04}"), "submitter": format!("S {submitter}"),
                "authors_parsed": [[format!("A{i}"), "Ann", ""], ["B", "Bob", ""]],
                "abstract": format!("  {text}\n"), "versions": [{"version": "v1", "created": "Mon, 2 Apr 2007 19:18:42 GMT"}],
            });
            writeln!(file, "{record}").expect("written");
            by_submitter.insert((format!("S {submitter}"), text.clone()));
            by_author.insert((format!("Ann A{i}"), text));
        }
    }
    writeln!(file, "{}", json!({"submitter": null, "abstract": "nobody's"})).expect("written");
    let (records, _) = dump.run(Recipe::Arxiv, "arxiv.json", 0.0).expect("a split");
    assert_eq!(dump.documents(), by_submitter);
    assert_eq!(records.n_dropped["without a submitter or author"], 1);
    let preparation = Preparation {
        recipe: Recipe::Arxiv,
        first_author: true,
        min_tokens: 0,
        n_tokens: &words,
        max_malformed: 0.0,
    };
    preparation.run(&[dump.path("arxiv.json")], &dump.path("out"), &split(), &mut |_| {}).expect("a split");
    assert_eq!(dump.documents(), by_author);
}

fn message(from: &str, text: &str) -> String {
    format!(
        "Message-ID: <1.JavaMail.evans@thyme>\r\nDate: Mon, 14 May 2001 16:39:00 -0700 (PDT)\r\nFrom: {from}\r\n\
         To: a@b.org\r\nSubject: s\r\nMime-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\
         Content-Transfer-Encoding: 7bit\r\nX-Folder: \\Sent\r\n\r\n{text}\r\n"
    )
}

/// Members of an archive of mails, and what is to be left of them.
fn mails() -> (Vec<Pair>, BTreeSet<Pair>) {
    let (mut members, mut kept) = (Vec::new(), BTreeSet::new());
    for owner in ["lay-k", "dasovich-j", "kaminski-v", "o'neil-m", "shackleton-s"] {
        let last = &owner[..owner.len() - 2];
        let own = format!("x.{last}@enron.com");
        for i in 0..8 {
            let text = format!("mail {i} of {owner}");
            // The same mail in two folders.
            for folder in ["sent", "all_documents"] {
                members.push((format!("maildir/{owner}/{folder}/{i}."), message(&own, &text)));
            }
            kept.insert((own.clone(), text));
        }
        // Another address of the owner, used less, and mails of others.
        members
            .push((format!("maildir/{owner}/sent/90."), message(&format!("{last}@home.com"), "from home")));
        members.push((format!("maildir/{owner}/inbox/1."), message("other@enron.com", "from others")));
        members.push((format!("maildir/{owner}/inbox/2."), message(&own, " ")));
    }
    (members, kept)
}

fn archive(dump: &Dump, members: &[(String, String)]) {
    let encoder =
        GzEncoder::new(File::create(dump.path("mail.tar.gz")).expect("a file"), flate2::Compression::fast());
    let mut builder = tar::Builder::new(encoder);
    for (name, content) in members {
        append(&mut builder, name, content.as_bytes(), tar::EntryType::Regular);
    }
    builder.into_inner().and_then(GzEncoder::finish).expect("finished");
}

fn append(builder: &mut tar::Builder<impl Write>, name: &str, content: &[u8], kind: tar::EntryType) {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_entry_type(kind);
    // Written past the builder, which refuses the names that an attacker would choose.
    let field = &mut header.as_ustar_mut().expect("a ustar header").name;
    field[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    builder.append(&header, content).expect("a member");
}

#[test]
fn enron_from_its_archive_and_its_folder() {
    let dump = Dump::new();
    let (mut members, kept) = mails();
    for (name, content) in &members {
        let path = dump.path("unpacked").join(name);
        fs::create_dir_all(path.parent().expect("a folder"))
            .and_then(|()| fs::write(path, content))
            .expect("written");
    }
    members.push(("maildir/lay-k/sent/99.".to_owned(), "\0\u{1}nothing like a mail".to_owned()));
    archive(&dump, &members);
    let (records, counts) = dump.run(Recipe::Enron, "mail.tar.gz", 0.02).expect("a split");
    assert_eq!(dump.documents(), kept);
    assert_eq!((records.n_malformed, counts.n_duplicates), (1, 40));
    assert!(records.malformed_at[0].ends_with("member 96"), "{:?}", records.malformed_at);
    assert_eq!(records.n_dropped["sent by others than the mailbox's owner"], 5);
    let bytes = |dump: &Dump| fs::read(dump.path("out").join(DOCUMENTS)).expect("documents");
    let from_archive = bytes(&dump);
    dump.run(Recipe::Enron, "unpacked/maildir", 0.0).expect("a split");
    assert!(bytes(&dump) == from_archive, "the folder gives other bytes than the archive");
    let corpus = read_corpus(&dump.path("unpacked"), &Columns::default()).expect("mails");
    assert_eq!(corpus.n_examples_total(), 5 * (16 + 1 + 1));
}

#[test]
fn names_of_members_do_nothing() {
    use super::mailboxes::{Member, owner, read_archive};
    for (name, expected) in [
        ("maildir/lay-k/sent/1.", Some("lay-k")),
        ("./enron/maildir/Lay-K/sent/old/1.", Some("lay-k")),
        ("maildir/lay-k/1.", None),
        ("/maildir/lay-k/sent/1.", None),
        ("maildir/../lay-k/sent/1.", None),
        ("maildir/lay-k/sent/../../../etc/passwd", None),
        ("lay-k/sent/1.", None),
        ("", None),
    ] {
        assert_eq!(owner(name.as_bytes()).as_deref(), expected, "{name}");
    }
    assert_eq!(owner(b"maildir/\xff\xfe/sent/1."), None);
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, "../../maildir/lay-k/sent/1.", b"x", tar::EntryType::Regular);
    append(&mut builder, "maildir/lay-k/sent/2.", b"", tar::EntryType::Symlink);
    append(&mut builder, "maildir/lay-k/sent/3.", &[b'a'; 600], tar::EntryType::GNULongName);
    let bytes = builder.into_inner().expect("an archive");
    let mut reasons = Vec::new();
    read_archive(Path::new("a.tar"), &*bytes, &mut |_, member| {
        let Member::Other(reason) = member else { panic!("a member that is no mail was taken for one") };
        reasons.push(reason);
        Ok(())
    })
    .expect("an archive");
    assert_eq!(reasons, ["not in a mailbox", "no plain file", "no plain file"]);
}

#[test]
fn a_cut_archive_is_an_error() {
    let dump = Dump::new();
    archive(&dump, &mails().0);
    let path = dump.path("mail.tar.gz");
    let bytes = fs::read(&path).expect("an archive");
    for n_bytes in [bytes.len() / 2, bytes.len() - 20] {
        fs::write(&path, &bytes[..n_bytes]).expect("written");
        let error = dump.run(Recipe::Enron, "mail.tar.gz", 1.0).unwrap_err();
        assert!(matches!(error, CorpusError::CutOff { .. }), "{error}");
    }
}

#[test]
fn a_line_without_end_is_one_malformed_record() {
    let dump = Dump::new();
    let mut file = File::create(dump.path("long.jsonl")).expect("a file");
    let sound = json!({"submitter": "S", "abstract": "A"}).to_string();
    writeln!(file, "{sound}").expect("written");
    let block = vec![b' '; 1 << 20];
    file.write_all(b"{\"submitter\": \"").expect("written");
    for _ in 0..(crate::read::MAX_LINE_BYTES >> 20) + 2 {
        file.write_all(&block).expect("written");
    }
    writeln!(file, "\"}}\n{sound}").expect("written");
    let mut found = Vec::new();
    read_records(&dump.path("long.jsonl"), &["/submitter"], &mut |position, record| {
        found.push((position.number, record.is_some()));
        Ok(())
    })
    .expect("records");
    assert_eq!(found, [(1, true), (2, false), (3, true)]);
}
