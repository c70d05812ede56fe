//! Rows of any format in one Parquet file, for the plan to read.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::in_memory_corpus::ExampleIds;
use crate::read::plain_types;
use crate::rows_file::RowsFile;
use crate::{Columns, CorpusError, Position, read_rows};

/// Whether some file must be read row by row: one that is no Parquet, has other types, or times or sources to make out.
pub(super) fn is_needed(files: &[PathBuf], columns: &Columns) -> Result<bool, CorpusError> {
    if columns.timestamp.is_some() || columns.source.is_some() || columns.co_users.is_some() {
        return Ok(true);
    }
    let types: Vec<_> = files.iter().map(|file| plain_types(file, columns)).collect::<Result<_, _>>()?;
    Ok(types.iter().any(|own| own.is_none() || *own != types[0]))
}

/// Writes the rows of all files into one.
pub(super) fn gather(files: &[PathBuf], columns: &Columns, to: &Path) -> Result<(), CorpusError> {
    let mut gathered = RowsFile::new(to)?;
    for path in files {
        let mut failure = None;
        read_rows(path, columns, &mut |_, row| match gathered.push(row.into()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
    }
    gathered.finish()
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
