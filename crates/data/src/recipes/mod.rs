//! From the raw dumps of the paper's corpora to splits.

mod mailboxes;
mod records;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use userprint_core::Origin;

use self::mailboxes::{Member, may_be_own, read_members};
use self::records::read_records;
use self::rules::{Rules, Verdict};
use crate::origin::TIMESTAMP_S;
use crate::read::mail::Mail;
use crate::relational::in_work_folder;
use crate::relational::session::Session;
use crate::rows_file::{LabelledRow, RowsFile};
use crate::{Columns, CorpusError, Duplicates, Position, RelationalSplit, SplitCounts, SplitStep};

/// A corpus of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// Reddit comments of 2015-09 to 2016-02, by user name.
    Reddit,
    /// The same of four months, here the first four: the paper does not say which.
    RedditSmall,
    /// CC News of 2017 to 2019, by web domain.
    CcNews,
    /// The Enron mails, by the owner's most frequent address.
    Enron,
    /// Abstracts of arXiv, by submitter.
    Arxiv,
}

/// A row of the paper's table of corpora (Tables 1 and 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Published {
    /// Users.
    pub n_users: u64,
    /// Examples, in thousands.
    pub n_examples_thousands: u64,
    /// Examples of the user at 0, 25, 50, 75 and 100 %.
    pub percentiles: [u64; 5],
}

impl Recipe {
    /// What the paper counted.
    pub fn published(self) -> Published {
        let (n_users, n_examples_thousands, percentiles) = match self {
            Self::Reddit => (5194, 1002, [100, 116, 144, 199, 1921]),
            Self::RedditSmall => (2774, 537, [100, 115, 141, 194, 1662]),
            Self::CcNews => (2839, 660, [30, 50, 87, 192, 24480]),
            Self::Enron => (136, 91, [28, 107, 279, 604, 4280]),
            Self::Arxiv => (16511, 625, [20, 24, 30, 41, 3204]),
        };
        Published { n_users, n_examples_thousands, percentiles }
    }

    /// Fewest examples of a user that is kept (App. D.1).
    pub fn min_examples(self) -> u32 {
        match self {
            Self::Reddit | Self::RedditSmall => 100,
            Self::CcNews => 30,
            Self::Enron => 150,
            Self::Arxiv => 20,
        }
    }

    /// Which of equal texts stay (App. D.1).
    pub fn duplicates(self) -> Duplicates {
        match self {
            Self::CcNews | Self::Enron => Duplicates::OneAUser,
            Self::Reddit | Self::RedditSmall | Self::Arxiv => Duplicates::Kept,
        }
    }

    /// Fewest tokens of an example (App. D.1).
    pub fn min_tokens(self) -> usize {
        if matches!(self, Self::Reddit | Self::RedditSmall) { 250 } else { 0 }
    }

    /// Where the dump is public.
    pub fn source(self) -> Source {
        match self {
            Self::Reddit => Source::Hub {
                name: "fddemarco/pushshift-reddit-comments",
                wanted: |name| {
                    is_of_months(name, &["2015-09", "2015-10", "2015-11", "2015-12", "2016-01", "2016-02"])
                },
            },
            Self::RedditSmall => Source::Hub {
                name: "fddemarco/pushshift-reddit-comments",
                wanted: |name| is_of_months(name, &["2015-09", "2015-10", "2015-11", "2015-12"]),
            },
            Self::CcNews => {
                Source::Hub { name: "vblagoje/cc_news", wanted: |name| name.ends_with(".parquet") }
            }
            Self::Enron => Source::Url("https://www.cs.cmu.edu/~enron/enron_mail_20150507.tar.gz"),
            Self::Arxiv => Source::Hub {
                name: "gfissore/arxiv-abstracts-2021",
                wanted: |name| name.ends_with(".jsonl.gz"),
            },
        }
    }

    /// Rules that look at all of a user's rows.
    fn rows_sql(self) -> &'static str {
        match self {
            Self::Reddit | Self::RedditSmall => {
                "SELECT raw.user_id, text, timestamp_s FROM raw LEFT ANTI JOIN \
                 (SELECT user_id FROM raw GROUP BY user_id HAVING count(*) > 2000) AS busy \
                 ON raw.user_id = busy.user_id WHERE text IS NOT NULL"
            }
            Self::Enron => {
                "SELECT raw.label AS user_id, text, timestamp_s FROM raw JOIN (SELECT user_id, label FROM \
                 (SELECT user_id, label, row_number() OVER (PARTITION BY user_id ORDER BY n DESC, label \
                 ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS place FROM \
                 (SELECT user_id, label, count(*) AS n FROM raw GROUP BY user_id, label)) WHERE place = 1) AS chosen \
                 ON raw.user_id = chosen.user_id AND raw.label = chosen.label"
            }
            Self::CcNews | Self::Arxiv => "SELECT user_id, text, timestamp_s FROM raw",
        }
    }
}

/// Where a dump is public.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Some files of a dataset on the hub.
    Hub {
        /// Owner and name.
        name: &'static str,
        /// Which of its files.
        wanted: fn(&str) -> bool,
    },
    /// One file.
    Url(&'static str),
}

fn is_of_months(name: &str, months: &[&str]) -> bool {
    name.ends_with(".parquet") && months.iter().any(|month| name.contains(month))
}

/// How a dump becomes a split.
#[derive(Clone, Copy)]
pub struct Preparation<'a> {
    /// Which corpus it is.
    pub recipe: Recipe,
    /// Of arXiv: the user is the first author, not the submitter.
    pub first_author: bool,
    /// Examples with fewer tokens are left out.
    pub min_tokens: usize,
    /// How many tokens a text has.
    pub n_tokens: &'a dyn Fn(&str) -> usize,
    /// Largest share of records that may be unreadable.
    pub max_malformed: f64,
}

