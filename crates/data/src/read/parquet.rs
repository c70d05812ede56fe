//! Parquet, through Arrow.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Rows, guarded, read_error};
use crate::columns::ColumnIndices;
use crate::origin::origin;
use crate::{Columns, CorpusError, CorpusRow, Position};

/// Few rows at a time, for a text can be long.
const BATCH_ROWS: usize = 1024;

pub(super) fn read(
    path: &Path,
    file: File,
    columns: &Columns,
    rows: &mut Rows<'_>,
) -> Result<(), CorpusError> {
    let builder = reader_builder(path, file)?;
    let top = Position::row(path, 1);
    let indices = checked(builder.schema(), columns, &top)?;
    let optional = [indices.example_id, indices.source, indices.timestamp, indices.co_users];
    let wanted = optional.into_iter().flatten().chain([indices.user_id, indices.text]);
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
    let mut n_rows = 0;
    let mut batches = batches.map_err(|error| damaged(&top, error))?;
    loop {
        let batch = guarded(|| batches.next().transpose());
        let position = || Position::row(path, n_rows + 1);
        let batch = batch.map_err(|source| CorpusError::Damaged { position: position(), source })?;
        let Some(batch) = batch else { break };
        if push_batch(rows, path, &batch, columns, n_rows)?.is_break() {
            break;
        }
        n_rows += batch.num_rows() as u64;
    }
    Ok(())
}

/// The columns that are read, seen to have types that can be.
pub(super) fn checked(
    schema: &SchemaRef,
    columns: &Columns,
    top: &Position,
) -> Result<ColumnIndices, CorpusError> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let indices = columns.find(&names, top)?;
    check_type(schema, indices.text, Holds::Text, top)?;
    check_type(schema, indices.user_id, Holds::Id, top)?;
    let optional = [
        (indices.example_id, Holds::Id),
        (indices.source, Holds::Id),
        (indices.timestamp, Holds::Time),
        (indices.co_users, Holds::Ids),
    ];
    for (index, holds) in optional.into_iter().filter_map(|(index, holds)| Some((index?, holds))) {
        check_type(schema, index, holds, top)?;
    }
    Ok(indices)
}

/// Types of the columns of user id, text and example id.
pub(super) fn types(path: &Path, file: File, columns: &Columns) -> Result<Vec<DataType>, CorpusError> {
    let builder = reader_builder(path, file)?;
    let indices = checked(builder.schema(), columns, &Position::row(path, 1))?;
    let indices = [Some(indices.user_id), Some(indices.text), indices.example_id];
    Ok(indices.into_iter().flatten().map(|index| builder.schema().field(index).data_type().clone()).collect())
}

/// Opens the footer; a file that lacks it was cut off.
pub(crate) fn reader_builder(
    path: &Path,
    mut file: File,
) -> Result<ParquetRecordBatchReaderBuilder<File>, CorpusError> {
    let top = Position::row(path, 1);
    let magics = magics(&mut file).map_err(|error| read_error(top.clone(), error))?;
    match magics.map(|magic| &magic == b"PAR1") {
        [true, false] => Err(CorpusError::CutOff { position: top }),
        _ => guarded(|| ParquetRecordBatchReaderBuilder::try_new(file))
            .map_err(|source| CorpusError::Damaged { position: top, source }),
    }
}

/// The first and the last four bytes.
fn magics(file: &mut File) -> std::io::Result<[[u8; 4]; 2]> {
    let mut magics = [[0; 4]; 2];
    file.read_exact(&mut magics[0])?;
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut magics[1])?;
    Ok(magics)
}

/// What a column is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Text,
    Id,
    Time,
    Ids,
}

