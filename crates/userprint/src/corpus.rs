//! `userprint corpus`: look at a corpus, and split it, at any size.

mod files;
mod inspect;
mod recipe;
mod split;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use userprint_core::Seed;
use userprint_data::{Cluster, Columns, Duplicates, Recipe, RelationalSplit, SharedTexts, UserSplit};

use self::files::Files;

#[derive(Debug, Subcommand)]
pub(crate) enum CorpusCommand {
    /// Count users, documents, words and copies, and draw how users differ.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::InspectArgs),
    /// Split users and their documents into roles, at any size.
    #[command(after_help = split::EXAMPLES)]
    Split(Box<split::SplitArgs>),
    /// Reddit comments of 2015-09 to 2016-02 from their dumps to a split.
    #[command(after_help = recipe::REDDIT)]
    Reddit {
        /// Four months alone: 2015-09 to 2015-12.
        #[arg(long)]
        small: bool,
        #[command(flatten)]
        args: Box<recipe::RecipeArgs>,
    },
    /// CC News of 2017 to 2019 from its dumps to a split.
    #[command(after_help = recipe::CC_NEWS)]
    CcNews(Box<recipe::RecipeArgs>),
    /// The Enron mails from their archive to a split.
    #[command(after_help = recipe::ENRON)]
    Enron(Box<recipe::RecipeArgs>),
    /// Abstracts of arXiv from their dump to a split.
    #[command(after_help = recipe::ARXIV)]
    Arxiv {
        /// The user is the first author, not the submitter.
        #[arg(long)]
        first_author: bool,
        #[command(flatten)]
        args: Box<recipe::RecipeArgs>,
    },
}

impl CorpusCommand {
    pub(crate) fn run(self) -> anyhow::Result<String> {
        match self {
            Self::Inspect(args) => args.run(),
            Self::Split(args) => args.run(),
            Self::Reddit { small: false, args } => args.run(Recipe::Reddit, false),
            Self::Reddit { small: true, args } => args.run(Recipe::RedditSmall, false),
            Self::CcNews(args) => args.run(Recipe::CcNews, false),
            Self::Enron(args) => args.run(Recipe::Enron, false),
            Self::Arxiv { first_author, args } => args.run(Recipe::Arxiv, first_author),
        }
    }
}

/// Which files, and how to read them.
#[derive(Clone, Debug, Args)]
struct Source {
    /// Files of the corpus or patterns of them: .parquet, .arrow, .jsonl, .csv, .tsv, .mbox; or folders of mails; also
    /// s3://, gs://, https://.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Column of users.
    #[arg(long, default_value = "user_id")]
    user_id: String,
    /// Column of texts.
    #[arg(long, default_value = "text")]
    text: String,
    /// Column of example ids; without it, ids come from the texts.
    #[arg(long)]
    example_id: Option<String>,
    #[command(flatten)]
    means: Means,
}

/// What the work may take.
#[derive(Clone, Debug, Args)]
struct Means {
    /// Memory of sorts and joins; beyond it they write to the disk.
    #[arg(long, value_name = "SIZE", default_value = "2GB", value_parser = parse_bytes)]
    memory: usize,
    /// Threads; all cores where it is not said.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Ballista cluster that does the relational work: df://HOST:PORT, or in-process.
    #[arg(long, value_name = "ADDRESS")]
    cluster: Option<Cluster>,
}

/// Shares of users and of their documents.
#[derive(Clone, Debug, Args)]
struct Shares {
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
    /// Seed of the split.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Shares {
    fn split(&self, min_examples: u32) -> UserSplit {
        let Self { public, held_in, validation, test, attack, .. } = *self;
        UserSplit { public, held_in, validation, test, attack, min_examples }
    }
}

impl Source {
    /// The files that are named or match a pattern; those that are elsewhere come to a folder for the time.
    fn files(&self, folder: &Path) -> anyhow::Result<Files> {
        Files::of(&self.files, folder)
    }

    /// The split of these files, with settings that keep everything.
    fn split(&self) -> RelationalSplit {
        let columns = Columns {
            user_id: self.user_id.clone(),
            text: self.text.clone(),
            example_id: self.example_id.clone(),
            ..Columns::default()
        };
        keeping_all(columns, &self.means)
    }
}

/// A split that drops nothing.
fn keeping_all(columns: Columns, means: &Means) -> RelationalSplit {
    let all = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let split =
        UserSplit { public: 0.0, held_in: 0.5, validation: 0.0, test: 0.0, attack: 0.0, min_examples: 1 };
    RelationalSplit {
        columns,
        split,
        max_examples: None,
        duplicates: Duplicates::Kept,
        shared: SharedTexts::Kept,
        near_duplicates: None,
        seed: Seed(0),
        memory_bytes: means.memory,
        n_threads: means.threads.unwrap_or(all),
        cluster: means.cluster.clone(),
    }
}

/// Bytes as people write them: `512MB`, `2GB`, `1.5GiB`.
fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        _ => return Err("expected a number with KB, MB, GB, KiB, MiB or GiB, such as 2GB".to_owned()),
    };
    let bytes = digits.trim().parse::<f64>().ok().map(|number| number * unit);
    match bytes.filter(|bytes| bytes.is_finite() && *bytes >= 1e6) {
        Some(bytes) => Ok(bytes as usize),
        None => Err("expected at least 1MB, such as 2GB".to_owned()),
    }
}

/// A folder beside the file, or here where the file is elsewhere, for what does not fit in memory.
fn work_folder(beside: &Path) -> PathBuf {
    let is_elsewhere = beside.to_string_lossy().contains("://");
    let mut name = if is_elsewhere { OsString::from("corpus") } else { beside.as_os_str().to_owned() };
    name.push(".userprint");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!(parse_bytes("2GB"), Ok(2_000_000_000));
        assert_eq!(parse_bytes("1.5GiB"), Ok(1_610_612_736));
        assert_eq!(parse_bytes("512mb"), Ok(512_000_000));
        for wrong in ["2", "GB", "-1GB", "1KB", "2TB5", "infGB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
