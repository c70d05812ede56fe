//! `cargo xtask bench train-step`: seconds and memory of a training step, beside a peer.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;
use xshell::Shell;

use super::program::{Peer, Ran, build, parse, run_once};
use super::record::{HEADER_OF_STEPS, Record};
use super::score::progress;
use super::table::{Spread, megabytes};

/// Seconds and memory of a training step, beside a peer.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TrainStep {
    /// Folder of the model.
    #[arg(long, value_name = "FOLDER")]
    checkpoint: PathBuf,
    /// What a step makes of gradients: the mean over all tokens, each example's
    /// or each user's of two examples clipped, with noise or without; several
    /// are run in turn.
    #[arg(long = "rule", value_name = "RULE", value_enum, value_delimiter = ',', default_value = "plain")]
    rules: Vec<Rule>,
    /// Sequences a step.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Tokens a sequence.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    block: u32,
    /// Timed steps of a round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// How often both are run, in turn; what is said is the median.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// A Python with PyTorch, transformers and Opacus, to run the peer in turn
    /// with us.
    #[arg(long, value_name = "PYTHON")]
    peer: Option<PathBuf>,
    /// The peer's program [default: ../shared/peers/finetune_hf.py, from the
    /// workspace].
    #[arg(long, value_name = "PATH")]
    peer_script: Option<PathBuf>,
    /// Print what the programs say, a line of JSON each, and nothing else.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench train-step --checkpoint gpt-neo-125m --rule clip --json
  cargo xtask bench train-step --checkpoint gpt-neo-125m --rounds 3 \\
      --peer venv/bin/python --record

The first two steps of a round warm up. What is trained is checked elsewhere: by
the tests, step by step against PyTorch and norm by norm against Opacus.
Opacus has no tied head: beside clip and dp it trains more parameters than we do.";

/// What a step makes of gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Rule {
    /// The mean over all tokens.
    Plain,
    /// Each example's is clipped.
    Clip,
    /// The same with noise.
    Dp,
    /// Each user's, of two examples, is clipped.
    UserClip,
    /// The same with noise.
    UserDp,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Clip => "clip",
            Self::Dp => "dp",
            Self::UserClip => "user-clip",
            Self::UserDp => "user-dp",
        }
    }

    /// Whether the peer has it too.
    fn is_shared(self) -> bool {
        matches!(self, Self::Plain | Self::Clip | Self::Dp)
    }
}

/// What both programs say of a round.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Timed {
    median_step_s: f64,
}

/// All rounds of one program.
#[derive(Default)]
struct Rounds {
    timed: Vec<Timed>,
    said: Vec<Value>,
    peak_bytes: Option<u64>,
}

impl Rounds {
    fn run(&mut self, command: Command, folder: &std::path::Path) -> anyhow::Result<()> {
        let Ran { stdout, peak_bytes } = run_once(command, folder)?;
        self.timed.push(parse(&stdout)?);
        self.said.push(parse(&stdout)?);
        self.peak_bytes = self.peak_bytes.max(peak_bytes);
        Ok(())
    }

    fn seconds(&self) -> anyhow::Result<Spread> {
        Spread::of(self.timed.iter().map(|round| round.median_step_s))
            .context("each program runs in each round")
    }

    fn row(&self, rule: &str, name: &str) -> anyhow::Result<String> {
        let Spread { median, least, most } = self.seconds()?;
        let peak = self.peak_bytes.map(megabytes).unwrap_or_default();
        Ok(format!("{rule:<10} {name:<5} {median:>9.3} {:>16} {peak:>9}", format!("{least:.3}-{most:.3}")))
    }
}

/// What both took of one rule.
#[derive(Default)]
struct Pair {
    ours: Rounds,
    theirs: Rounds,
}

