//! The run folder: stages are found by hash and skipped when done; files are renamed into place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use userprint_core::Fingerprint;

use crate::stages::StageOutput;

/// File of the manifest in a run folder.
const MANIFEST: &str = "manifest.json";

/// `manifest.json`: what ran, with what, and what it left.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Version of userprint.
    pub(crate) version: String,
    /// Backend of the models.
    pub(crate) backend: String,
    /// Processor and number of threads.
    pub(crate) machine: String,
    /// The reference, where it came from the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hub: Option<HubRecord>,
    /// Finished stages by name.
    pub(crate) stages: BTreeMap<String, StageRecord>,
}

impl Manifest {
    /// Reads that of a run folder.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(MANIFEST);
        let text =
            fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{}: not a manifest", path.display()))
    }
}

/// A model of the hub, pinned: a run goes on with the commit that it began with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HubRecord {
    /// Its name.
    pub(crate) name: String,
    /// The revision asked for.
    pub(crate) revision: Option<String>,
    /// The commit that this stood for.
    pub(crate) commit: String,
    /// SHA-256 of each file by name.
    pub(crate) sha256: BTreeMap<String, String>,
}

/// A finished stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StageRecord {
    /// Hash of everything that changes its result.
    pub(crate) hash: String,
    /// BLAKE3 of each file that it left, by path within the run folder.
    pub(crate) outputs: BTreeMap<String, String>,
    /// How long it took, seconds; the last attempt only, where one was killed.
    pub(crate) wall_s: f64,
    /// What that amounts to.
    pub(crate) note: String,
}

/// One run's folder, locked while it is open.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    pub(crate) manifest: Manifest,
    _lock: File,
}

impl RunFolder {
    /// Opens or creates a folder; refuses one that another process is using.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path.join("scores"))
            .with_context(|| format!("{}: the run folder cannot be created", path.display()))?;
        let lock_path = path.join(".lock");
        let lock = File::create(&lock_path)
            .with_context(|| format!("{}: cannot be created", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "{}: another run is using this folder; wait for it, or choose another name or seed",
                    path.display()
                )
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{}: cannot be locked", lock_path.display()));
            }
        }
        let manifest_path = path.join(MANIFEST);
        let manifest = match fs::read_to_string(&manifest_path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!("{}: not a manifest; delete the run folder to start afresh", manifest_path.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Manifest::default(),
            Err(error) => {
                return Err(error).with_context(|| format!("{}: cannot be read", manifest_path.display()));
            }
        };
        Ok(Self { path: path.to_owned(), manifest, _lock: lock })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file of the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether a stage with this hash is done and its files are as it left them.
    pub(crate) fn is_done(&self, stage: &str, hash: Fingerprint) -> bool {
        let Some(record) = self.manifest.stages.get(stage) else { return false };
        record.hash == hash.hex() && is_as_left(&self.path, record)
    }

    /// Removes the folders that a stage resumes from, where it was done and its files are not as it left them any more.
    ///
    /// Else training would resume from the finished state beside a damaged checkpoint, and leave it damaged; so would
    /// the scoring of checkpoints.
    pub(crate) fn discard_damaged(&mut self, stage: &str, hash: Fingerprint) -> anyhow::Result<()> {
        let Some(record) = self.manifest.stages.get(stage).filter(|record| record.hash == hash.hex()) else {
            return Ok(());
        };
        let is_resumed = |name: &&String| {
            ["checkpoints/", "scores/checkpoints/"].iter().any(|folder| name.starts_with(folder))
        };
        let resumed = record.outputs.keys().filter(is_resumed);
        let folders: BTreeSet<PathBuf> =
            resumed.filter_map(|name| Some(self.file(name).parent()?.to_owned())).collect();
        if folders.is_empty() {
            return Ok(());
        }
        for folder in folders.into_iter().filter(|folder| folder.exists()) {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("{}: cannot be removed", folder.display()))?;
        }
        // Without its record a repair that is killed in turn resumes.
        self.manifest.stages.remove(stage);
        self.write_manifest()
    }

    /// Takes a finished stage with this hash from a folder beside this one, if one has it; the answer is that folder's name.
    ///
    /// Files are shared where the file system can, as none is ever written in its place.
    pub(crate) fn adopt(
        &mut self,
        stage: &str,
        hash: Fingerprint,
        later: impl Iterator<Item = &'static str>,
    ) -> anyhow::Result<Option<String>> {
        for folder in self.beside() {
            let Some(record) = finished(&folder, stage, hash) else { continue };
            let taken =
                record.outputs.keys().try_for_each(|name| share(&folder.join(name), &self.file(name)));
            // Whoever writes there may have done so meanwhile.
            if taken.is_err() || !is_as_left(&self.path, &record) {
                continue;
            }
            let output = StageOutput::of(record.outputs.keys().cloned().collect(), record.note);
            self.finish(stage, hash, &output, record.wall_s, later)?;
            return Ok(Some(folder.file_name().unwrap_or_default().to_string_lossy().into_owned()));
        }
        Ok(None)
    }

    /// The other run folders of the folder that this one is in, in the order of their names.
    fn beside(&self) -> Vec<PathBuf> {
        let entries = self.path.parent().and_then(|parent| fs::read_dir(parent).ok());
        let paths = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let own = self.path.file_name();
        let mut folders: Vec<PathBuf> =
            paths.filter(|path| path.file_name() != own && path.join(MANIFEST).is_file()).collect();
        folders.sort();
        folders
    }

    fn write_manifest(&self) -> anyhow::Result<()> {
        self.write(MANIFEST, serde_json::to_string_pretty(&self.manifest)?.as_bytes())
    }

    /// Records a finished stage, and drops what later stages left if it came from another one.
    pub(crate) fn finish(
        &mut self,
        stage: &str,
        hash: Fingerprint,
        output: &StageOutput,
        wall_s: f64,
        later: impl Iterator<Item = &'static str>,
    ) -> anyhow::Result<()> {
        let mut outputs = BTreeMap::new();
        for name in &output.files {
            outputs.insert(name.clone(), file_hash(&self.file(name))?);
        }
        let record = StageRecord { hash: hash.hex(), outputs, wall_s, note: output.note.clone() };
        let before = self.manifest.stages.insert(stage.to_owned(), record);
        if before.is_some_and(|before| before.hash != hash.hex()) {
            let stale: Vec<StageRecord> =
                later.filter_map(|name| self.manifest.stages.remove(name)).collect();
            let files = stale.iter().flat_map(|record| record.outputs.keys());
            for file in files.map(|name| self.file(name)).filter(|file| file.exists()) {
                fs::remove_file(&file)
                    .with_context(|| format!("{}: out of date, and cannot be removed", file.display()))?;
            }
        }
        self.write_manifest()
    }

    /// Writes a file beside its place and renames it.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        write_file(&self.file(name), bytes)
    }
}

