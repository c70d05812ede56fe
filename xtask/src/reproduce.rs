//! `cargo xtask reproduce`: run recipes through the binary and say which of their claims hold.

mod results;

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::backend::Backend;
use crate::project_root;
use crate::recipe::{self, Recipe, Scale};

/// Repeat results of the paper and say which of their claims hold; exits with an
/// error where one is contradicted.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Reproduce {
    /// Names of files in xtask/recipes, or `all`.
    #[arg(default_value = "attack")]
    recipes: Vec<String>,
    /// How much is run.
    #[arg(long, value_enum, default_value = "smoke")]
    scale: Scale,
    /// Where the models run; without it, what the experiment says.
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// A corpus of your own, above smoke scale, as NAME=PATH.
    #[arg(long, value_parser = parse_corpus)]
    corpus: Option<Corpus>,
    /// Number of runs, from seed 1 upwards, instead of the recipe's seeds.
    #[arg(long)]
    seeds: Option<NonZeroU32>,
    #[command(flatten)]
    binary: Binary,
    /// Keep what is found in docs/results.
    #[arg(long)]
    record: bool,
    /// Say what the recipes would take, from a few steps and texts, and stop.
    #[arg(long, conflicts_with = "record")]
    estimate: bool,
    /// List the recipes and stop.
    #[arg(long)]
    list: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask reproduce --list
  cargo xtask reproduce dedup
  cargo xtask reproduce dedup --estimate
  cargo xtask reproduce all --scale desk --corpus enron=enron.parquet --record

Runs go on where they stopped, and recipes share every stage that is the same.";

/// What a grid leaves, in the folder of what is found.
const OUTCOME: &str = "grid.json";

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

impl Reproduce {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        if self.list {
            return list();
        }
        self.check_corpus()?;
        let names = names(&self.recipes, self.scale)?;
        let start = Instant::now();
        let (mut contradicted, mut failed) = (Vec::new(), Vec::new());
        for name in &names {
            match self.run_recipe(sh, name) {
                Ok(true) => {}
                Ok(false) => contradicted.push(name.as_str()),
                // The others may well do.
                Err(error) => failed.push(format!("{name}: {error:#}")),
            }
        }
        println!("{:.0} s in all", start.elapsed().as_secs_f64());
        if !failed.is_empty() {
            bail!("failed:\n  {}", failed.join("\n  "));
        }
        if !contradicted.is_empty() {
            bail!("contradicted: a claim of {}", contradicted.join(", "));
        }
        Ok(())
    }

    fn check_corpus(&self) -> anyhow::Result<()> {
        let example = format!(
            "cargo xtask reproduce {} --scale desk --corpus enron=enron.parquet",
            self.recipes.join(" ")
        );
        match (self.scale, &self.corpus) {
            (Scale::Desk | Scale::Paper, None) => {
                bail!("--scale {} needs a corpus of your own, for example `{example}`", self.scale.name())
            }
            (Scale::Smoke, Some(_)) => {
                bail!("--scale smoke uses the synthetic population, did you mean `{example}`?")
            }
            (Scale::Desk | Scale::Paper, Some(corpus)) if !corpus.path.exists() => {
                bail!("there is no corpus at {}", corpus.path.display())
            }
            _ => Ok(()),
        }
    }

    /// Runs a recipe; the answer is whether no claim is contradicted.
    fn run_recipe(&self, sh: &Shell, name: &str) -> anyhow::Result<bool> {
        let recipe = Recipe::read(name)?;
        let scale = recipe.at(self.scale)?;
        println!("{name}: {}", recipe.shows);
        println!("published: {}", recipe.published);
        println!("about {} minutes at this scale", scale.minutes);
        let runs = self.binary.runs();
        let corpus = self.corpus.as_ref().map_or("synthetic", |corpus| corpus.name.as_str());
        // One folder a scale and corpus, in which recipes find each other's stages.
        let own = format!("{}-{corpus}", self.scale.name());
        let runs = runs.join(&own);
        let grid = GridRun::new(&runs, name, &recipe.grid(name, self.scale)?)?;
        let (program, first) = self.binary.program(self.backend);
        let (arguments, options) = (&grid.arguments, self.options());
        let command = cmd!(sh, "{program} {first...} {arguments...} {options...}");
        if self.estimate {
            command.run()?;
            return Ok(true);
        }
        grid.forget()?;
        let ran = command.run();
        let is_contradicted = grid.is_contradicted(ran.map_err(anyhow::Error::from))?;
        if self.record {
            results::record(sh, name, &recipe, &self.told(name), &own, &grid.out)?;
        }
        Ok(!is_contradicted)
    }

    /// The command that repeats this recipe.
    fn told(&self, name: &str) -> String {
        let mut told = format!("cargo xtask reproduce {name} --scale {}", self.scale.name());
        if let Some(corpus) = &self.corpus {
            told += &format!(" --corpus {}=PATH", corpus.name);
        }
        if let Some(seeds) = self.seeds {
            told += &format!(" --seeds {seeds}");
        }
        if let Some(backend) = self.backend {
            told += &format!(" --backend {}", backend.name());
        }
        told
    }

    /// What the choice of device, seeds and corpus adds to the binary's arguments.
    fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        if self.estimate {
            options.push("--estimate".to_owned());
        }
        if let Some(corpus) = &self.corpus {
            options.extend(["--corpus-path".to_owned(), corpus.path.display().to_string()]);
        }
        if let Some(backend) = self.backend {
            options.extend(["--backend".to_owned(), backend.name().to_owned()]);
        }
        if let Some(seeds) = self.seeds {
            options.push("--seeds".to_owned());
            options.extend((1..=seeds.get()).map(|seed| seed.to_string()));
        }
        options
    }
}

