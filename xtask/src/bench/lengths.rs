//! `cargo xtask bench lengths`: tokens per second and FLOP rate by the length of texts.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use xshell::Shell;

use super::checkpoint::Checkpoint;
use super::plot::{self, Line};
use super::program::{Outcome, Program, Programs, Texts};
use super::record::{HEADER_OF_SCORING, Record, ScoringRow};
use super::score::progress;
use super::table::{Spread, grouped};
use super::{Setting, Setup};

/// Tokens of a text, from short messages to the whole context of usual models.
const LENGTHS: [u64; 6] = [16, 64, 256, 512, 1024, 2048];

/// Words that are one token each for usual tokenizers.
const WORDS: [&str; 32] = [
    "the", "of", "and", "to", "in", "is", "it", "for", "on", "was", "as", "with", "be", "by", "that", "this",
    "at", "from", "are", "or", "an", "not", "have", "one", "had", "but", "all", "were", "when", "we", "can",
    "more",
];

/// Tokens per second and FLOP rate by the length of texts.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Lengths {
    #[command(flatten)]
    setup: Setup,
    /// About how many tokens are scored at each length.
    #[arg(long, default_value_t = 16_384, value_parser = clap::value_parser!(u64).range(1..))]
    tokens: u64,
    /// Where to draw tokens per second against length, as SVG.
    #[arg(long, value_name = "PATH")]
    plot: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench lengths --checkpoint gpt-neo-125m
  cargo xtask bench lengths --checkpoint gpt-neo-125m --dtype bf16 \\
      --rounds 3 --plot lengths.svg --record

The texts are runs of common English words, made up here. FLOP are those of the
weights' matrices, the head and attention; a rate is also shown as a share of
the best.";

/// What one length gave.
#[derive(Clone, Copy, Debug)]
struct AtLength {
    length: u64,
    docs: u64,
    tokens: u64,
    tokens_per_s: Spread,
    flop_per_token: f64,
    peak_bytes: Option<u64>,
}

impl AtLength {
    fn flop_rate(&self) -> f64 {
        self.tokens_per_s.median * self.flop_per_token
    }
}

impl Lengths {
    pub(super) fn run(self, sh: &Shell, record: bool) -> anyhow::Result<()> {
        self.setup.check()?;
        let checkpoint = Checkpoint::read(&self.setup.checkpoint)?;
        let lengths: Vec<u64> = LENGTHS.into_iter().filter(|length| *length <= checkpoint.context).collect();
        let programs = Programs::new(sh, &self.setup, None)?;
        for &length in &lengths {
            fs::write(corpus(programs.folder(), length), texts(length, self.n_docs(length)))?;
        }
        let mut measured = Vec::new();
        for setting in self.setup.settings() {
            match self.measure(&programs, setting, &lengths)? {
                Ok(rounds) => {
                    let by_length = summarise(&checkpoint, &lengths, &rounds)?;
                    self.say(setting, &by_length);
                    measured.push((setting, by_length));
                }
                Err(reason) => println!("{}: not measured\n  {reason:#}\n", setting.name()),
            }
        }
        ensure!(!measured.is_empty(), "nothing could be measured");
        if let Some(path) = &self.plot {
            fs::write(path, plot::svg(&lines(&measured))?).with_context(|| path.display().to_string())?;
            println!("drew {}", path.display());
        }
        if record {
            let record = Record::open(sh, "-score", HEADER_OF_SCORING)?;
            record.append(measured.iter().flat_map(|(setting, by_length)| {
                by_length.iter().map(|at| self.row(*setting, at).to_csv())
            }))?;
        }
        Ok(())
    }

    /// The first token of a text is not scored.
    fn n_docs(&self, length: u64) -> u64 {
        self.tokens.div_ceil(length - 1)
    }

