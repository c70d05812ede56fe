//! `cargo xtask reproduce`: run a recipe through the binary and hold it against its expectation.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::backend::Backend;
use crate::project_root;
use crate::recipe::{self, Recipe, Scale, ScaleRecipe};

/// Repeat an experiment and hold its result against the recipe's expectation.
#[derive(clap::Args)]
pub(crate) struct Reproduce {
    /// Name of a file in xtask/recipes.
    #[arg(default_value = "attack")]
    recipe: String,
    /// How much is run.
    #[arg(long, value_enum, default_value = "smoke")]
    scale: Scale,
    /// Where the models run; without it, what the experiment says.
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// A corpus of your own at desk scale, as NAME=PATH.
    #[arg(long, value_parser = parse_corpus)]
    corpus: Option<Corpus>,
    /// Number of runs, from the experiment's own seed upwards.
    #[arg(long, default_value = "1")]
    seeds: NonZeroU32,
    /// Folder of the run folders; without it, `runs` in the workspace.
    #[arg(long)]
    runs: Option<PathBuf>,
    /// List the recipes and stop.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Corpus {
    name: String,
    path: PathBuf,
}

fn parse_corpus(argument: &str) -> Result<Corpus, String> {
    let (name, path) = argument
        .split_once('=')
        .filter(|(name, path)| !name.is_empty() && !path.is_empty())
        .ok_or_else(|| format!("expected NAME=PATH, found `{argument}`"))?;
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return Err(format!("a corpus name is letters, digits, - and _, found `{name}`"));
    }
    Ok(Corpus { name: name.to_owned(), path: path.into() })
}

/// One finished run.
struct Run {
    folder: PathBuf,
    results: Value,
}

impl Reproduce {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        if self.list {
            return list();
        }
        let start = Instant::now();
        let recipe = Recipe::read(&self.recipe)?;
        let scale = recipe.at(self.scale)?;
        self.check_corpus()?;
        println!("{}: {}", self.recipe, recipe.shows);
        println!("published: {}", recipe.published);
        println!("{} run(s), about {} minutes each on two cores", self.seeds, scale.minutes);

        let name = match &self.corpus {
            Some(corpus) => corpus.name.clone(),
            None => scale.experiment_head()?.name,
        };
        let runs_folder = self.runs.clone().unwrap_or_else(|| project_root().join("runs"));
        let mut runs = Vec::new();
        let first = scale.experiment_head()?.seed;
        for seed in (first..).take(self.seeds.get() as usize) {
            let folder = runs_folder.join(format!("{name}-seed{seed}"));
            self.run_once(sh, scale, seed, &runs_folder)?;
            let results = read_results(&folder)?;
            runs.push(Run { folder, results });
        }
        for run in &runs {
            summarise(run);
        }
        if runs.len() > 1 {
            pool(sh, &runs, &runs_folder.join(format!("{name}-pooled.json")))?;
        }
        println!("{:.0} s in all", start.elapsed().as_secs_f64());
        check(scale, &runs)
    }

    fn check_corpus(&self) -> anyhow::Result<()> {
        let example =
            format!("cargo xtask reproduce {} --scale desk --corpus enron=enron.parquet", self.recipe);
        match (self.scale, &self.corpus) {
            (Scale::Desk, None) => bail!("--scale desk needs a corpus of your own, for example `{example}`"),
            (Scale::Smoke, Some(_)) => {
                bail!("--scale smoke uses the synthetic population, did you mean `{example}`?")
            }
            (Scale::Desk, Some(corpus)) if !corpus.path.exists() => {
                bail!("there is no corpus at {}", corpus.path.display())
            }
            _ => Ok(()),
        }
    }

    /// Runs the binary once; it finds finished stages by itself.
    fn run_once(&self, sh: &Shell, scale: &ScaleRecipe, seed: u64, runs: &Path) -> anyhow::Result<()> {
        let experiment = scale.experiment_path();
        let (features, options) = self.arguments();
        let seed = seed.to_string();
        cmd!(
            sh,
            "cargo run --quiet -p userprint {features...} -- run {experiment} --runs {runs} --seed {seed} {options...}"
        )
        .run()?;
        Ok(())
    }

    /// What the choice of device and corpus adds to cargo's and to the binary's arguments.
    fn arguments(&self) -> (Vec<String>, Vec<String>) {
        let mut features = Vec::new();
        let mut options = Vec::new();
        if let Some(corpus) = &self.corpus {
            options.extend(["--corpus-path".to_owned(), corpus.path.display().to_string()]);
            options.extend(["--name".to_owned(), corpus.name.clone()]);
        }
        if let Some(backend) = self.backend {
            let name = backend.name();
            if backend != Backend::Cpu {
                let list = format!("cpu,{name}");
                features = vec!["--no-default-features".to_owned(), "--features".to_owned(), list];
            }
            options.extend(["--backend".to_owned(), name.to_owned()]);
        }
        (features, options)
    }
}

