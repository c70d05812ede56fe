//! Rows of any format in one Parquet file, for the plan to read.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use parquet::arrow::ArrowWriter;

use crate::in_memory_corpus::ExampleIds;
use crate::read::plain_types;
use crate::{Columns, CorpusError, CorpusRow, Position, read_rows};

/// Bytes of texts in a batch.
const BATCH_BYTES: usize = 16 << 20;

/// Whether some file must be read row by row: one that is no Parquet, has other types, or times or sources to make out.
pub(super) fn is_needed(files: &[PathBuf], columns: &Columns) -> Result<bool, CorpusError> {
    if columns.timestamp.is_some() || columns.source.is_some() {
        return Ok(true);
    }
    let types: Vec<_> = files.iter().map(|file| plain_types(file, columns)).collect::<Result<_, _>>()?;
    Ok(types.iter().any(|own| own.is_none() || *own != types[0]))
}

/// Writes the rows of all files into one.
pub(super) fn gather(files: &[PathBuf], columns: &Columns, to: &Path) -> Result<(), CorpusError> {
    let not_written = |source: Box<dyn std::error::Error + Send + Sync>| CorpusError::NotWritten {
        file: to.to_owned(),
        source,
    };
    let mut batch = Rows::default();
    let schema = batch.take().map_err(not_written)?.schema();
    let file = File::create(to).map_err(|error| not_written(error.into()))?;
    let mut writer = ArrowWriter::try_new(file, schema, None).map_err(|error| not_written(error.into()))?;
    for path in files {
        let mut failure = None;
        read_rows(path, columns, &mut |_, row| {
            batch.push(row);
            if batch.n_bytes < BATCH_BYTES {
                return ControlFlow::Continue(());
            }
            let written = batch.take().and_then(|batch| Ok(writer.write(&batch)?));
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failure {
            return Err(not_written(error));
        }
    }
    let last = batch.take().and_then(|batch| Ok(writer.write(&batch)?));
    last.and_then(|()| Ok(writer.close().map(drop)?)).map_err(not_written)
}

/// The error of the first row whose user and example id are an earlier row's.
pub(super) fn repeated_id(files: &[PathBuf], columns: &Columns) -> CorpusError {
    let mut ids = ExampleIds::default();
    for path in files {
        let mut failure = None;
        let read =
            read_rows(path, columns, &mut |position: Position, row| match ids.id_of(&position, &row) {
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            });
        if let Some(error) = failure.or(read.err()) {
            return error;
        }
    }
    CorpusError::relational(
        "reading",
        "a user had an example id twice, and has it once now: a file changed".into(),
    )
}

#[derive(Default)]
struct Rows {
    rows: Vec<CorpusRow>,
    n_bytes: usize,
}

impl Rows {
    fn push(&mut self, row: CorpusRow) {
        self.n_bytes += row.text.len() + row.user_id.len();
        self.rows.push(row);
    }

    fn take(&mut self) -> Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>> {
        let Self { rows, .. } = std::mem::take(self);
        let user_id = StringArray::from_iter_values(rows.iter().map(|row| &row.user_id));
        let text = StringArray::from_iter_values(rows.iter().map(|row| &row.text));
        let example_id: StringArray = rows.iter().map(|row| row.example_id.as_ref()).collect();
        let timestamp_s: Int64Array = rows.iter().map(|row| row.origin.timestamp_s).collect();
        let source: UInt64Array = rows.iter().map(|row| row.origin.source).collect();
        Ok(RecordBatch::try_from_iter_with_nullable([
            ("user_id", Arc::new(user_id) as ArrayRef, false),
            ("text", Arc::new(text), false),
            ("example_id", Arc::new(example_id), true),
            ("timestamp_s", Arc::new(timestamp_s), true),
            ("source", Arc::new(source), true),
        ])?)
    }
}
