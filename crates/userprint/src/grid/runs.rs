//! The runs of a grid: made where they are not yet, and read.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use userprint_attack::UserStatistics;
use userprint_attack::lira::online_lira;
use userprint_core::{UserId, UserIdx};
use userprint_mitigate::PrivacyUnit;
use userprint_score::store::{self, StatisticsTable};
use userprint_stats::Stratum;

use super::file::{Grid, Row, Variant};
use crate::backend::BackendName;
use crate::experiment::{Experiment, RawExperiment};
use crate::pipeline::{Pipeline, Stage};
use crate::results::Results;
use crate::run_folder::Manifest;
use crate::stages::attack::STATISTICS;
use crate::stages::norms::{GradientNorms, NORMS};

/// What the command line changes in every run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) corpus_path: Option<PathBuf>,
    pub(crate) backend: Option<BackendName>,
    pub(crate) offline: bool,
}

impl Changes {
    fn apply(&self, mut raw: RawExperiment) -> RawExperiment {
        if let Some(path) = &self.corpus_path {
            raw.corpus.path = Some(path.clone());
        }
        raw.backend = self.backend.unwrap_or(raw.backend);
        raw
    }
}

/// One finished run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) variant: usize,
    pub(crate) results: Results,
    pub(crate) manifest: Manifest,
    pub(crate) table: StatisticsTable,
    pub(crate) norms: Option<GradientNorms>,
}

/// All runs of a grid.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) runs: Vec<Run>,
    users: Vec<UserId>,
}

impl Runs {
    /// Makes the runs that are not there yet, seed by seed, and reads all.
    pub(crate) fn of(grid: &Grid, folder: &Path, changes: &Changes) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder)?;
        // Everything is checked before the first run takes its time.
        for &seed in &grid.seeds {
            for variant in &grid.variants {
                if !variant.needs_runs() {
                    experiment(grid, variant, seed, &folder, changes)?.check()?;
                }
            }
        }
        let n_runs = grid.seeds.len() * grid.variants.len();
        let (mut runs, start) = (Vec::new(), Instant::now());
        for &seed in &grid.seeds {
            for (at, variant) in grid.variants.iter().enumerate() {
                tracing::info!("run {} of {n_runs}: {}, seed {seed}", runs.len() + 1, variant.name);
                let raw = experiment(grid, variant, seed, &folder, changes)?;
                let own = run_folder(grid, &folder, &variant.name, seed);
                let context = || format!("variant `{}`, seed {seed}", variant.name);
                Pipeline::open(raw.check().with_context(context)?, &own, NonZeroUsize::MIN, changes.offline)
                    .and_then(|pipeline| pipeline.run(Stage::Report))
                    .with_context(context)?;
                runs.push(Run::read(at, &own)?);
                let left = (n_runs - runs.len()) as f64 * start.elapsed().as_secs_f64() / runs.len() as f64;
                tracing::info!("about {:.0} minutes left", left / 60.0);
            }
        }
        let mut users: Vec<UserId> = runs.iter().flat_map(|run| run.table.user_id.iter().cloned()).collect();
        users.sort();
        users.dedup();
        Ok(Self { runs, users })
    }

    /// The runs of a variant, seed by seed.
    pub(crate) fn of_variant(&self, variant: usize) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.variant == variant)
    }

    /// One stratum a run: the users of a row and what its attack says of them.
    pub(crate) fn strata(&self, grid: &Grid, row: &Row) -> anyhow::Result<Vec<Stratum>> {
        self.of_variant(grid.position(&row.variant)?).map(|run| self.stratum(grid, run, row)).collect()
    }

    /// The runs of a variant by its name.
    pub(crate) fn of_named(&self, grid: &Grid, variant: &str) -> anyhow::Result<Vec<&Run>> {
        Ok(self.of_variant(grid.position(variant)?).collect())
    }

    /// What the attack of a row says of each user of a run.
    fn values(&self, grid: &Grid, run: &Run, row: &Row) -> anyhow::Result<Vec<f64>> {
        let of = |run: &Run| run.statistics(row).with_context(|| format!("row `{}`", row.name));
        let target = of(run)?;
        if row.shadows.is_empty() {
            return Ok(target.statistic);
        }
        let mut shadows = Vec::new();
        for variant in &row.shadows {
            let at_seed =
                self.of_named(grid, variant)?.into_iter().find(|own| own.results.seed == run.results.seed);
            let own = at_seed.context("every variant runs at every seed")?;
            ensure!(
                own.table.user_id == run.table.user_id,
                "row `{}`: `{variant}` attacks other users than `{}`, expected shadows of one split",
                row.name,
                row.variant
            );
            shadows.push(of(own)?);
        }
        Ok(online_lira(&target, &shadows).with_context(|| format!("row `{}`", row.name))?.statistic)
    }

    fn stratum(&self, grid: &Grid, run: &Run, row: &Row) -> anyhow::Result<Stratum> {
        let (table, values) = (&run.table, self.values(grid, run, row)?);
        let tier = row.canary.map(|tier| {
            let flags = column(&table.flags, &format!("canary_{tier}"));
            flags.with_context(|| {
                format!("row `{}`: the experiment has no tier {tier} of [[canaries]]", row.name)
            })
        });
        let tier = tier.transpose()?;
        let mut stratum = Stratum::default();
        for at in (0..table.user_id.len()).filter(|&at| tier.is_none_or(|tier| tier[at])) {
            let user = self.users.binary_search(&table.user_id[at]).ok().context("every user was listed")?;
            stratum.user.push(user as u32);
            stratum.held_in.push(table.held_in[at]);
            stratum.statistic.push(values[at]);
        }
        Ok(stratum)
    }

    /// Seconds of all stages, those that several runs share once.
    pub(crate) fn wall_s(&self) -> f64 {
        let stages = self.runs.iter().flat_map(|run| &run.manifest.stages);
        let by_hash: BTreeMap<_, f64> =
            stages.map(|(name, record)| ((name, &record.hash), record.wall_s)).collect();
        by_hash.values().fold(0.0, |sum, wall_s| sum + wall_s)
    }
}