fn list() -> anyhow::Result<()> {
    for name in recipe::names()? {
        let recipe = Recipe::read(&name)?;
        let scales: Vec<_> = recipe
            .scales()
            .map(|(scale, recipe)| format!("{} (about {} min)", scale.name(), recipe.minutes))
            .collect();
        println!("{name}: {} Scales: {}.", recipe.shows, scales.join(", "));
    }
    Ok(())
}

fn read_results(folder: &Path) -> anyhow::Result<Value> {
    let path = folder.join("results.json");
    let text = fs::read_to_string(&path).with_context(|| format!("the run left no {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn summarise(run: &Run) {
    let results = &run.results;
    let (auroc, interval) = (&results["auroc"], &results["auroc_interval"]);
    let shown = |value: &Value| value.as_f64().map_or("?".to_owned(), |value| format!("{value:.3}"));
    println!("AUROC {} (95 % interval {} to {})", shown(auroc), shown(&interval[0]), shown(&interval[1]));
    println!("  report: {}", run.folder.join("report.html").display());
}

fn pool(sh: &Shell, runs: &[Run], out: &Path) -> anyhow::Result<()> {
    let folders: Vec<&Path> = runs.iter().map(|run| run.folder.as_path()).collect();
    cmd!(sh, "cargo run --quiet -p userprint -- pool {folders...} --out {out}").run()?;
    println!("  pooled: {}", out.display());
    Ok(())
}

/// An error that names every key out of range and every run that says it must not be used.
fn check(scale: &ScaleRecipe, runs: &[Run]) -> anyhow::Result<()> {
    let mut misses = Vec::new();
    for run in runs {
        let folder = run.folder.file_name().unwrap_or_default().to_string_lossy();
        misses.extend(scale.misses(&run.results).into_iter().map(|miss| format!("{folder}: {miss}")));
        for reason in run.results["void"].as_array().into_iter().flatten() {
            misses.push(format!("{folder}: void, {}", reason.as_str().unwrap_or("for no stated reason")));
        }
    }
    if !misses.is_empty() {
        bail!("not as expected:\n  {}", misses.join("\n  "));
    }
    println!("as expected");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reproduce(backend: Option<Backend>, corpus: Option<Corpus>) -> Reproduce {
        Reproduce {
            recipe: "attack".into(),
            scale: Scale::Desk,
            backend,
            corpus,
            seeds: NonZeroU32::MIN,
            runs: None,
            list: false,
        }
    }

    #[test]
    fn corpus_argument() {
        let corpus = parse_corpus("enron=a/b=c.parquet").unwrap();
        assert_eq!(corpus, Corpus { name: "enron".into(), path: "a/b=c.parquet".into() });
        assert!(parse_corpus("enron").is_err());
        assert!(parse_corpus("=path").is_err());
        assert!(parse_corpus("../x=path").is_err());
    }

    #[test]
    fn desk_without_a_corpus_gives_an_example() {
        let error = reproduce(None, None).check_corpus().unwrap_err().to_string();
        assert!(error.contains("--scale desk --corpus enron=enron.parquet"), "{error}");
    }

    #[test]
    fn arguments_follow_the_backend() {
        assert_eq!(reproduce(None, None).arguments(), (vec![], vec![]));
        assert_eq!(reproduce(Some(Backend::Cpu), None).arguments().0, Vec::<String>::new());
        let (features, options) =
            reproduce(Some(Backend::Cuda), parse_corpus("enron=e.parquet").ok()).arguments();
        assert_eq!(features, ["--no-default-features", "--features", "cpu,cuda"]);
        assert_eq!(options, ["--corpus-path", "e.parquet", "--name", "enron", "--backend", "cuda"]);
    }
}
