//! The directory of a zip file: where its uncompressed entries lie.
//!
//! Written out because a reader must not allocate by numbers that a file claims, and because tensors are read by position, past any decompressing reader.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::source::Source;

/// The end record without its comment, and the longest comment.
const END_BYTES: u64 = 22;
const MAX_COMMENT_BYTES: u64 = 0xffff;
const END: &[u8] = b"PK\x05\x06";
/// What stands before the end record of a file of more than 4 GB or 65 535 entries, and the record that it points at.
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const LOCATOR_64_BYTES: u64 = 20;
const END_64: &[u8] = b"PK\x06\x06";
const END_64_BYTES: u64 = 56;
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: u64 = 30;
/// Values too large for a 32-bit field stand in an extra field with this number.
const EXTRA_64: u64 = 1;
const IN_EXTRA_64: u64 = 0xffff_ffff;

/// Why a zip file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("the zip file cannot be read")]
    Read(#[source] io::Error),
    #[error("the zip file has no directory at its end: it is cut short or of another format")]
    NoDirectory,
    #[error("the zip directory claims {n_bytes} bytes from {begin} on, expected them before byte {before}")]
    Directory { begin: u64, n_bytes: u64, before: u64 },
    #[error("entry {index} of the zip directory is malformed")]
    Entry { index: u64 },
    #[error("the zip directory has {found} entries, expected {expected}")]
    Count { found: u64, expected: u64 },
    #[error("zip entry `{name}` is there twice")]
    Twice { name: String },
    #[error("zip entry `{name}` is missing")]
    Missing { name: String },
    #[error("zip entry `{name}` is compressed or encrypted, expected it as torch.save writes it: stored")]
    NotStored { name: String },
    #[error("zip entry `{name}` is not where the directory says, at byte {at} with {n_bytes} bytes")]
    Place { name: String, at: u64, n_bytes: u64 },
}

/// The entries of a zip file.
pub(super) struct Archive<'a> {
    source: &'a Source,
    directory_at: u64,
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    is_stored: bool,
    n_bytes: u64,
    header_at: u64,
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    pub(super) fn open(source: &'a Source) -> Result<Self, ArchiveError> {
        let (directory, expected) = find_directory(source)?;
        let directory_at = directory.start;
        let bytes = source.bytes(directory).map_err(ArchiveError::Read)?;
        let (mut rest, mut entries, mut found) = (Fields(&bytes), BTreeMap::new(), 0);
        while !rest.0.is_empty() {
            let (name, entry) = rest.central_entry().ok_or(ArchiveError::Entry { index: found })?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(ArchiveError::Twice { name });
            }
            found += 1;
        }
        if found != expected {
            return Err(ArchiveError::Count { found, expected });
        }
        Ok(Self { source, directory_at, entries })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Where the bytes of a stored entry lie.
    pub(super) fn range(&self, name: &str) -> Result<Range<u64>, ArchiveError> {
        let entry = self.entries.get(name).ok_or_else(|| ArchiveError::Missing { name: name.to_owned() })?;
        if !entry.is_stored {
            return Err(ArchiveError::NotStored { name: name.to_owned() });
        }
        let (at, n_bytes) = (entry.header_at, entry.n_bytes);
        self.place(at, n_bytes)?.ok_or_else(|| ArchiveError::Place { name: name.to_owned(), at, n_bytes })
    }

    /// Looks past the entry's own header, whose lengths differ from the directory's: `torch.save` pads there.
    fn place(&self, at: u64, n_bytes: u64) -> Result<Option<Range<u64>>, ArchiveError> {
        let Some(header_end) = at.checked_add(LOCAL_BYTES).filter(|end| *end <= self.directory_at) else {
            return Ok(None);
        };
        let header = self.source.bytes(at..header_end).map_err(ArchiveError::Read)?;
        let mut fields = Fields(&header);
        if fields.take(4) != Some(LOCAL) {
            return Ok(None);
        }
        let lengths = fields.take(22).and_then(|_| Some(fields.u16()? + fields.u16()?));
        let begin = lengths.and_then(|n| header_end.checked_add(n));
        let range = begin.and_then(|begin| Some(begin..begin.checked_add(n_bytes)?));
        Ok(range.filter(|range| range.end <= self.directory_at))
    }
}

/// What the end record says of the directory.
struct End {
    n_entries: u64,
    n_bytes: u64,
    begin: u64,
}

