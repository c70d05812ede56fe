//! Documents in pieces that fit in memory, each of some users one after the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::CorpusError;

/// Rows of a row group: the writer of each piece holds one.
const GROUP_ROWS: usize = 4096;

/// The most pieces, each of which is an open file.
const MOST_PIECES: u64 = 500;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of texts of a piece, where so many bytes are to be sorted in so much memory.
///
/// A piece is held while it is sorted, and so is the row group that it goes to.
pub(super) fn piece_bytes(n_bytes: u64, memory_bytes: usize) -> u64 {
    (memory_bytes as u64 / 8).max(n_bytes.div_ceil(MOST_PIECES)).max(1)
}

/// A file for each piece, as rows come in any order.
pub(super) struct Pieces {
    folder: PathBuf,
    writers: BTreeMap<i64, ArrowWriter<File>>,
}

impl Pieces {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), writers: BTreeMap::new() }
    }

    /// Takes rows, of which the last column is the number of the piece.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), CorpusError> {
        self.try_push(batch).map_err(|source| self.not_written(source))
    }

    fn try_push(&mut self, batch: &RecordBatch) -> Result<(), BoxedError> {
        let last = batch.num_columns() - 1;
        let numbers =
            batch.column(last).as_any().downcast_ref::<Int64Array>().ok_or("a piece is no number")?;
        let mut own: BTreeMap<i64, Vec<bool>> = BTreeMap::new();
        for (row, &number) in numbers.values().iter().enumerate() {
            own.entry(number).or_insert_with(|| vec![false; numbers.len()])[row] = true;
        }
        for (number, rows) in own {
            let rows = filter_record_batch(batch, &BooleanArray::from(rows))?;
            self.writer(number, batch)?.write(&rows)?;
        }
        Ok(())
    }

    fn writer(&mut self, number: i64, batch: &RecordBatch) -> Result<&mut ArrowWriter<File>, BoxedError> {
        if !self.writers.contains_key(&number) {
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .set_dictionary_enabled(false)
                .set_max_row_group_row_count(Some(GROUP_ROWS))
                .build();
            let file = File::create(self.path(number))?;
            self.writers.insert(number, ArrowWriter::try_new(file, batch.schema(), Some(properties))?);
        }
        self.writers.get_mut(&number).ok_or_else(|| "the writer was made just above".into())
    }

    /// The pieces in order.
    pub(super) fn finish(mut self) -> Result<Vec<Piece>, CorpusError> {
        let mut pieces = Vec::new();
        for (number, writer) in std::mem::take(&mut self.writers) {
            writer.close().map_err(|error| self.not_written(error.into()))?;
            pieces.push(Piece { number, path: self.path(number) });
        }
        Ok(pieces)
    }

    fn path(&self, number: i64) -> PathBuf {
        self.folder.join(format!("piece-{number}.parquet"))
    }

    fn not_written(&self, source: BoxedError) -> CorpusError {
        CorpusError::NotWritten { file: self.folder.clone(), source }
    }
}

/// A piece whose documents are all there.
pub(super) struct Piece {
    pub(super) number: i64,
    path: PathBuf,
}

impl Piece {
    /// Its documents, without the number of the piece; the file is deleted.
    pub(super) fn read(&self) -> Result<Vec<RecordBatch>, CorpusError> {
        let read = || -> Result<Vec<RecordBatch>, BoxedError> {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&self.path)?)?.build()?;
            let batches = reader.map(|batch| {
                let batch = batch?;
                Ok(batch.project(&(0..batch.num_columns() - 1).collect::<Vec<_>>())?)
            });
            let batches = batches.collect::<Result<Vec<_>, BoxedError>>()?;
            std::fs::remove_file(&self.path)?;
            Ok(batches)
        };
        read().map_err(|source| CorpusError::relational("documents", source))
    }
}
