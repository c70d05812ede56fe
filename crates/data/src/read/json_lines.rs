//! JSON Lines: one object a line.

use std::io::BufRead;
use std::path::Path;

use serde_json::{Map, Value};

use super::lines::{Line, Lines};
use super::{MAX_LINE_BYTES, Rows, read_error};
use crate::columns::missing;
use crate::origin::origin;
use crate::{Columns, CorpusError, CorpusRow, Position};

pub(super) fn read(
    path: &Path,
    reader: Box<dyn BufRead>,
    columns: &Columns,
    rows: &mut Rows<'_>,
) -> Result<(), CorpusError> {
    let mut lines = Lines::new(reader);
    for number in 1.. {
        let position = Position::line(path, number);
        let line = match lines.next().map_err(|error| read_error(position.clone(), error))? {
            None => break,
            Some(Line::TooLong) => {
                return Err(CorpusError::LineTooLong { position, limit_bytes: MAX_LINE_BYTES });
            }
            Some(Line::Whole(line)) => line,
        };
        let text = match std::str::from_utf8(line) {
            Ok(text) => text.strip_prefix('\u{feff}').filter(|_| number == 1).unwrap_or(text),
            Err(error) => return Err(CorpusError::NotUtf8 { position, byte: error.valid_up_to() }),
        };
        if text.trim().is_empty() {
            continue;
        }
        let (row, co_users) = row(text, columns, &position)?;
        if rows.push_for_all(number, row, co_users)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// A row, and who else it belongs to.
fn row(line: &str, columns: &Columns, position: &Position) -> Result<(CorpusRow, Vec<String>), CorpusError> {
    let object = match serde_json::from_str(line) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err(CorpusError::NotJson { position: position.clone(), byte: 1 }),
        Err(error) if error.is_eof() => return Err(CorpusError::CutJson { position: position.clone() }),
        // The parser's own message can quote the line, so only its place is kept.
        Err(error) => return Err(CorpusError::NotJson { position: position.clone(), byte: error.column() }),
    };
    let example_id = columns.example_id.as_deref().map(|column| id(&object, column, position)).transpose()?;
    let user_id = id(&object, &columns.user_id, position)?;
    match value(&object, &columns.text, position)? {
        Value::String(text) => {
            let [timestamp, source] = [&columns.timestamp, &columns.source]
                .map(|column| column.as_deref().map_or(Ok(None), |column| said(&object, column, position)));
            let origin = origin(columns, position, timestamp?.as_deref(), source?.as_deref())?;
            let co_users = columns
                .co_users
                .as_deref()
                .map_or(Ok(Vec::new()), |column| ids(&object, column, position))?;
            Ok((CorpusRow { user_id, example_id, text: text.clone(), origin }, co_users))
        }
        other => Err(wrong_type(other, &columns.text, "a string", position)),
    }
}

fn id(object: &Map<String, Value>, column: &str, position: &Position) -> Result<String, CorpusError> {
    match value(object, column, position)? {
        Value::String(id) => Ok(id.clone()),
        Value::Number(id) if !id.is_f64() => Ok(id.to_string()),
        other => Err(wrong_type(other, column, "a string or an integer", position)),
    }
}

/// A list of ids, which may be null, but must be there.
fn ids(object: &Map<String, Value>, column: &str, position: &Position) -> Result<Vec<String>, CorpusError> {
    let wrong = |value| wrong_type(value, column, "a list of strings", position);
    match object.get(column) {
        Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(ids)) => {
            ids.iter().map(|id| id.as_str().map(str::to_owned).ok_or_else(|| wrong(id))).collect()
        }
        _ => value(object, column, position).and_then(|value| Err(wrong(value))),
    }
}

/// The value of a column that may be null, but must be there.
fn said(
    object: &Map<String, Value>,
    column: &str,
    position: &Position,
) -> Result<Option<String>, CorpusError> {
    match object.get(column) {
        Some(Value::Null) => Ok(None),
        _ => id(object, column, position).map(Some),
    }
}

/// The value of a column that must have one.
fn value<'o>(
    object: &'o Map<String, Value>,
    column: &str,
    position: &Position,
) -> Result<&'o Value, CorpusError> {
    match object.get(column) {
        Some(Value::Null) => {
            Err(CorpusError::NoValue { position: position.clone(), column: column.into(), found: "null" })
        }
        Some(value) => Ok(value),
        None => {
            let names: Vec<&str> = object.keys().map(String::as_str).collect();
            Err(missing(column, &names, position.clone()))
        }
    }
}

fn wrong_type(value: &Value, column: &str, expected: &'static str, position: &Position) -> CorpusError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number with a fraction or beyond 64 bits",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    CorpusError::WrongType {
        position: position.clone(),
        column: column.into(),
        found: found.into(),
        expected,
    }
}
