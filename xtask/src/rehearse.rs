//! `cargo xtask rehearse`: recipes at paper scale, from dumps to reports, on made-up data, for a few steps.

mod draw;
mod dumps;
mod page;
mod stand_in;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use toml::{Table, Value};
use xshell::{Shell, cmd};

use self::dumps::Dump;
use crate::recipe::{Recipe, Scale};
use crate::reproduce::{Binary, GridRun, names, read};
use crate::watch::watch;

/// Run recipes at paper scale through every stage on made-up dumps and a
/// stand-in for GPT-Neo 125M with random weights, for a few steps on the
/// processor; connects to nothing.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rehearse {
    /// Names of files in xtask/recipes, or `all` that have the paper scale.
    #[arg(default_values = ["attack", "early-stopping", "dedup"])]
    recipes: Vec<String>,
    /// Corpora whose dumps are made up; the first recipe runs on all, the
    /// others on the first of them.
    #[arg(long, value_enum, num_args = 1.., default_values = ["enron", "cc-news", "reddit", "arxiv"])]
    corpora: Vec<Dump>,
    #[command(flatten)]
    binary: Binary,
    /// Keep what is found in docs/results/rehearsal.md.
    #[arg(long)]
    record: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask rehearse
  cargo xtask rehearse dedup --corpora cc-news
  cargo xtask rehearse all --record

Says whether every stage runs, not what it shows: the model is random.";

/// The stages of a run, in order.
const STAGES: [&str; 7] = ["prepare", "pretrain", "score-reference", "train", "score", "attack", "report"];

/// What the numbers of these keys are cut down to, wherever they stand in recipes and experiment.
const MOST: [(&str, i64); 14] = [
    ("batch_size", 2),
    ("batch_tokens", 1024),
    ("block_tokens", 64),
    ("blind_permutations", 1000),
    ("bootstrap_resamples", 20),
    ("checkpoint_every", 1),
    ("checkpoints", 4),
    ("evaluations", 1),
    ("max_steps", 4),
    ("max_tokens", 32),
    ("max_validation_examples", 4),
    ("n_documents", 5),
    ("n_users", 4),
    ("warmup_steps", 1),
];

/// A recipe that went through on a corpus.
struct Row {
    recipe: String,
    corpus: &'static str,
    ran: Ran,
}

/// What that took.
struct Ran {
    /// Seconds of each stage over all variants; none where earlier recipes had done it.
    stage_s: [Option<f64>; STAGES.len()],
    wall_s: f64,
    peak_bytes: Option<u64>,
}

/// Where everything of a rehearsal lies.
struct Place<'a> {
    sh: &'a Shell,
    folder: PathBuf,
    program: (PathBuf, Vec<String>),
}

impl Rehearse {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let folder = std::path::absolute(self.binary.runs())?.join("rehearsal");
        if folder.exists() {
            // What an earlier one left would be skipped as done.
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(&folder)?;
        let start = Instant::now();
        let place = Place { sh, folder, program: self.binary.program(None) };
        let (mut grids, mut models) = (Vec::new(), BTreeSet::new());
        for name in names(&self.recipes, Scale::Paper)? {
            let grid = cut_grid(&name, &place.folder, &mut models)?;
            grids.push((name, grid));
        }
        let tokenizer = place.stand_in(&models)?;
        let (mut rows, mut failed) = (Vec::new(), Vec::new());
        for (at, dump) in self.corpora.iter().enumerate() {
            if let Err(error) = place.corpus(*dump, &tokenizer) {
                failed.push(format!("{}: {error:#}", dump.name()));
                continue;
            }
            let mut done = BTreeSet::new();
            let n_recipes = if at == 0 { grids.len() } else { 1 };
            for (name, grid) in &grids[..n_recipes] {
                match place.recipe(name, grid, *dump, &mut done) {
                    Ok(ran) => rows.push(Row { recipe: name.clone(), corpus: dump.name(), ran }),
                    // The others may well do.
                    Err(error) => failed.push(format!("{name} on {}: {error:#}", dump.name())),
                }
            }
            place.remove_checkpoints(*dump)?;
        }
        rows.iter().for_each(|row| println!("{}", page::words(row)));
        println!(
            "{:.0} s in all, {} went through, {} failed",
            start.elapsed().as_secs_f64(),
            rows.len(),
            failed.len()
        );
        if !failed.is_empty() {
            bail!("failed:\n  {}", failed.join("\n  "));
        }
        if self.record {
            let corpora: Vec<&str> = self.corpora.iter().map(|dump| dump.name()).collect();
            let command =
                format!("cargo xtask rehearse {} --corpora {}", self.recipes.join(" "), corpora.join(" "));
            page::record(sh, &command, &rows)?;
        }
        Ok(())
    }
}

