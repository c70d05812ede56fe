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

/// Bytes of a row group from which on it is written, however few its rows.
const GROUP_BYTES: usize = 4 << 20;

/// The most pieces, each of which is an open file.
const MOST_PIECES: u64 = 500;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of texts of a piece, where so many bytes are to be sorted in so much memory.
///
/// A piece is held while it is sorted, and so is the row group that it goes to.
pub(super) fn piece_bytes(n_bytes: u64, memory_bytes: usize) -> u64 {
    (memory_bytes as u64 / 12).max(n_bytes.div_ceil(MOST_PIECES)).max(1)
}

/// A file for each piece of a table, as rows come in any order.
pub(super) struct Pieces {
    folder: PathBuf,
    name: &'static str,
    writers: BTreeMap<i64, ArrowWriter<File>>,
}

impl Pieces {
    /// Pieces in files of a folder that begin with a name.
    pub(super) fn new(folder: &Path, name: &'static str) -> Self {
        Self { folder: folder.to_owned(), name, writers: BTreeMap::new() }
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
            let writer = self.writer(number, batch)?;
            writer.write(&rows)?;
            if writer.in_progress_size() > GROUP_BYTES {
                writer.flush()?;
            }
        }
        Ok(())
    }

    fn writer(&mut self, number: i64, batch: &RecordBatch) -> Result<&mut ArrowWriter<File>, BoxedError> {
        if !self.writers.contains_key(&number) {
            let properties = WriterProperties::builder()
                .set_compression(Compression::UNCOMPRESSED)
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
        self.folder.join(format!("{}-{number}.parquet", self.name))
    }

    fn not_written(&self, source: BoxedError) -> CorpusError {
        CorpusError::NotWritten { file: self.folder.clone(), source }
    }
}

/// A piece whose rows are all there.
pub(super) struct Piece {
    number: i64,
    path: PathBuf,
}

impl Piece {
    /// Reads two tables of the same pieces side by side, the next while the last is used.
    pub(super) fn each_pair(
        tables: [Vec<Self>; 2],
        each: &mut dyn FnMut([Vec<RecordBatch>; 2]) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        let numbers =
            tables.each_ref().map(|pieces| pieces.iter().map(|piece| piece.number).collect::<Vec<_>>());
        if numbers[0] != numbers[1] {
            return Err(CorpusError::relational("documents", "two tables have other pieces".into()));
        }
        let [left, right] = tables;
        std::thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::sync_channel(1);
            scope.spawn(move || {
                for (left, right) in left.into_iter().zip(right) {
                    let pair = left.read().and_then(|left| Ok([left, right.read()?]));
                    // Nobody listens any more where a piece could not be used.
                    if send.send(pair).is_err() {
                        break;
                    }
                }
            });
            receive.into_iter().try_for_each(|pair| each(pair?))
        })
    }

    /// Its rows, without the number of the piece; the file is deleted.
    fn read(&self) -> Result<Vec<RecordBatch>, CorpusError> {
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
