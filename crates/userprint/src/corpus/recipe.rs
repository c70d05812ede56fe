//! `userprint corpus reddit` and its like: the paper's corpora from their dumps.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use userprint_core::{Seed, Tokenize};
use userprint_data::recipes::{Published, RecordCounts, Source};
use userprint_data::{Columns, Inspection, Preparation, Recipe, RelationalSplit};
use userprint_model::HfTokenizer;

use super::split::{DuplicatesName, Steps, words};
use super::{Files, Means, Shares, keeping_all};
use crate::hub;
use crate::progress::Bar;
use crate::report::grouped;

pub(super) const REDDIT: &str = "\
Examples:
  userprint corpus reddit --from 'RC_201[56]-*.zst' --out reddit
  userprint corpus reddit --small --tokenizer gpt2 --out reddit-small

Drops names with \"bot\" or \"mod\", users with more than 2,000 comments, comments
under 250 tokens and users under 100 comments. Without --tokenizer, a token is
taken to be three quarters of a word.";

pub(super) const CC_NEWS: &str = "\
Examples:
  userprint corpus cc-news --out news
  userprint corpus cc-news --from 'news-*.jsonl.gz' --out news
  userprint corpus cc-news --duplicates kept --out news     to study copies

A user is a web domain. Keeps one of a domain's equal texts, and domains with
at least 30.";

pub(super) const ENRON: &str = "\
Examples:
  userprint corpus enron --out enron
  userprint corpus enron --from enron_mail_20150507.tar.gz --out enron
  userprint corpus enron --from maildir --out enron

A user is the most frequent sender of a mailbox whose address holds its owner's
last name. Keeps one of a user's equal mails, and users with at least 150. The
archive is read as it is, never unpacked.";

pub(super) const ARXIV: &str = "\
Examples:
  userprint corpus arxiv --out arxiv
  userprint corpus arxiv --from arxiv-abstracts.jsonl.gz --first-author --out arxiv

A user is a submitter with at least 20 abstracts.";