/// The recipes that are asked for; of all, those that have the scale.
pub(crate) fn names(asked: &[String], scale: Scale) -> anyhow::Result<Vec<String>> {
    if asked.iter().all(|name| name != "all") {
        return Ok(asked.to_vec());
    }
    let mut names = Vec::new();
    for name in recipe::names()? {
        if Recipe::read(&name)?.at(scale).is_ok() {
            names.push(name);
        }
    }
    Ok(names)
}

/// The binary that runs grids, and where.
#[derive(Default, clap::Args)]
pub(crate) struct Binary {
    /// Folder of the run folders; without it, `runs` in the workspace.
    #[arg(long)]
    runs: Option<PathBuf>,
    /// A userprint that is built already.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl Binary {
    /// The folder of the run folders.
    pub(crate) fn runs(&self) -> PathBuf {
        self.runs.clone().unwrap_or_else(|| project_root().join("runs"))
    }

    /// The binary, or cargo with what makes it run the binary.
    pub(crate) fn program(&self, backend: Option<Backend>) -> (PathBuf, Vec<String>) {
        if let Some(binary) = &self.binary {
            return (binary.clone(), Vec::new());
        }
        let mut arguments: Vec<String> = ["run", "--quiet", "-p", "userprint"].map(str::to_owned).to_vec();
        if let Some(backend) = backend.filter(|backend| *backend != Backend::Cpu) {
            let features = format!("cpu,{}", backend.name());
            arguments.extend(["--no-default-features".to_owned(), "--features".to_owned(), features]);
        }
        arguments.push("--".to_owned());
        (PathBuf::from("cargo"), arguments)
    }
}

/// A recipe's grid on its way through the binary.
pub(crate) struct GridRun {
    /// What the binary is told.
    pub(crate) arguments: Vec<String>,
    /// Folder of what is found.
    out: PathBuf,
}

impl GridRun {
    /// Writes the grid file beside the run folders.
    pub(crate) fn new(runs: &Path, name: &str, grid: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(runs).with_context(|| runs.display().to_string())?;
        let (file, out) = (runs.join(format!("{name}.toml")), runs.join(format!("{name}-results")));
        fs::write(&file, grid)?;
        let shown = |path: &Path| path.display().to_string();
        let arguments =
            ["mitigate", &shown(&file), "--runs", &shown(runs), "--out", &shown(&out), "--name", name];
        Ok(Self { arguments: arguments.map(str::to_owned).to_vec(), out })
    }

    /// What an earlier run found is not what this one does.
    pub(crate) fn forget(&self) -> anyhow::Result<()> {
        let outcome = self.out.join(OUTCOME);
        if outcome.exists() {
            fs::remove_file(&outcome).with_context(|| outcome.display().to_string())?;
        }
        Ok(())
    }

    /// Whether a claim is contradicted, which makes the binary fail too; an error where it failed of another reason.
    pub(crate) fn is_contradicted(&self, ran: anyhow::Result<()>) -> anyhow::Result<bool> {
        let is_contradicted = read(&self.out.join(OUTCOME)).is_ok_and(|found| has_contradicted(&found));
        // It says itself what is wrong.
        if is_contradicted { Ok(true) } else { ran.map(|()| false) }
    }
}

fn list() -> anyhow::Result<()> {
    for name in recipe::names()? {
        let recipe = Recipe::read(&name)?;
        let scales: Vec<_> = recipe
            .scales()
            .map(|(scale, recipe)| format!("{} (about {} min)", scale.name(), recipe.minutes))
            .collect();
        println!("{name}: {}", recipe.shows);
        println!("    published: {}", recipe.published);
        println!("    claims: {}", recipe.claims().join("; "));
        println!("    scales: {}", scales.join(", "));
    }
    Ok(())
}

/// A file of JSON.
pub(crate) fn read(path: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn has_contradicted(outcome: &Value) -> bool {
    let claims = outcome["claims"].as_array();
    claims.into_iter().flatten().any(|claim| claim["verdict"] == "contradicted")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reproduce(backend: Option<Backend>, corpus: Option<Corpus>) -> Reproduce {
        Reproduce {
            recipes: vec!["attack".into()],
            scale: Scale::Desk,
            backend,
            corpus,
            seeds: NonZeroU32::new(2),
            binary: Binary::default(),
            record: false,
            estimate: false,
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
        assert_eq!(Binary::default().program(None).1, ["run", "--quiet", "-p", "userprint", "--"]);
        assert_eq!(reproduce(Some(Backend::Cpu), None).options(), ["--backend", "cpu", "--seeds", "1", "2"]);
        let with_cuda = reproduce(Some(Backend::Cuda), parse_corpus("enron=e.parquet").ok());
        assert_eq!(
            Binary::default().program(Some(Backend::Cuda)).1[4..],
            ["--no-default-features", "--features", "cpu,cuda", "--"].map(String::from)
        );
        assert_eq!(
            with_cuda.options(),
            ["--corpus-path", "e.parquet", "--backend", "cuda", "--seeds", "1", "2"]
        );
    }
}
