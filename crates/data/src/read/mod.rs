//! Corpora out of files: the format by extension, one reader a format.

mod arrow_ipc;
mod csv;
mod json_lines;
pub(crate) mod lines;
pub(crate) mod mail;
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
pub(crate) const MAX_LINE_BYTES: usize = 64 << 20;

/// Logarithm of the longest window of zstd: monthly dumps of large forums are pressed with `--long=31`.
const MAX_WINDOW_LOG: u32 = 31;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

const SUPPORTED: &str = ".parquet, .arrow, .feather, .jsonl, .ndjson, .csv, .tsv, .mbox (all but the first three also \
    with .gz, .zst or .bz2) or a folder of mails";

#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Parquet,
    ArrowIpc,
    JsonLines,
    Separated { delimiter: u8 },
    Mbox,
    MailFolder,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
}

/// Reads a corpus; the extension names the format.
///
/// Parquet (`.parquet`), Arrow IPC (`.arrow`, `.feather`), JSON Lines (`.jsonl`, `.ndjson`), delimited text with a header
/// (`.csv`, `.tsv`) and mailboxes (`.mbox`); the text formats also compressed (`.gz`, `.zst`, `.bz2`, several members too).
/// A folder is read as mails, one a file. Of mails the user is the sender's address and the time that of the message,
/// whatever columns are named; those without a sender or a text are no examples.
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
    let names = [&*columns.user_id, columns.example_id.as_deref().unwrap_or_default(), &*columns.text];
    let unit = match format {
        Format::Parquet | Format::ArrowIpc => "row",
        Format::MailFolder => "file",
        Format::JsonLines | Format::Separated { .. } | Format::Mbox => "line",
    };
    let rows = &mut Rows { path, unit, names, each };
    match format {
        Format::Parquet => parquet::read(path, open(path)?, columns, rows),
        Format::ArrowIpc => arrow_ipc::read(path, open(path)?, columns, rows),
        Format::JsonLines => json_lines::read(path, decompressed(path, compression)?, columns, rows),
        Format::Separated { delimiter } => {
            csv::read(path, decompressed(path, compression)?, delimiter, columns, rows)
        }
        Format::Mbox => mail::read_mbox(path, decompressed(path, compression)?, rows),
        Format::MailFolder => mail::read_folder(path, rows),
    }
}

/// How many rows a corpus has, where the file says so without being read through: Parquet does.
///
/// # Errors
/// As [`read_corpus`], for what the beginning and the end of the file can tell.
pub fn n_rows(path: &Path) -> Result<Option<u64>, CorpusError> {
    let (format, _) = format_of(path)?;
    let Format::Parquet = format else {
        return if matches!(format, Format::MailFolder) { Ok(None) } else { open(path).map(|_| None) };
    };
    let builder = parquet::reader_builder(path, open(path)?)?;
    Ok(u64::try_from(builder.metadata().file_metadata().num_rows()).ok())
}

/// Types of the columns of user id, text and example id, where a Parquet file has them as they are needed; `None` of
/// another format.
pub(crate) fn plain_types(path: &Path, columns: &Columns) -> Result<Option<Vec<DataType>>, CorpusError> {
    match format_of(path)?.0 {
        Format::Parquet => parquet::types(path, open(path)?, columns).map(Some),
        _ => Ok(None),
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

    /// The row for its user, and one for each other user that it names.
    fn push_for_all(
        &mut self,
        number: u64,
        row: CorpusRow,
        mut co_users: Vec<String>,
    ) -> Result<ControlFlow<()>, CorpusError> {
        co_users.sort();
        co_users.dedup();
        for user_id in co_users.into_iter().filter(|user| *user != row.user_id && !user.trim().is_empty()) {
            if self.push(number, CorpusRow { user_id, ..row.clone() })?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.push(number, row)
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

pub(crate) fn format_of(path: &Path) -> Result<(Format, Compression), CorpusError> {
    let (last, compression) = extensions(path);
    let format = match (last.as_str(), compression) {
        ("parquet", Compression::None) => Format::Parquet,
        ("arrow" | "feather", Compression::None) => Format::ArrowIpc,
        ("jsonl" | "ndjson", _) => Format::JsonLines,
        ("csv", _) => Format::Separated { delimiter: b',' },
        ("tsv", _) => Format::Separated { delimiter: b'\t' },
        ("mbox", _) => Format::Mbox,
        _ if path.is_dir() => Format::MailFolder,
        _ => return Err(CorpusError::UnknownFormat { file: path.to_owned(), supported: SUPPORTED }),
    };
    Ok((format, compression))
}

/// The last extension before that of a compression, in lower case.
pub(crate) fn extensions(path: &Path) -> (String, Compression) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let (stem, last) = name.rsplit_once('.').unwrap_or((&name, ""));
    let compression = match last {
        "gz" => Compression::Gzip,
        "zst" => Compression::Zstd,
        "bz2" => Compression::Bzip2,
        _ => return (last.to_owned(), Compression::None),
    };
    (stem.rsplit_once('.').map_or("", |(_, extension)| extension).to_owned(), compression)
}

pub(crate) fn decompressed(path: &Path, compression: Compression) -> Result<Box<dyn BufRead>, CorpusError> {
    let file = BufReader::new(open(path)?);
    Ok(match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))),
        Compression::Bzip2 => Box::new(BufReader::new(bzip2::bufread::MultiBzDecoder::new(file))),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(file).and_then(|mut decoder| {
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Ok(decoder)
            });
            Box::new(BufReader::new(decoder.map_err(|error| read_error(Position::line(path, 1), error))?))
        }
    })
}

/// What a decoder makes of bytes, which may lie: the crates that decode stop the thread on some that do.
pub(crate) fn guarded<T, E: Into<BoxedError>>(
    decode: impl FnOnce() -> Result<T, E>,
) -> Result<T, BoxedError> {
    // Nothing that the decoder leaves half done is used after an error.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)) {
        Ok(decoded) => decoded.map_err(Into::into),
        Err(_) => Err("the decoder found sizes that cannot be".into()),
    }
}

/// The error for bytes that could not be read or decompressed at `position`.
pub(crate) fn read_error(position: Position, error: io::Error) -> CorpusError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CorpusError::CutOff { position },
        _ => CorpusError::Damaged { position, source: error.into() },
    }
}
