//! Scores and statistics as Parquet files, the interchange with other tools.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Float32Builder, Float64Array, ListArray,
    ListBuilder, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema, UInt32Type, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use userprint_core::{ExampleId, Moments, Ragged, TextScores, UserId};

use crate::{Reading, ScoreError, ScoreTable, ScorerId};

/// Statistics of users: the content of `statistics.parquet`, one row a user, sorted by user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatisticsTable {
    /// The user.
    pub user_id: Vec<UserId>,
    /// Whether the user was held in.
    pub held_in: Vec<bool>,
    /// The headline statistic; higher means held-in.
    pub statistic: Vec<f64>,
    /// Number of attack examples behind it.
    pub n_examples: Vec<u32>,
    /// Yes or no of each user, by name, such as whether it is detected.
    pub flags: Vec<(String, Vec<bool>)>,
    /// Every other statistic and aggregate, by name.
    pub others: Vec<(String, Vec<f64>)>,
}

/// Writes a score table, beside its place first and then renamed.
///
/// # Errors
/// [`ScoreError::Io`] where the disk refuses.
pub fn write_scores(path: &Path, table: &ScoreTable) -> Result<(), ScoreError> {
    let mut writer = ScoreWriter::create(path, table)?;
    writer.append(table)?;
    writer.finish()
}

/// Writes a score table part by part, beside its place first.
#[derive(Debug)]
pub struct ScoreWriter(TableWriter);

impl ScoreWriter {
    /// Begins a table of the scorer, reading and detail of a part.
    ///
    /// # Errors
    /// [`ScoreError::Io`] where the disk refuses.
    pub fn create(path: &Path, part: &ScoreTable) -> Result<Self, ScoreError> {
        let Reading { bos, bos_token, max_tokens, long_texts } = &part.reading;
        let (bos_token, max_tokens) = (bos_token.map(|id| id.to_string()), max_tokens.to_string());
        let mut metadata = vec![
            ("scorer", part.scorer.as_str()),
            ("bos", bos),
            ("max_tokens", &max_tokens),
            ("long_texts", long_texts),
        ];
        metadata.extend(bos_token.as_deref().map(|id| ("bos_token", id)));
        TableWriter::create(path, &score_columns(path, part)?.schema(), &metadata).map(Self)
    }

    /// Adds the rows of a part.
    ///
    /// # Errors
    /// [`ScoreError::Io`] where the disk refuses, or the part has another detail.
    pub fn append(&mut self, part: &ScoreTable) -> Result<(), ScoreError> {
        let batch = score_columns(&self.0.path, part)?;
        self.0.append(&batch)
    }

    /// Puts the table in its place.
    ///
    /// # Errors
    /// [`ScoreError::Io`] where the disk refuses.
    pub fn finish(self) -> Result<(), ScoreError> {
        self.0.finish()
    }
}

fn score_columns(path: &Path, table: &ScoreTable) -> Result<RecordBatch, ScoreError> {
    let scores = &table.scores;
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", strings(table.user_id.iter().map(UserId::as_str))),
        ("example_id", strings(table.example_id.iter().map(ExampleId::as_str))),
        ("log_likelihood", Arc::new(Float64Array::from(scores.log_likelihood.clone()))),
        ("n_tokens", Arc::new(UInt32Array::from(scores.n_tokens.clone()))),
        ("n_bytes", Arc::new(UInt64Array::from(table.n_bytes.clone()))),
        ("zlib_bytes", Arc::new(UInt64Array::from(table.zlib_bytes.clone()))),
    ];
    if let Some(tokens) = &scores.token_log_probs {
        columns.push(("token_log_probs", f32_lists(tokens)));
    }
    if let Some(moments) = &scores.moments {
        columns.push(("mean_log_p", f32_lists(&moments.mean)));
        columns.push(("std_dev_log_p", f32_lists(&moments.std_dev)));
        columns.push(("is_argmax", bool_lists(&moments.is_argmax)));
    }
    batch_of(path, columns)
}