/// A stage of another run folder that is done, with its files as it left them.
fn finished(folder: &Path, stage: &str, hash: Fingerprint) -> Option<StageRecord> {
    // A folder that cannot be read has nothing to give.
    let record = Manifest::read(folder).ok()?.stages.remove(stage)?;
    (record.hash == hash.hex() && is_as_left(folder, &record)).then_some(record)
}

fn is_as_left(folder: &Path, record: &StageRecord) -> bool {
    let same =
        |(name, left): (&String, &String)| file_hash(&folder.join(name)).is_ok_and(|found| found == *left);
    record.outputs.iter().all(same)
}

/// Puts a file under another name as well, or copies it where that cannot be.
fn share(from: &Path, to: &Path) -> anyhow::Result<()> {
    let share = || -> std::io::Result<()> {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        if to.exists() {
            fs::remove_file(to)?;
        }
        fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
    };
    share().with_context(|| format!("{}: cannot be taken from {}", to.display(), from.display()))
}

/// Writes a file beside its place and renames it: there is no half file.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_with(File::options().write(true).create(true).truncate(true), path, bytes)
}

/// The same for a secret: where the system knows owners, nobody else can read the file.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    write_with(&options, path, bytes)
}

fn write_with(options: &OpenOptions, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let write = || {
        let mut file = options.open(&beside)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("{}: cannot be written", path.display()))
}

/// BLAKE3 of a file's content.
pub(crate) fn file_hash(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut file, &mut hasher).with_context(|| format!("{}: cannot be read", path.display()))?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use userprint_core::Fingerprinter;

    #[test]
    fn a_stage_is_done_while_its_hash_and_files_stand() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Fingerprinter::new().with("1").finish(), Fingerprinter::new().with("2").finish());
        let mut run = RunFolder::open(folder.path()).unwrap();
        run.write("a.json", b"{}").unwrap();
        let output = StageOutput::new(&["a.json"], String::new());
        run.finish("prepare", one, &output, 0.1, std::iter::empty()).unwrap();
        drop(run);
        let run = RunFolder::open(folder.path()).unwrap();
        assert!(run.is_done("prepare", one));
        assert!(!run.is_done("prepare", two));
        run.write("a.json", b"{ }").unwrap();
        assert!(!run.is_done("prepare", one));
    }

    #[test]
    fn two_runs_cannot_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let _run = RunFolder::open(folder.path()).unwrap();
        let error = RunFolder::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another run is using this folder"), "{error}");
    }
}
