//! What a corpus has: counts, sizes of users, copies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use rayon::prelude::*;

use super::{RelationalSplit, in_work_folder};
use crate::CorpusError;
use crate::relational::plan::Plan;
use crate::relational::session::Session;

/// What a corpus has.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Inspection {
    /// Users.
    pub n_users: u64,
    /// Examples.
    pub n_examples: u64,
    /// Words, between white space.
    pub n_words: u64,
    /// Bytes of texts.
    pub n_bytes: u64,
    /// How many users have so many examples.
    pub users_by_size: BTreeMap<u64, u64>,
    /// Examples whose text the same user has in an earlier one.
    pub n_copies_within: u64,
    /// Different texts that several users have.
    pub n_shared_texts: u64,
    /// Examples with such a text.
    pub n_shared_examples: u64,
    /// Users with such an example.
    pub n_sharing_users: u64,
}

impl Inspection {
    /// Examples of the user at this fraction of all, by size: of the nearest user, where the fraction falls between two.
    ///
    /// ```
    /// use userprint_data::relational::Inspection;
    /// let users_by_size = [(2, 1), (3, 2), (9, 1)].into();
    /// let inspection = Inspection { n_users: 4, users_by_size, ..Inspection::default() };
    /// assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|at| inspection.percentile(at)), [2, 3, 3, 3, 9]);
    /// ```
    pub fn percentile(&self, fraction: f64) -> u64 {
        self.size_at((fraction * self.n_users.saturating_sub(1) as f64).round_ties_even() as u64)
    }

    /// Examples of the user at this place, from 0, by size.
    fn size_at(&self, place: u64) -> u64 {
        let mut n_before = 0;
        let found = self.users_by_size.iter().find(|(_, n_users)| {
            n_before += *n_users;
            place < n_before
        });
        found.map_or(0, |(size, _)| *size)
    }
}

impl RelationalSplit {
    /// Counts what the corpus in these files has, before anything is dropped.
    ///
    /// Work in progress lies in `folder/work` and is deleted at the end.
    ///
    /// # Errors
    /// As [`RelationalSplit::run`], for what the readers can tell.
    pub fn inspect(&self, files: &[PathBuf], folder: &Path) -> Result<Inspection, CorpusError> {
        in_work_folder(&folder.join(".userprint-work"), |work| self.inspect_in(files, work))
    }

    fn inspect_in(&self, files: &[PathBuf], work: &Path) -> Result<Inspection, CorpusError> {
        let session = Session::new(work, self)?;
        let plan = Plan::new(self);
        let n_examples = self.read(&session, &plan, files, work)?;
        session.keep("keys", "SELECT user_id, sha256(text) AS digest FROM given")?;
        session.keep("held", "SELECT user_id, digest, count(*) AS n FROM keys GROUP BY user_id, digest")?;
        let mut inspection = Inspection { n_examples, ..Inspection::default() };
        let sizes =
            "SELECT n, count(*) AS n_users FROM (SELECT sum(n) AS n FROM held GROUP BY user_id) GROUP BY n";
        session.each_batch(sizes, &mut |batch| {
            let pairs = whole_numbers(batch, 0)?.into_iter().zip(whole_numbers(batch, 1)?);
            inspection.users_by_size.extend(pairs);
            Ok(())
        })?;
        inspection.n_users = inspection.users_by_size.values().sum();
        [inspection.n_copies_within] = session.counts("SELECT coalesce(sum(n - 1), 0) FROM held")?;
        session.keep_merged(
            "shared",
            "SELECT held.user_id, held.digest, n FROM held JOIN \
             (SELECT digest FROM held GROUP BY digest HAVING count(*) > 1) AS several ON held.digest = several.digest",
        )?;
        let shared =
            "SELECT count(DISTINCT digest), coalesce(sum(n), 0), count(DISTINCT user_id) FROM shared";
        [inspection.n_shared_texts, inspection.n_shared_examples, inspection.n_sharing_users] =
            session.counts(shared)?;
        session.each_batch("SELECT text FROM given", &mut |batch| {
            let texts = cast(batch.column(0), &DataType::Utf8).map_err(|error| failed(error.into()))?;
            let texts = texts
                .as_any()
                .downcast_ref::<StringArray>()
                .ok_or_else(|| failed("texts are no strings".into()))?;
            let words = |row: usize| texts.value(row).split_whitespace().count() as u64;
            inspection.n_words += (0..texts.len()).into_par_iter().map(words).sum::<u64>();
            inspection.n_bytes += (0..texts.len()).map(|row| texts.value_length(row) as u64).sum::<u64>();
            Ok(())
        })?;
        Ok(inspection)
    }
}

fn whole_numbers(batch: &RecordBatch, column: usize) -> Result<Vec<u64>, CorpusError> {
    let column = cast(batch.column(column), &DataType::Int64).map_err(|error| failed(error.into()))?;
    let numbers =
        column.as_any().downcast_ref::<Int64Array>().ok_or_else(|| failed("a count is no number".into()))?;
    Ok(numbers.values().iter().map(|&n| n as u64).collect())
}

fn failed(source: Box<dyn std::error::Error + Send + Sync>) -> CorpusError {
    CorpusError::relational("counting", source)
}
