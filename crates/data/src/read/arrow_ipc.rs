//! Arrow IPC files.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use arrow::ipc::reader::{FileReader, read_footer_length};
use arrow::ipc::{Block, root_as_footer, root_as_message};

use super::parquet::{checked, push_batch};
use super::{Rows, guarded};
use crate::{Columns, CorpusError, Position};

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of the footer's length and the magic at the end.
const END_BYTES: u64 = 10;

/// Bytes that say how long a pressed buffer is, before it.
const LENGTH_BYTES: i64 = 8;

/// The longest that a pressed buffer may be.
const MAX_BUFFER_BYTES: i64 = 4 << 30;

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
            check_pressed(file, block)?;
        }
        file.rewind()?;
        Ok(())
    })
}

/// Holds that no pressed buffer of a block is said to be longer than a batch may be, before memory is taken for it.
fn check_pressed(mut file: &File, block: &Block) -> Result<(), BoxedError> {
    let mut metadata = vec![0; block.metaDataLength() as usize];
    file.seek(SeekFrom::Start(block.offset() as u64))?;
    file.read_exact(&mut metadata)?;
    // Four bytes that mark the beginning, where they are there, and the length stand before the message.
    let begin = if metadata.starts_with(&[0xFF; 4]) { 8 } else { 4 };
    let message = metadata.get(begin..).ok_or("a block has no message")?;
    let message = root_as_message(message).map_err(|error| format!("a block cannot be read: {error}"))?;
    let dictionary = message.header_as_dictionary_batch().and_then(|batch| batch.data());
    let Some(batch) = message.header_as_record_batch().or(dictionary) else { return Ok(()) };
    if batch.compression().is_none() {
        return Ok(());
    }
    let body = block.offset() as u64 + metadata.len() as u64;
    for buffer in batch.buffers().into_iter().flatten().filter(|buffer| buffer.length() >= LENGTH_BYTES) {
        let mut length = [0; LENGTH_BYTES as usize];
        let at = u64::try_from(buffer.offset()).ok().and_then(|offset| body.checked_add(offset));
        file.seek(SeekFrom::Start(at.ok_or("a buffer begins before its block")?))?;
        file.read_exact(&mut length)?;
        // -1 says that the buffer is not pressed after all.
        if i64::from_le_bytes(length) > MAX_BUFFER_BYTES {
            return Err("a pressed buffer is said to be longer than 4 GiB".into());
        }
    }
    Ok(())
}
