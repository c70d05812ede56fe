//! `userprint corpus`: look at a corpus, and split it, at any size.

mod inspect;
mod split;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use userprint_data::{Columns, Duplicates, RelationalSplit, UserSplit};

use userprint_core::Seed;

#[derive(Debug, Subcommand)]
pub(crate) enum CorpusCommand {
    /// Count users, documents, words and copies, and draw how users differ.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::InspectArgs),
    /// Split users and their documents into roles, at any size.
    #[command(after_help = split::EXAMPLES)]
    Split(Box<split::SplitArgs>),
}

impl CorpusCommand {
    pub(crate) fn run(self) -> anyhow::Result<String> {
        match self {
            Self::Inspect(args) => args.run(),
            Self::Split(args) => args.run(),
        }
    }
}

/// Which files, and how to read them.
#[derive(Clone, Debug, Args)]
struct Source {
    /// Files of the corpus: .parquet, .jsonl, .csv or .tsv.
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
    /// Memory of sorts and joins; beyond it they write to the disk.
    #[arg(long, value_name = "SIZE", default_value = "2GB", value_parser = parse_bytes)]
    memory: usize,
    /// Threads; all cores where it is not said.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl Source {
    /// The split of these files, with settings that keep everything.
    fn split(&self) -> RelationalSplit {
        let all = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let columns = Columns {
            user_id: self.user_id.clone(),
            text: self.text.clone(),
            example_id: self.example_id.clone(),
            ..Columns::default()
        };
        let split =
            UserSplit { public: 0.0, held_in: 0.5, validation: 0.0, test: 0.0, attack: 0.0, min_examples: 1 };
        RelationalSplit {
            columns,
            split,
            max_examples: None,
            duplicates: Duplicates::Kept,
            seed: Seed(0),
            memory_bytes: self.memory,
            n_threads: self.threads.unwrap_or(all),
        }
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

/// A folder beside the file, for what does not fit in memory.
fn work_folder(beside: &Path) -> PathBuf {
    let mut name = beside.as_os_str().to_owned();
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
