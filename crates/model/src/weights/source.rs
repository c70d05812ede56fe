//! A file that is read at positions, from any thread, and never held in memory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::ModelError;

/// How every pointer file of Git LFS begins.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// An open file and its length.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    file: File,
    n_bytes: u64,
}

impl Source {
    /// Opens a file; one that Git LFS left in place of the weights is refused here.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let failed = |e| crate::checkpoint::io(path, "read it", e);
        let file = File::open(path).map_err(failed)?;
        let n_bytes = file.metadata().map_err(failed)?.len();
        let source = Self { path: path.to_owned(), file, n_bytes };
        let n_first = n_bytes.min(LFS_POINTER.len() as u64);
        if source.bytes(0..n_first).map_err(failed)? == LFS_POINTER {
            return Err(ModelError::LfsPointer { path: path.to_owned() });
        }
        Ok(source)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// The bytes of a range; nothing is allocated for one that the file does not have.
    pub(super) fn bytes(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let n_bytes = range.end.checked_sub(range.start).filter(|_| range.end <= self.n_bytes);
        let n_bytes = n_bytes.and_then(|n| usize::try_from(n).ok()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut bytes = vec![0; n_bytes];
        self.read_at(&mut bytes, range.start)?;
        Ok(bytes)
    }

    /// Fills a buffer from a position on.
    #[cfg(unix)]
    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, offset)
    }

    /// Fills a buffer from a position on.
    #[cfg(not(unix))]
    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        use io::{Read, Seek};
        // A clone of the handle would share its cursor with the other threads; one opened anew does not.
        let mut file = File::open(&self.path)?;
        file.seek(io::SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}
