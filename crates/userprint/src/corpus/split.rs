//! `userprint corpus split`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use userprint_core::Seed;
use userprint_data::{Duplicates, NearDuplicates, RelationalSplit, SharedTexts, SplitCounts, SplitStep};

use super::{Shares, Source};
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
    #[command(flatten)]
    shares: Shares,
    /// Users with fewer documents are dropped.
    #[arg(long, value_name = "N", default_value_t = 20)]
    min_examples: u32,
    /// Users with more documents are dropped.
    #[arg(long, value_name = "N")]
    max_examples: Option<u32>,
    /// Which of equal texts stay.
    #[arg(long, value_enum, default_value = "kept")]
    duplicates: DuplicatesName,
    /// What becomes of texts that several users have.
    #[arg(long, value_enum, default_value = "kept")]
    shared: SharedName,
    /// Column of who else a document belongs to: a list, each of whom gets it.
    #[arg(long, value_name = "COLUMN")]
    co_users: Option<String>,
    /// Documents whose runs of words are those of another of their user, at
    /// this Jaccard similarity or more, are not trained on.
    #[arg(long, value_name = "SIMILARITY")]
    near_duplicates: Option<f64>,
    /// Words in a run.
    #[arg(long, value_name = "N", default_value_t = 13)]
    shingle_words: usize,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Which of equal texts stay, by its name on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum DuplicatesName {
    /// All.
    Kept,
    /// One of each user.
    OneAUser,
    /// One of all users.
    OneInAll,
}

impl DuplicatesName {
    pub(super) fn meant(self) -> Duplicates {
        match self {
            Self::Kept => Duplicates::Kept,
            Self::OneAUser => Duplicates::OneAUser,
            Self::OneInAll => Duplicates::OneInAll,
        }
    }
}

/// What becomes of shared texts, by its name on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SharedName {
    /// Nothing.
    Kept,
    /// They go.
    Dropped,
    /// Users who share one have one membership.
    Grouped,
}

impl SplitArgs {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let start = Instant::now();
        let mut split = RelationalSplit {
            split: self.shares.split(self.min_examples),
            max_examples: self.max_examples,
            duplicates: self.duplicates.meant(),
            shared: match self.shared {
                SharedName::Kept => SharedTexts::Kept,
                SharedName::Dropped => SharedTexts::Dropped,
                SharedName::Grouped => SharedTexts::Grouped,
            },
            near_duplicates: self
                .near_duplicates
                .map(|threshold| NearDuplicates { threshold, shingle_words: self.shingle_words }),
            seed: Seed(self.shares.seed),
            ..self.source.split()
        };
        (split.columns.timestamp, split.columns.source) =
            (self.timestamp.clone(), self.source_column.clone());
        split.columns.co_users.clone_from(&self.co_users);
        let files = self.source.files(&self.out)?;
        let counts = split.run(&files.paths, &self.out, &mut Steps::default().show())?;
        let wall_s = start.elapsed().as_secs_f64();
        if self.json {
            return Ok(serde_json::json!({ "counts": counts, "wall_s": wall_s }).to_string());
        }
        Ok(words(counts, &self.out, wall_s))
    }
}

/// Counts in words.
pub(super) fn words(counts: SplitCounts, out: &Path, wall_s: f64) -> String {
    let SplitCounts { n_rows, n_duplicates, n_near_duplicates, n_leaked, n_dropped, n_users, n_examples } =
        counts;
    let [public, held_in, held_out] = n_users.map(grouped);
    let [train, validation, test, attack, unused] = n_examples.map(grouped);
    let mut rows = vec![
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
    ];
    if n_near_duplicates > 0 {
        let n = grouped(n_near_duplicates);
        rows.push(("near", format!("{n} documents are nearly another of their user: not trained on")));
    }
    if n_leaked > 0 {
        let n = grouped(n_leaked);
        rows.push(("leaked", format!("{n} documents of held-out users are texts that held-in users")));
        rows.push(("", "train on; `--shared grouped` or `dropped` keeps them apart".to_owned()));
    }
    let documents = out.join(userprint_data::relational::DOCUMENTS);
    rows.push(("written", format!("{} in {wall_s:.1} s", documents.display())));
    rows.iter().map(|(name, value)| format!("{name:<10} {value}")).collect::<Vec<_>>().join("\n")
}

/// What is done, as it is done.
#[derive(Default)]
pub(super) struct Steps(Option<Bar>);

impl Steps {
    pub(super) fn show(mut self) -> impl FnMut(SplitStep) {
        move |step| match step {
            SplitStep::Begun(step) => {
                self.0 = None;
                tracing::info!("{step}");
            }
            SplitStep::Records { read } => {
                self.0.get_or_insert_with(|| Bar::counter("records", None)).set(read);
            }
            SplitStep::Documents { written, total } => {
                self.0.get_or_insert_with(|| Bar::new("documents", total)).set(written);
            }
        }
    }
}
