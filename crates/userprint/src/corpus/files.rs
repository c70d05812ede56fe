//! Files of a corpus: here by name or pattern, or elsewhere by address.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use userprint_data::Objects;
use userprint_model::hub;

use crate::progress::Bar;

/// Files that can be read; those that came from elsewhere go with this, once all are there.
pub(super) struct Files {
    pub(super) paths: Vec<PathBuf>,
    brought: PathBuf,
    is_whole: bool,
}

impl Drop for Files {
    fn drop(&mut self) {
        // What has come of a download that broke off is where the next one goes on.
        if self.is_whole {
            // Where nothing came there is no such folder.
            drop(std::fs::remove_dir_all(&self.brought));
        }
    }
}

impl Files {
    /// The files of these names, patterns and addresses, each once; what is elsewhere comes to a folder in this one, in which
    /// each address has its own.
    pub(super) fn of(names: &[PathBuf], folder: &Path) -> anyhow::Result<Self> {
        let mut files =
            Self { paths: Vec::new(), brought: folder.join(".userprint-brought"), is_whole: false };
        for name in names {
            let address = name.to_string_lossy();
            let to = files.brought.join(&blake3::hash(address.as_bytes()).to_hex()[..16]);
            let found = bring(&address, &to)?.map_or_else(|| expanded(name), Ok)?;
            files.paths.extend(found);
        }
        let mut seen = std::collections::BTreeSet::new();
        files.paths.retain(|file| seen.insert(file.clone()));
        files.is_whole = true;
        Ok(files)
    }
}

/// Brings what stands under an address, if it is one.
fn bring(address: &str, to: &Path) -> anyhow::Result<Option<Vec<PathBuf>>> {
    let mut bar: Option<Bar> = None;
    let mut show = |done, total| bar.get_or_insert_with(|| Bar::of_bytes("download", total)).set(done);
    if let Some(objects) = Objects::of(address) {
        return Ok(Some(objects.fetch(to, &mut show)?));
    }
    if address.starts_with("https://") || address.starts_with("http://") {
        return Ok(Some(vec![hub::download(address, to, &mut show)?.file]));
    }
    Ok(None)
}

/// The files that exist under this name, or else match it as a pattern.
fn expanded(name: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let pattern = name.to_string_lossy();
    if name.exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![name.to_owned()]);
    }
    let found = glob::glob(&pattern).with_context(|| format!("{pattern} is no pattern of files"))?;
    let files = found.collect::<Result<Vec<_>, _>>().context("a folder of the pattern cannot be read")?;
    ensure!(!files.is_empty(), "no file matches {pattern}, check the pattern");
    Ok(files)
}
