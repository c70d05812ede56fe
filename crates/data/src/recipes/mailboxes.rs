//! Mailboxes of an archive that is not unpacked, or of a folder.

use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use tar::Archive;

use crate::read::mail::{files_below, read_message};
use crate::read::{MAX_LINE_BYTES, open, read_error};
use crate::{CorpusError, Position};

/// A member of an archive, or a file of a folder.
pub(super) enum Member {
    /// Bytes of a message and the owner of the mailbox that it lies in.
    Message { owner: String, message: Vec<u8> },
    /// Not a file in a mailbox: the reason.
    Other(&'static str),
    /// More bytes than a message has.
    TooLong,
}

/// Hands on what lies in the mailboxes, in the order of the archive or of the names.
pub(super) fn read_members(
    path: &Path,
    each: &mut dyn FnMut(Position, Member) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    if path.is_dir() {
        for (file, number) in files_below(path)?.into_iter().zip(1..) {
            let name = file.strip_prefix(path.parent().unwrap_or(path)).unwrap_or(&file);
            let member = match owner(name.as_os_str().as_encoded_bytes()) {
                None => Member::Other("not in a mailbox"),
                Some(owner) => match read_message(&file)? {
                    Some(message) => Member::Message { owner, message },
                    None => Member::TooLong,
                },
            };
            each(Position { file: path.to_owned(), unit: "file", number }, member)?;
        }
        return Ok(());
    }
    let file = BufReader::new(open(path)?);
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let archive: Box<dyn Read> = match name.ends_with(".gz") || name.ends_with(".tgz") {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    read_archive(path, archive, each)
}

/// Hands on the members of a tar archive.
///
/// Nothing is written anywhere: names say whose mailbox it is, and do nothing else. Raw headers alone are read, so that no
/// extended name fills the memory.
pub(super) fn read_archive(
    path: &Path,
    archive: impl Read,
    each: &mut dyn FnMut(Position, Member) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    let position = |number| Position { file: path.to_owned(), unit: "member", number };
    let mut archive = Archive::new(archive);
    let entries = archive.entries().map_err(|error| read_error(position(1), error))?;
    for (entry, number) in entries.raw(true).zip(1..) {
        let position = position(number);
        let mut entry = entry.map_err(|error| read_error(position.clone(), error))?;
        let kind = entry.header().entry_type();
        let owner = owner(&entry.path_bytes());
        let member = if kind.is_dir() {
            continue;
        } else if !kind.is_file() {
            Member::Other("no plain file")
        } else if entry.size() > MAX_LINE_BYTES as u64 {
            Member::TooLong
        } else if let Some(owner) = owner {
            let (n_bytes, mut message) = (entry.size(), Vec::new());
            entry.read_to_end(&mut message).map_err(|error| read_error(position.clone(), error))?;
            if message.len() as u64 != n_bytes {
                return Err(CorpusError::CutOff { position });
            }
            Member::Message { owner, message }
        } else {
            Member::Other("not in a mailbox")
        };
        each(position, member)?;
    }
    Ok(())
}

/// Whose mailbox a name lies in: `maildir/OWNER/FOLDER/...`, whatever comes before, with no way up.
pub(super) fn owner(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let at = parts.iter().position(|part| *part == "maildir")?;
    let is_sound = !name.starts_with('/') && !parts.contains(&"..") && parts.len() >= at + 4;
    is_sound.then(|| parts[at + 1].to_lowercase())
}

/// Whether an address may be the owner's own: it holds the last name, as in `lay-k` and `kenneth.lay@enron.com`.
pub(super) fn may_be_own(owner: &str, address: &str) -> bool {
    let last_name = owner.rsplit_once('-').map_or(owner, |(last_name, _)| last_name);
    !last_name.is_empty() && address.contains(last_name)
}