#[derive(Clone, Debug, Args)]
pub(crate) struct RecipeArgs {
    /// Files of the dump, or patterns of them; without it they are downloaded.
    #[arg(long, num_args = 1..)]
    from: Vec<PathBuf>,
    /// Folder to write to.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    shares: Shares,
    /// Users with fewer documents are dropped [default: as in the paper].
    #[arg(long, value_name = "N")]
    min_examples: Option<u32>,
    /// Which equal texts stay [default: as in the paper].
    #[arg(long, value_enum)]
    duplicates: Option<DuplicatesName>,
    /// Documents with fewer tokens are dropped [default: as in the paper].
    #[arg(long, value_name = "N")]
    min_tokens: Option<usize>,
    /// Folder of a tokenizer, to count tokens with.
    #[arg(long, value_name = "FOLDER")]
    tokenizer: Option<PathBuf>,
    /// Largest share of records that may be unreadable.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    max_malformed: f64,
    #[command(flatten)]
    means: Means,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl RecipeArgs {
    pub(super) fn run(&self, recipe: Recipe, first_author: bool) -> anyhow::Result<String> {
        let start = Instant::now();
        let tokenizer = self.tokenizer.as_deref().map(HfTokenizer::load_folder).transpose()?;
        let failure = OnceCell::new();
        let n_tokens = |text: &str| {
            let counted = n_tokens(tokenizer.as_ref(), text);
            // Only the first failure is told.
            counted.unwrap_or_else(|error| usize::from(failure.set(error).is_err()))
        };
        let from = Files::of(&self.from, &self.out)?;
        let files = if self.from.is_empty() { download(recipe, &self.out)? } else { from.paths.clone() };
        let min_tokens = self.min_tokens.unwrap_or(recipe.min_tokens());
        let preparation = Preparation {
            recipe,
            first_author,
            min_tokens,
            n_tokens: &n_tokens,
            max_malformed: self.max_malformed,
        };
        let columns = Columns {
            user_id: "user_id".to_owned(),
            text: "text".to_owned(),
            example_id: Some("example_id".to_owned()),
            ..Columns::default()
        };
        let all = keeping_all(columns, &self.means);
        let split = RelationalSplit {
            split: self.shares.split(self.min_examples.unwrap_or(recipe.min_examples())),
            duplicates: self.duplicates.map_or(recipe.duplicates(), DuplicatesName::meant),
            seed: Seed(self.shares.seed),
            ..all.clone()
        };
        let (records, counts) = preparation.run(&files, &self.out, &split, &mut Steps::default().show())?;
        if let Some(error) = failure.into_inner() {
            std::fs::remove_file(self.out.join(userprint_data::relational::DOCUMENTS))?;
            return Err(error).context("a text has no tokens, so that its length is not known");
        }
        let documents = self.out.join(userprint_data::relational::DOCUMENTS);
        let inspection = all.inspect(&[documents], &self.out)?;
        let wall_s = start.elapsed().as_secs_f64();
        if self.json {
            let published = recipe.published();
            return Ok(serde_json::json!({
                "records": records, "counts": counts, "inspection": inspection, "published": published, "wall_s": wall_s,
            })
            .to_string());
        }
        let parts = [
            words_of_records(&records),
            words(counts, &self.out, wall_s),
            beside_published(&inspection, recipe.published()),
        ];
        Ok(parts.join("\n\n"))
    }
}

/// Tokens of a text; without a tokenizer four to three words, as English has in GPT-2's.
fn n_tokens(tokenizer: Option<&HfTokenizer>, text: &str) -> anyhow::Result<usize> {
    let Some(tokenizer) = tokenizer else { return Ok(text.split_whitespace().count() * 4 / 3) };
    Ok(tokenizer.encode(&[text])?.ids.row(0).len())
}

fn words_of_records(records: &RecordCounts) -> String {
    let mut lines = vec![format!("{:<10} {}", "records", grouped(records.n_records))];
    for (reason, n) in &records.n_dropped {
        lines.push(format!("{:<10} {} {reason}", "", grouped(*n)));
    }
    if records.n_malformed > 0 {
        let n = grouped(records.n_malformed);
        lines.push(format!("{:<10} {n} unreadable, the first: {}", "", records.malformed_at.join("; ")));
    }
    lines.join("\n")
}

fn beside_published(ours: &Inspection, published: Published) -> String {
    let percentiles = [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| ours.percentile(at));
    let row = |name: &str, [ours, published]: [String; 2]| format!("{name:<22} {ours:>10} {published:>10}");
    let mut rows = vec![
        row("", ["here", "published"].map(str::to_owned)),
        row("users", [grouped(ours.n_users), grouped(published.n_users)]),
        row(
            "documents",
            [grouped(ours.n_examples), format!("{} K", grouped(published.n_examples_thousands))],
        ),
    ];
    for ((name, ours), published) in
        ["P0", "P25", "P50", "P75", "P100"].into_iter().zip(percentiles).zip(published.percentiles)
    {
        rows.push(row(&format!("documents a user {name}"), [grouped(ours), grouped(published)]));
    }
    rows.join("\n")
}

/// Brings the dump from its public home.
fn download(recipe: Recipe, out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    match recipe.source() {
        Source::Hub { name, wanted } => {
            let dataset = hub::fetch_dataset(name, &wanted)?;
            Ok(dataset.files.iter().map(|file| dataset.folder.join(&file.name)).collect())
        }
        Source::Url(url) => {
            let mut bar: Option<Bar> = None;
            let download = userprint_model::hub::download(url, out, &mut |done, total| {
                bar.get_or_insert_with(|| Bar::of_bytes("download", total)).set(done);
            })?;
            tracing::info!("{} bytes with SHA-256 {}", download.n_bytes, download.sha256);
            Ok(vec![download.file])
        }
    }
}
