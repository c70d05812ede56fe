//! A session of the query engine, bounded in memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::runtime::Runtime;

use super::memory::TwoPools;
use super::{Cluster, RelationalSplit};
use crate::CorpusError;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Batches that are made before the last is used.
const BATCHES_AHEAD: usize = 4;

/// Rows of a batch: texts can be long, and a batch is the least that is held.
const BATCH_ROWS: usize = 2048;

/// How often a query is asked of a cluster, of which a part may fail.
const TRIES: usize = 3;

/// Tables by name, and the threads that work on them.
pub(crate) struct Session {
    /// Who answers, if not this process.
    cluster: Option<Cluster>,
    /// For joins of which one side is of users, or of one piece.
    context: SessionContext,
    /// The same tables, for joins of two long sides.
    merging: SessionContext,
    runtime: Runtime,
    work: PathBuf,
}

impl Session {
    /// A session that spills to `work` what does not fit in the memory of the split.
    pub(crate) fn new(work: &Path, split: &RelationalSplit) -> Result<Self, CorpusError> {
        let failed = |error: BoxedError| CorpusError::relational("starting", error);
        let n_threads = split.n_threads.get();
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TwoPools::new(split.memory_bytes)))
            .with_temp_file_path(work)
            .build_arc()
            .map_err(|error| failed(error.into()))?;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(n_threads).enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.into()))?;
        // A hash join holds one side whole; a merge join, which takes two partitions, writes to the disk what does not fit.
        let mut merging = config(n_threads.max(2));
        merging.options_mut().optimizer.prefer_hash_join = false;
        let [context, merging] = match &split.cluster {
            None => [config(n_threads), merging]
                .map(|config| SessionContext::new_with_config_rt(config, environment.clone())),
            Some(cluster) => cluster.contexts([config(n_threads), merging], &environment, &runtime)?,
        };
        let work = std::path::absolute(work).map_err(|error| failed(error.into()))?;
        Ok(Self { cluster: split.cluster.clone(), context, merging, runtime, work })
    }

    /// Parquet files as a table.
    pub(crate) fn register(&self, name: &str, files: &[PathBuf]) -> Result<(), CorpusError> {
        // Whoever answers may stand in another folder.
        let absolute = |path: &PathBuf| Ok(std::path::absolute(path)?.to_string_lossy().into_owned());
        let paths: Vec<String> = files
            .iter()
            .map(absolute)
            .collect::<Result<_, BoxedError>>()
            .map_err(|error| CorpusError::relational(name, error))?;
        self.run(name, async {
            self.name(name, self.context.read_parquet(paths, ParquetReadOptions::default()).await?)
        })
    }

    /// A query under a name, made anew whenever it is read.
    pub(crate) fn view(&self, name: &str, sql: &str) -> Result<(), CorpusError> {
        self.run(name, async { self.name(name, self.context.sql(sql).await?) })
    }

    /// A query's rows in a file of the work folder, as a table.
    pub(crate) fn keep(&self, name: &str, sql: &str) -> Result<(), CorpusError> {
        self.keep_by(&self.context, name, sql)
    }

    /// The same, where both sides of a join are long.
    pub(crate) fn keep_merged(&self, name: &str, sql: &str) -> Result<(), CorpusError> {
        self.keep_by(&self.merging, name, sql)
    }

    fn keep_by(&self, context: &SessionContext, name: &str, sql: &str) -> Result<(), CorpusError> {
        let path = self.work.join(format!("{name}.parquet"));
        self.write(context, name, sql, &path)?;
        self.register(name, &[path])
    }

    /// Writes a query's rows to a file.
    fn write(&self, context: &SessionContext, step: &str, sql: &str, path: &Path) -> Result<(), CorpusError> {
        if self.cluster.is_some() {
            return self.run_again(step, async || fetch(context.sql(sql).await?, path).await);
        }
        let shown = path.to_string_lossy().into_owned();
        self.run(step, async {
            let options = DataFrameWriteOptions::new().with_single_file_output(true);
            context.sql(sql).await?.write_parquet(&shown, options, None).await.map(drop)
        })
    }

    /// Whole numbers from 0 on: the columns of the first row, if there is one.
    pub(crate) fn first<const N: usize>(&self, sql: &str) -> Result<Option<[u64; N]>, CorpusError> {
        self.run_again("counting", async || {
            let batches = self.context.sql(sql).await?.collect().await?;
            let batch = batches.iter().find(|batch| batch.num_rows() > 0);
            batch.map(numbers).transpose()
        })
    }

    /// As [`Self::first`], of a query that always has a row.
    pub(crate) fn counts<const N: usize>(&self, sql: &str) -> Result<[u64; N], CorpusError> {
        let counts = self.first(sql)?;
        counts.ok_or_else(|| CorpusError::relational("counting", "a count has no row".into()))
    }

    pub(crate) fn count(&self, sql: &str) -> Result<u64, CorpusError> {
        self.counts(sql).map(|[count]| count)
    }

    fn name(&self, name: &str, rows: DataFrame) -> Result<(), DataFusionError> {
        let table = rows.into_view();
        // Sessions of a cluster have one catalog.
        if self.cluster.is_none() {
            self.merging.register_table(name, table.clone())?;
        }
        self.context.register_table(name, table).map(drop)
    }

    /// Hands on a query's rows as they come, while the next are made.
    pub(crate) fn each_batch(
        &self,
        sql: &str,
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        if self.cluster.is_some() {
            return self.each_fetched(sql, each);
        }
        let mut stream =
            self.run("documents", async { self.context.sql(sql).await?.execute_stream().await })?;
        let (send, mut receive) = tokio::sync::mpsc::channel(BATCHES_AHEAD);
        let work = self.runtime.spawn(async move {
            while let Some(batch) = stream.next().await {
                // Nobody listens any more where a row could not be used.
                if send.send(batch).await.is_err() {
                    break;
                }
            }
        });
        while let Some(batch) = self.runtime.block_on(receive.recv()) {
            each(&batch.map_err(|error| CorpusError::relational("documents", error.into()))?)?;
        }
        // Rows that end because their maker stopped are not all rows.
        self.runtime.block_on(work).map_err(|error| CorpusError::relational("documents", error.into()))
    }

    /// The same out of a file: a cluster may have to be asked again, when some rows have come.
    fn each_fetched(
        &self,
        sql: &str,
        each: &mut dyn FnMut(&RecordBatch) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        let path = self.work.join("answer.parquet");
        self.write(&self.context, "documents", sql, &path)?;
        let failed = |error: BoxedError| CorpusError::relational("documents", error);
        let open = || -> Result<_, BoxedError> {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path)?)?;
            Ok(reader.with_batch_size(BATCH_ROWS).build()?)
        };
        for batch in open().map_err(failed)? {
            each(&batch.map_err(|error| failed(error.into()))?)?;
        }
        std::fs::remove_file(&path).map_err(|error| failed(error.into()))
    }

    fn run<T>(
        &self,
        step: &str,
        work: impl Future<Output = Result<T, DataFusionError>>,
    ) -> Result<T, CorpusError> {
        self.runtime.block_on(work).map_err(|error| match &self.cluster {
            None => CorpusError::relational(step, error.into()),
            Some(cluster) => cluster.failed(step, error.into()),
        })
    }

    /// As [`Self::run`], several times where a cluster works, which may have lost a part.
    fn run_again<T>(
        &self,
        step: &str,
        work: impl AsyncFn() -> Result<T, DataFusionError>,
    ) -> Result<T, CorpusError> {
        let tries = if self.cluster.is_some() { TRIES } else { 1 };
        for _ in 1..tries {
            if let Ok(done) = self.run(step, work()) {
                return Ok(done);
            }
        }
        self.run(step, work())
    }
}

