//! `userprint mitigate`: one experiment in variants, compared user by user, with claims that can fail.

mod claims;
mod corpus;
mod estimate;
mod file;
mod findings;
mod outcome;
mod page;
mod plots;
mod runs;
mod table;
mod words;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use self::file::Grid;
use self::outcome::{Outcome, Verdict};
use self::runs::{Changes, Runs};
use crate::backend::BackendName;
use crate::pipeline::machine;
use crate::run_folder::write_file;

pub(crate) const EXAMPLES: &str = "\
Examples:
  userprint mitigate grid.toml --runs runs --out mitigation
  userprint mitigate grid.toml --corpus-path enron.parquet --name enron
  userprint mitigate grid.toml --estimate      time, memory and disk

The grid file names an experiment file and what each variant changes in it:

  name = \"clip\"
  experiment = \"experiment.toml\"
  seeds = [1, 2]
  [[variants]]
  name = \"none\"
  [[variants]]
  name = \"dedup\"
  set.target.exact_dedup = true
  [[claims]]
  says = \"Without copies users are less exposed\"
  more = \"none\"
  less = \"dedup\"

Runs go on where they stopped, and share every stage that is the same. Leaves
grid.json, page.md and plots.";

#[derive(Clone, Debug, Args)]
pub(crate) struct MitigateArgs {
    /// The grid file (TOML).
    grid: PathBuf,
    /// Folder of the run folders.
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Folder for what is found [default: the grid's name, in --runs].
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Name of the grid and its runs, instead of the file's.
    #[arg(long)]
    name: Option<String>,
    /// Seeds of the runs, instead of the file's.
    #[arg(long, value_name = "N", num_args = 1..)]
    seeds: Vec<u64>,
    /// Corpus file, instead of the experiment's.
    #[arg(long)]
    corpus_path: Option<PathBuf>,
    /// Where the models run, instead of the experiment's.
    #[arg(long, value_enum)]
    backend: Option<BackendName>,
    /// Connect to nothing: a model of the hub must be in the cache.
    #[arg(long)]
    offline: bool,
    /// Say what it would take, from a few steps and texts of each variant, and stop.
    #[arg(long)]
    estimate: bool,
}

/// What to tell, and whether a claim is contradicted.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) is_contradicted: bool,
}

impl MitigateArgs {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let mut grid = Grid::read(&self.grid)?;
        if !self.seeds.is_empty() {
            grid.seeds.clone_from(&self.seeds);
        }
        grid.name = self.name.unwrap_or(grid.name);
        let changes = Changes { corpus_path: self.corpus_path, backend: self.backend, offline: self.offline };
        if self.estimate {
            let text = estimate::estimate(&grid, &self.runs, &changes)?;
            return Ok(Answer { text, is_contradicted: false });
        }
        let runs = Runs::of(&grid, &self.runs, &changes)?;
        let mut outcome = outcome(&grid, &runs)?;
        if grid.describes_corpus {
            outcome.corpus = Some(corpus::describe(&runs::plain_experiment(&grid, &changes)?)?);
        }
        let out = self.out.unwrap_or_else(|| self.runs.join(&grid.name));
        std::fs::create_dir_all(&out).with_context(|| format!("{}: cannot be created", out.display()))?;
        let plots = plots::plots(&outcome)?;
        for (name, plot) in &plots {
            write_file(&out.join(name), plot.as_bytes())?;
        }
        write_file(&out.join("grid.json"), serde_json::to_string_pretty(&outcome)?.as_bytes())?;
        let names: Vec<&str> = plots.iter().map(|(name, _)| *name).collect();
        write_file(&out.join("page.md"), page::page(&outcome, &names).as_bytes())?;
        let is_contradicted = outcome.claims.iter().any(|claim| claim.verdict == Verdict::Contradicted);
        let text = format!("{}\n\nwritten: {}", words::summary(&outcome), out.display());
        Ok(Answer { text, is_contradicted })
    }
}

fn outcome(grid: &Grid, runs: &Runs) -> anyhow::Result<Outcome> {
    let first = runs.runs.first();
    let users = first.map(|run| &run.results.users);
    Ok(Outcome {
        schema: 1,
        name: grid.name.clone(),
        version: first.map_or(env!("CARGO_PKG_VERSION").to_owned(), |run| run.manifest.version.clone()),
        machine: first.map_or_else(machine, |run| run.manifest.machine.clone()),
        seeds: grid.seeds.clone(),
        wall_s: runs.wall_s(),
        n_held_in: users.map_or(0, |users| users.held_in),
        n_held_out: users.map_or(0, |users| users.held_out),
        n_parameters: first.map_or(0, |run| run.results.model.n_parameters),
        is_of_mitigations: grid.is_of_mitigations(),
        variants: table::variants(grid, runs),
        rows: table::rows(grid, runs)?,
        published_on: grid.published_on.clone(),
        claims: claims::judge(grid, runs)?,
        corpus: None,
    })
}
