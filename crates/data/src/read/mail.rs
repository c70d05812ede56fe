//! Mail: files of one message each in folders, and mailboxes in one file.

use std::fs;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use mail_parser::MessageParser;
use userprint_core::Origin;

use super::lines::{Line, Lines};
use super::{MAX_LINE_BYTES, Rows, open, read_error};
use crate::{CorpusError, CorpusRow, Position};

/// What is kept of a message.
pub(crate) struct Mail {
    /// Address of the sender in lower case.
    pub(crate) sender: String,
    /// What was written, without headers; it may be empty.
    pub(crate) text: String,
    /// When, where the date is one.
    pub(crate) timestamp_s: Option<i64>,
}

impl Mail {
    /// Reads a message (RFC 5322); none where it lacks a sender.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let message = MessageParser::default().parse(message)?;
        let sender = message.from()?.first()?.address()?.trim().to_lowercase();
        let text = message.body_text(0).map_or(String::new(), |text| text.trim().to_owned());
        let timestamp_s =
            message.date().filter(|date| date.is_valid()).map(mail_parser::DateTime::to_timestamp);
        (!sender.is_empty()).then_some(Self { sender, text, timestamp_s })
    }

    /// A row of the message, if it has a text.
    fn into_row(self) -> Option<CorpusRow> {
        let Self { sender, text, timestamp_s } = self;
        let origin = Origin { timestamp_s, source: None };
        (!text.is_empty()).then_some(CorpusRow { user_id: sender, example_id: None, text, origin })
    }
}

/// Reads a mailbox in one file: a message begins at each line that begins with `From `.
pub(super) fn read_mbox(
    path: &Path,
    reader: Box<dyn BufRead>,
    rows: &mut Rows<'_>,
) -> Result<(), CorpusError> {
    let mut lines = Lines::new(reader);
    let (mut message, mut first) = (Vec::new(), 1);
    loop {
        let position = Position::line(path, lines.number() + 1);
        let line = match lines.next().map_err(|error| read_error(position.clone(), error))? {
            Some(Line::Whole(line)) => line,
            Some(Line::TooLong) => {
                return Err(CorpusError::LineTooLong { position, limit_bytes: MAX_LINE_BYTES });
            }
            None => b"From ",
        };
        let begins = line.starts_with(b"From ");
        let is_end = line == b"From ";
        if !begins {
            // A line that looked like the beginning of a message was written with `>` before it.
            let is_quoted = line.first() == Some(&b'>')
                && line.iter().find(|&&byte| byte != b'>') == Some(&b'F')
                && String::from_utf8_lossy(line).trim_start_matches('>').starts_with("From ");
            message.extend_from_slice(&line[usize::from(is_quoted)..]);
            if message.len() > MAX_LINE_BYTES {
                return Err(CorpusError::LineTooLong { position, limit_bytes: MAX_LINE_BYTES });
            }
            continue;
        }
        let row = Mail::parse(&message).and_then(Mail::into_row);
        message.clear();
        if let Some(row) = row
            && rows.push(first, row)?.is_break()
        {
            break;
        }
        first = position.number;
        if is_end {
            break;
        }
    }
    Ok(())
}

/// Reads every file below a folder as a message, in the order of their names.
pub(super) fn read_folder(folder: &Path, rows: &mut Rows<'_>) -> Result<(), CorpusError> {
    for (path, number) in files_below(folder)?.into_iter().zip(1..) {
        let row = read_message(&path)?.and_then(|message| Mail::parse(&message)?.into_row());
        if let Some(row) = row
            && rows.push(number, row)?.is_break()
        {
            break;
        }
    }
    Ok(())
}

/// A file's bytes; none where they are too many for a message.
pub(crate) fn read_message(path: &Path) -> Result<Option<Vec<u8>>, CorpusError> {
    let file = match open(path) {
        Err(CorpusError::NoRows { .. }) => return Ok(Some(Vec::new())),
        file => file?,
    };
    let mut message = Vec::new();
    file.take(MAX_LINE_BYTES as u64 + 1)
        .read_to_end(&mut message)
        .map_err(|error| read_error(Position::row(path, 1), error))?;
    Ok((message.len() <= MAX_LINE_BYTES).then_some(message))
}

/// The files in a folder and those below it, sorted; links are not followed.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let unreadable = |source| CorpusError::Unreadable { file: folder.to_owned(), source };
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}
