//! Arrow IPC files.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use arrow::ipc::reader::FileReader;

use super::Rows;
use super::parquet::{checked, damaged, push_batch};
use crate::{Columns, CorpusError, Position};

pub(super) fn read(
    path: &Path,
    file: File,
    columns: &Columns,
    rows: &mut Rows<'_>,
) -> Result<(), CorpusError> {
    let top = Position::row(path, 1);
    let reader = FileReader::try_new(BufReader::new(file), None).map_err(|error| damaged(&top, error))?;
    checked(&reader.schema(), columns, &top)?;
    let mut n_rows = 0;
    for batch in reader {
        let batch = batch.map_err(|error| damaged(&Position::row(path, n_rows + 1), error))?;
        if push_batch(rows, path, &batch, columns, n_rows)?.is_break() {
            break;
        }
        n_rows += batch.num_rows() as u64;
    }
    Ok(())
}
