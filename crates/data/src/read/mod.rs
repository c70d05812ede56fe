//! Corpora out of files: the format by extension, one reader a format.

mod csv;
mod json_lines;
pub(crate) mod parquet;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;

use arrow::datatypes::DataType;

use crate::in_memory_corpus::CorpusBuilder;
use crate::{Columns, CorpusError, CorpusRow, InMemoryCorpus, Position};

/// The longest line or CSV record that is read: a file that is one huge line must not fill the memory.
const MAX_LINE_BYTES: usize = 64 << 20;

const SUPPORTED: &str =
    ".parquet, .jsonl, .ndjson, .csv, .tsv (all but .parquet also with .gz, .zst or .bz2)";

#[derive(Clone, Copy, Debug)]
enum Format {
    Parquet,
    JsonLines,
    Separated { delimiter: u8 },
}

#[derive(Clone, Copy, Debug)]
enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
}

/// Reads a corpus; the extension names the format.
///
/// Parquet (`.parquet`), JSON Lines (`.jsonl`, `.ndjson`) and delimited text with a header (`.csv`, `.tsv`); the
/// text formats also compressed (`.gz`, `.zst`, `.bz2`, several members too).
///
/// # Errors
/// [`CorpusError`] names the file and the first row or line that is wrong, and what to do about it.
pub fn read_corpus(path: &Path, columns: &Columns) -> Result<InMemoryCorpus, CorpusError> {
    let mut corpus = CorpusBuilder::new(path);
    read_rows(path, columns, &mut |position, row| {
        corpus.push(position, row);
        ControlFlow::Continue(())
    })?;
    corpus.finish()
}

/// Reads the rows of a corpus one by one in the order of the file, until `each` breaks off.
///
/// # Errors
/// As [`read_corpus`], for what one row can tell.
pub fn read_rows(
    path: &Path,
    columns: &Columns,
    each: &mut dyn FnMut(Position, CorpusRow) -> ControlFlow<()>,
) -> Result<(), CorpusError> {
    let (format, compression) = format_of(path)?;
    let file = open(path)?;
    let names = [&*columns.user_id, columns.example_id.as_deref().unwrap_or_default(), &*columns.text];
    let unit = if matches!(format, Format::Parquet) { "row" } else { "line" };
    let rows = &mut Rows { path, unit, names, each };
    match format {
        Format::Parquet => parquet::read(path, file, columns, rows),
        Format::JsonLines => json_lines::read(path, decompressed(path, file, compression)?, columns, rows),
        Format::Separated { delimiter } => {
            csv::read(path, decompressed(path, file, compression)?, delimiter, columns, rows)
        }
    }
}

/// How many rows a corpus has, where the file says so without being read through: Parquet does.
///
/// # Errors
/// As [`read_corpus`], for what the beginning and the end of the file can tell.
pub fn n_rows(path: &Path) -> Result<Option<u64>, CorpusError> {
    let (format, _) = format_of(path)?;
    let file = open(path)?;
    match format {
        Format::Parquet => {
            let builder = parquet::reader_builder(path, file)?;
            Ok(u64::try_from(builder.metadata().file_metadata().num_rows()).ok())
        }
        Format::JsonLines | Format::Separated { .. } => Ok(None),
    }
}

/// Types of the columns of user id, text and example id, where a Parquet file has them as they are needed; `None` of
/// another format.
pub(crate) fn plain_types(path: &Path, columns: &Columns) -> Result<Option<Vec<DataType>>, CorpusError> {
    match format_of(path)?.0 {
        Format::Parquet => parquet::types(path, open(path)?, columns).map(Some),
        Format::JsonLines | Format::Separated { .. } => Ok(None),
    }
}

/// Where rows go, once they are seen to have all their values.
struct Rows<'a> {
    path: &'a Path,
    unit: &'static str,
    /// Columns of user id, example id and text.
    names: [&'a str; 3],
    each: &'a mut dyn FnMut(Position, CorpusRow) -> ControlFlow<()>,
}

impl Rows<'_> {
    fn push(&mut self, number: u64, row: CorpusRow) -> Result<ControlFlow<()>, CorpusError> {
        let position = Position { file: self.path.to_owned(), unit: self.unit, number };
        row.check(&position, self.names)?;
        Ok((self.each)(position, row))
    }
}

/// Opens a file that has at least one byte.
pub(crate) fn open(path: &Path) -> Result<File, CorpusError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => CorpusError::NotFound { file: path.to_owned() },
        _ => CorpusError::Unreadable { file: path.to_owned(), source },
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(unreadable(io::ErrorKind::IsADirectory.into()));
    }
    if metadata.len() == 0 {
        return Err(CorpusError::NoRows { file: path.to_owned() });
    }
    Ok(file)
}

fn format_of(path: &Path) -> Result<(Format, Compression), CorpusError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let (stem, last) = name.rsplit_once('.').unwrap_or((&name, ""));
    let (last, compression) = match last {
        "gz" => (extension(stem), Compression::Gzip),
        "zst" => (extension(stem), Compression::Zstd),
        "bz2" => (extension(stem), Compression::Bzip2),
        plain => (plain, Compression::None),
    };
    let format = match (last, compression) {
        ("parquet", Compression::None) => Format::Parquet,
        ("jsonl" | "ndjson", _) => Format::JsonLines,
        ("csv", _) => Format::Separated { delimiter: b',' },
        ("tsv", _) => Format::Separated { delimiter: b'\t' },
        _ => return Err(CorpusError::UnknownFormat { file: path.to_owned(), supported: SUPPORTED }),
    };
    Ok((format, compression))
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn decompressed(path: &Path, file: File, compression: Compression) -> Result<Box<dyn BufRead>, CorpusError> {
    let file = BufReader::new(file);
    Ok(match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))),
        Compression::Bzip2 => Box::new(BufReader::new(bzip2::bufread::MultiBzDecoder::new(file))),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(file);
            Box::new(BufReader::new(decoder.map_err(|error| read_error(Position::line(path, 1), error))?))
        }
    })
}

/// The error for bytes that could not be read or decompressed at `position`.
fn read_error(position: Position, error: io::Error) -> CorpusError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CorpusError::CutOff { position },
        _ => CorpusError::Damaged { position, source: error.into() },
    }
}
