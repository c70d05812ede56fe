//! Corpora out of files: the format by extension, one reader a format.

mod csv;
mod json_lines;
pub(crate) mod parquet;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use crate::{Columns, CorpusError, InMemoryCorpus, Position};

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
    let (format, compression) = format_of(path)?;
    let file = open(path)?;
    match format {
        Format::Parquet => parquet::read(path, file, columns),
        Format::JsonLines => json_lines::read(path, decompressed(path, file, compression)?, columns),
        Format::Separated { delimiter } => {
            csv::read(path, decompressed(path, file, compression)?, delimiter, columns)
        }
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
