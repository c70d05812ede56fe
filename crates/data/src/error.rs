//! What can go wrong between a file and a partition.

use std::path::PathBuf;

use crate::Position;

/// Why a corpus could not be read, split or stored.
///
/// Messages name files, rows, columns and counts, never a text or a user id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// There is no such file.
    #[error("{} does not exist, check the path", .file.display())]
    NotFound {
        /// The path that was asked for.
        file: PathBuf,
    },
    /// The file exists and cannot be opened.
    #[error("{} cannot be opened, check that it is a file and that you may read it", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The extension says nothing.
    #[error("the extension of {} is none of {supported}, rename or convert the file", .file.display())]
    UnknownFormat {
        /// The file.
        file: PathBuf,
        /// What can be read.
        supported: &'static str,
    },
    /// The file ends before its format says so.
    #[error("{position}: the file ends too early, it was cut off; copy or download it again")]
    CutOff {
        /// The last place that was reached.
        position: Position,
    },
    /// The bytes are not what the extension says.
    #[error(
        "{position}: the content is damaged or not what the extension says; copy or convert the file again"
    )]
    Damaged {
        /// The last place that was reached.
        position: Position,
        /// What the decoder said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A timestamp is none.
    #[error(
        "{position}: column `{column}` is no time, expected a date like 2009-11-10T23:00:00Z or 2009-11, a year, \
         seconds since 1970, or nothing"
    )]
    NotATime {
        /// The place.
        position: Position,
        /// The column.
        column: String,
    },
    /// A column that was asked for is not there.
    #[error("{position}: there is no column `{column}`, {}", columns_found(.found, .nearest.as_deref()))]
    MissingColumn {
        /// The first place without it.
        position: Position,
        /// The name that was asked for.
        column: String,
        /// The names that exist; empty where they look like data rather than names.
        found: Vec<String>,
        /// The name most like the one asked for.
        nearest: Option<String>,
    },
    /// A column, or a value of it, has a type that cannot be used.
    #[error("{position}: column `{column}` holds {found}, expected {expected}; convert the column")]
    WrongType {
        /// The first place of that type.
        position: Position,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// The types that can be used.
        expected: &'static str,
    },
    /// A value that every row needs is absent.
    #[error(
        "{position}: column `{column}` is {found}, expected a value in every row; fill it or drop the row"
    )]
    NoValue {
        /// The row.
        position: Position,
        /// The column.
        column: String,
        /// `null` or `empty`.
        found: &'static str,
    },
    /// Two rows of one user have the same example id.
    #[error(
        "{second}: the user and example id of {} {} again, expected them once; drop one of the rows or \
         choose another example id column", .first.unit, .first.number
    )]
    DuplicateExample {
        /// The earlier row.
        first: Position,
        /// The later row.
        second: Position,
    },
    /// A file without a row.
    #[error("{} has no rows, expected at least one; check how it was written", .file.display())]
    NoRows {
        /// The file.
        file: PathBuf,
    },
    /// Bytes that are not UTF-8.
    #[error("{position}: byte {byte} of it is not UTF-8; convert the file, for example with iconv -t UTF-8")]
    NotUtf8 {
        /// The line.
        position: Position,
        /// Offset of the first bad byte, within the line or the CSV field.
        byte: usize,
    },
    /// A line longer than memory should hold.
    #[error(
        "{position}: longer than {limit_bytes} bytes, expected one example a line; check the line ends, and \
         in CSV for a quote that is never closed"
    )]
    LineTooLong {
        /// Where the line or CSV record starts.
        position: Position,
        /// The most that is read.
        limit_bytes: usize,
    },
    /// A line that is not a JSON object.
    #[error("{position}: not a JSON object, at byte {byte} of the line; write one object a line")]
    NotJson {
        /// The line.
        position: Position,
        /// Where the parser stopped.
        byte: usize,
    },
    /// A line that ends within a JSON value.
    #[error(
        "{position}: the line ends within a JSON value; if it is the last line the file was cut off, copy it \
         again, else write one object a line"
    )]
    CutJson {
        /// The line.
        position: Position,
    },
    /// A CSV record with more or fewer fields than the header.
    #[error("{position}: {found} fields, expected {expected} as in the header; check quotes and delimiter")]
    FieldCount {
        /// Where the record starts.
        position: Position,
        /// Fields of the record.
        found: u64,
        /// Fields of the header.
        expected: u64,
    },
    /// A setting outside its range.
    #[error("setting `{name}` is {found}, expected {expected}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        found: f64,
        /// Its range.
        expected: &'static str,
    },
    /// Not enough users to compare held-in with held-out ones.
    #[error(
        "{n_kept} users have at least {min_examples} examples ({n_dropped} have fewer): {n_public} public, \
         {n_held_in} held-in and {n_held_out} held-out, expected at least 2 of both held-in and held-out; \
         lower `min_examples` or the `public` fraction, or bring `held_in` nearer to one half"
    )]
    TooFewUsers {
        /// Users with enough examples.
        n_kept: usize,
        /// Users with too few.
        n_dropped: usize,
        /// The minimum that was set.
        min_examples: u32,
        /// Users that would be public.
        n_public: usize,
        /// Users that would be held-in.
        n_held_in: usize,
        /// Users that would be held-out.
        n_held_out: usize,
    },
    /// Not enough users to make canaries of.
    #[error(
        "{found} users are fit for canary tier {tier}, expected {expected}; ask for fewer users, a shorter text or fewer \
         documents, or lower `min_examples`"
    )]
    TooFewCanaries {
        /// Which tier, from 1.
        tier: usize,
        /// Users that are not public, were not taken by an earlier tier and have enough documents of enough tokens.
        found: usize,
        /// Users of the tier.
        expected: usize,
    },
    /// A user whose examples would all be reserved.
    #[error(
        "user {user_idx} has {found} examples and the fractions reserve {reserved} of them, expected at least \
         one left to train on; raise `min_examples` to {needed} or lower `validation`, `test` or `attack`"
    )]
    NoTrainExample {
        /// Position among the kept users.
        user_idx: usize,
        /// Its examples.
        found: usize,
        /// Examples for validation, test and attack.
        reserved: usize,
        /// The fewest examples that leave one.
        needed: usize,
    },
    /// A partition that speaks of another corpus.
    #[error(
        "kept user {user_idx} of the partition has {expected} examples there and {found} in the corpus; make the \
         partition again from this corpus"
    )]
    OtherCorpus {
        /// Position in the partition.
        user_idx: usize,
        /// Examples in the corpus with the ids that the partition names.
        found: usize,
        /// Examples in the partition.
        expected: usize,
    },
    /// A partition file that holds what no partition can.
    #[error("{position}: {found}, expected {expected}; make the partition again")]
    NotAPartition {
        /// The first bad row; row 0 is the metadata.
        position: Position,
        /// What was read.
        found: &'static str,
        /// What a partition has.
        expected: &'static str,
    },
    /// A dump of which too much cannot be read.
    #[error(
        "{n_malformed} of {n_records} records are not what the dump's format says, expected at most a share of {limit} \
         (the first: {first}); check that the files are that dump, or raise the share"
    )]
    TooManyMalformed {
        /// Records that cannot be read.
        n_malformed: u64,
        /// Records so far.
        n_records: u64,
        /// The share that may be.
        limit: f64,
        /// Places of the first of them.
        first: String,
    },
    /// A dump of which a recipe keeps nothing.
    #[error(
        "the recipe keeps none of {n_records} records, expected some; check that the files are that dump, of the years \
         that the recipe wants"
    )]
    NothingKept {
        /// Records of the files.
        n_records: u64,
    },
    /// A step of relational work that failed.
    #[error(
        "the corpus cannot be split: the step `{step}` failed; give it more memory, or more room on the disk of the \
         output folder"
    )]
    Relational {
        /// Which step.
        step: String,
        /// What went wrong below.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An object store that does not give what was asked of it.
    #[error("{url} cannot be read; {hint}")]
    NoObject {
        /// The address.
        url: String,
        /// What to do about it.
        hint: &'static str,
        /// What went wrong below.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A step that a cluster did not do.
    #[error(
        "the cluster {address} did not do the step `{step}`; check that its scheduler and executors run, and that the \
         paths of the corpus and of the output folder lead to the same files on all its machines"
    )]
    Cluster {
        /// Where its scheduler is.
        address: String,
        /// Which step.
        step: String,
        /// What went wrong below.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that cannot be written.
    #[error("{} cannot be written, check the folder and the space left", .file.display())]
    NotWritten {
        /// The file.
        file: PathBuf,
        /// What went wrong below.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CorpusError {
    pub(crate) fn relational(step: &str, source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::Relational { step: step.to_owned(), source }
    }
}

fn columns_found(found: &[String], nearest: Option<&str>) -> String {
    if found.is_empty() {
        return "and what stands in its place looks like data; check that the first row names the columns"
            .into();
    }
    let nearest = nearest.map(|name| format!("; the nearest is `{name}`")).unwrap_or_default();
    format!("found {}{nearest}; set the column names to match", found.join(", "))
}
