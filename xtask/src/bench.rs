//! `cargo xtask bench`: run the benches and keep their medians beside the machine's name.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

use crate::tidy::files_under;
use crate::{machine, project_root};

const HEADER: &str = "date,commit,features,benchmark,median_ns\n";

/// Run the benches; with --record, keep their medians.
#[derive(clap::Args)]
pub(crate) struct Bench {
    /// Append one row a benchmark to benches/record/<machine>/<date>.csv.
    #[arg(long)]
    record: bool,
    /// Features of userprint-benches, for other devices than the processor.
    #[arg(long)]
    features: Option<String>,
}

impl Bench {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let criterion = target_directory(sh)?.join("criterion");
        if self.record {
            forget_old_estimates(&criterion)?;
        }
        let features: Vec<&str> = self.features.iter().flat_map(|list| ["--features", list]).collect();
        cmd!(sh, "cargo bench --profile dev -p userprint-benches {features...}").run()?;
        if self.record {
            let medians = medians(&criterion)?;
            record(sh, &medians, self.features.as_deref().unwrap_or("default"))?;
        }
        Ok(())
    }
}

/// Where cargo builds: the environment may have moved it.
fn target_directory(sh: &Shell) -> anyhow::Result<std::path::PathBuf> {
    let metadata = cmd!(sh, "cargo metadata --no-deps --format-version 1").quiet().read()?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(folder.into())
}

/// Benchmarks that were renamed or deleted must not be recorded again.
fn forget_old_estimates(criterion: &Path) -> anyhow::Result<()> {
    for path in estimates(criterion)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn estimates(criterion: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let files = files_under(criterion)?;
    Ok(files.into_iter().filter(|path| path.ends_with("new/estimates.json")).collect())
}

/// Benchmark and median in nanoseconds, sorted by benchmark.
fn medians(criterion: &Path) -> anyhow::Result<Vec<(String, f64)>> {
    let mut medians = Vec::new();
    for path in estimates(criterion)? {
        let name = path.strip_prefix(criterion)?.to_string_lossy().replace("/new/estimates.json", "");
        let estimates: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let median = estimates["median"]["point_estimate"]
            .as_f64()
            .with_context(|| format!("{name}: the estimates have no median"))?;
        medians.push((name, median));
    }
    if medians.is_empty() {
        bail!("the benches left no estimates, so there is nothing to record");
    }
    Ok(medians)
}

fn record(sh: &Shell, medians: &[(String, f64)], features: &str) -> anyhow::Result<()> {
    let date = cmd!(sh, "date -u +%F").quiet().read()?;
    let mut commit = cmd!(sh, "git rev-parse --short HEAD").quiet().read()?;
    if !cmd!(sh, "git status --porcelain").quiet().read()?.is_empty() {
        commit.push_str("-dirty");
    }
    let file = project_root().join(format!("benches/record/{}/{date}.csv", machine::name()));
    let mut rows = if file.exists() { fs::read_to_string(&file)? } else { HEADER.to_owned() };
    let features = features.replace(',', "+");
    for (benchmark, median_ns) in medians {
        let benchmark = benchmark.replace(',', ";");
        writeln!(rows, "{date},{commit},{features},{benchmark},{median_ns:.1}")?;
    }
    fs::create_dir_all(file.parent().context("the record has no folder")?)?;
    fs::write(&file, rows)?;
    println!("recorded {} medians in {}", medians.len(), file.display());
    Ok(())
}