/// Reads a score table, ours or of another tool: `user_id`, `example_id`, `log_likelihood` and `n_tokens` are needed.
///
/// # Errors
/// [`ScoreError::Io`] for a file that is no Parquet, [`ScoreError::Column`] for one without those columns.
pub fn read_scores(path: &Path) -> Result<ScoreTable, ScoreError> {
    let (batch, metadata) = read(path)?;
    let columns = Columns { path, batch: &batch };
    let of = |key: &str| metadata.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
    let n_rows = batch.num_rows();
    let sizes = |name| match columns.find::<UInt64Type>(name, DataType::UInt64, "uint64") {
        Ok(column) => column.to_vec(),
        Err(_) => vec![0; n_rows],
    };
    let token_log_probs = columns.f32_lists("token_log_probs");
    let moments = match (
        columns.f32_lists("mean_log_p"),
        columns.f32_lists("std_dev_log_p"),
        columns.flags("is_argmax"),
    ) {
        (Some(mean), Some(std_dev), Some(is_argmax)) => Some(Moments { mean, std_dev, is_argmax }),
        _ => None,
    };
    Ok(ScoreTable {
        scorer: ScorerId::new(of("scorer").unwrap_or_else(|| "imported".to_owned())),
        reading: Reading {
            bos: of("bos").unwrap_or_else(|| "unknown".to_owned()),
            bos_token: of("bos_token").and_then(|id| id.parse().ok()),
            max_tokens: of("max_tokens").and_then(|n| n.parse().ok()).unwrap_or(0),
            long_texts: of("long_texts").unwrap_or_else(|| "unknown".to_owned()),
        },
        user_id: columns.strings("user_id")?.into_iter().map(UserId::new).collect(),
        example_id: columns.strings("example_id")?.into_iter().map(ExampleId::new).collect(),
        n_bytes: sizes("n_bytes"),
        zlib_bytes: sizes("zlib_bytes"),
        scores: TextScores {
            log_likelihood: columns
                .find::<Float64Type>("log_likelihood", DataType::Float64, "float64")?
                .to_vec(),
            n_tokens: columns.find::<UInt32Type>("n_tokens", DataType::UInt32, "uint32")?.to_vec(),
            token_log_probs,
            moments,
        },
    })
}

/// Writes statistics, beside their place first and then renamed.
///
/// # Errors
/// [`ScoreError::Io`] where the disk refuses.
pub fn write_statistics(path: &Path, table: &StatisticsTable) -> Result<(), ScoreError> {
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", strings(table.user_id.iter().map(UserId::as_str))),
        ("held_in", Arc::new(BooleanArray::from(table.held_in.clone()))),
        ("statistic", Arc::new(Float64Array::from(table.statistic.clone()))),
        ("n_examples", Arc::new(UInt32Array::from(table.n_examples.clone()))),
    ];
    for (name, values) in &table.flags {
        columns.push((name, Arc::new(BooleanArray::from(values.clone()))));
    }
    for (name, values) in &table.others {
        columns.push((name, Arc::new(Float64Array::from(values.clone()))));
    }
    let batch = batch_of(path, columns)?;
    let mut writer = TableWriter::create(path, &batch.schema(), &[])?;
    writer.append(&batch)?;
    writer.finish()
}

/// Reads statistics: `user_id`, `held_in` and `statistic` are needed.
///
/// # Errors
/// [`ScoreError::Io`] for a file that is no Parquet, [`ScoreError::Column`] for one without those columns.
pub fn read_statistics(path: &Path) -> Result<StatisticsTable, ScoreError> {
    let (batch, _) = read(path)?;
    let columns = Columns { path, batch: &batch };
    let held_in = columns.array("held_in", DataType::Boolean, "boolean")?;
    let n_examples = match columns.find::<UInt32Type>("n_examples", DataType::UInt32, "uint32") {
        Ok(column) => column.to_vec(),
        Err(_) => vec![0; batch.num_rows()],
    };
    let schema = batch.schema();
    let known = ["user_id", "held_in", "statistic", "n_examples"];
    let of_type = |data_type: DataType| {
        let others = schema.fields().iter().filter(|field| !known.contains(&field.name().as_str()));
        others.filter(move |field| field.data_type() == &data_type).map(|field| field.name().clone())
    };
    Ok(StatisticsTable {
        user_id: columns.strings("user_id")?.into_iter().map(UserId::new).collect(),
        held_in: held_in.as_boolean().values().iter().collect(),
        statistic: columns.find::<Float64Type>("statistic", DataType::Float64, "float64")?.to_vec(),
        n_examples,
        flags: of_type(DataType::Boolean)
            .map(|name| {
                let values = batch[name.as_str()].as_boolean().values().iter().collect();
                (name, values)
            })
            .collect(),
        others: of_type(DataType::Float64)
            .map(|name| {
                let values = batch[name.as_str()].as_primitive::<Float64Type>().values().to_vec();
                (name, values)
            })
            .collect(),
    })
}

/// One statistic of every user and which side the user is on: two columns of a table of statistics, ours or of
/// another tool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelledStatistic {
    /// Whether the user was held in.
    pub held_in: Vec<bool>,
    /// The statistic; higher means held-in.
    pub statistic: Vec<f64>,
}

