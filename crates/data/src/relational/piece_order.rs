//! Documents of one piece in order, each with what it is used for, in memory.

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::Schema;
use rayon::prelude::*;
use std::sync::Arc;

use crate::CorpusError;

/// Rows of a batch that is handed on.
const BATCH_ROWS: usize = 1024;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Where a row is: its batch, and its place there.
type At = (usize, usize);

/// Rows of one piece, whose first two columns are user and example id.
pub(super) struct PieceRows(Vec<RecordBatch>);

impl PieceRows {
    pub(super) fn new(batches: Vec<RecordBatch>) -> Self {
        Self(batches)
    }

    /// Hands on these documents by user and id, those alone that are in `labels`, with the other columns of those behind.
    pub(super) fn each_labelled(
        &self,
        labels: &Self,
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        let failed = |source| CorpusError::relational("documents", source);
        let matched = self.matched(labels).map_err(failed)?;
        for rows in matched.chunks(BATCH_ROWS) {
            each(&self.joined(labels, rows).map_err(failed)?)?;
        }
        Ok(())
    }

    /// Pairs of a document and its label, in order.
    fn matched(&self, labels: &Self) -> Result<Vec<(At, At)>, BoxedError> {
        let (own, other) = (self.keys()?, labels.keys()?);
        let (own_order, other_order) = (self.order(&own), labels.order(&other));
        let mut next = own_order.into_iter().peekable();
        let mut matched = Vec::with_capacity(other_order.len());
        for label in other_order {
            let wanted = key(&other, label);
            while next.next_if(|&at| key(&own, at) < wanted).is_some() {}
            let at = next.next_if(|&at| key(&own, at) == wanted);
            matched.push((at.ok_or("a document has gone while it was sorted")?, label));
        }
        Ok(matched)
    }

    fn keys(&self) -> Result<Vec<[&StringArray; 2]>, BoxedError> {
        self.0
            .iter()
            .map(|batch| {
                let strings = |index: usize| batch.column(index).as_any().downcast_ref::<StringArray>();
                match (strings(0), strings(1)) {
                    (Some(users), Some(ids)) => Ok([users, ids]),
                    _ => Err("an id is no string".into()),
                }
            })
            .collect()
    }

    fn order(&self, keys: &[[&StringArray; 2]]) -> Vec<At> {
        let rows = self.0.iter().enumerate();
        let mut order: Vec<At> =
            rows.flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row))).collect();
        order.par_sort_unstable_by(|&a, &b| key(keys, a).cmp(&key(keys, b)));
        order
    }

    /// Rows side by side: all columns here, and those of the labels behind the keys.
    fn joined(&self, labels: &Self, rows: &[(At, At)]) -> Result<RecordBatch, BoxedError> {
        let (own, other): (Vec<At>, Vec<At>) = rows.iter().copied().unzip();
        let own = interleave_record_batch(&self.0.iter().collect::<Vec<_>>(), &own)?;
        let other = interleave_record_batch(&labels.0.iter().collect::<Vec<_>>(), &other)?;
        let (own_schema, other_schema) = (own.schema(), other.schema());
        let fields = own_schema.fields().iter().chain(other_schema.fields().iter().skip(2));
        let schema = Schema::new(fields.cloned().collect::<Vec<_>>());
        let columns = own.columns().iter().chain(other.columns().iter().skip(2)).cloned().collect();
        Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
    }
}

fn key<'a>(keys: &[[&'a StringArray; 2]], (batch, row): At) -> (&'a str, &'a str) {
    let [users, ids] = keys[batch];
    (users.value(row), ids.value(row))
}
