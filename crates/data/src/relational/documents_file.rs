//! The file of a split's documents: row groups of whole users.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;
use userprint_core::Seed;

use super::near_marks::NearMarks;
use crate::{CorpusError, NearDuplicates};

/// Bytes of a row group from which on it ends with the user.
const GROUP_BYTES: usize = 32 << 20;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// What a file of documents has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Public, held-in and held-out users.
    pub(super) n_users: [u64; 3],
    /// Examples to train, for validation, for the test, for the attack, for nothing.
    pub(super) n_examples: [u64; 5],
    /// Examples that are nearly another of their user.
    pub(super) n_near_duplicates: u64,
}

/// Documents sorted by user, as they come.
///
/// A user is in one row group, so that who reads a user reads one. Groups depend on the rows alone, not on how they
/// come in batches.
pub(super) struct DocumentsFile {
    path: PathBuf,
    seed: Seed,
    marks: Option<NearMarks>,
    written: Written,
    writer: Option<ArrowWriter<File>>,
    /// Rows of the row group that is being filled.
    group: Vec<RecordBatch>,
    n_bytes: usize,
}

impl DocumentsFile {
    /// A file that appears when it is finished, and beside it a table of near-duplicates, if they are sought.
    pub(super) fn new(path: &Path, seed: Seed, near: Option<NearDuplicates>) -> Result<Self, CorpusError> {
        let table = path.with_file_name(super::NEAR_DUPLICATES);
        let marks = near.map(|near| NearMarks::new(near, &table)).transpose();
        let marks = marks.map_err(|source| CorpusError::NotWritten { file: table, source })?;
        let written = Written::default();
        Ok(Self { path: path.to_owned(), seed, marks, written, writer: None, group: Vec::new(), n_bytes: 0 })
    }

    /// Takes the next rows.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), CorpusError> {
        self.try_push(batch).map_err(|source| self.not_written(source))
    }

    /// Writes what is left and gives the file its name, if its public, held-in and held-out users are as they should be;
    /// `n_users` are all that the corpus had.
    pub(super) fn finish(
        mut self,
        n_users: u64,
        check: &dyn Fn([u64; 3]) -> Result<(), CorpusError>,
    ) -> Result<Written, CorpusError> {
        self.write_group().map_err(|source| self.not_written(source))?;
        if let Err(error) = check(self.written.n_users) {
            // Both may not be there; the error that counts is the one at hand.
            drop(fs::remove_file(partial(&self.path)));
            self.marks.iter().for_each(NearMarks::discard);
            return Err(error);
        }
        self.try_finish(n_users).map_err(|source| {
            drop(fs::remove_file(partial(&self.path)));
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
        let mut group = concat_batches(&schema, &std::mem::take(&mut self.group))?;
        self.n_bytes = 0;
        if let Some(marks) = &mut self.marks {
            group = marks.mark(&group)?;
        }
        let group = with_lengths(&group)?;
        self.written.count(&group)?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let file = File::create(partial(&self.path))?;
                let writer = ArrowWriter::try_new(file, group.schema(), Some(properties()))?;
                self.writer.insert(writer)
            }
        };
        writer.write(&group)?;
        Ok(writer.flush()?)
    }

    fn try_finish(&mut self, n_users: u64) -> Result<Written, BoxedError> {
        let mut writer = self.writer.take().ok_or("there are no documents")?;
        let n_dropped = n_users - self.written.n_users.iter().sum::<u64>();
        // As a partition has them.
        for (key, value) in [("n_dropped", n_dropped.to_string()), ("seed", self.seed.0.to_string())] {
            writer.append_key_value_metadata(KeyValue::new(key.into(), value));
        }
        writer.into_inner()?.sync_all()?;
        match self.marks.take() {
            Some(marks) => self.written.n_near_duplicates = marks.finish()?,
            None => forget(&self.path.with_file_name(super::NEAR_DUPLICATES))?,
        }
        fs::rename(partial(&self.path), &self.path)?;
        Ok(self.written)
    }

    fn not_written(&self, source: BoxedError) -> CorpusError {
        CorpusError::NotWritten { file: self.path.clone(), source }
    }
}

/// Deletes what an earlier split left, if it left it.
fn forget(path: &Path) -> std::io::Result<()> {
    fs::remove_file(path).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Where a file is until it is whole.
pub(super) fn partial(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    partial.into()
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by("userprint".into())
        .set_compression(Compression::SNAPPY)
        // Texts and ids hardly repeat. Texts lie in the file as they are, so that one can be read without its page.
        .set_column_dictionary_enabled("text".into(), false)
        .set_column_compression("text".into(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled("example_id".into(), false)
        .set_max_row_group_row_count(Some(usize::MAX))
        .build()
}

/// The same rows with the bytes of their texts in the column `n_bytes`.
fn with_lengths(group: &RecordBatch) -> Result<RecordBatch, BoxedError> {
    let texts = string_column(group, "text")?;
    let lengths: ArrayRef =
        Arc::new((0..texts.len()).map(|row| texts.value_length(row) as u32).collect::<UInt32Array>());
    let field = Arc::new(Field::new("n_bytes", DataType::UInt32, false));
    let fields: Vec<_> = group.schema().fields().iter().cloned().chain([field]).collect();
    let columns = group.columns().iter().cloned().chain([lengths]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

pub(super) fn string_column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, BoxedError> {
    let column = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>());
    column.ok_or_else(|| format!("column {name} is no string").into())
}

impl Written {
    fn count(&mut self, group: &RecordBatch) -> Result<(), BoxedError> {
        let [users, memberships, roles] =
            ["user_id", "membership", "role"].map(|name| string_column(group, name));
        let (users, memberships, roles) = (users?, memberships?, roles?);
        for row in 0..group.num_rows() {
            let role = roles.is_valid(row).then(|| roles.value(row));
            let role = ["train", "validation", "test", "attack"].iter().position(|name| Some(*name) == role);
            self.n_examples[role.unwrap_or(4)] += 1;
            if row == 0 || users.value(row) != users.value(row - 1) {
                let membership = memberships.value(row);
                let at = ["public", "held_in", "held_out"].iter().position(|name| *name == membership);
                self.n_users[at.ok_or("another membership")?] += 1;
            }
        }
        Ok(())
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
