//! The file of a split's documents: row groups of whole users.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;
use userprint_core::Seed;

use crate::CorpusError;

/// Bytes of a row group from which on it ends with the user.
const GROUP_BYTES: usize = 32 << 20;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Documents sorted by user, as they come.
///
/// A user is in one row group, so that who reads a user reads one. Groups depend on the rows alone, not on how they
/// come in batches.
pub(super) struct DocumentsFile {
    path: PathBuf,
    metadata: Vec<KeyValue>,
    writer: Option<ArrowWriter<File>>,
    /// Rows of the row group that is being filled.
    group: Vec<RecordBatch>,
    n_bytes: usize,
}

impl DocumentsFile {
    /// A file that appears when it is finished; `n_dropped` and `seed` go into the metadata, as of a partition.
    pub(super) fn new(path: &Path, n_dropped: u64, seed: Seed) -> Self {
        let metadata = [("n_dropped", n_dropped.to_string()), ("seed", seed.0.to_string())];
        let metadata = metadata.map(|(key, value)| KeyValue::new(key.into(), value)).into();
        Self { path: path.to_owned(), metadata, writer: None, group: Vec::new(), n_bytes: 0 }
    }

    /// Takes the next rows.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), CorpusError> {
        self.try_push(batch).map_err(|source| self.not_written(source))
    }

    /// Writes what is left and gives the file its name.
    pub(super) fn finish(mut self) -> Result<(), CorpusError> {
        self.try_finish().map_err(|source| {
            drop(fs::remove_file(self.partial()));
            self.not_written(source)
        })
    }

    fn try_push(&mut self, batch: &RecordBatch) -> Result<(), BoxedError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = plain_strings(batch)?;
        let users =
            batch.column(0).as_any().downcast_ref::<StringArray>().ok_or("user ids are no strings")?;
        let mut start = 0;
        for row in 0..batch.num_rows() {
            let is_new = match (row, self.group.last()) {
                (0, None) => false,
                (0, Some(before)) => last_user(before) != Some(users.value(0)),
                _ => users.value(row) != users.value(row - 1),
            };
            if is_new && self.n_bytes >= GROUP_BYTES {
                self.group.push(batch.slice(start, row - start));
                self.write_group()?;
                start = row;
            }
            self.n_bytes += row_bytes(&batch, row);
        }
        self.group.push(batch.slice(start, batch.num_rows() - start));
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), BoxedError> {
        let Some(schema) = self.group.first().map(RecordBatch::schema) else { return Ok(()) };
        let group = concat_batches(&schema, &std::mem::take(&mut self.group))?;
        self.n_bytes = 0;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let writer =
                    ArrowWriter::try_new(File::create(self.partial())?, schema, Some(self.properties()))?;
                self.writer.insert(writer)
            }
        };
        writer.write(&group)?;
        Ok(writer.flush()?)
    }

    fn try_finish(&mut self) -> Result<(), BoxedError> {
        self.write_group()?;
        let writer = self.writer.take().ok_or("there are no documents")?;
        writer.into_inner()?.sync_all()?;
        Ok(fs::rename(self.partial(), &self.path)?)
    }

    fn properties(&self) -> WriterProperties {
        WriterProperties::builder()
            .set_created_by("userprint".into())
            .set_compression(Compression::SNAPPY)
            // Texts and ids hardly repeat.
            .set_column_dictionary_enabled("text".into(), false)
            .set_column_dictionary_enabled("example_id".into(), false)
            .set_max_row_group_row_count(Some(usize::MAX))
            .set_key_value_metadata(Some(self.metadata.clone()))
            .build()
    }

    fn partial(&self) -> PathBuf {
        let mut partial = self.path.as_os_str().to_owned();
        partial.push(".partial");
        partial.into()
    }

    fn not_written(&self, source: BoxedError) -> CorpusError {
        CorpusError::NotWritten { file: self.path.clone(), source }
    }
}

/// The same rows with all strings in the plain layout.
fn plain_strings(batch: &RecordBatch) -> Result<RecordBatch, BoxedError> {
    let fields = batch.schema();
    let fields = fields.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => Field::new(field.name(), DataType::Utf8, true),
        _ => field.as_ref().clone().with_nullable(true),
    });
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type())).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn last_user(batch: &RecordBatch) -> Option<&str> {
    let users = batch.column(0).as_any().downcast_ref::<StringArray>()?;
    users.len().checked_sub(1).map(|last| users.value(last))
}

/// Bytes of a row's first three columns, and some for the rest.
fn row_bytes(batch: &RecordBatch, row: usize) -> usize {
    let strings =
        batch.columns().iter().take(3).filter_map(|column| column.as_any().downcast_ref::<StringArray>());
    strings.map(|column| column.value_length(row) as usize).sum::<usize>() + 16
}
