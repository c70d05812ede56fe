//! What a grid would take: time, memory and disk, from a shortened run of each variant.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context;
use userprint_model::checkpoint;
use userprint_train::TrainSettings;

use super::file::Grid;
use super::runs::{Changes, experiment, run_folder};
use crate::pipeline::{Pipeline, Stage};
use crate::report::grouped;
use crate::report::number::decimals;
use crate::stages::pretrain::TrainingRecord;
use crate::stages::train::TARGET;

/// Seconds of the stages of one variant.
struct Estimate<'g> {
    variant: &'g str,
    pretrain_s: f64,
    train_s: f64,
    score_s: f64,
}

/// Runs some steps of every training and scores some texts, in a folder beside the runs that is gone afterwards.
///
/// Stages that variants share count once. A variant that needs another's finished run is taken to cost what the one before does.
pub(super) fn estimate(grid: &Grid, runs: &Path, changes: &Changes) -> anyhow::Result<String> {
    std::fs::create_dir_all(runs).with_context(|| format!("{}: cannot be created", runs.display()))?;
    let folder =
        tempfile::tempdir_in(runs).with_context(|| format!("{}: cannot be written", runs.display()))?;
    let seed = grid.seeds[0];
    let (mut estimates, mut disk): (Vec<Estimate<'_>>, Disk) = (Vec::new(), Disk::default());
    for variant in &grid.variants {
        if variant.needs_runs() {
            if let Some(last) = estimates.last() {
                estimates.push(Estimate { variant: &variant.name, pretrain_s: 0.0, ..*last });
                disk.repeat();
            }
            continue;
        }
        tracing::info!("measuring {}", variant.name);
        let own = run_folder(grid, folder.path(), &variant.name, seed);
        let checked = experiment(grid, variant, seed, folder.path(), changes)?.check()?;
        let settings = checked.target.settings.clone();
        let pipeline = Pipeline::open(checked, &own, NonZeroUsize::MIN, changes.offline)?;
        let seconds = pipeline.estimate().with_context(|| format!("variant `{}`", variant.name))?;
        estimates.push(Estimate::of(&variant.name, &seconds));
        disk.add(&own, &settings)?;
    }
    Ok(words(grid, &estimates, disk.n_bytes))
}

impl<'g> Estimate<'g> {
    fn of(variant: &'g str, seconds: &BTreeMap<Stage, f64>) -> Self {
        let of = |stages: &[Stage]| stages.iter().filter_map(|stage| seconds.get(stage)).sum();
        Self {
            variant,
            pretrain_s: of(&[Stage::Prepare, Stage::Pretrain]),
            train_s: of(&[Stage::Train]),
            score_s: of(&[Stage::ScoreReference, Stage::Score]),
        }
    }

    fn whole_s(&self) -> f64 {
        self.pretrain_s + self.train_s + self.score_s
    }
}

/// Bytes of whole runs; files that runs share count once.
#[derive(Default)]
struct Disk {
    seen: BTreeSet<(u64, u64)>,
    n_bytes: u64,
    /// Of the last run.
    last: u64,
}

impl Disk {
    /// What a shortened run left, and the checkpoints that it kept not yet.
    fn add(&mut self, run: &Path, settings: &TrainSettings) -> anyhow::Result<()> {
        let target = run.join(TARGET);
        let record = TrainingRecord::read(&target)?;
        let n_kept = settings.n_kept(record.planned_steps.unwrap_or(0));
        let n_left = n_kept.saturating_sub(record.kept_steps.len() as u64);
        let model: u64 = checkpoint::files(&target)?.iter().map(|file| file_size(file)).sum();
        self.last = self.folder_size(run) + n_left * model;
        self.n_bytes += self.last;
        Ok(())
    }

    /// As much as the last run.
    fn repeat(&mut self) {
        self.n_bytes += self.last;
    }

    fn folder_size(&mut self, folder: &Path) -> u64 {
        let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
        let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        let size = |path: &PathBuf| match path.is_dir() {
            true => self.folder_size(path),
            false if self.is_new(path) => file_size(path),
            false => 0,
        };
        paths.iter().map(size).sum()
    }

    #[cfg(unix)]
    fn is_new(&mut self, file: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        file.metadata().is_ok_and(|file| self.seen.insert((file.dev(), file.ino())))
    }

    #[cfg(not(unix))]
    fn is_new(&mut self, _file: &Path) -> bool {
        true
    }
}

fn file_size(path: &Path) -> u64 {
    path.metadata().map_or(0, |file| file.len())
}

/// The most memory that this process ever had, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn words(grid: &Grid, estimates: &[Estimate<'_>], disk: u64) -> String {
    let width = estimates.iter().map(|own| own.variant.chars().count()).max().unwrap_or(0).max(8);
    let mut lines = vec![format!("{:<width$} {:>11} {:>11} {:>11}", "", "pre-train", "fine-tune", "score")];
    for own in estimates {
        let [pretrain, train, score] = [own.pretrain_s, own.train_s, own.score_s].map(seconds);
        lines.push(format!("{:<width$} {pretrain:>11} {train:>11} {score:>11}", own.variant));
    }
    let n_seeds = grid.seeds.len() as u64;
    let whole_s: f64 = estimates.iter().map(Estimate::whole_s).sum::<f64>() * n_seeds as f64;
    lines.push(format!(
        "in all, {n_seeds} seed{}: {}, {} of disk{}",
        if n_seeds == 1 { "" } else { "s" },
        seconds(whole_s),
        bytes(disk * n_seeds),
        peak_memory().map_or(String::new(), |memory| format!(", {} of memory", bytes(memory)))
    ));
    lines.push(
        "from a few steps and texts of each variant; shared stages and files count once,\n\
         attacks and reports (seconds each) and the memory of GPUs not at all"
            .to_owned(),
    );
    lines.join("\n")
}

fn seconds(s: f64) -> String {
    match s {
        s if s < 100.0 => format!("{} s", decimals(s, 0)),
        s if s < 6000.0 => format!("{} min", decimals(s / 60.0, 1)),
        s => format!("{} h", decimals(s / 3600.0, 1)),
    }
}

fn bytes(n: u64) -> String {
    match n {
        n if n < 10_000_000_000 => format!("{} MB", grouped(n.div_ceil(1_000_000))),
        n => format!("{} GB", grouped(n.div_ceil(1_000_000_000))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_in_words() {
        assert_eq!([3.2, 99.0, 600.0, 7200.0].map(seconds), ["3 s", "99 s", "10.0 min", "2.0 h"]);
        assert_eq!([1, 2_000_000, 30_000_000_000].map(bytes), ["1 MB", "2 MB", "30 GB"]);
        assert!(peak_memory().is_none_or(|memory| memory > 1_000_000));
    }
}
