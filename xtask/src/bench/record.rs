//! Results that are kept: CSV files by machine and date.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use xshell::{Shell, cmd};

use super::Setting;
use crate::{machine, project_root};

/// A file of `benches/record/<machine>/`, and what begins each of its rows.
pub(super) struct Record {
    file: PathBuf,
    header: &'static str,
    date: String,
    commit: String,
}

impl Record {
    /// The file of this machine and day; `header` begins with `date,commit,`.
    pub(super) fn open(sh: &Shell, suffix: &str, header: &'static str) -> anyhow::Result<Self> {
        let date = cmd!(sh, "date -u +%F").quiet().read()?;
        let mut commit = cmd!(sh, "git rev-parse --short HEAD").quiet().read()?;
        // Records of the same day do not change what is measured.
        let others = [":/", ":(top,exclude)benches/record"];
        if !cmd!(sh, "git status --porcelain -- {others...}").quiet().read()?.is_empty() {
            commit.push_str("-dirty");
        }
        let file = project_root().join(format!("benches/record/{}/{date}{suffix}.csv", machine::name()));
        Ok(Self { file, header, date, commit })
    }

    pub(super) fn append(&self, rows: impl Iterator<Item = String>) -> anyhow::Result<()> {
        let rows: Vec<String> = rows.map(|row| format!("{},{},{row}\n", self.date, self.commit)).collect();
        let mut text = match self.file.exists() {
            true => fs::read_to_string(&self.file)?,
            false => format!("{}\n", self.header),
        };
        text.extend(rows.iter().map(String::as_str));
        fs::create_dir_all(self.file.parent().context("the record has no folder")?)?;
        fs::write(&self.file, text)?;
        let shown = self.file.strip_prefix(project_root()).unwrap_or(&self.file);
        println!("recorded {} rows in {}", rows.len(), shown.display());
        Ok(())
    }
}

/// Columns of the record of scoring.
pub(super) const HEADER_OF_SCORING: &str = "date,commit,what,backend,dtype,threads,max_tokens,docs,tokens,\
    tokens_per_s,peer,peer_tokens_per_s,ratio,peak_bytes";

/// Columns of the record of statistics.
pub(super) const HEADER_OF_STATISTICS: &str =
    "date,commit,users,resamples,seconds,peer_seconds,ratio,peak_bytes,peer_peak_bytes";

/// Columns of the record of splits.
pub(super) const HEADER_OF_SPLITS: &str =
    "date,commit,documents,memory,threads,seconds,peer_seconds,ratio,peak_bytes,peer_peak_bytes";

/// Columns of the record of training steps.
pub(super) const HEADER_OF_STEPS: &str =
    "date,commit,checkpoint,rule,batch,block,seconds,peer_seconds,ratio,peak_bytes,peer_peak_bytes";

/// One row of the record of scoring: medians of ours, beside those of a peer.
#[derive(Clone, Debug)]
pub(super) struct ScoringRow {
    /// Which measurement.
    pub(super) what: &'static str,
    pub(super) setting: Setting,
    pub(super) threads: u16,
    pub(super) max_tokens: u64,
    pub(super) docs: u64,
    pub(super) tokens: u64,
    pub(super) tokens_per_s: f64,
    /// The peer's name and tokens per second, and how many times as fast ours is.
    pub(super) peer: Option<(&'static str, f64, f64)>,
    pub(super) peak_bytes: Option<u64>,
}

impl ScoringRow {
    /// The row without date and commit.
    pub(super) fn to_csv(&self) -> String {
        let Self { what, threads, max_tokens, docs, tokens, tokens_per_s, .. } = self;
        let (backend, dtype) = (self.setting.backend.name(), self.setting.dtype.name());
        let peer = match self.peer {
            Some((name, tokens_per_s, ratio)) => format!("{name},{tokens_per_s:.1},{ratio:.3}"),
            None => ",,".to_owned(),
        };
        let peak_bytes = self.peak_bytes.map(|n| n.to_string()).unwrap_or_default();
        format!(
            "{what},{backend},{dtype},{threads},{max_tokens},{docs},{tokens},{tokens_per_s:.1},{peer},{peak_bytes}"
        )
    }
}

/// Where cargo builds: the environment may have moved it.
pub(super) fn target_directory(sh: &Shell) -> anyhow::Result<PathBuf> {
    let metadata = cmd!(sh, "cargo metadata --no-deps --format-version 1").quiet().read()?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(folder.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::bench::Dtype;

    #[test]
    fn rows_have_the_columns_of_the_header() {
        let row = ScoringRow {
            what: "score",
            setting: Setting { backend: Backend::Cuda, dtype: Dtype::Bf16 },
            threads: 2,
            max_tokens: 512,
            docs: 40,
            tokens: 5000,
            tokens_per_s: 900.06,
            peer: Some(("sorted", 450.0, 2.0)),
            peak_bytes: None,
        };
        assert_eq!(row.to_csv(), "score,cuda,bf16,2,512,40,5000,900.1,sorted,450.0,2.000,");
        let alone = ScoringRow { peer: None, peak_bytes: Some(7), ..row.clone() };
        for row in [alone.to_csv(), row.to_csv()] {
            // The date and the commit come before it.
            assert_eq!(row.matches(',').count() + 2, HEADER_OF_SCORING.matches(',').count());
        }
    }
}