impl Run {
    fn read(variant: usize, folder: &Path) -> anyhow::Result<Self> {
        let manifest = Manifest::read(folder)?;
        // An earlier training of other settings may have left some.
        let has_norms = manifest.stages.get("train").is_some_and(|stage| stage.outputs.contains_key(NORMS));
        Ok(Self {
            variant,
            results: Results::read(folder)?,
            table: store::read_statistics(&folder.join(STATISTICS))?,
            norms: if has_norms { Some(GradientNorms::read(folder)?) } else { None },
            manifest,
        })
    }

    /// A column of the users' statistics.
    pub(crate) fn column(&self, name: &str) -> Option<&Vec<f64>> {
        column(&self.table.others, name)
    }

    /// The statistics that a row names, users numbered as they stand.
    fn statistics(&self, row: &Row) -> anyhow::Result<UserStatistics> {
        let table = &self.table;
        let statistic = match &row.statistic {
            None => &table.statistic,
            Some(name) => self.column(name).with_context(|| {
                let names: Vec<&str> = table.others.iter().map(|(name, _)| name.as_str()).collect();
                format!("there is no statistic `{name}`, expected one of {}", names.join(", "))
            })?,
        };
        Ok(UserStatistics {
            user: (0..table.user_id.len() as u32).map(UserIdx).collect(),
            held_in: table.held_in.clone(),
            statistic: statistic.clone(),
            n_examples: table.n_examples.clone(),
        })
    }

    /// Epsilon and delta that the training promises to users, if it does.
    pub(crate) fn promised_to_users(&self) -> Option<(f64, f64)> {
        let claim = &self.results.promise.as_ref()?.claim;
        (claim.unit() == PrivacyUnit::User).then(|| (claim.epsilon(), claim.delta()))
    }
}

fn column<'t, T>(columns: &'t [(String, Vec<T>)], wanted: &str) -> Option<&'t Vec<T>> {
    columns.iter().find(|(name, _)| name == wanted).map(|(_, values)| values)
}

/// The experiment behind all variants, with what the command line changes.
pub(super) fn plain_experiment(grid: &Grid, changes: &Changes) -> anyhow::Result<Experiment> {
    experiment(grid, &Variant::unchanged("corpus"), grid.seeds[0], Path::new("."), changes)?.check()
}

pub(super) fn run_folder(grid: &Grid, folder: &Path, variant: &str, seed: u64) -> PathBuf {
    folder.join(format!("{}-seed{seed}", grid.run_name(variant)))
}

pub(super) fn experiment(
    grid: &Grid,
    variant: &Variant,
    seed: u64,
    folder: &Path,
    changes: &Changes,
) -> anyhow::Result<RawExperiment> {
    let other = |name: &str| run_folder(grid, folder, name, seed);
    Ok(changes.apply(grid.experiment(variant, seed, &other)?))
}