impl Place<'_> {
    /// Puts stand-ins for models into a cache of the hub; the answer is a folder with their tokenizer.
    fn stand_in(&self, models: &BTreeSet<String>) -> anyhow::Result<PathBuf> {
        let (files, cache) = (self.folder.join("stand-in"), self.folder.join("hub"));
        stand_in::write(&files)?;
        for model in models {
            let snapshot = stand_in::offer(&files, &cache, model)?;
            println!("{model}: a stand-in in {}", snapshot.display());
        }
        self.sh.set_var("HF_HUB_CACHE", &cache);
        self.sh.set_var("HF_HUB_OFFLINE", "1");
        Ok(files)
    }

    /// Makes up a dump and has the binary make a corpus of it.
    fn corpus(&self, dump: Dump, tokenizer: &Path) -> anyhow::Result<()> {
        let from = dump.write(&self.folder.join("dumps").join(dump.name()))?;
        let (name, out, min) = (dump.name(), self.corpus_folder(dump), dumps::N_DOCUMENTS.to_string());
        let (program, first) = &self.program;
        let options = ["--min-examples", &min];
        cmd!(self.sh, "{program} {first...} corpus {name} --from {from} --out {out} --tokenizer {tokenizer} {options...}")
            .run()?;
        Ok(())
    }

    fn corpus_folder(&self, dump: Dump) -> PathBuf {
        self.folder.join("corpora").join(dump.name())
    }

    fn runs(&self, dump: Dump) -> PathBuf {
        self.folder.join("runs").join(dump.name())
    }

    /// Runs a recipe's grid on a corpus.
    fn recipe(&self, name: &str, grid: &str, dump: Dump, done: &mut BTreeSet<String>) -> anyhow::Result<Ran> {
        let grid = GridRun::new(&self.runs(dump), name, grid)?;
        let corpus = self.corpus_folder(dump).join("documents.parquet");
        let ((program, first), arguments) = (&self.program, &grid.arguments);
        let options = ["--backend", "cpu", "--seeds", "1", "--offline"];
        let command =
            cmd!(self.sh, "{program} {first...} {arguments...} --corpus-path {corpus} {options...}");
        println!("$ {command}");
        let start = Instant::now();
        let (status, peak_bytes) = watch(&mut Command::from(command).spawn()?)?;
        let wall_s = start.elapsed().as_secs_f64();
        let ran = if status.success() { Ok(()) } else { Err(anyhow!("userprint ended with {status}")) };
        // What a random model shows does not matter.
        grid.is_contradicted(ran)?;
        Ok(Ran { stage_s: new_stages(&self.runs(dump), done)?, wall_s, peak_bytes })
    }

    /// Gigabytes a run that nothing goes on from.
    fn remove_checkpoints(&self, dump: Dump) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.runs(dump))? {
            let checkpoints = entry?.path().join("checkpoints");
            if checkpoints.exists() {
                fs::remove_dir_all(&checkpoints).with_context(|| checkpoints.display().to_string())?;
            }
        }
        Ok(())
    }
}

/// Seconds of each stage in the manifests of run folders, those left out that are done already.
fn new_stages(runs: &Path, done: &mut BTreeSet<String>) -> anyhow::Result<[Option<f64>; STAGES.len()]> {
    let mut stage_s = [None; STAGES.len()];
    for entry in fs::read_dir(runs)? {
        let manifest = entry?.path().join("manifest.json");
        if !manifest.exists() {
            continue;
        }
        let stages = &read(&manifest)?["stages"];
        for (stage, total) in STAGES.into_iter().zip(&mut stage_s) {
            let (hash, wall_s) = (stages[stage]["hash"].as_str(), stages[stage]["wall_s"].as_f64());
            // A run that failed lacks some.
            let (Some(hash), Some(wall_s)) = (hash, wall_s) else { continue };
            if done.insert(format!("{stage} {hash}")) {
                *total = Some(total.unwrap_or(0.0) + wall_s);
            }
        }
    }
    Ok(stage_s)
}

/// A recipe's grid file with small numbers, and with an experiment file of small numbers, which goes into the folder.
fn cut_grid(name: &str, folder: &Path, models: &mut BTreeSet<String>) -> anyhow::Result<String> {
    let grid = Recipe::read(name)?.grid(name, Scale::Paper).with_context(|| name.to_owned())?;
    let mut grid: Table = toml::from_str(&grid)?;
    let experiment = grid["experiment"].as_str().context("a grid names its experiment")?;
    let mut experiment: Table = toml::from_str(&fs::read_to_string(experiment)?)?;
    let training = experiment["target"].get_mut("training").and_then(Value::as_table_mut);
    let training = training.context("an experiment says how its target is trained")?;
    training.entry("max_steps").or_insert(Value::Integer(i64::MAX));
    let file = folder.join("experiment.toml");
    grid.insert("experiment".to_owned(), Value::String(file.display().to_string()));
    for (key, value) in grid.iter_mut().chain(experiment.iter_mut()) {
        cut(key, value, models);
    }
    fs::write(file, toml::to_string(&experiment)?)?;
    Ok(toml::to_string(&grid)?)
}

/// Makes numbers as small as a rehearsal needs them, and notes which models of the hub are named.
fn cut(key: &str, value: &mut Value, models: &mut BTreeSet<String>) {
    match value {
        Value::Integer(n) => {
            if let Some((_, most)) = MOST.iter().find(|(known, _)| *known == key) {
                *n = (*n).min(*most);
            }
        }
        Value::String(name) if key == "hub" => drop(models.insert(name.clone())),
        Value::Table(table) => table.iter_mut().for_each(|(key, value)| cut(key, value, models)),
        Value::Array(values) => values.iter_mut().for_each(|value| cut(key, value, models)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_wherever_they_stand() {
        let mut grid: Value = toml::from_str(
            "a.max_steps = 1200\na.seed = 1200\nb = [{ n_users = 25 }, { n_users = 1 }]\nreference.hub = \"owner/name\"",
        )
        .unwrap();
        let mut models = BTreeSet::new();
        cut("", &mut grid, &mut models);
        let expected: Value = toml::from_str(
            "a.max_steps = 4\na.seed = 1200\nb = [{ n_users = 4 }, { n_users = 1 }]\nreference.hub = \"owner/name\"",
        )
        .unwrap();
        assert_eq!((grid, models), (expected, BTreeSet::from(["owner/name".to_owned()])));
    }
}