    /// The outcomes of each length, round by round; the inner error is why none could run.
    fn measure(
        &self,
        programs: &Programs<'_>,
        setting: Setting,
        lengths: &[u64],
    ) -> anyhow::Result<anyhow::Result<Vec<Vec<Outcome>>>> {
        let mut outcomes = vec![Vec::new(); lengths.len()];
        for round in 1..=self.setup.rounds {
            for (at, &length) in lengths.iter().enumerate() {
                progress(&format!("{} length {length}, round {round}", setting.name()));
                let corpus = corpus(programs.folder(), length);
                let texts = Texts { corpus: &corpus, docs: None, max_tokens: length };
                let outcome = match programs.run(Program::Ours, setting, texts) {
                    Err(error) if at == 0 && round == 1 => return Ok(Err(error)),
                    outcome => outcome?,
                };
                let (found, expected) = (outcome.scored.tokens, self.n_docs(length) * (length - 1));
                ensure!(
                    found == expected,
                    "texts of {length} tokens: {found} were scored, {expected} expected"
                );
                outcomes[at].push(outcome);
            }
        }
        Ok(Ok(outcomes))
    }

    fn say(&self, setting: Setting, by_length: &[AtLength]) {
        println!("{}", self.setup.say(setting));
        println!(
            "{:>6} {:>6} {:>8} {:>9} {:>16} {:>11} {:>8} {:>7}",
            "length", "texts", "tokens", "tokens/s", "least-most", "MFLOP/token", "GFLOP/s", "of best"
        );
        let best = by_length.iter().map(AtLength::flop_rate).fold(0.0, f64::max);
        for at in by_length {
            let Spread { median, least, most } = at.tokens_per_s;
            println!(
                "{:>6} {:>6} {:>8} {:>9} {:>16} {:>11.1} {:>8.1} {:>7.2}",
                at.length,
                grouped(at.docs as f64),
                grouped(at.tokens as f64),
                grouped(median),
                format!("{}-{}", grouped(least), grouped(most)),
                at.flop_per_token / 1e6,
                at.flop_rate() / 1e9,
                at.flop_rate() / best,
            );
        }
        println!();
    }

    fn row(&self, setting: Setting, at: &AtLength) -> ScoringRow {
        ScoringRow {
            what: "lengths",
            setting,
            threads: self.setup.threads,
            max_tokens: at.length,
            docs: at.docs,
            tokens: at.tokens,
            tokens_per_s: at.tokens_per_s.median,
            peer: None,
            peak_bytes: at.peak_bytes,
        }
    }
}

fn corpus(folder: &Path, length: u64) -> PathBuf {
    folder.join(format!("length-{length}.jsonl"))
}

/// Texts of `length` words, the same at each call.
fn texts(length: u64, n_docs: u64) -> String {
    let mut text = String::new();
    let mut state = length;
    for doc in 0..n_docs {
        let words: Vec<&str> = (0..length).map(|_| WORDS[next(&mut state)]).collect();
        // Words are letters only, so they need no escaping.
        writeln!(text, r#"{{"user_id": "{}", "text": "{}"}}"#, doc % 10, words.join(" "))
            .expect("a string takes all");
    }
    text
}

/// A place in the list of words, by a linear congruential generator (Knuth's MMIX).
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % WORDS.len()
}

fn summarise(
    checkpoint: &Checkpoint,
    lengths: &[u64],
    rounds: &[Vec<Outcome>],
) -> anyhow::Result<Vec<AtLength>> {
    let at = lengths.iter().zip(rounds).map(|(&length, outcomes)| {
        let rates = outcomes.iter().map(|outcome| outcome.scored.tokens_per_s);
        let last = &outcomes.last().context("each length is scored in each round")?.scored;
        Ok(AtLength {
            length,
            docs: last.docs,
            tokens: last.tokens,
            tokens_per_s: Spread::of(rates).context("each length is scored in each round")?,
            flop_per_token: checkpoint.flop_per_token(length),
            peak_bytes: outcomes.iter().filter_map(|outcome| outcome.peak_bytes).max(),
        })
    });
    at.collect()
}

fn lines(measured: &[(Setting, Vec<AtLength>)]) -> Vec<Line> {
    let line = |(setting, by_length): &(Setting, Vec<AtLength>)| Line {
        name: setting.name(),
        points: by_length.iter().map(|at| (at.length as f64, at.tokens_per_s.median)).collect(),
    };
    measured.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_length() {
        let corpus = texts(16, 3);
        assert_eq!(corpus, texts(16, 3));
        let mut seen = Vec::new();
        for line in corpus.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = line["text"].as_str().unwrap().to_owned();
            assert_eq!(text.split(' ').count(), 16);
            seen.push(text);
        }
        seen.dedup();
        assert_eq!(seen.len(), 3);
    }
}
