//! `userprint corpus inspect`.

use std::path::PathBuf;

use clap::Args;
use userprint_data::Inspection;

use super::{Source, work_folder};
use crate::report::{grouped, needed_held_out};

pub(super) const EXAMPLES: &str = "\
Examples:
  userprint corpus inspect corpus.parquet
  userprint corpus inspect part-*.jsonl.gz --user-id author --text body --json";

/// Width of the longest bar.
const BAR: usize = 40;

#[derive(Clone, Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    source: Source,
    /// Fewest documents of a user that a split would keep, to count those users.
    #[arg(long, value_name = "N", default_value_t = 20)]
    min_examples: u64,
    /// Folder for what does not fit in memory [default: beside the first file].
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl InspectArgs {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let work = self.work.clone().unwrap_or_else(|| work_folder(&self.source.files[0]));
        let was_there = work.exists();
        let files = self.source.files(&work)?;
        let inspection = self.source.split().inspect(&files.paths, &work);
        drop(files);
        if !was_there {
            // Empty by now; a folder that stays does no harm.
            drop(std::fs::remove_dir(&work));
        }
        let inspection = inspection?;
        if self.json {
            return Ok(serde_json::to_string(&inspection)?);
        }
        Ok(self.words(&inspection))
    }

    fn words(&self, inspection: &Inspection) -> String {
        let Inspection { n_users, n_examples, n_words, n_bytes, .. } = *inspection;
        let percentiles =
            [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| grouped(inspection.percentile(at))).join(" / ");
        let per_user = n_words as f64 / n_users as f64;
        let rows = [
            ("users", grouped(n_users)),
            (
                "documents",
                format!("{} ({percentiles} a user at P0 / P25 / P50 / P75 / P100)", grouped(n_examples)),
            ),
            (
                "words",
                format!(
                    "{} ({per_user:.0} a user, {:.0} a document)",
                    grouped(n_words),
                    n_words as f64 / n_examples as f64
                ),
            ),
            ("bytes", grouped(n_bytes)),
            (
                "copies",
                format!(
                    "{} documents repeat an earlier one of their user",
                    grouped(inspection.n_copies_within)
                ),
            ),
            (
                "shared",
                format!(
                    "{} texts in {} documents of {} users",
                    grouped(inspection.n_shared_texts),
                    grouped(inspection.n_shared_examples),
                    grouped(inspection.n_sharing_users)
                ),
            ),
        ];
        let rows = rows.map(|(name, value)| format!("{name:<10} {value}")).join("\n");
        let warnings: Vec<String> = self.warnings(inspection);
        let parts = [rows, histogram(inspection)].into_iter().chain(warnings);
        parts.collect::<Vec<_>>().join("\n\n")
    }

    /// What a split of this corpus could not show.
    fn warnings(&self, inspection: &Inspection) -> Vec<String> {
        let kept: u64 = inspection.users_by_size.range(self.min_examples..).map(|(_, n_users)| n_users).sum();
        let held_out = kept / 2;
        let mut warnings = Vec::new();
        // Who cannot see the larger rate sees the smaller one even less.
        if let Some(fpr) = [0.01, 0.001].into_iter().find(|fpr| held_out as f64 * fpr < 1.0 - 1e-9) {
            warnings.push(format!(
                "warning: {} users have at least {} documents, so that about {} would be held out; the true positive \
                 rate at {} % false positives {}",
                grouped(kept),
                self.min_examples,
                grouped(held_out),
                fpr * 100.0,
                needed_held_out(fpr)
            ));
        }
        if inspection.n_copies_within * 20 > inspection.n_examples {
            warnings.push(
                "warning: more than one document in twenty is a copy; split with `--duplicates one-a-user`, or an attack \
                 may find copies rather than users"
                    .to_owned(),
            );
        }
        if inspection.n_shared_examples * 20 > inspection.n_examples {
            warnings.push(
                "warning: more than one document in twenty is several users'; held-out users have texts of held-in ones, \
                 which hides exposure; `--duplicates one-in-all` leaves each text to one user"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// How many users have how many documents, in steps of twice as many.
fn histogram(inspection: &Inspection) -> String {
    let mut bins: Vec<(u64, u64)> = Vec::new();
    for (&size, &n_users) in &inspection.users_by_size {
        let from = 1 << size.max(1).ilog2();
        match bins.last_mut() {
            Some((last, sum)) if *last == from => *sum += n_users,
            _ => bins.push((from, n_users)),
        }
    }
    let most = bins.iter().map(|(_, n_users)| *n_users).max().unwrap_or(1);
    let line = |(from, n_users): (u64, u64)| {
        let bar = "█".repeat(((n_users as f64 / most as f64) * BAR as f64).round().max(1.0) as usize);
        let range =
            if from == 1 { "1".to_owned() } else { format!("{}-{}", grouped(from), grouped(2 * from - 1)) };
        format!("{range:>17}  {bar} {}", grouped(n_users))
    };
    let lines: Vec<String> = bins.into_iter().map(line).collect();
    format!("{:>17}  users\n{}", "documents a user", lines.join("\n"))
}