fn check_type(
    schema: &SchemaRef,
    index: usize,
    holds: Holds,
    position: &Position,
) -> Result<(), CorpusError> {
    let field = schema.field(index);
    let value_type = match field.data_type() {
        DataType::Dictionary(_, value_type) => value_type,
        plain => plain,
    };
    let is_string = matches!(value_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let (is_fine, expected) = match holds {
        Holds::Text => (is_string, "strings"),
        Holds::Id => (is_string || value_type.is_integer(), "strings or integers"),
        Holds::Ids => {
            let is_list = match field.data_type() {
                DataType::List(item) | DataType::LargeList(item) => {
                    matches!(item.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
                }
                _ => false,
            };
            (is_list, "lists of strings")
        }
        Holds::Time => (
            is_string || value_type.is_integer() || value_type.is_temporal(),
            "timestamps, strings or integers",
        ),
    };
    if is_fine {
        return Ok(());
    }
    Err(CorpusError::WrongType {
        position: position.clone(),
        column: field.name().clone(),
        found: field.data_type().to_string(),
        expected,
    })
}

/// Hands on the rows of a batch.
pub(super) fn push_batch(
    rows: &mut Rows<'_>,
    path: &Path,
    batch: &RecordBatch,
    columns: &Columns,
    n_before: u64,
) -> Result<ControlFlow<()>, CorpusError> {
    let strings = |name: &str| {
        let column = batch.column_by_name(name).expect("the column was projected");
        to_strings(column).map_err(|error| damaged(&Position::row(path, n_before + 1), error))
    };
    let (users, texts) = (strings(&columns.user_id)?, strings(&columns.text)?);
    let example_ids = columns.example_id.as_deref().map(strings).transpose()?;
    let timestamps = columns.timestamp.as_deref().map(strings).transpose()?;
    let sources = columns.source.as_deref().map(strings).transpose()?;
    let co_users = columns.co_users.as_deref().and_then(|name| batch.column_by_name(name));
    let co_users = co_users.map(to_lists).transpose();
    let co_users = co_users.map_err(|error| damaged(&Position::row(path, n_before + 1), error))?;
    let names = [&*columns.user_id, columns.example_id.as_deref().unwrap_or_default(), &*columns.text];
    for (row_index, number) in (0..batch.num_rows()).zip(n_before + 1..) {
        let row = row_index;
        let value = |column: &LargeStringArray, name: &str| match column.is_valid(row) {
            true => Ok(column.value(row).to_owned()),
            false => Err(CorpusError::NoValue {
                position: Position::row(path, number),
                column: name.to_owned(),
                found: "null",
            }),
        };
        let [timestamp, source] = [&timestamps, &sources].map(|column| {
            column.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row))
        });
        let row = CorpusRow {
            origin: origin(columns, &Position::row(path, number), timestamp, source)?,
            user_id: value(&users, names[0])?,
            example_id: example_ids.as_ref().map(|ids| value(ids, names[1])).transpose()?,
            text: value(&texts, names[2])?,
        };
        let co_users = co_users.as_ref().map_or_else(Vec::new, |lists| lists[row_index].clone());
        if rows.push_for_all(number, row, co_users)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

pub(crate) fn to_strings(column: &ArrayRef) -> Result<LargeStringArray, arrow::error::ArrowError> {
    // Large offsets never overflow, however long the texts of a batch are.
    let strings = cast(column, &DataType::LargeUtf8)?;
    Ok(strings.as_any().downcast_ref::<LargeStringArray>().expect("cast to large strings").clone())
}

/// The strings of each list; none where it is null.
fn to_lists(column: &ArrayRef) -> Result<Vec<Vec<String>>, arrow::error::ArrowError> {
    let item = Arc::new(Field::new("item", DataType::LargeUtf8, true));
    let lists = cast(column, &DataType::LargeList(item))?;
    let of_row = |list: Option<ArrayRef>| {
        let strings = list.map(|list| list.as_string::<i64>().clone());
        strings.iter().flatten().flatten().map(str::to_owned).collect()
    };
    Ok(lists.as_list::<i64>().iter().map(of_row).collect())
}

pub(crate) fn damaged(
    position: &Position,
    error: impl std::error::Error + Send + Sync + 'static,
) -> CorpusError {
    CorpusError::Damaged { position: position.clone(), source: Box::new(error) }
}
