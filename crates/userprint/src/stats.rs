//! `userprint stats`: how well one column of a table of statistics tells held-in from held-out users.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use userprint_attack::FPRS;
use userprint_score::store::{self, LabelledStatistic};
use userprint_stats::{Resamples, Roc, StatsError};

use crate::report::{grouped, needed_held_out};

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
    /// Resamples of users; 0 for none.
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
    /// Who says so, where several tools are compared.
    peer: &'static str,
    users: usize,
    held_in: usize,
    held_out: usize,
    auroc: f64,
    auroc_interval: [f64; 2],
    /// Fewer than 20 users a side, or an AUROC far from one half.
    is_interval_approximate: bool,
    /// Null with one user on a side.
    delong_variance: Option<f64>,
    hull_auroc: f64,
    /// Null where there are too few held-out users to say.
    tpr_at_fpr: BTreeMap<String, Option<f64>>,
    /// With `resamples - 1` in the denominator; null without resamples.
    bootstrap_std: Option<f64>,
    seconds: f64,
}

impl StatsArgs {
    /// The numbers, as lines to read or as JSON.
    pub(crate) fn run(&self) -> anyhow::Result<String> {
        let table = store::read_statistic(&self.table, &self.column)?;
        let found = self
            .judge(&table)
            .with_context(|| format!("{}, column `{}`", self.table.display(), self.column))?;
        Ok(if self.json { serde_json::to_string(&found)? } else { found.in_words(self) })
    }

    /// Timed from the values on, as the peer is.
    fn judge(&self, table: &LabelledStatistic) -> anyhow::Result<Found> {
        let start = Instant::now();
        let roc = Roc::from_labels(&table.statistic, &table.held_in)?;
        let n_held_in = table.held_in.iter().filter(|&&held_in| held_in).count();
        let tpr_at_fpr = FPRS.iter().map(|&fpr| match roc.tpr_at_fpr(fpr) {
            Ok(tpr) => Ok((fpr.to_string(), Some(tpr))),
            Err(StatsError::FprBelowResolution { .. }) => Ok((fpr.to_string(), None)),
            Err(error) => Err(error),
        });
        let interval = roc.auroc_interval(0.05)?;
        Ok(Found {
            peer: "userprint",
            users: table.statistic.len(),
            held_in: n_held_in,
            held_out: table.held_in.len() - n_held_in,
            auroc: roc.auroc(),
            auroc_interval: [interval.lower, interval.upper],
            is_interval_approximate: roc.is_interval_approximate(),
            delong_variance: match roc.delong_variance() {
                Err(StatsError::TooFewValues { .. }) => None,
                variance => Some(variance?),
            },
            hull_auroc: roc.hull_auroc(),
            tpr_at_fpr: tpr_at_fpr.collect::<Result<_, _>>()?,
            bootstrap_std: match self.bootstrap {
                0 => None,
                resamples => Some(Resamples::of_auroc(&roc, resamples, self.seed)?.summary().std_dev),
            },
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

impl Found {
    fn in_words(&self, args: &StatsArgs) -> String {
        let n = |n: usize| grouped(n as u64);
        let mut lines = vec![
            format!("{} held-in and {} held-out users", n(self.held_in), n(self.held_out)),
            format!(
                "AUROC       {:.4}   95 % interval {:.4} to {:.4}{}",
                self.auroc,
                self.auroc_interval[0],
                self.auroc_interval[1],
                if self.is_interval_approximate { ", approximate" } else { "" }
            ),
            match self.bootstrap_std {
                Some(std_dev) => format!(
                    "            bootstrap over users: standard deviation {std_dev:.4}, {} resamples",
                    n(args.bootstrap as usize)
                ),
                None => "            no bootstrap".to_owned(),
            },
            format!("hull        {:.4}   not to be compared with a plain AUROC", self.hull_auroc),
        ];
        for fpr in FPRS {
            let tpr = self.tpr_at_fpr.get(&fpr.to_string()).copied().flatten();
            let tpr = tpr.map_or_else(|| needed_held_out(fpr), |tpr| format!("{tpr:.4}"));
            lines.push(format!("TPR at FPR {fpr:<6} {tpr}"));
        }
        lines.join("\n")
    }
}
