//! `userprint corpus split`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use userprint_core::Seed;
use userprint_data::{Duplicates, RelationalSplit, SplitCounts, SplitStep, UserSplit};

use super::Source;
use crate::progress::Bar;
use crate::report::grouped;

pub(super) const EXAMPLES: &str = "\
Examples:
  userprint corpus split corpus.parquet --out split --min-examples 20
  userprint corpus split comments-*.jsonl.zst --user-id author --text body \\
      --min-examples 100 --max-examples 2000 --duplicates one-a-user --out split

Writes documents.parquet: each document with its user's membership (public,
held_in, held_out), its role (train, validation, test, attack or none) and its
rank within the user, sorted by user. The same seed gives the same file,
whatever the order of rows, files or threads.";

#[derive(Clone, Debug, Args)]
pub(crate) struct SplitArgs {
    #[command(flatten)]
    source: Source,
    /// Folder to write to.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Column of times, kept in seconds since 1970.
    #[arg(long)]
    timestamp: Option<String>,
    /// Column of where texts were written, kept as a number each.
    #[arg(long)]
    source_column: Option<String>,
    /// Share of users whose data pre-trains a reference.
    #[arg(long, default_value_t = 0.0)]
    public: f64,
    /// Share of the other users that a target is fine-tuned on.
    #[arg(long, default_value_t = 0.5)]
    held_in: f64,
    /// Shares of each user's documents.
    #[arg(long, default_value_t = 0.05)]
    validation: f64,
    #[arg(long, default_value_t = 0.05)]
    test: f64,
    #[arg(long, default_value_t = 0.1)]
    attack: f64,
    /// Users with fewer documents are dropped.
    #[arg(long, value_name = "N", default_value_t = 20)]
    min_examples: u32,
    /// Users with more documents are dropped.
    #[arg(long, value_name = "N")]
    max_examples: Option<u32>,
    /// Which of equal texts stay.
    #[arg(long, value_enum, default_value = "kept")]
    duplicates: DuplicatesName,
    /// Seed of the split.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Which of equal texts stay, by its name on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DuplicatesName {
    /// All.
    Kept,
    /// One of each user.
    OneAUser,
    /// One of all users.
    OneInAll,
}

impl SplitArgs {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let start = Instant::now();
        let mut split = RelationalSplit {
            split: UserSplit {
                public: self.public,
                held_in: self.held_in,
                validation: self.validation,
                test: self.test,
                attack: self.attack,
                min_examples: self.min_examples,
            },
            max_examples: self.max_examples,
            duplicates: match self.duplicates {
                DuplicatesName::Kept => Duplicates::Kept,
                DuplicatesName::OneAUser => Duplicates::OneAUser,
                DuplicatesName::OneInAll => Duplicates::OneInAll,
            },
            seed: Seed(self.seed),
            ..self.source.split()
        };
        (split.columns.timestamp, split.columns.source) =
            (self.timestamp.clone(), self.source_column.clone());
        let mut bar: Option<Bar> = None;
        let counts = split.run(&self.source.files, &self.out, &mut |step| match step {
            SplitStep::Begun(step) => tracing::info!("{step}"),
            SplitStep::Documents { written, total } => {
                bar.get_or_insert_with(|| Bar::new("documents", total)).set(written);
            }
        })?;
        let wall_s = start.elapsed().as_secs_f64();
        if self.json {
            return Ok(serde_json::json!({ "counts": counts, "wall_s": wall_s }).to_string());
        }
        Ok(self.words(counts, wall_s))
    }

    fn words(&self, counts: SplitCounts, wall_s: f64) -> String {
        let SplitCounts { n_rows, n_duplicates, n_dropped, n_users, n_examples } = counts;
        let [public, held_in, held_out] = n_users.map(grouped);
        let [train, validation, test, attack, unused] = n_examples.map(grouped);
        let rows = [
            ("rows", format!("{}, of which {} copies were left out", grouped(n_rows), grouped(n_duplicates))),
            (
                "users",
                format!(
                    "{public} public, {held_in} held in, {held_out} held out; {} dropped",
                    grouped(n_dropped)
                ),
            ),
            ("documents", format!("{train} to train, {validation} for validation, {test} for the test,")),
            ("", format!("{attack} for the attack, {unused} for nothing")),
            (
                "written",
                format!(
                    "{} in {wall_s:.1} s",
                    self.out.join(userprint_data::relational::DOCUMENTS).display()
                ),
            ),
        ];
        rows.map(|(name, value)| format!("{name:<10} {value}")).join("\n")
    }
}
