//! Documents of one piece in order, each with what it is used for, in memory.

use arrow::array::{Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use rayon::prelude::*;
use std::sync::Arc;

use crate::CorpusError;
use crate::in_memory_corpus::{copy_id, derived_id};

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

    /// The same with the ids that [`InMemoryCorpus`](crate::InMemoryCorpus) gives, from rows that begin with user and text.
    ///
    /// Copies are numbered by when and where they were written, what is not known coming last, as the plan does.
    pub(super) fn with_ids(self) -> Result<Self, BoxedError> {
        let keys = self.keys()?;
        let digests: Vec<Vec<String>> = keys
            .par_iter()
            .map(|[_, texts]| (0..texts.len()).map(|row| derived_id(texts.value(row), 0)).collect())
            .collect();
        let origins = self.0.iter().map(origins).collect::<Result<Vec<_>, _>>()?;
        let same = |(batch, row): At| (keys[batch][0].value(row), digests[batch][row].as_str());
        let mut order = self.rows();
        order.par_sort_unstable_by(|&a, &b| {
            same(a).cmp(&same(b)).then_with(|| origins[a.0][a.1].cmp(&origins[b.0][b.1]))
        });
        let mut ids: Vec<Vec<String>> = digests.iter().map(|own| vec![String::new(); own.len()]).collect();
        for copies in order.chunk_by(|&a, &b| same(a) == same(b)) {
            for (&(batch, row), copy) in copies.iter().zip(0..) {
                ids[batch][row] = copy_id(&digests[batch][row], copy);
            }
        }
        let with_ids = self.0.iter().zip(ids).map(|(batch, ids)| {
            let mut fields = batch.schema().fields().to_vec();
            let mut columns = batch.columns().to_vec();
            fields.insert(1, Arc::new(Field::new("example_id", DataType::Utf8, true)));
            columns.insert(1, Arc::new(StringArray::from(ids)));
            Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
        });
        with_ids.collect::<Result<_, BoxedError>>().map(Self)
    }

    /// Hands on these documents by user and id, those alone that are in `labels`, with the other columns of those behind.
    /// The answer is whether no user has an example id twice; where one does, some may have been handed on.
    pub(super) fn each_labelled(
        &self,
        labels: &Self,
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), CorpusError>,
    ) -> Result<bool, CorpusError> {
        let failed = |source| CorpusError::relational("documents", source);
        let Some(matched) = self.matched(labels).map_err(failed)? else { return Ok(false) };
        for rows in matched.chunks(BATCH_ROWS) {
            each(&self.joined(labels, rows).map_err(failed)?)?;
        }
        Ok(true)
    }

    /// Pairs of a document and its label, in order; none where two documents have the key of one label.
    fn matched(&self, labels: &Self) -> Result<Option<Vec<(At, At)>>, BoxedError> {
        let (own, other) = (self.keys()?, labels.keys()?);
        let (own_order, other_order) = (self.order(&own), labels.order(&other));
        let mut next = own_order.into_iter().peekable();
        let mut matched = Vec::with_capacity(other_order.len());
        for label in other_order {
            let wanted = key(&other, label);
            while next.next_if(|&at| key(&own, at) < wanted).is_some() {}
            let at = next.next_if(|&at| key(&own, at) == wanted);
            matched.push((at.ok_or("a document has gone while it was sorted")?, label));
            if next.peek().is_some_and(|&at| key(&own, at) == wanted) {
                return Ok(None);
            }
        }
        Ok(Some(matched))
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
        let mut order = self.rows();
        order.par_sort_unstable_by(|&a, &b| key(keys, a).cmp(&key(keys, b)));
        order
    }

    fn rows(&self) -> Vec<At> {
        let batches = self.0.iter().enumerate();
        batches.flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row))).collect()
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

/// When and where each row was written; what is not known comes last.
type Origins = Vec<[(bool, i64, u64); 2]>;

fn origins(batch: &RecordBatch) -> Result<Origins, BoxedError> {
    let when =
        batch.column_by_name("timestamp_s").map(|column| cast(column, &DataType::Int64)).transpose()?;
    let source = batch.column_by_name("source").map(|column| cast(column, &DataType::UInt64)).transpose()?;
    let when = when.as_ref().and_then(|column| column.as_any().downcast_ref::<Int64Array>());
    let source = source.as_ref().and_then(|column| column.as_any().downcast_ref::<UInt64Array>());
    let of_row = |row| {
        let when = when.filter(|column| column.is_valid(row)).map(|column| column.value(row));
        let source = source.filter(|column| column.is_valid(row)).map(|column| column.value(row));
        [(when.is_none(), when.unwrap_or_default(), 0), (source.is_none(), 0, source.unwrap_or_default())]
    };
    Ok((0..batch.num_rows()).map(of_row).collect())
}

fn key<'a>(keys: &[[&'a StringArray; 2]], (batch, row): At) -> (&'a str, &'a str) {
    let [users, ids] = keys[batch];
    (users.value(row), ids.value(row))
}