impl std::fmt::Debug for Preparation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { recipe, first_author, min_tokens, max_malformed, .. } = self;
        write!(f, "Preparation {{ {recipe:?}, {first_author}, {min_tokens}, {max_malformed} }}")
    }
}

/// What a dump had.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RecordCounts {
    /// Records read.
    pub n_records: u64,
    /// Records that are not what the format says.
    pub n_malformed: u64,
    /// Where the first of them stand.
    pub malformed_at: Vec<String>,
    /// Records that a rule of the recipe left out, by its reason.
    pub n_dropped: BTreeMap<&'static str, u64>,
}

/// So many places of malformed records are kept.
const MOST_PLACES: usize = 5;

/// So many records are read before their share of malformed ones is held against the limit for the first time.
const FIRST_CHECK: u64 = 10_000;

/// Records between two reports.
const REPORT_EVERY: u64 = 10_000;

impl RecordCounts {
    fn malformed(&mut self, position: &Position) {
        self.n_malformed += 1;
        if self.malformed_at.len() < MOST_PLACES {
            self.malformed_at.push(position.to_string());
        }
    }

    fn check(&self, limit: f64) -> Result<(), CorpusError> {
        if self.n_malformed as f64 <= limit * self.n_records as f64 {
            return Ok(());
        }
        let (n_malformed, n_records) = (self.n_malformed, self.n_records);
        Err(CorpusError::TooManyMalformed {
            n_malformed,
            n_records,
            limit,
            first: self.malformed_at.join("; "),
        })
    }
}

impl Preparation<'_> {
    /// Reads the dump in these files, and splits what the recipe keeps as `split` says, whose columns do not matter.
    ///
    /// Leaves [`DOCUMENTS`](crate::relational::DOCUMENTS) in the folder, with seconds since 1970 where the dump has times.
    /// Example ids come from the texts. Records that cannot be read are counted.
    ///
    /// # Errors
    /// [`CorpusError::TooManyMalformed`]; as [`RelationalSplit::run`] has them.
    ///
    /// # Reference
    /// Kandpal et al., EMNLP 2024, Appendix D.1.
    pub fn run(
        &self,
        files: &[PathBuf],
        folder: &Path,
        split: &RelationalSplit,
        on_step: &mut dyn FnMut(SplitStep),
    ) -> Result<(RecordCounts, SplitCounts), CorpusError> {
        split.split.check()?;
        in_work_folder(&folder.join(".userprint-prepared"), |work| {
            let raw = work.join("raw.parquet");
            let counts = self.read(files, &raw, on_step)?;
            on_step(SplitStep::Begun("choosing users"));
            let session = Session::new(work, split)?;
            session.register("raw", &[raw])?;
            session.keep("corpus", self.recipe.rows_sql())?;
            let columns = Columns {
                user_id: "user_id".to_owned(),
                text: "text".to_owned(),
                timestamp: Some(TIMESTAMP_S.to_owned()),
                ..Columns::default()
            };
            let split = RelationalSplit { columns, ..split.clone() };
            let corpus = work.join("corpus.parquet");
            if session.count("SELECT count(*) FROM corpus")? == 0 {
                return Err(CorpusError::NothingKept { n_records: counts.n_records });
            }
            Ok((counts, split.run(&[corpus], folder, on_step)?))
        })
    }

    /// Writes what the rules keep of each record.
    fn read(
        &self,
        files: &[PathBuf],
        to: &Path,
        on_step: &mut dyn FnMut(SplitStep),
    ) -> Result<RecordCounts, CorpusError> {
        let mut rows = RowsFile::new(to)?;
        let mut counts = RecordCounts::default();
        let mut take = |position: &Position, verdict| {
            counts.n_records += 1;
            match verdict {
                Verdict::Row(row) => rows.push(row)?,
                Verdict::Dropped(reason) => *counts.n_dropped.entry(reason).or_default() += 1,
                Verdict::Malformed => counts.malformed(position),
            }
            if counts.n_records % REPORT_EVERY == 0 {
                on_step(SplitStep::Records { read: counts.n_records });
            }
            if counts.n_records >= FIRST_CHECK { counts.check(self.max_malformed) } else { Ok(()) }
        };
        let Self { recipe, first_author, min_tokens, n_tokens, .. } = *self;
        let rules = Rules { recipe, first_author, min_tokens, n_tokens };
        for file in files {
            match recipe {
                Recipe::Enron => {
                    read_members(file, &mut |position, member| take(&position, mail(member)))?;
                }
                _ => read_records(file, rules.fields(), &mut |position, record| {
                    take(&position, rules.verdict(record))
                })?,
            }
        }
        rows.finish()?;
        counts.check(self.max_malformed)?;
        if counts.n_records == 0 {
            return Err(CorpusError::NoRows { file: files.first().cloned().unwrap_or_default() });
        }
        Ok(counts)
    }
}

/// A message whose sender may be the owner of the mailbox.
fn mail(member: Member) -> Verdict {
    let (owner, message) = match member {
        Member::Message { owner, message } => (owner, message),
        Member::Other(reason) => return Verdict::Dropped(reason),
        Member::TooLong => return Verdict::Malformed,
    };
    let Some(Mail { sender, text, timestamp_s }) = Mail::parse(&message) else { return Verdict::Malformed };
    if text.is_empty() {
        return Verdict::Dropped("without a text");
    }
    if !may_be_own(&owner, &sender) {
        return Verdict::Dropped("sent by others than the mailbox's owner");
    }
    let origin = Origin { timestamp_s, source: None };
    Verdict::Row(LabelledRow {
        user_id: owner,
        text: Some(text),
        example_id: None,
        origin,
        label: Some(sender),
    })
}
