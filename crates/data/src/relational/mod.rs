//! Splits of corpora that need not fit in memory: one relational plan, in DataFusion's built-in functions alone.
//!
//! [`partition`](crate::partition) says what a split is; this makes the same one of files of any size, in memory that is
//! given, and writes the texts beside what they are used for.

mod cluster;
mod documents_file;
mod gather;
mod groups;
mod inspection;
mod memory;
mod near_marks;
mod piece_order;
mod pieces;
mod plan;
pub(crate) mod session;
#[cfg(test)]
mod tests;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use userprint_core::Seed;

pub use self::cluster::Cluster;
use self::documents_file::{DocumentsFile, Written};
pub use self::inspection::Inspection;
use self::piece_order::PieceRows;
use self::pieces::{Piece, Pieces, piece_bytes};
use self::plan::Plan;
use self::session::Session;
use crate::{Columns, CorpusError, NearDuplicates, UserSplit, read_rows};

/// Which of equal texts stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// All.
    #[default]
    Kept,
    /// One of each user: that of the least example id.
    OneAUser,
    /// One of all users, the user being drawn by a salted hash. One more user may then take texts from others.
    OneInAll,
}

/// What becomes of texts that several users have: threads, papers, copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedTexts {
    /// Nothing: held-in users may train on texts of held-out ones.
    #[default]
    Kept,
    /// They go.
    Dropped,
    /// Users who share one, directly or by others, are one group and have one membership.
    ///
    /// Shares of memberships are then met up to the size of a group.
    Grouped,
}

/// How a corpus in files becomes a split in a file.
#[derive(Clone, Debug)]
pub struct RelationalSplit {
    /// Which column holds what.
    pub columns: Columns,
    /// Fractions of users and of their examples.
    pub split: UserSplit,
    /// Users with more examples are dropped first.
    pub max_examples: Option<u32>,
    /// Which of equal texts stay, before users are counted.
    pub duplicates: Duplicates,
    /// What becomes of texts that several users have.
    pub shared: SharedTexts,
    /// Which examples are nearly another of their user and so not trained on, if they are sought.
    pub near_duplicates: Option<NearDuplicates>,
    /// Seed of the split.
    pub seed: Seed,
    /// Bytes that sorting, joining and grouping may hold; beyond it they write to the disk. Readers and writers take some
    /// tens of megabytes besides.
    pub memory_bytes: usize,
    /// Threads that share the work, and partitions of it.
    pub n_threads: NonZeroUsize,
    /// Who does the relational work, if not this process alone.
    pub cluster: Option<Cluster>,
}

/// What a split has, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SplitCounts {
    /// Rows of the files.
    pub n_rows: u64,
    /// Rows that were copies of others and did not stay.
    pub n_duplicates: u64,
    /// Examples that are nearly another of their user.
    pub n_near_duplicates: u64,
    /// Examples of held-out users whose text a held-in user trains on, before near-duplicates are sought.
    pub n_leaked: u64,
    /// Users with too few or too many examples, or with nothing but near-duplicates to train on.
    pub n_dropped: u64,
    /// Users of the split: public, held-in, held-out.
    pub n_users: [u64; 3],
    /// Examples of the split: to train, for validation, for the test, for the attack, for nothing.
    pub n_examples: [u64; 5],
}

/// What a split is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitStep {
    /// A step that is not counted.
    Begun(&'static str),
    /// Records of a dump are read; nobody knows how many there are.
    Records {
        /// How many were.
        read: u64,
    },
    /// Documents are sorted, then written.
    Documents {
        /// How many are.
        written: u64,
        /// How many there are.
        total: u64,
    },
}

/// The file of documents in the folder of a split.
pub const DOCUMENTS: &str = "documents.parquet";

/// The table of near-duplicates in the folder of a split: `user_id`, `example_id`, `copy_of`, `similarity`.
pub const NEAR_DUPLICATES: &str = "near_duplicates.parquet";