/// The directory's place and its count of entries.
fn find_directory(source: &Source) -> Result<(Range<u64>, u64), ArchiveError> {
    let tail_at = source.n_bytes().saturating_sub(END_BYTES + MAX_COMMENT_BYTES);
    let tail = source.bytes(tail_at..source.n_bytes()).map_err(ArchiveError::Read)?;
    let (at, end) = (0..tail.len())
        .rev()
        .find_map(|at| Some((at, Fields(&tail[at..]).end_record()?)))
        .ok_or(ArchiveError::NoDirectory)?;
    let end_at = tail_at + at as u64;
    let (before, End { n_entries, n_bytes, begin }) = find_end_64(source, end_at)?.unwrap_or((end_at, end));
    match begin.checked_add(n_bytes) {
        Some(end) if end <= before => Ok((begin..end, n_entries)),
        _ => Err(ArchiveError::Directory { begin, n_bytes, before }),
    }
}

/// The end record of a large file and its place, if there is one.
fn find_end_64(source: &Source, end_at: u64) -> Result<Option<(u64, End)>, ArchiveError> {
    let Some(locator_at) = end_at.checked_sub(LOCATOR_64_BYTES) else { return Ok(None) };
    let locator = source.bytes(locator_at..end_at).map_err(ArchiveError::Read)?;
    let Some(at) = Fields(&locator).locator_64() else { return Ok(None) };
    let range = at.checked_add(END_64_BYTES).filter(|end| *end <= locator_at).map(|end| at..end);
    let record = source.bytes(range.ok_or(ArchiveError::NoDirectory)?).map_err(ArchiveError::Read)?;
    let end = Fields(&record).end_record_64().ok_or(ArchiveError::NoDirectory)?;
    Ok(Some((at, end)))
}

/// Little-endian fields, taken one after another; `None` where there are too few bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(n).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, n: u64) -> Option<u64> {
        Some(self.take(n)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn u16(&mut self) -> Option<u64> {
        self.number(2)
    }

    fn u32(&mut self) -> Option<u64> {
        self.number(4)
    }

    fn u64(&mut self) -> Option<u64> {
        self.number(8)
    }

    /// The record's comment must end where the file ends.
    fn end_record(mut self) -> Option<End> {
        self.take(4).filter(|signature| *signature == END)?;
        self.take(6)?;
        let record = End { n_entries: self.u16()?, n_bytes: self.u32()?, begin: self.u32()? };
        let n_comment = self.u16()?;
        (n_comment == self.0.len() as u64).then_some(record)
    }

    fn locator_64(mut self) -> Option<u64> {
        self.take(4).filter(|signature| *signature == LOCATOR_64)?;
        self.take(4)?;
        self.u64()
    }

    fn end_record_64(mut self) -> Option<End> {
        self.take(4).filter(|signature| *signature == END_64)?;
        self.take(28)?;
        Some(End { n_entries: self.u64()?, n_bytes: self.u64()?, begin: self.u64()? })
    }

    fn central_entry(&mut self) -> Option<(String, Entry)> {
        self.take(4).filter(|signature| *signature == CENTRAL)?;
        self.take(4)?;
        let (flags, method) = (self.u16()?, self.u16()?);
        self.take(8)?;
        let (mut n_stored, mut n_bytes) = (self.u32()?, self.u32()?);
        let (n_name, n_extra, n_comment) = (self.u16()?, self.u16()?, self.u16()?);
        self.take(8)?;
        let mut header_at = self.u32()?;
        let name = String::from_utf8(self.take(n_name)?.to_vec()).ok()?;
        let mut extra = Fields(self.take(n_extra)?).extra_64()?;
        self.take(n_comment)?;
        // The large values are there in this order, and only those that do not fit.
        for field in [&mut n_bytes, &mut n_stored, &mut header_at] {
            if *field == IN_EXTRA_64 {
                *field = extra.u64()?;
            }
        }
        let is_stored = method == 0 && flags & 1 == 0 && n_stored == n_bytes;
        Some((name, Entry { is_stored, n_bytes, header_at }))
    }

    /// The extra field of large values; empty if there is none.
    fn extra_64(mut self) -> Option<Fields<'a>> {
        while !self.0.is_empty() {
            let (number, n) = (self.u16()?, self.u16()?);
            let field = self.take(n)?;
            if number == EXTRA_64 {
                return Some(Fields(field));
            }
        }
        Some(Fields(&[]))
    }
}
