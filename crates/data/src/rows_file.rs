//! Rows of any origin in one Parquet file, for the relational plan to read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use parquet::arrow::ArrowWriter;
use userprint_core::Origin;

use crate::origin::TIMESTAMP_S;
use crate::{CorpusError, CorpusRow};

/// Bytes of texts in a batch.
const BATCH_BYTES: usize = 16 << 20;

/// Rows of a batch: those without a text are short.
const BATCH_ROWS: usize = 1 << 16;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// A row that may lack a text, with a word for the plan.
pub(crate) struct LabelledRow {
    pub(crate) user_id: String,
    pub(crate) text: Option<String>,
    pub(crate) example_id: Option<String>,
    pub(crate) origin: Origin,
    pub(crate) label: Option<String>,
}

impl From<CorpusRow> for LabelledRow {
    fn from(row: CorpusRow) -> Self {
        let CorpusRow { user_id, example_id, text, origin } = row;
        Self { user_id, text: Some(text), example_id, origin, label: None }
    }
}

/// The file, as rows come.
pub(crate) struct RowsFile {
    path: PathBuf,
    writer: ArrowWriter<File>,
    rows: Vec<LabelledRow>,
    n_bytes: usize,
}

impl RowsFile {
    pub(crate) fn new(path: &Path) -> Result<Self, CorpusError> {
        let writer = || -> Result<_, BoxedError> {
            Ok(ArrowWriter::try_new(File::create(path)?, batch(&[])?.schema(), None)?)
        };
        let writer = writer().map_err(|source| CorpusError::NotWritten { file: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), writer, rows: Vec::new(), n_bytes: 0 })
    }

    pub(crate) fn push(&mut self, row: LabelledRow) -> Result<(), CorpusError> {
        self.n_bytes += row.text.as_ref().map_or(0, String::len) + row.user_id.len();
        self.rows.push(row);
        if self.n_bytes < BATCH_BYTES && self.rows.len() < BATCH_ROWS {
            return Ok(());
        }
        self.n_bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        batch(&rows)
            .and_then(|batch| Ok(self.writer.write(&batch)?))
            .map_err(|source| self.not_written(source))
    }

    pub(crate) fn finish(mut self) -> Result<(), CorpusError> {
        let rows = std::mem::take(&mut self.rows);
        let last = batch(&rows).and_then(|batch| Ok(self.writer.write(&batch)?));
        let file = self.path.clone();
        last.and_then(|()| Ok(self.writer.close().map(drop)?))
            .map_err(|source| CorpusError::NotWritten { file, source })
    }

    fn not_written(&self, source: BoxedError) -> CorpusError {
        CorpusError::NotWritten { file: self.path.clone(), source }
    }
}

fn batch(rows: &[LabelledRow]) -> Result<RecordBatch, BoxedError> {
    let user_id = StringArray::from_iter_values(rows.iter().map(|row| &row.user_id));
    let text: StringArray = rows.iter().map(|row| row.text.as_ref()).collect();
    let example_id: StringArray = rows.iter().map(|row| row.example_id.as_ref()).collect();
    let timestamp_s: Int64Array = rows.iter().map(|row| row.origin.timestamp_s).collect();
    let source: UInt64Array = rows.iter().map(|row| row.origin.source).collect();
    let label: StringArray = rows.iter().map(|row| row.label.as_ref()).collect();
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("user_id", Arc::new(user_id) as ArrayRef, false),
        ("text", Arc::new(text), true),
        ("example_id", Arc::new(example_id), true),
        (TIMESTAMP_S, Arc::new(timestamp_s), true),
        ("source", Arc::new(source), true),
        ("label", Arc::new(label), true),
    ])?)
}