impl RelationalSplit {
    /// Splits the corpus in these files and leaves [`DOCUMENTS`] in the folder: each example with its text, its user's
    /// membership, its role and its rank within the user, sorted by user and example id.
    ///
    /// The file reads as a [`Partition`](crate::Partition), and equals what [`partition`](crate::partition) makes of the same
    /// rows: whatever their order, the number of files, threads, or the memory. Equal splits give equal bytes.
    /// Work in progress lies in `folder/.userprint-work` and is deleted at the end.
    /// `on_step` hears what is done.
    ///
    /// # Errors
    /// [`CorpusError`] as the readers and [`partition`](crate::partition) have it; [`CorpusError::Relational`] for a step that
    /// failed, as where memory or disk do not suffice.
    pub fn run(
        &self,
        files: &[PathBuf],
        folder: &Path,
        on_step: &mut dyn FnMut(SplitStep),
    ) -> Result<SplitCounts, CorpusError> {
        self.split.check()?;
        self.near_duplicates.map_or(Ok(()), |near| near.check())?;
        in_work_folder(&folder.join(".userprint-work"), |work| self.run_in(files, folder, work, on_step))
    }

    fn run_in(
        &self,
        files: &[PathBuf],
        folder: &Path,
        work: &Path,
        on_step: &mut dyn FnMut(SplitStep),
    ) -> Result<SplitCounts, CorpusError> {
        let session = Session::new(work, self)?;
        let plan = Plan::new(self);
        on_step(SplitStep::Begun("reading"));
        let n_rows = self.read(&session, &plan, files, work)?;
        on_step(SplitStep::Begun("hashing texts"));
        session.keep("keys", &plan.keys())?;
        let n_kept = session.count("SELECT count(*) FROM keys")?;
        let n_all_users = self.label(&session, &plan, files, work, on_step)?;
        let n_leaked = session.count(&plan.n_leaked())?;
        let path = folder.join(DOCUMENTS);
        let mut file = DocumentsFile::new(&path, self.seed, self.near_duplicates)?;
        self.write(&session, &plan, files, work, &mut file, on_step)?;
        let Written { n_users, n_examples, n_near_duplicates } =
            file.finish(n_all_users, &|n_users| self.check_sides(n_users, n_all_users))?;
        Ok(SplitCounts {
            n_rows,
            n_duplicates: n_rows - n_kept,
            n_near_duplicates,
            n_leaked,
            n_dropped: n_all_users - n_users.iter().sum::<u64>(),
            n_users,
            n_examples,
        })
    }

    /// Makes the table `labels` out of `keys`; the answer is how many users there are, kept or not.
    fn label(
        &self,
        session: &Session,
        plan: &Plan<'_>,
        files: &[PathBuf],
        work: &Path,
        on_step: &mut dyn FnMut(SplitStep),
    ) -> Result<u64, CorpusError> {
        on_step(SplitStep::Begun("drawing users"));
        if self.shared == SharedTexts::Grouped {
            groups::keep(session, plan, work)?;
        }
        session.keep("sizes", &plan.sizes())?;
        let [n_users, n_all_users] = session.counts(&plan.n_users())?;
        let sizes = self.split.user_counts(n_users as usize, (n_all_users - n_users) as usize)?;
        let piece_bytes = piece_bytes(session.count(&plan.n_bytes())?, self.memory_bytes);
        session.keep("members", &plan.members(sizes, piece_bytes))?;
        on_step(SplitStep::Begun("ranking examples"));
        session.keep("ranked", &plan.ranked())?;
        self.check_ids(session, plan, files)?;
        on_step(SplitStep::Begun("giving roles"));
        session.keep("labels", &plan.labels())?;
        self.check_rest(session, plan)?;
        Ok(n_all_users)
    }

    /// Writes each document with its label, piece by piece.
    fn write(
        &self,
        session: &Session,
        plan: &Plan<'_>,
        files: &[PathBuf],
        work: &Path,
        file: &mut DocumentsFile,
        on_step: &mut dyn FnMut(SplitStep),
    ) -> Result<(), CorpusError> {
        on_step(SplitStep::Begun("sorting documents"));
        let pieces = [("documents", plan.routed()), ("labels", plan.routed_labels())].map(|(name, sql)| {
            let mut pieces = Pieces::new(work, name);
            session.each_batch(&sql, &mut |batch| pieces.push(batch))?;
            pieces.finish()
        });
        let [documents, labels] = pieces;
        on_step(SplitStep::Begun("writing documents"));
        let (mut written, total) = (0, session.count("SELECT count(*) FROM labels")?);
        Piece::each_pair([documents?, labels?], &mut |[documents, labels]| {
            let mut documents = PieceRows::new(documents);
            if self.columns.example_id.is_none() {
                let failed = |source| CorpusError::relational("documents", source);
                documents = documents.with_ids().map_err(failed)?;
            }
            let are_unique = documents.each_labelled(&PieceRows::new(labels), &mut |batch| {
                on_step(SplitStep::Documents { written, total });
                written += batch.num_rows() as u64;
                file.push(batch)
            })?;
            if are_unique { Ok(()) } else { Err(gather::repeated_id(files, &self.columns)) }
        })
    }

