//! Pooling: several seeds of one corpus, one AUROC.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Serialize;
use userprint_core::{Seed, UserId};
use userprint_score::store;
use userprint_stats::{Stratum, pooled_auroc, pooled_interval};

use crate::cli::PoolArgs;
use crate::experiment::RawExperiment;
use crate::results::Results;
use crate::run_folder::write_file;

/// What several seeds found together.
#[derive(Clone, Debug, Serialize)]
struct Pooled {
    /// Version of this layout.
    schema: u32,
    /// Chance that a held-in user outranks a held-out one of the same run; ties count half.
    auroc: f64,
    /// 95 % interval over users: a user drawn brings its rows of every run.
    auroc_interval: [f64; 2],
    /// Distinct users over all runs.
    n_users: usize,
    /// Each run's own numbers.
    runs: Vec<PooledRun>,
}

#[derive(Clone, Debug, Serialize)]
struct PooledRun {
    name: String,
    seed: u64,
    auroc: f64,
    null_auroc: f64,
    blind_auroc: f64,
    blind_p_value: f64,
    held_in: u32,
    held_out: u32,
    void: Vec<String>,
}

/// Pools run folders and writes the result; the answer is a line for the user.
pub(crate) fn pool(args: &PoolArgs) -> anyhow::Result<String> {
    let results =
        args.folders.iter().map(|folder| Results::read(folder)).collect::<anyhow::Result<Vec<_>>>()?;
    let name = same_experiment(&args.folders)?;
    let (strata, n_users) = strata(&args.folders)?;
    let interval = pooled_interval(&strata, args.resamples, 0.05, Seed(0).named("pool").0)?;
    let pooled = Pooled {
        schema: 1,
        auroc: pooled_auroc(&strata)?,
        auroc_interval: [interval.lower, interval.upper],
        n_users,
        runs: results.into_iter().map(|results| PooledRun { name: name.clone(), ..results.into() }).collect(),
    };
    write_file(&args.out, serde_json::to_string_pretty(&pooled)?.as_bytes())?;
    let void = pooled.runs.iter().filter(|run| !run.void.is_empty()).count();
    let void = if void > 0 {
        format!("\nVOID: {void} of the runs must not be used, see {}", args.out.display())
    } else {
        String::new()
    };
    Ok(format!(
        "pooled AUROC {:.3} (95 % interval {:.3} to {:.3}) over {} runs and {n_users} users{void}",
        pooled.auroc,
        interval.lower,
        interval.upper,
        pooled.runs.len()
    ))
}

/// The name of the one experiment that folders are of at different seeds; others are refused.
fn same_experiment(folders: &[PathBuf]) -> anyhow::Result<String> {
    let mut seeds = BTreeSet::new();
    let (mut first, mut name) = (None, String::new());
    for folder in folders {
        let mut raw = RawExperiment::read(&folder.join("experiment.toml"))?;
        ensure!(
            seeds.insert(raw.seed),
            "{}: seed {} is there twice, expected runs of different seeds",
            folder.display(),
            raw.seed
        );
        raw.seed = 0;
        name.clone_from(&raw.name);
        let settings = serde_json::to_string(&raw)?;
        let same = first.get_or_insert_with(|| settings.clone()) == &settings;
        ensure!(
            same,
            "{} and {} differ in more than the seed and cannot be pooled",
            folders[0].display(),
            folder.display()
        );
    }
    Ok(name)
}

impl From<Results> for PooledRun {
    fn from(results: Results) -> Self {
        Self {
            name: results.name,
            seed: results.seed,
            auroc: results.auroc,
            null_auroc: results.null_auroc,
            blind_auroc: results.blind_auroc,
            blind_p_value: results.blind_p_value,
            held_in: results.users.held_in,
            held_out: results.users.held_out,
            void: results.void,
        }
    }
}

/// One stratum a run, users numbered alike in all of them, and how many there are.
fn strata(folders: &[impl AsRef<Path>]) -> anyhow::Result<(Vec<Stratum>, usize)> {
    let mut tables = Vec::new();
    for folder in folders {
        tables.push(store::read_statistics(&folder.as_ref().join("statistics.parquet"))?);
    }
    let mut users: Vec<UserId> = tables.iter().flat_map(|table| table.user_id.iter().cloned()).collect();
    users.sort();
    users.dedup();
    let strata = tables.into_iter().map(|table| {
        let user = table.user_id.iter().map(|user| users.binary_search(user).map(|at| at as u32).ok());
        let user = user.collect::<Option<Vec<_>>>().context("every user was listed just above")?;
        Ok(Stratum { user, held_in: table.held_in, statistic: table.statistic })
    });
    Ok((strata.collect::<anyhow::Result<_>>()?, users.len()))
}
