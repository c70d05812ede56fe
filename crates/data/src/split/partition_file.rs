//! The partition as a Parquet file.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use userprint_core::{ExampleId, Membership, Ragged, Role, Seed, UserId};

use super::Partition;
use crate::read::parquet::reader_builder;
use crate::read::{guarded, open};
use crate::{CorpusError, Position};

const COLUMNS: [&str; 4] = ["user_id", "example_id", "membership", "role"];

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

impl Partition {
    /// Writes one row an example: `user_id`, `example_id`, `membership`, `role` (null is unused); `n_dropped` and
    /// `seed` in the key-value metadata.
    ///
    /// Equal partitions give equal bytes. The file is written beside its place and renamed.
    ///
    /// # Errors
    /// [`CorpusError::NotWritten`].
    pub fn write_parquet(&self, path: &Path) -> Result<(), CorpusError> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = Path::new(&partial);
        self.write_to(partial).and_then(|()| Ok(fs::rename(partial, path)?)).map_err(|source| {
            // The file may not exist; the error that counts is the one already at hand.
            drop(fs::remove_file(partial));
            CorpusError::NotWritten { file: path.to_owned(), source }
        })
    }

    fn write_to(&self, path: &Path) -> Result<(), BoxedError> {
        let batch = self.to_batch()?;
        let metadata = [("n_dropped", self.n_dropped.to_string()), ("seed", self.seed.0.to_string())];
        let properties = WriterProperties::builder()
            .set_created_by("userprint".into())
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(
                metadata.map(|(key, value)| KeyValue::new(key.into(), value)).into(),
            ))
            .build();
        let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.into_inner()?.sync_all()?;
        Ok(())
    }

    fn to_batch(&self) -> Result<RecordBatch, BoxedError> {
        let rows = (0..self.users.len()).flat_map(|user| vec![user; self.roles.row(user).len()]);
        let rows: Vec<usize> = rows.collect();
        let user_id = StringArray::from_iter_values(rows.iter().map(|&user| self.users[user].as_str()));
        let example_id =
            StringArray::from_iter_values(self.example_ids.values().iter().map(ExampleId::as_str));
        let membership = StringArray::from_iter_values(rows.iter().map(|&user| self.membership[user].name()));
        let role: StringArray = self.roles.values().iter().map(|role| role.map(Role::name)).collect();
        let fields: Vec<Field> =
            COLUMNS.iter().map(|&name| Field::new(name, DataType::Utf8, name == "role")).collect();
        let columns: [StringArray; 4] = [user_id, example_id, membership, role];
        let columns = columns.into_iter().map(|column| Arc::new(column) as _).collect();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    /// Reads what [`Partition::write_parquet`] wrote, and checks that it is a partition.
    ///
    /// # Errors
    /// [`CorpusError`] names the file and the first row that is wrong.
    pub fn read_parquet(path: &Path) -> Result<Self, CorpusError> {
        let builder = reader_builder(path, open(path)?)?;
        let mut rows = PartitionRows::default();
        let (n_dropped, seed) = metadata(path, &builder)?;
        let damaged = |source: BoxedError| CorpusError::Damaged { position: Position::row(path, 1), source };
        let mut batches = builder.build().map_err(|error| damaged(error.into()))?;
        while let Some(batch) = guarded(|| batches.next().transpose()).map_err(damaged)? {
            rows.push_batch(path, &batch)?;
        }
        Ok(rows.finish(n_dropped, seed))
    }
}

fn metadata(
    path: &Path,
    builder: &ParquetRecordBatchReaderBuilder<File>,
) -> Result<(u32, Seed), CorpusError> {
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    let value = |key: &str| pairs?.iter().find(|pair| pair.key == key)?.value.clone();
    let n_dropped = value("n_dropped").and_then(|value| value.parse().ok());
    let seed = value("seed").and_then(|value| value.parse().ok());
    n_dropped.zip(seed.map(Seed)).ok_or_else(|| CorpusError::NotAPartition {
        position: Position::row(path, 0),
        found: "no `n_dropped` and `seed` in the metadata",
        expected: "both as whole numbers",
    })
}

/// Rows grouped by user as they are read.
#[derive(Default)]
struct PartitionRows {
    users: Vec<UserId>,
    membership: Vec<Membership>,
    examples: Vec<Vec<(ExampleId, Option<Role>)>>,
    n_rows: u64,
}

impl PartitionRows {
    fn push_batch(&mut self, path: &Path, batch: &RecordBatch) -> Result<(), CorpusError> {
        let columns = COLUMNS.map(|name| {
            batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>())
        });
        for row in 0..batch.num_rows() {
            self.n_rows += 1;
            let cells =
                columns.map(|column| column.map(|column| column.is_valid(row).then(|| column.value(row))));
            self.push(cells).map_err(|[found, expected]| CorpusError::NotAPartition {
                position: Position::row(path, self.n_rows),
                found,
                expected,
            })?;
        }
        Ok(())
    }

    /// Takes a row, or says what was found and what was expected.
    fn push(&mut self, cells: [Option<Option<&str>>; 4]) -> Result<(), [&'static str; 2]> {
        let [Some(Some(user)), Some(Some(example)), Some(Some(membership)), Some(role)] = cells else {
            return Err(["a column or value is absent", "strings in all four columns"]);
        };
        let membership =
            membership.parse().map_err(|_| ["another membership", "public, held_in or held_out"])?;
        let role: Option<Role> = role
            .map(str::parse)
            .transpose()
            .map_err(|_| ["another role", "train, validation, test, attack or null"])?;
        if membership == Membership::HeldOut && role == Some(Role::Train) {
            return Err(["a held-out user to train on", "no training example of any held-out user"]);
        }
        let (user, example) = (UserId::new(user), ExampleId::new(example));
        if self.users.last() != Some(&user) {
            if self.users.last().is_some_and(|last| *last > user) {
                return Err(["a user out of order", "users sorted"]);
            }
            self.users.push(user);
            self.membership.push(membership);
            self.examples.push(Vec::new());
        }
        if self.membership.last() != Some(&membership) {
            return Err(["another membership of the same user", "one a user"]);
        }
        let examples = self.examples.last_mut().expect("a user was pushed before its first example");
        if examples.last().is_some_and(|(last, _)| *last >= example) {
            return Err(["an example out of order or twice", "examples sorted and unique within the user"]);
        }
        examples.push((example, role));
        Ok(())
    }

    fn finish(self, n_dropped: u32, seed: Seed) -> Partition {
        let mut example_ids = Ragged::new();
        let mut roles = Ragged::new();
        for examples in self.examples {
            let (ids, user_roles): (Vec<_>, Vec<_>) = examples.into_iter().unzip();
            example_ids.push(ids);
            roles.push(user_roles);
        }
        Partition { users: self.users, membership: self.membership, example_ids, roles, n_dropped, seed }
    }
}
