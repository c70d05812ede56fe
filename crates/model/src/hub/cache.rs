//! The cache on disk, laid out as other tools lay it out: `blobs`, `snapshots` and `refs` of each model.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::files::{is_commit, is_plain, is_sha256};
use super::{HubFile, HubKind, HubProgress, HubStep, OnProgress};
use crate::ModelError;
use crate::checkpoint::io;

/// Read and written at once.
pub(super) const BLOCK_BYTES: usize = 1 << 18;

/// One model's part of the cache.
pub(super) struct Cache {
    folder: PathBuf,
    locks: PathBuf,
}

impl Cache {
    /// The part of a model or dataset with a checked name.
    pub(super) fn new(cache: &Path, kind: HubKind, name: &str) -> Self {
        let folder = format!("{}--{}", kind.plural(), name.replace('/', "--"));
        Self { locks: cache.join(".locks").join(&folder), folder: cache.join(folder) }
    }

    /// The commit that a revision stood for when it was last fetched whole.
    pub(super) fn commit(&self, revision: &str) -> Result<Option<String>, ModelError> {
        if is_commit(revision) {
            return Ok(Some(revision.to_owned()));
        }
        let path = self.folder.join("refs").join(revision);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|commit| is_commit(commit))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path, "read it", error)),
        }
    }

    /// Notes which commit a revision stands for.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<(), ModelError> {
        if revision == commit {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        create_parent(&path)?;
        fs::write(&path, commit).map_err(|e| io(&path, "write it", e))
    }

    /// Notes which files a commit has, here or not.
    pub(super) fn remember_names(&self, commit: &str, names: &[String]) -> Result<(), ModelError> {
        let path = self.listing(commit);
        create_parent(&path)?;
        fs::write(&path, names.join("\n")).map_err(|e| io(&path, "write it", e))
    }

    /// Which files a commit has, here or not, if that was noted.
    pub(super) fn remembered_names(&self, commit: &str) -> Result<Option<Vec<String>>, ModelError> {
        let path = self.listing(commit);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.lines().map(str::to_owned).collect())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path, "read it", error)),
        }
    }

    fn listing(&self, commit: &str) -> PathBuf {
        self.folder.join("listings").join(commit)
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Whether a file of a commit is there.
    pub(super) fn has(&self, commit: &str, name: &str) -> bool {
        self.snapshot(commit).join(name).is_file()
    }

    /// Names of a commit's files, with their folders.
    pub(super) fn names(&self, commit: &str) -> Result<Vec<String>, ModelError> {
        let top = self.snapshot(commit);
        let (mut names, mut folders) = (Vec::new(), vec![String::new()]);
        while let Some(folder) = folders.pop() {
            let path = top.join(&folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(io(&path, "list it", error)),
            };
            for entry in entries {
                let entry = entry.map_err(|e| io(&path, "list it", e))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = format!("{folder}{name}");
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(format!("{name}/"));
                } else if self.has(commit, &name) {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    /// Measures a file of a commit; held against its SHA-256 where the cache names it by that.
    pub(super) fn check(
        &self,
        commit: &str,
        name: &str,
        on_progress: OnProgress<'_>,
    ) -> Result<HubFile, ModelError> {
        let link = self.snapshot(commit).join(name);
        let blob = fs::canonicalize(&link).map_err(|e| io(&link, "find it", e))?;
        let etag = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let checked = check(&blob, name, etag, on_progress);
        if matches!(checked, Err(ModelError::HubChecksum { .. })) && link.is_symlink() {
            remove(&link)?;
        }
        checked
    }

    /// Holds off other processes that would fetch the same content, for as long as the file lives.
    pub(super) fn lock(&self, etag: &str) -> Result<File, ModelError> {
        let path = self.locks.join(format!("{etag}.lock"));
        create_parent(&path)?;
        let lock = File::create(&path).map_err(|e| io(&path, "create it", e))?;
        lock.lock().map_err(|e| io(&path, "lock it", e))?;
        Ok(lock)
    }

    /// Where content lies, by its plain etag.
    pub(super) fn blob(&self, etag: &str) -> Result<PathBuf, ModelError> {
        debug_assert!(is_plain(etag));
        let path = self.folder.join("blobs").join(etag);
        create_parent(&path)?;
        Ok(path)
    }

    /// Makes content stand under a name in a commit's folder.
    pub(super) fn link(&self, commit: &str, name: &str, etag: &str) -> Result<(), ModelError> {
        let path = self.snapshot(commit).join(name);
        create_parent(&path)?;
        if path.is_symlink() {
            remove(&path)?;
        }
        #[cfg(unix)]
        let linked = {
            let up = "../".repeat(2 + name.matches('/').count());
            std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(etag), &path)
        };
        #[cfg(not(unix))]
        let linked = fs::rename(self.blob(etag)?, &path);
        match linked {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked.map_err(|e| io(&path, "link it", e)),
        }
    }
}

/// Measures a file, and removes it where its SHA-256 is not the one that its etag is.
pub(super) fn check(
    path: &Path,
    name: &str,
    etag: &str,
    on_progress: OnProgress<'_>,
) -> Result<HubFile, ModelError> {
    let file = measure(path, name, on_progress)?;
    if is_sha256(etag) && file.sha256 != etag {
        remove(path)?;
        return Err(ModelError::HubChecksum {
            path: path.to_owned(),
            file: file.name,
            found: file.sha256,
            expected: etag.to_owned(),
        });
    }
    Ok(file)
}

fn measure(path: &Path, name: &str, on_progress: OnProgress<'_>) -> Result<HubFile, ModelError> {
    let cannot = |error| io(path, "read it", error);
    let mut file = File::open(path).map_err(cannot)?;
    let n_bytes = file.metadata().map_err(cannot)?.len();
    let (mut hasher, mut block, mut n_bytes_done) = (Sha256::new(), vec![0; BLOCK_BYTES], 0);
    loop {
        let n_read = file.read(&mut block).map_err(cannot)?;
        if n_read == 0 {
            break;
        }
        hasher.update(&block[..n_read]);
        n_bytes_done += n_read as u64;
        on_progress(HubProgress { file: name, step: HubStep::Check, n_bytes_done, n_bytes });
    }
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(HubFile { name: name.to_owned(), sha256, n_bytes })
}

fn create_parent(path: &Path) -> Result<(), ModelError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|e| io(parent, "create it", e))
}

fn remove(path: &Path) -> Result<(), ModelError> {
    fs::remove_file(path).map_err(|e| io(path, "remove it", e))
}