/// Reads `held_in` and one column of statistics, and nothing else: millions of users take 9 bytes each.
///
/// # Errors
/// [`ScoreError::Io`] for a file that is no Parquet, [`ScoreError::Column`] for one without those columns.
pub fn read_statistic(path: &Path, column: &str) -> Result<LabelledStatistic, ScoreError> {
    let builder = open(path)?;
    let schema = builder.schema().clone();
    let wanted = ["held_in", column].map(|name| schema.index_of(name));
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.into_iter().flatten());
    let empty = RecordBatch::new_empty(schema);
    let check = Columns { path, batch: &empty };
    check.array("held_in", DataType::Boolean, "boolean")?;
    check.array(column, DataType::Float64, "float64")?;
    let reader = builder.with_projection(mask).with_batch_size(GROUP_ROWS).build();
    let mut found = LabelledStatistic::default();
    for batch in reader.map_err(|e| failed(path, READ, e))? {
        let batch = batch.map_err(|e| failed(path, READ, e))?;
        let columns = Columns { path, batch: &batch };
        let held_in = columns.array("held_in", DataType::Boolean, "boolean")?;
        found.held_in.extend(held_in.as_boolean().values());
        found.statistic.extend(columns.find::<Float64Type>(column, DataType::Float64, "float64")?);
    }
    Ok(found)
}