fn config(n_partitions: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(n_partitions).with_batch_size(BATCH_ROWS);
    let options = config.options_mut();
    // Views of strings keep all the buffers that they once came from, in memory and in its accounts.
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    // Tables of the work folder are read once or twice: pressing them costs more than writing them.
    options.execution.parquet.compression = Some("snappy".to_owned());
    options.execution.parquet.dictionary_enabled = Some(false);
    options.execution.parquet.statistics_enabled = Some("chunk".to_owned());
    config
}

/// Rows that others make, in a file here.
async fn fetch(rows: DataFrame, path: &Path) -> Result<(), DataFusionError> {
    let mut stream = rows.execute_stream().await?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, stream.schema(), None)?;
    while let Some(batch) = stream.next().await {
        writer.write(&batch?)?;
    }
    writer.close()?;
    Ok(())
}

fn numbers<const N: usize>(batch: &RecordBatch) -> Result<[u64; N], DataFusionError> {
    let mut numbers = [0; N];
    for (number, column) in numbers.iter_mut().zip(batch.columns()) {
        let column = cast(column, &DataType::Int64)?;
        let column = column.as_any().downcast_ref::<Int64Array>();
        let value = column.filter(|column| column.is_valid(0)).map(|column| column.value(0));
        let value = value.and_then(|value| u64::try_from(value).ok());
        *number = value.ok_or_else(|| DataFusionError::Execution("a count is no number".to_owned()))?;
    }
    Ok(numbers)
}