    /// Makes the table `given`, whose rows all have their values; the answer is how many there are.
    fn read(
        &self,
        session: &Session,
        plan: &Plan<'_>,
        files: &[PathBuf],
        work: &Path,
    ) -> Result<u64, CorpusError> {
        let n_rows = if gather::is_needed(files, &self.columns)? {
            let gathered = work.join("rows.parquet");
            gather::gather(files, &self.columns, &gathered)?;
            session.register("rows", &[gathered])?;
            session.view("given", &plan.gathered())?;
            session.count("SELECT count(*) FROM given")?
        } else {
            session.register("rows", files)?;
            session.view("given", &plan.given())?;
            let [n_rows, n_blank] = session.counts(&plan.blank())?;
            if n_blank > 0 {
                return Err(self.first_error(files));
            }
            n_rows
        };
        if n_rows == 0 {
            return Err(CorpusError::NoRows { file: files.first().cloned().unwrap_or_default() });
        }
        Ok(n_rows)
    }

    /// Reads row by row, to say which one is wrong.
    fn first_error(&self, files: &[PathBuf]) -> CorpusError {
        let read = |file: &PathBuf| {
            read_rows(file, &self.columns, &mut |_, _| std::ops::ControlFlow::Continue(())).err()
        };
        let changed = || {
            CorpusError::relational("reading", "a row had no value, and has one now: the file changed".into())
        };
        files.iter().find_map(read).unwrap_or_else(changed)
    }

    /// Both sides have users still, of which groups and near-duplicates may have left too few.
    fn check_sides(
        &self,
        [n_public, n_held_in, n_held_out]: [u64; 3],
        n_all: u64,
    ) -> Result<(), CorpusError> {
        if n_held_in >= 2 && n_held_out >= 2 {
            return Ok(());
        }
        let [n_public, n_held_in, n_held_out] = [n_public, n_held_in, n_held_out].map(|n| n as usize);
        let n_kept = n_public + n_held_in + n_held_out;
        let (n_dropped, min_examples) = (n_all as usize - n_kept, self.split.min_examples);
        Err(CorpusError::TooFewUsers { n_kept, n_dropped, min_examples, n_public, n_held_in, n_held_out })
    }

    /// No user has an example id twice.
    fn check_ids(&self, session: &Session, plan: &Plan<'_>, files: &[PathBuf]) -> Result<(), CorpusError> {
        if session.count(&plan.repeated_ids())? == 0 {
            return Ok(());
        }
        Err(gather::repeated_id(files, &self.columns))
    }

    /// Every user has something left to train on.
    fn check_rest(&self, session: &Session, plan: &Plan<'_>) -> Result<(), CorpusError> {
        let Some([user_idx, n]) = session.first(&plan.without_rest())? else { return Ok(()) };
        self.split.check_rest(user_idx as usize, n as usize)?;
        let n_texts = session.count(&plan.n_texts(user_idx))? as usize;
        let n_reserved = self.split.reserved(n as usize).iter().sum();
        self.split.check_rest(user_idx as usize, n_texts.min(n_reserved))
    }
}

fn not_written(file: &Path, source: std::io::Error) -> CorpusError {
    CorpusError::NotWritten { file: file.to_owned(), source: source.into() }
}

/// Works in a folder that is new and is deleted at the end.
pub(crate) fn in_work_folder<T>(
    work: &Path,
    job: impl FnOnce(&Path) -> Result<T, CorpusError>,
) -> Result<T, CorpusError> {
    let failed = |source| not_written(work, source);
    if work.exists() {
        fs::remove_dir_all(work).map_err(failed)?;
    }
    fs::create_dir_all(work).map_err(failed)?;
    let done = job(work);
    let cleared = fs::remove_dir_all(work).map_err(failed);
    done.and_then(|value| cleared.map(|()| value))
}
