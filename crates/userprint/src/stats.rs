//! `userprint stats`: how well one column of a table of statistics tells held-in from held-out users.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use userprint_attack::FPRS;
use userprint_core::Seed;
use userprint_score::store::{self, LabelledStatistic};
use userprint_stats::{Roc, StatsError, bootstrap_auroc};

use crate::report::grouped;

pub(crate) const EXAMPLES: &str = "\
Examples:
  userprint stats runs/example-seed1/statistics.parquet
  userprint stats statistics.parquet --column log_likelihood_mean --json

The table may come from any tool: it needs a boolean column `held_in` and a
float64 column of statistics, one row a user.";

#[derive(Clone, Debug, Args)]
pub(crate) struct StatsArgs {
    /// Table of statistics (Parquet), one row a user.
    table: PathBuf,
    /// Column of statistics; higher means held-in.
    #[arg(long, default_value = "statistic")]
    column: String,
    /// Resamples of users.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    bootstrap: u32,
    /// Seed of the resamples.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// What one column says.
#[derive(Debug, Serialize)]
struct Found {
    users: usize,
    held_in: usize,
    held_out: usize,
    auroc: f64,
    auroc_interval: [f64; 2],
    hull_auroc: f64,
    /// Null where there are too few held-out users to say.
    tpr_at_fpr: BTreeMap<String, Option<f64>>,
    bootstrap_std: f64,
    seconds: f64,
}

impl StatsArgs {
    /// The numbers, as lines to read or as JSON.
    pub(crate) fn run(&self) -> anyhow::Result<String> {
        let table = store::read_statistic(&self.table, &self.column)?;
        let found = self.judge(table).with_context(|| format!("{}, column `{}`", self.table.display(), self.column))?;
        Ok(if self.json { serde_json::to_string(&found)? } else { found.in_words(self.bootstrap) })
    }
}