impl TrainStep {
    pub(super) fn run(self, sh: &Shell, record: bool) -> anyhow::Result<()> {
        let peer = Peer::find(self.peer.as_deref(), self.peer_script.as_deref(), "finetune_hf.py")?;
        let built = build(sh, &[])?;
        let folder = sh.create_temp_dir()?;
        let checkpoint = self
            .checkpoint
            .canonicalize()
            .with_context(|| format!("{}: there is no such folder", self.checkpoint.display()))?;
        let mut pairs: Vec<Pair> = self.rules.iter().map(|_| Pair::default()).collect();
        for round in 1..=self.rounds {
            for (&rule, pair) in self.rules.iter().zip(&mut pairs) {
                progress(&format!("round {round}, {}", rule.name()));
                let mut command = Command::new(built.join("train-step"));
                pair.ours.run(self.told(rule, command.arg(&checkpoint)), folder.path())?;
                let shared = peer.as_ref().filter(|_| rule.is_shared());
                let Some(Peer { python, script }) = shared else { continue };
                let mut command = Command::new(python);
                pair.theirs.run(self.told(rule, command.arg(script).arg(&checkpoint)), folder.path())?;
            }
        }
        if self.json {
            let said = pairs.iter().flat_map(|pair| pair.ours.said.iter().chain(&pair.theirs.said));
            said.for_each(|line| println!("{line}"));
        } else {
            self.say(&pairs)?;
        }
        if record { self.record(sh, &pairs) } else { Ok(()) }
    }

    /// What either program is told.
    fn told(&self, rule: Rule, command: &mut Command) -> Command {
        let mut told = Command::new(command.get_program());
        told.args(command.get_args()).args(["--rule", rule.name()]);
        for (name, number) in [("--batch", self.batch), ("--block", self.block), ("--steps", self.steps)] {
            told.arg(name).arg(number.to_string());
        }
        told
    }

    fn say(&self, pairs: &[Pair]) -> anyhow::Result<()> {
        let first = self.rules[0].name();
        println!("{} x {} tokens, {} rounds, seconds a step", self.batch, self.block, self.rounds);
        println!("{:<16} {:>9} {:>16} {:>9}", "", "median", "least-most", "memory");
        for (rule, Pair { ours, theirs }) in self.rules.iter().map(|rule| rule.name()).zip(pairs) {
            println!("{}{}", ours.row(rule, "ours")?, over(ours, &pairs[0].ours, first));
            if let Some(ratio) = ratio(ours, theirs) {
                println!("{}{}", theirs.row(rule, "peer")?, over(theirs, &pairs[0].theirs, first));
                println!("{rule:<10} ours is {ratio:.2} x as fast");
            }
        }
        Ok(())
    }

    fn record(&self, sh: &Shell, pairs: &[Pair]) -> anyhow::Result<()> {
        let bytes = |rounds: &Rounds| rounds.peak_bytes.map(|n| n.to_string()).unwrap_or_default();
        let name = self.checkpoint.file_name().unwrap_or_default().to_string_lossy();
        let row = |(rule, Pair { ours, theirs }): (&Rule, &Pair)| {
            Ok(format!(
                "{name},{},{},{},{:.4},{},{},{},{}",
                rule.name(),
                self.batch,
                self.block,
                ours.seconds()?.median,
                theirs.seconds().map(|seconds| format!("{:.4}", seconds.median)).unwrap_or_default(),
                ratio(ours, theirs).map(|ratio| format!("{ratio:.3}")).unwrap_or_default(),
                bytes(ours),
                bytes(theirs),
            ))
        };
        let rows: anyhow::Result<Vec<String>> = self.rules.iter().zip(pairs).map(row).collect();
        Record::open(sh, "-train-step", HEADER_OF_STEPS)?.append(rows?.into_iter())
    }
}

/// How many times as long as the first rule's, by the median of rounds.
fn over(rounds: &Rounds, first: &Rounds, name: &str) -> String {
    let is_first = std::ptr::eq(rounds, first);
    let times = ratio(first, rounds).filter(|_| !is_first);
    times.map(|times| format!("  {times:.2} x {name}")).unwrap_or_default()
}

/// How many times as fast ours is, by the median of rounds.
fn ratio(ours: &Rounds, theirs: &Rounds) -> Option<f64> {
    let pairs = ours.timed.iter().zip(&theirs.timed);
    Spread::of(pairs.map(|(ours, theirs)| theirs.median_step_s / ours.median_step_s))
        .map(|spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(seconds: &[f64]) -> Rounds {
        let timed = seconds.iter().map(|&median_step_s| Timed { median_step_s });
        Rounds { timed: timed.collect(), ..Rounds::default() }
    }

    #[test]
    fn ratios_are_of_rounds() {
        assert_eq!(ratio(&rounds(&[2.0, 1.0, 4.0]), &rounds(&[4.0, 1.0, 16.0])), Some(2.0));
        assert_eq!(ratio(&rounds(&[2.0]), &Rounds::default()), None);
    }
}
