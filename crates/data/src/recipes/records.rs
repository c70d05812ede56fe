//! Records of dumps: some fields of each, as strings, and places of those that cannot be read.

use std::path::Path;

use arrow::array::{Array, LargeStringArray};
use parquet::arrow::ProjectionMask;
use serde_json::Value;

use crate::read::lines::{Line, Lines};
use crate::read::parquet::{damaged, reader_builder, to_strings};
use crate::read::{Compression, decompressed, extensions, guarded, open, read_error};
use crate::{CorpusError, Position};

/// A field: its JSON pointer. Parquet has those of one part, as a column.
pub(super) type Field = &'static str;

/// The fields that were asked for, each a string where it has a value; none of a record that cannot be read.
pub(super) type Record = Option<Vec<Option<String>>>;

const BATCH_ROWS: usize = 1024;

/// Reads the records of a file of JSON Lines or Parquet, one by one.
pub(super) fn read_records(
    path: &Path,
    fields: &[Field],
    each: &mut dyn FnMut(Position, Record) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    let (extension, compression) = extensions(path);
    match (extension.as_str(), compression) {
        ("parquet", Compression::None) => read_parquet(path, fields, each),
        // Monthly dumps have no extension but that of their compression.
        ("jsonl" | "ndjson" | "json", _)
        | (_, Compression::Gzip | Compression::Zstd | Compression::Bzip2) => {
            read_json(path, Lines::new(decompressed(path, compression)?), fields, each)
        }
        _ => Err(CorpusError::UnknownFormat {
            file: path.to_owned(),
            supported: ".parquet, .jsonl, .ndjson, .json, .gz, .zst, .bz2, which dumps have",
        }),
    }
}

fn read_json(
    path: &Path,
    mut lines: Lines,
    fields: &[Field],
    each: &mut dyn FnMut(Position, Record) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    loop {
        let position = Position::line(path, lines.number() + 1);
        let record = match lines.next().map_err(|error| read_error(position.clone(), error))? {
            None => return Ok(()),
            Some(Line::Whole(line)) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Some(Line::Whole(line)) => parse(line, fields),
            Some(Line::TooLong) => {
                lines.skip_rest().map_err(|error| read_error(position.clone(), error))?;
                None
            }
        };
        each(position, record)?;
    }
}

/// The fields of one line.
pub(super) fn parse(line: &[u8], fields: &[Field]) -> Record {
    let value: Value = serde_json::from_slice(line).ok().filter(Value::is_object)?;
    let field = |pointer: &&str| match value.pointer(pointer) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    Some(fields.iter().map(field).collect())
}

fn read_parquet(
    path: &Path,
    fields: &[Field],
    each: &mut dyn FnMut(Position, Record) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    let builder = reader_builder(path, open(path)?)?;
    let names: Vec<&str> = fields.iter().map(|pointer| &pointer[1..]).collect();
    let wanted: Vec<usize> = names.iter().filter_map(|name| builder.schema().index_of(name).ok()).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let top = Position::row(path, 1);
    let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
    let mut number = 0;
    let mut batches = batches.map_err(|error| damaged(&top, error))?;
    loop {
        let position = Position::row(path, number + 1);
        let batch = guarded(|| batches.next().transpose());
        let batch = batch.map_err(|source| CorpusError::Damaged { position: position.clone(), source })?;
        let Some(batch) = batch else { return Ok(()) };
        let columns = names.iter().map(|name| batch.column_by_name(name).map(to_strings).transpose());
        let columns: Vec<Option<LargeStringArray>> =
            columns.collect::<Result<_, _>>().map_err(|error| damaged(&position, error))?;
        for row in 0..batch.num_rows() {
            number += 1;
            let value = |column: &Option<LargeStringArray>| {
                let column = column.as_ref().filter(|column| column.is_valid(row));
                column.map(|column| column.value(row).to_owned())
            };
            each(Position::row(path, number), Some(columns.iter().map(value).collect()))?;
        }
    }
}
