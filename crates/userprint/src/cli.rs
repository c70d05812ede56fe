//! Commands and options.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};

use crate::account::AccountCommand;
use crate::backend::BackendName;
use crate::corpus::CorpusCommand;
use crate::experiment::RawExperiment;
use crate::grid::{self, MitigateArgs};
use crate::model::ModelCommand;
use crate::pipeline::{Pipeline, Stage};
use crate::pool;
use crate::score::{self, ScoreArgs};
use crate::stats::{self, StatsArgs};

const EXAMPLES: &str = "\
Examples:
  userprint example > experiment.toml      an experiment file to start from
  userprint run experiment.toml            all of it; what is done is skipped
  userprint run experiment.toml --seed 2   another split, in another folder
  userprint run experiment.toml --until score
                                           stop after scoring
  userprint mitigate grid.toml             variants of it, compared
  userprint score gpt-neo-125m corpus.parquet --out scores.parquet
                                           log-likelihoods under one model
  userprint pool runs/a-seed1 runs/a-seed2 --out pooled.json
                                           one AUROC from several seeds
  userprint stats runs/a-seed1/statistics.parquet
                                           AUROC, interval, TPR at FPR
  userprint account noise --epsilon 8 --sampling-probability 0.025 \
      --steps 1200 --delta 1e-6            the noise for a guarantee
  userprint model inspect gpt-neo-125m     what a checkpoint holds";

const RUN_EXAMPLES: &str = "\
Examples:
  userprint run experiment.toml --seed 2 --runs runs
  userprint run experiment.toml --until train

Stages, each of which is skipped where it is done:
  prepare   reads the corpus and splits its users
  pretrain  pre-trains the reference on the public users, or checks it
  train     fine-tunes the target on the held-in users
  score     scores all attack examples under both models, and under each
            checkpoint that `checkpoint_every` in [target.training] kept
  attack    writes statistics.parquet and results.json
  report    writes report.html";

/// Tell, with evidence, whether a person's data was used to fine-tune a language model.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 80)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say nothing but results and errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an experiment from corpus to report.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Run an experiment in variants, and compare exposure and utility.
    #[command(after_help = grid::EXAMPLES)]
    Mitigate(Box<MitigateArgs>),
    /// Score every text of a corpus under one model and write a score table.
    #[command(after_help = score::EXAMPLES)]
    Score(Box<ScoreArgs>),
    /// Look at a corpus, and split it, at any size.
    #[command(subcommand)]
    Corpus(CorpusCommand),
    /// Pool several seeds of one corpus into one AUROC with an interval over users.
    #[command(after_help = "Example: userprint pool runs/a-seed1 runs/a-seed2 --out pooled.json")]
    Pool(PoolArgs),
    /// Judge a column of a table of statistics: AUROC, its interval, TPR at FPR.
    #[command(after_help = stats::EXAMPLES)]
    Stats(StatsArgs),
    /// What a private training guarantees, the noise that a guarantee needs,
    /// and what an audit shows.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Look at a checkpoint, merge an adapter, fetch one.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Print an experiment file to start from.
    #[command(after_help = "Example: userprint example > experiment.toml")]
    Example,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// The experiment file (TOML); `userprint example` prints one.
    experiment: PathBuf,
    /// The last stage.
    #[arg(long, value_enum, default_value = "report")]
    until: Stage,
    /// Folder of the run folders.
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// Seed of every draw, instead of the file's.
    #[arg(long)]
    seed: Option<u64>,
    /// Name of the run folder, instead of the file's.
    #[arg(long)]
    name: Option<String>,
    /// Corpus file, instead of the experiment's.
    #[arg(long)]
    corpus_path: Option<PathBuf>,
    /// Where the models run, instead of the experiment's.
    #[arg(long, value_enum)]
    backend: Option<BackendName>,
    /// Devices that share the work of training: GPUs, or parts of the
    /// processor's threads. Changes rounding alone.
    #[arg(long, value_name = "N", default_value = "1")]
    devices: NonZeroUsize,
    /// Connect to nothing: a model of the hub must be in the cache.
    #[arg(long)]
    offline: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PoolArgs {
    /// Run folders of the same experiment at different seeds.
    #[arg(required = true, num_args = 1..)]
    pub(crate) folders: Vec<PathBuf>,
    /// Where to write the result (JSON).
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Resamples of users behind the interval.
    #[arg(long, default_value_t = 2000)]
    pub(crate) resamples: u32,
}

impl Cli {
    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run(args) => args.run(),
            Command::Mitigate(args) => {
                let answer = args.run()?;
                say(&answer.text)?;
                ensure!(!answer.is_contradicted, "a claim is contradicted");
                Ok(())
            }
            Command::Score(args) => say(&args.run()?),
            Command::Corpus(command) => say(&command.run()?),
            Command::Stats(args) => say(&args.run()?),
            Command::Account(command) => {
                let answer = command.run()?;
                say(&answer.text)?;
                ensure!(!answer.is_refuted, "the audit refutes the claim");
                Ok(())
            }
            Command::Pool(args) => say(&pool::pool(&args)?),
            Command::Model(command) => say(&command.run()?),
            Command::Example => say(include_str!("../example.toml").trim_end()),
        }
    }
}

impl RunArgs {
    fn run(self) -> anyhow::Result<()> {
        let mut raw = RawExperiment::read(&self.experiment)?;
        raw.seed = self.seed.unwrap_or(raw.seed);
        raw.name = self.name.unwrap_or(raw.name);
        raw.backend = self.backend.unwrap_or(raw.backend);
        if self.corpus_path.is_some() {
            raw.corpus.path = self.corpus_path;
        }
        let experiment = raw.check()?;
        let folder = self.runs.join(format!("{}-seed{}", experiment.raw.name, experiment.raw.seed));
        let summary = Pipeline::open(experiment, &folder, self.devices, self.offline)?.run(self.until)?;
        say(&summary)
    }
}

/// Prints what was asked for; a reader that has gone is no error.
fn say(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output"),
    }
}