fn strings<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn f32_lists(rows: &Ragged<f32>) -> ArrayRef {
    let mut builder = ListBuilder::new(Float32Builder::new());
    for row in rows.rows() {
        builder.values().append_slice(row);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn bool_lists(rows: &Ragged<bool>) -> ArrayRef {
    let mut builder = ListBuilder::new(BooleanBuilder::new());
    for row in rows.rows() {
        builder.values().append_slice(row);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn batch_of(path: &Path, columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, ScoreError> {
    RecordBatch::try_from_iter(columns).map_err(|e| failed(path, "arrange the columns", e))
}

fn failed(
    path: &Path,
    action: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ScoreError {
    ScoreError::Io { path: path.to_owned(), action, source: source.into() }
}

/// Rows of a group, so that a long table is not held in memory.
const GROUP_ROWS: usize = 1 << 16;

/// Writes a Parquet file beside its place, and renames it once it is whole.
#[derive(Debug)]
struct TableWriter {
    path: PathBuf,
    beside: PathBuf,
    inner: ArrowWriter<File>,
}

impl TableWriter {
    fn create(path: &Path, schema: &Arc<Schema>, metadata: &[(&str, &str)]) -> Result<Self, ScoreError> {
        let pair = |(k, v): &(&str, &str)| KeyValue::new((*k).to_owned(), (*v).to_owned());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_key_value_metadata(Some(metadata.iter().map(pair).collect()))
            .build();
        let beside = path.with_extension("parquet.tmp");
        let file = File::create(&beside).map_err(|e| failed(path, "create it", e))?;
        let inner = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(|e| failed(path, "write it", e))?;
        Ok(Self { path: path.to_owned(), beside, inner })
    }

    fn append(&mut self, batch: &RecordBatch) -> Result<(), ScoreError> {
        self.inner.write(batch).map_err(|e| failed(&self.path, "write it", e))
    }

    fn finish(self) -> Result<(), ScoreError> {
        let Self { path, beside, inner } = self;
        let file = inner.into_inner().map_err(|e| failed(&path, "finish it", e))?;
        file.sync_all().map_err(|e| failed(&path, "bring it to the disk", e))?;
        std::fs::rename(&beside, &path).map_err(|e| failed(&path, "rename it into place", e))
    }
}

/// What a reader could not do.
const READ: &str = "read it as Parquet";

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, ScoreError> {
    let file = File::open(path).map_err(|e| failed(path, READ, e))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| failed(path, READ, e))
}

fn read(path: &Path) -> Result<(RecordBatch, Vec<(String, String)>), ScoreError> {
    let builder = open(path)?;
    let metadata = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let metadata = metadata.into_iter().map(|pair| (pair.key, pair.value.unwrap_or_default())).collect();
    let schema: Arc<Schema> = builder.schema().clone();
    let reader = builder.build().map_err(|e| failed(path, READ, e))?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(|e| failed(path, READ, e))?;
    let batch = concat_batches(&schema, &batches).map_err(|e| failed(path, READ, e))?;
    Ok((batch, metadata))
}

/// Columns of a file by name and type, or an error that names both.
struct Columns<'a> {
    path: &'a Path,
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    fn array(
        &self,
        name: &str,
        wanted: DataType,
        expected: &'static str,
    ) -> Result<&'a ArrayRef, ScoreError> {
        let column = self.batch.column_by_name(name);
        let column = column.filter(|column| column.data_type() == &wanted && column.null_count() == 0);
        column.ok_or_else(|| {
            let schema = self.batch.schema();
            let found = schema.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type()));
            ScoreError::Column {
                path: self.path.to_owned(),
                column: name.to_owned(),
                expected,
                found: found.collect::<Vec<_>>().join(", "),
            }
        })
    }

    fn find<T: arrow::datatypes::ArrowPrimitiveType>(
        &self,
        name: &str,
        wanted: DataType,
        expected: &'static str,
    ) -> Result<&'a [T::Native], ScoreError> {
        Ok(self.array(name, wanted, expected)?.as_primitive::<T>().values())
    }

    fn strings(&self, name: &str) -> Result<Vec<String>, ScoreError> {
        let column = self.array(name, DataType::Utf8, "utf8")?.as_string::<i32>();
        Ok(column.iter().map(|value| value.unwrap_or_default().to_owned()).collect())
    }

    fn list(&self, name: &str) -> Option<&'a ListArray> {
        self.batch.column_by_name(name)?.as_list_opt::<i32>()
    }

    fn f32_lists(&self, name: &str) -> Option<Ragged<f32>> {
        let list = self.list(name)?;
        list.iter()
            .map(|row| Some(row?.as_primitive_opt::<Float32Type>()?.values().to_vec()))
            .collect::<Option<Vec<_>>>()
            .map(|rows| rows.into_iter().collect())
    }

    fn flags(&self, name: &str) -> Option<Ragged<bool>> {
        let list = self.list(name)?;
        list.iter()
            .map(|row| Some(row?.as_boolean_opt()?.values().iter().collect::<Vec<_>>()))
            .collect::<Option<Vec<_>>>()
            .map(|rows| rows.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ScoreTable {
        let tokens: Ragged<f32> = [vec![-0.25, -0.25], vec![-1.0]].into_iter().collect();
        let is_argmax: Ragged<bool> = [vec![true, false], vec![true]].into_iter().collect();
        let moments = Moments { mean: tokens.clone(), std_dev: tokens.clone(), is_argmax };
        ScoreTable {
            scorer: ScorerId::new("target"),
            reading: Reading {
                bos: "always".to_owned(),
                bos_token: Some(7),
                max_tokens: 256,
                long_texts: "truncate".to_owned(),
            },
            user_id: ["a", "b"].map(UserId::new).to_vec(),
            example_id: ["1", "1"].map(ExampleId::new).to_vec(),
            n_bytes: vec![10, 20],
            zlib_bytes: vec![9, 15],
            scores: TextScores {
                log_likelihood: vec![-0.5, -1.0],
                n_tokens: vec![2, 1],
                token_log_probs: Some(tokens),
                moments: Some(moments),
            },
        }
    }

    #[test]
    fn scores_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.parquet");
        let mut table = table();
        write_scores(&path, &table).unwrap();
        assert_eq!(read_scores(&path).unwrap(), table);
        table.scores.moments = None;
        table.scores.token_log_probs = None;
        write_scores(&path, &table).unwrap();
        assert_eq!(read_scores(&path).unwrap(), table);
    }

    #[test]
    fn statistics_round_trip_to_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("statistics.parquet");
        let table = StatisticsTable {
            user_id: ["a", "b"].map(UserId::new).to_vec(),
            held_in: vec![true, false],
            statistic: vec![0.5, -0.5],
            n_examples: vec![3, 4],
            flags: vec![("is_detected".to_owned(), vec![true, false])],
            others: vec![("log_likelihood_min".to_owned(), vec![-1.0, -2.0])],
        };
        write_statistics(&path, &table).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(read_statistics(&path).unwrap(), table);
        write_statistics(&path, &table).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn one_statistic_is_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("statistics.parquet");
        let n = GROUP_ROWS + 5;
        let table = StatisticsTable {
            user_id: (0..n).map(|user| UserId::new(user.to_string())).collect(),
            held_in: (0..n).map(|user| user % 3 == 0).collect(),
            statistic: (0..n).map(|user| user as f64).collect(),
            n_examples: vec![3; n],
            flags: Vec::new(),
            others: vec![("other".to_owned(), (0..n).map(|user| -(user as f64)).collect())],
        };
        write_statistics(&path, &table).unwrap();
        let other = LabelledStatistic { held_in: table.held_in, statistic: table.others[0].1.clone() };
        assert_eq!(read_statistic(&path, "other").unwrap(), other);
        let error = read_statistic(&path, "n_examples").unwrap_err().to_string();
        assert!(error.contains("expected column `n_examples` of type float64"), "{error}");
        assert!(read_statistic(&path, "none").is_err());
    }

    #[test]
    fn missing_column_names_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("statistics.parquet");
        write_scores(&path, &table()).unwrap();
        let error = read_statistics(&path).unwrap_err().to_string();
        assert!(error.contains("expected column `held_in` of type boolean"), "{error}");
        assert!(error.contains("n_tokens: UInt32"), "{error}");
    }

    #[test]
    fn half_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.parquet");
        write_scores(&path, &table()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = read_scores(&path).unwrap_err().to_string();
        assert!(error.contains("scores.parquet: cannot read it as Parquet"), "{error}");
    }
}
