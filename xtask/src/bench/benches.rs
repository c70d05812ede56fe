//! The criterion benches, and their medians.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

use super::record::{Record, target_directory};
use crate::tidy::files_under;

const HEADER: &str = "date,commit,benchmark,median_ns,tokens_per_s";

/// The result of one benchmark.
#[derive(Debug, PartialEq)]
struct Median {
    benchmark: String,
    median_ns: f64,
    tokens_per_s: Option<f64>,
}

pub(super) fn run(sh: &Shell, record: bool) -> anyhow::Result<()> {
    let criterion = target_directory(sh)?.join("criterion");
    // Benchmarks that were renamed or deleted must not be recorded again.
    for path in estimates(&criterion)? {
        fs::remove_file(path)?;
    }
    // The whole workspace, as tests build it: another selection would build Burn again.
    cmd!(sh, "cargo bench --profile dev --workspace --bench *").run()?;
    let medians = estimates(&criterion)?.into_iter().map(|path| Median::read(&criterion, &path));
    let medians = medians.collect::<anyhow::Result<Vec<_>>>()?;
    if medians.is_empty() {
        bail!("the benches left no estimates");
    }
    if record {
        Record::open(sh, "", HEADER)?.append(medians.iter().map(Median::row))?;
    }
    Ok(())
}

fn estimates(criterion: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files = files_under(criterion)?;
    Ok(files.into_iter().filter(|path| path.ends_with("new/estimates.json")).collect())
}

impl Median {
    fn read(criterion: &Path, path: &Path) -> anyhow::Result<Self> {
        let benchmark = path.strip_prefix(criterion)?.to_string_lossy().replace("/new/estimates.json", "");
        Self::parse(
            &benchmark,
            &fs::read_to_string(path)?,
            &fs::read_to_string(path.with_file_name("benchmark.json"))?,
        )
    }

    fn parse(benchmark: &str, estimates: &str, definition: &str) -> anyhow::Result<Self> {
        let estimates: serde_json::Value = serde_json::from_str(estimates)?;
        let definition: serde_json::Value = serde_json::from_str(definition)?;
        let median_ns = estimates["median"]["point_estimate"]
            .as_f64()
            .with_context(|| format!("{benchmark}: the estimates have no median"))?;
        let n_tokens = definition["throughput"]["Elements"].as_f64();
        Ok(Self {
            benchmark: benchmark.to_owned(),
            median_ns,
            tokens_per_s: n_tokens.map(|n| n / (median_ns * 1e-9)),
        })
    }

    fn row(&self) -> String {
        let tokens_per_s = self.tokens_per_s.map(|rate| format!("{rate:.1}")).unwrap_or_default();
        format!("{},{:.1},{tokens_per_s}", self.benchmark.replace(',', ";"), self.median_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_read() {
        let estimates = r#"{"median": {"point_estimate": 2e6}, "mean": {"point_estimate": 1.0}}"#;
        let median = Median::parse("head/tiles", estimates, r#"{"throughput": {"Elements": 512}}"#).unwrap();
        assert_eq!(median.row(), "head/tiles,2000000.0,256000.0");
        let median = Median::parse("a,b", estimates, r#"{"throughput": null}"#).unwrap();
        assert_eq!(median.row(), "a;b,2000000.0,");
        assert!(Median::parse("a", "{}", "{}").is_err());
    }
}
