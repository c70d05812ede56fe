//! Dumps in the formats of the paper's corpora, of made-up texts.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::draw::{text, word};

const N_USERS: usize = 32;
/// Enough for `min_examples` of the paper scale's split, and one for each hour of a day.
pub(super) const N_DOCUMENTS: usize = 24;
/// More than the longest planted substring has tokens.
const N_WORDS: usize = 120;
/// Words of a comment that has the 250 tokens that the recipe asks for.
const N_WORDS_OF_COMMENT: usize = 260;

/// A corpus of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Dump {
    Reddit,
    CcNews,
    Enron,
    Arxiv,
}

impl Dump {
    /// The command of `userprint corpus`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reddit => "reddit",
            Self::CcNews => "cc-news",
            Self::Enron => "enron",
            Self::Arxiv => "arxiv",
        }
    }

    /// Writes the dump into a folder; what `--from` takes.
    pub(super) fn write(self, folder: &Path) -> anyhow::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        match self {
            Self::Reddit => lines(folder.join("RC_2015-10.jsonl"), comment),
            Self::CcNews => lines(folder.join("news.jsonl"), article),
            Self::Enron => mailboxes(folder.join("maildir")),
            Self::Arxiv => lines(folder.join("arxiv-abstracts.jsonl"), abstract_of),
        }
    }
}

/// A line for each document.
fn lines(file: PathBuf, record: fn(usize, usize) -> Value) -> anyhow::Result<PathBuf> {
    let documents = (0..N_USERS).flat_map(|user| (0..N_DOCUMENTS).map(move |document| (user, document)));
    let lines: Vec<String> = documents.map(|(user, document)| record(user, document).to_string()).collect();
    fs::write(&file, lines.join("\n") + "\n")?;
    Ok(file)
}

fn comment(user: usize, document: usize) -> Value {
    json!({
        "id": format!("c{user}x{document}"), "author": format!("{}_{user}", word(user)), "score": 1,
        "subreddit": "letters", "created_utc": 1_444_000_000 + 1000 * document,
        "body": text(user, document, N_WORDS_OF_COMMENT),
    })
}

fn article(user: usize, document: usize) -> Value {
    let domain = format!("www.{}.org", word(user));
    let url = format!("https://{domain}/news/{document}");
    json!({
        "title": word(document), "text": text(user, document, N_WORDS), "domain": domain, "url": url,
        "date": format!("2018-03-{:02} 05:06:07", document + 1), "description": "", "image_url": null,
    })
}

fn abstract_of(user: usize, document: usize) -> Value {
    json!({
        "id": format!("07{:02}.{user:04}", document + 1), "submitter": format!("Ann {}", word(user)),
        "authors_parsed": [[word(user), "Ann", ""]], "categories": ["cs.CL"],
        "abstract": format!("  {}\n", text(user, document, N_WORDS)),
        "versions": [{"version": "v1", "created": format!("Mon, 2 Apr 2007 {document:02}:18:42 GMT")}],
    })
}

/// A folder for each owner: what was sent, and a mail of somebody else.
fn mailboxes(folder: PathBuf) -> anyhow::Result<PathBuf> {
    for user in 0..N_USERS {
        let mailbox = folder.join(format!("{}-a", word(user)));
        for name in ["sent", "inbox"] {
            fs::create_dir_all(mailbox.join(name))?;
        }
        let own = format!("a.{}@enron.com", word(user));
        for document in 0..N_DOCUMENTS {
            let text = text(user, document, N_WORDS);
            fs::write(mailbox.join(format!("sent/{}.", document + 1)), message(&own, document, &text))?;
        }
        fs::write(mailbox.join("inbox/1."), message("other@enron.com", 9, &text(N_USERS, user, N_WORDS)))?;
    }
    Ok(folder)
}

fn message(from: &str, hour: usize, text: &str) -> String {
    format!(
        "Message-ID: <1.JavaMail.evans@thyme>\r\nDate: Mon, 14 May 2001 {hour:02}:39:00 -0700 (PDT)\r\nFrom: {from}\r\n\
         To: a@enron.com\r\nSubject: letters\r\nMime-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\
         Content-Transfer-Encoding: 7bit\r\nX-Folder: \\Sent\r\n\r\n{text}\r\n"
    )
}
