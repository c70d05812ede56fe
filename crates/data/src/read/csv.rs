//! Delimited text with a header row.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::path::Path;

use csv::{ErrorKind, StringRecord};

use super::{MAX_LINE_BYTES, Rows, read_error};
use crate::origin::origin;
use crate::{Columns, CorpusError, CorpusRow, Position};

pub(super) fn read(
    path: &Path,
    text: Box<dyn BufRead>,
    delimiter: u8,
    columns: &Columns,
    rows: &mut Rows<'_>,
) -> Result<(), CorpusError> {
    let n_pending = Cell::new(0);
    let metered = Metered { inner: text, n_pending: &n_pending };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(metered);
    let mut line = 1;
    let header = reader.headers().map_err(|error| csv_error(path, line, error, &n_pending))?;
    if header.is_empty() {
        return Err(CorpusError::NoRows { file: path.to_owned() });
    }
    let indices = columns.find(&header.iter().collect::<Vec<_>>(), &Position::line(path, 1))?;
    if let Some(column) = &columns.co_users {
        return Err(CorpusError::WrongType {
            position: Position::line(path, 1),
            column: column.clone(),
            found: "delimited text".to_owned(),
            expected: "lists, as JSON Lines and Parquet have them",
        });
    }
    let mut record = StringRecord::new();
    loop {
        n_pending.set(0);
        line = reader.position().line();
        if !reader.read_record(&mut record).map_err(|error| csv_error(path, line, error, &n_pending))? {
            break;
        }
        let number = record.position().map_or(line, csv::Position::line);
        let [timestamp, source] =
            [indices.timestamp, indices.source].map(|index| index.map(|index| &record[index]));
        let row = CorpusRow {
            user_id: record[indices.user_id].to_owned(),
            example_id: indices.example_id.map(|index| record[index].to_owned()),
            text: record[indices.text].to_owned(),
            origin: origin(columns, &Position::line(path, number), timestamp, source)?,
        };
        if rows.push(number, row)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Refuses to go on once too much was read for one record: a quote that is never closed swallows the file.
struct Metered<'c> {
    inner: Box<dyn BufRead>,
    n_pending: &'c Cell<usize>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.n_pending.get() > MAX_LINE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let n_bytes = self.inner.read(buffer)?;
        self.n_pending.set(self.n_pending.get() + n_bytes);
        Ok(n_bytes)
    }
}

fn csv_error(path: &Path, line: u64, error: csv::Error, n_pending: &Cell<usize>) -> CorpusError {
    let line = error.position().map_or(line, csv::Position::line);
    let position = Position::line(path, line);
    match error.into_kind() {
        ErrorKind::Io(_) if n_pending.get() > MAX_LINE_BYTES => {
            CorpusError::LineTooLong { position, limit_bytes: MAX_LINE_BYTES }
        }
        ErrorKind::Io(error) => read_error(position, error),
        ErrorKind::Utf8 { err, .. } => CorpusError::NotUtf8 { position, byte: err.valid_up_to() },
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            CorpusError::FieldCount { position, found: len, expected: expected_len }
        }
        _ => read_error(position, io::ErrorKind::InvalidData.into()),
    }
}
