//! Arrow IPC files.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use arrow::ipc::reader::{FileReader, read_footer_length};
use arrow::ipc::{Block, root_as_footer};

use super::parquet::{checked, push_batch};
use super::{Rows, guarded};
use crate::{Columns, CorpusError, Position};

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of the footer's length and the magic at the end.
const END_BYTES: u64 = 10;

pub(super) fn read(
    path: &Path,
    file: File,
    columns: &Columns,
    rows: &mut Rows<'_>,
) -> Result<(), CorpusError> {
    let top = Position::row(path, 1);
    let damaged = |position: &Position, source| CorpusError::Damaged { position: position.clone(), source };
    check_sizes(&file).map_err(|source| damaged(&top, source))?;
    let reader = guarded(|| FileReader::try_new(BufReader::new(file), None));
    let mut reader = reader.map_err(|source| damaged(&top, source))?;
    checked(&reader.schema(), columns, &top)?;
    let mut n_rows = 0;
    loop {
        let next = guarded(|| reader.next().transpose());
        let next = next.map_err(|source| damaged(&Position::row(path, n_rows + 1), source))?;
        let Some(batch) = next else { break };
        if push_batch(rows, path, &batch, columns, n_rows)?.is_break() {
            break;
        }
        n_rows += batch.num_rows() as u64;
    }
    Ok(())
}

/// Holds that the footer and each block lie in the file, as the reader takes memory for what they say.
fn check_sizes(mut file: &File) -> Result<(), BoxedError> {
    let n_bytes = file.metadata()?.len();
    let beyond = "a part of the file is said to be longer than the file";
    let body = n_bytes.checked_sub(END_BYTES).ok_or(beyond)?;
    let mut end = [0; END_BYTES as usize];
    file.seek(SeekFrom::Start(body))?;
    file.read_exact(&mut end)?;
    let footer_bytes = read_footer_length(end)?;
    file.seek(SeekFrom::Start(body.checked_sub(footer_bytes as u64).ok_or(beyond)?))?;
    let mut footer = vec![0; footer_bytes];
    file.read_exact(&mut footer)?;
    file.rewind()?;
    guarded(|| {
        let footer =
            root_as_footer(&footer).map_err(|error| format!("the footer cannot be read: {error}"))?;
        let blocks = footer.recordBatches().into_iter().chain(footer.dictionaries()).flatten();
        let ends_within = |block: &Block| {
            let sizes = [block.offset(), i64::from(block.metaDataLength()), block.bodyLength()];
            let sizes = sizes.map(|size| u64::try_from(size).ok());
            let [Some(offset), Some(metadata), Some(body)] = sizes else { return false };
            offset
                .checked_add(metadata)
                .and_then(|end| end.checked_add(body))
                .is_some_and(|end| end <= n_bytes)
        };
        for block in blocks {
            if !ends_within(block) {
                return Err(BoxedError::from(beyond));
            }
        }
        Ok(())
    })
}
