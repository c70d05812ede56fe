//! Near-duplicates within a user: not trained on, and told in a table.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::filter_record_batch;
use parquet::arrow::ArrowWriter;
use rayon::prelude::*;

use super::documents_file::{partial, string_column};
use crate::near_duplicates::{NearCopy, NearDuplicates};

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// The table of near-duplicates, as it grows.
pub(super) struct NearMarks {
    near: NearDuplicates,
    path: PathBuf,
    writer: ArrowWriter<File>,
    /// Examples that are nearly another of their user.
    n_copies: u64,
}

/// What was found of one row.
struct Found {
    row: usize,
    of: usize,
    similarity: f64,
}

impl NearMarks {
    pub(super) fn new(near: NearDuplicates, path: &Path) -> Result<Self, BoxedError> {
        let schema = table(&[], &[], &[], &[])?.schema();
        let writer = ArrowWriter::try_new(File::create(partial(path))?, schema, None)?;
        Ok(Self { near, path: path.to_owned(), writer, n_copies: 0 })
    }

    /// The same rows of whole users, in which near-duplicates have no role, without users that have no others to train on.
    ///
    /// An example is compared with what is reserved of its user, and with what comes before it by rank. Nothing that is reserved
    /// loses its role. Whether a user goes does not depend on its membership.
    pub(super) fn mark(&mut self, group: &RecordBatch) -> Result<RecordBatch, BoxedError> {
        let [users, ids, texts, roles] =
            ["user_id", "example_id", "text", "role"].map(|name| string_column(group, name));
        let (users, ids, texts, roles) = (users?, ids?, texts?, roles?);
        let ranks =
            group.column_by_name("rank").and_then(|column| column.as_any().downcast_ref::<UInt64Array>());
        let ranks = ranks.ok_or("a rank is no number")?;
        let is_reserved = |row: usize| roles.is_valid(row) && roles.value(row) != "train";
        let rows: Vec<usize> = (0..group.num_rows()).collect();
        let by_user: Vec<&[usize]> = rows.chunk_by(|&a, &b| users.value(a) == users.value(b)).collect();
        let found: Vec<Vec<Found>> = by_user
            .par_iter()
            .map(|own| {
                let mut own = own.to_vec();
                own.sort_by_key(|&row| (!is_reserved(row), ranks.value(row)));
                let n_reserved = own.iter().filter(|&&row| is_reserved(row)).count();
                let own_texts: Vec<&str> = own.iter().map(|&row| texts.value(row)).collect();
                let copies = self.near.copies(&own_texts, n_reserved);
                let found = |(at, copy): (usize, Option<NearCopy>)| {
                    copy.map(|NearCopy { of, similarity }| Found { row: own[at], of: own[of], similarity })
                };
                copies.into_iter().enumerate().filter_map(found).collect()
            })
            .collect();
        let mut is_kept = vec![true; group.num_rows()];
        for (own, found) in by_user.iter().zip(&found) {
            let n_rest = own.iter().filter(|&&row| !is_reserved(row)).count();
            if n_rest == found.len() {
                own.iter().for_each(|&row| is_kept[row] = false);
            }
        }
        let found: Vec<&Found> = found.iter().flatten().collect();
        self.n_copies += found.len() as u64;
        let column = |of: fn(&Found) -> usize, values: &StringArray| -> Vec<String> {
            found.iter().map(|found| values.value(of(found)).to_owned()).collect()
        };
        self.writer.write(&table(
            &column(|found| found.row, users),
            &column(|found| found.row, ids),
            &column(|found| found.of, ids),
            &found.iter().map(|found| found.similarity).collect::<Vec<_>>(),
        )?)?;
        let mut roles: Vec<Option<&str>> = roles.iter().collect();
        found.iter().for_each(|found| roles[found.row] = None);
        let roles: ArrayRef = Arc::new(StringArray::from(roles));
        let schema = group.schema();
        let columns = schema.fields().iter().zip(group.columns()).map(|(field, column)| {
            if field.name() == "role" { Arc::clone(&roles) } else { Arc::clone(column) }
        });
        let marked = RecordBatch::try_new(group.schema(), columns.collect())?;
        Ok(filter_record_batch(&marked, &BooleanArray::from(is_kept))?)
    }

    /// Deletes the table, which may not be there.
    pub(super) fn discard(&self) {
        drop(fs::remove_file(partial(&self.path)));
    }

    /// Gives the table its name; the answer is how many examples it has.
    pub(super) fn finish(self) -> Result<u64, BoxedError> {
        self.writer.into_inner()?.sync_all()?;
        fs::rename(partial(&self.path), &self.path)?;
        Ok(self.n_copies)
    }
}

fn table(
    users: &[String],
    ids: &[String],
    of: &[String],
    similarity: &[f64],
) -> Result<RecordBatch, BoxedError> {
    let strings = |values: &[String]| -> ArrayRef { Arc::new(StringArray::from_iter_values(values)) };
    Ok(RecordBatch::try_from_iter([
        ("user_id", strings(users)),
        ("example_id", strings(ids)),
        ("copy_of", strings(of)),
        ("similarity", Arc::new(Float64Array::from(similarity.to_vec())) as ArrayRef),
    ])?)
}
