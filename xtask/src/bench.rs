//! `cargo xtask bench`: how fast it is, on what, beside whom; and a record of it.

mod benches;
mod checkpoint;
mod lengths;
mod plot;
mod program;
mod record;
mod score;
mod split;
mod stats;
mod table;
mod train_step;

use std::path::PathBuf;

use anyhow::ensure;
use xshell::Shell;

use crate::backend::Backend;

/// Run the benches, or measure scoring, statistics or training steps; with
/// --record, keep the results.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    #[command(subcommand)]
    measured: Option<Measured>,
    /// Append the results to benches/record/<machine>/<date>.csv, those of
    /// scoring to <date>-score.csv, of statistics to <date>-stats.csv, of
    /// splits to <date>-split.csv, of training to <date>-train-step.csv.
    #[arg(long, global = true)]
    record: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench
  cargo xtask bench score --checkpoint gpt-neo-125m --corpus texts.parquet
  cargo xtask bench lengths --checkpoint gpt-neo-125m --plot lengths.svg
  cargo xtask bench stats --peer venv/bin/python
  cargo xtask bench split --documents 10000000 --peer venv/bin/python
  cargo xtask bench train-step --checkpoint gpt-neo-125m --rule clip --json";

#[derive(clap::Subcommand)]
enum Measured {
    /// Tokens per second on a corpus, beside a peer, once both agree.
    Score(score::Score),
    /// Tokens per second and FLOP rate by the length of texts.
    Lengths(lengths::Lengths),
    /// Seconds and memory of a split of a large corpus, beside a peer.
    Split(split::Split),
    /// Seconds of an AUROC with its bootstrap, beside a peer, once both agree.
    Stats(stats::Stats),
    /// Seconds and memory of a training step, beside a peer.
    TrainStep(train_step::TrainStep),
}

impl Bench {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        match self.measured {
            None => benches::run(sh, self.record),
            Some(Measured::Score(task)) => task.run(sh, self.record),
            Some(Measured::Lengths(task)) => task.run(sh, self.record),
            Some(Measured::Split(task)) => task.run(sh, self.record),
            Some(Measured::Stats(task)) => task.run(sh, self.record),
            Some(Measured::TrainStep(task)) => task.run(sh, self.record),
        }
    }
}

/// How weights and inputs of products are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Dtype {
    F32,
    Bf16,
}

impl Dtype {
    /// The name on the binary's command line.
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// PyTorch's name, which the peer takes and which both print.
    fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Memory of one number.
    fn n_bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// Where and in what numbers the model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setting {
    backend: Backend,
    dtype: Dtype,
}

impl Setting {
    fn name(self) -> String {
        format!("{} {}", self.backend.name(), self.dtype.name())
    }
}

/// What both measurements of scoring are told.
#[derive(clap::Args)]
struct Setup {
    /// Folder of the model.
    #[arg(long, value_name = "FOLDER")]
    checkpoint: PathBuf,
    /// Where it runs, one after the other; one that is missing is reported.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "cpu")]
    backend: Vec<Backend>,
    /// Numbers that weights and inputs of products are kept in.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32,bf16")]
    dtype: Vec<Dtype>,
    /// Threads on the processor, of ours and of the peer.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Tokens of a batch on a GPU, of ours and of the peer.
    #[arg(long, default_value_t = 4096)]
    batch_tokens: u32,
    /// How often everything is run, in turn; what is said is the median.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// A binary that is built already; without it, the development build of
    /// this tree with the features that the backends need.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl Setup {
    fn check(&self) -> anyhow::Result<()> {
        let config = self.checkpoint.join("config.json");
        ensure!(config.is_file(), "--checkpoint: there is no {}", config.display());
        Ok(())
    }

    fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for &backend in &self.backend {
            settings.extend(self.dtype.iter().map(|&dtype| Setting { backend, dtype }));
        }
        settings
    }

    /// What the numbers of a table were taken under.
    fn say(&self, setting: Setting) -> String {
        let threads = match setting.backend {
            Backend::Cpu => format!(", {} threads", self.threads),
            Backend::Wgpu | Backend::Cuda => String::new(),
        };
        let rounds = if self.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", self.rounds) };
        format!("{}{threads}, {rounds}", setting.name())
    }
}
