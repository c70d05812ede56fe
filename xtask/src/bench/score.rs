//! `cargo xtask bench score`: tokens per second on a corpus, beside a peer, once both agree.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use xshell::Shell;

use super::checkpoint::Checkpoint;
use super::program::{Outcome, Peer, Program, Programs, Scored, Texts};
use super::record::{HEADER_OF_SCORING, Record, ScoringRow};
use super::table::{Spread, grouped, megabytes, relative_difference};
use super::{Dtype, Setting, Setup};

/// How far sums of log-likelihoods in f32 may be apart, relative.
const SUMS_APART: f64 = 1e-5;

/// Tokens per second on a corpus, beside a peer, once both agree.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Score {
    #[command(flatten)]
    setup: Setup,
    /// Corpus with columns user_id and text; Parquet where there is a peer.
    #[arg(long, value_name = "FILE")]
    corpus: PathBuf,
    /// Only the first documents of the corpus.
    #[arg(long)]
    docs: Option<u64>,
    /// Documents of the comparison with batches in file order, which is slow.
    #[arg(long, default_value_t = 200)]
    naive_docs: u64,
    /// Tokens after which a document is cut.
    #[arg(long, default_value_t = 512)]
    max_tokens: u64,
    /// A Python with PyTorch and transformers, to run the peer in turn with us.
    #[arg(long, value_name = "PYTHON")]
    peer: Option<PathBuf>,
    /// The peer's program [default: ../shared/peers/score_hf.py, from the
    /// workspace].
    #[arg(long, value_name = "PATH")]
    peer_script: Option<PathBuf>,
    /// Also what moments cost, on the same documents.
    #[arg(long)]
    moments: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench score --checkpoint gpt-neo-125m --corpus texts.parquet \\
      --peer venv/bin/python --record
  cargo xtask bench score --checkpoint gpt-neo-125m --corpus texts.parquet \\
      --backend cpu,wgpu,cuda --dtype bf16 --moments

Each program runs once a round, in turn. Ratios are the median of the rounds',
above 1 where ours is faster. In f32 the sums of log-likelihoods must agree
within 1e-5, or nothing is said of speed.";

/// One program on some documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Job {
    program: Program,
    docs: Option<u64>,
}

/// A job with its outcome in each round.
struct Measured {
    job: Job,
    outcomes: Vec<Outcome>,
}

/// What is said of a job: against ours on the same documents, where it is not ours itself.
struct Summary {
    tokens_per_s: Spread,
    ours_is: Option<f64>,
    sums_apart: Option<f64>,
}

impl Score {
    pub(super) fn run(self, sh: &Shell, record: bool) -> anyhow::Result<()> {
        self.setup.check()?;
        ensure!(self.corpus.is_file(), "--corpus: there is no {}", self.corpus.display());
        let peer = Peer::find(self.peer.as_deref(), self.peer_script.as_deref(), "score_hf.py")?;
        let programs = Programs::new(sh, &self.setup, peer)?;
        let mut rows = Vec::new();
        for setting in self.setup.settings() {
            match self.measure(&programs, setting)? {
                Ok(measured) => {
                    self.say(setting, &measured)?;
                    rows.extend(self.rows(setting, &measured)?);
                }
                Err(reason) => println!("{}: not measured\n  {reason:#}\n", setting.name()),
            }
        }
        ensure!(!rows.is_empty(), "nothing could be measured");
        if record {
            let record = Record::open(sh, "-score", HEADER_OF_SCORING)?;
            record.append(rows.iter().map(ScoringRow::to_csv))?;
        }
        Ok(())
    }

    /// What runs in a round: ours before each program that it is held against.
    fn jobs(&self, dtype: Dtype) -> Vec<Job> {
        let few = Some(self.docs.map_or(self.naive_docs, |docs| docs.min(self.naive_docs)));
        let mut jobs = vec![Job { program: Program::Ours, docs: self.docs }];
        let mut add = |program, docs| {
            let ours = Job { program: Program::Ours, docs };
            if !jobs.contains(&ours) {
                jobs.push(ours);
            }
            jobs.push(Job { program, docs });
        };
        if self.peer.is_some() {
            add(Program::Sorted, self.docs);
        }
        if self.moments {
            add(Program::Moments, self.docs);
        }
        if self.peer.is_some() && dtype == Dtype::F32 {
            add(Program::Naive, few);
        }
        jobs
    }

    /// All rounds of a setting; the inner error is why ours cannot run.
    fn measure(
        &self,
        programs: &Programs<'_>,
        setting: Setting,
    ) -> anyhow::Result<anyhow::Result<Vec<Measured>>> {
        let measured = |job| Measured { job, outcomes: Vec::new() };
        let mut jobs: Vec<Measured> = self.jobs(setting.dtype).into_iter().map(measured).collect();
        for round in 1..=self.setup.rounds {
            for (at, measured) in jobs.iter_mut().enumerate() {
                let Job { program, docs } = measured.job;
                progress(&format!("{} {}, round {round}", setting.name(), program.name()));
                let texts = Texts { corpus: &self.corpus, docs, max_tokens: self.max_tokens };
                let outcome = match programs.run(program, setting, texts) {
                    Err(error) if at == 0 && round == 1 => return Ok(Err(error)),
                    outcome => outcome.with_context(|| format!("{}, {}", setting.name(), program.name()))?,
                };
                measured.outcomes.push(outcome);
            }
            for rival in &jobs {
                let (ours, theirs) = (last(ours_of(&jobs, rival)?)?, last(rival)?);
                agree(ours, theirs, setting.dtype).with_context(|| {
                    format!("{}: {} is not as ours", setting.name(), rival.job.program.name())
                })?;
            }
        }
        Ok(Ok(jobs))
    }

    fn say(&self, setting: Setting, jobs: &[Measured]) -> anyhow::Result<()> {
        println!("{}, texts cut at {} tokens", self.setup.say(setting), self.max_tokens);
        println!(
            "{:<14} {:>7} {:>9} {:>9} {:>16} {:>8} {:>9}",
            "", "texts", "tokens", "tokens/s", "least-most", "ours is", "sums"
        );
        for job in jobs {
            let (scored, summary) = (last(job)?, summary(jobs, job)?);
            let Spread { median, least, most } = summary.tokens_per_s;
            let program = job.job.program;
            let name = match program.is_ours() || scored.device == setting.backend.name() {
                true => program.name().to_owned(),
                false => format!("{} ({})", program.name(), scored.device),
            };
            let ours_is = summary.ours_is.map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default();
            let apart = summary.sums_apart.map(|apart| format!("{apart:.1e}")).unwrap_or_default();
            let line = format!(
                "{name:<14} {:>7} {:>9} {:>9} {:>16} {ours_is:>8} {apart:>9}",
                grouped(scored.docs as f64),
                grouped(scored.tokens as f64),
                grouped(median),
                format!("{}-{}", grouped(least), grouped(most)),
            );
            println!("{}", line.trim_end());
        }
        println!("{}\n", self.memory(setting.dtype, jobs));
        Ok(())
    }

    /// Peak memory of ours beside what its weights take.
    fn memory(&self, dtype: Dtype, jobs: &[Measured]) -> String {
        let Some(peak_bytes) = peak_bytes(&jobs[0]) else {
            return "peak memory: this system does not say".to_owned();
        };
        let peak = format!("peak memory of ours {}", megabytes(peak_bytes));
        match Checkpoint::read(&self.setup.checkpoint) {
            Ok(checkpoint) => {
                let weights = checkpoint.n_parameters * dtype.n_bytes();
                let over = (peak_bytes as f64 - weights as f64) / 1e6;
                format!("{peak}, of weights {}, beyond them {} MB", megabytes(weights), grouped(over))
            }
            Err(error) => format!("{peak}; of weights unknown, {error:#}"),
        }
    }

    fn rows(&self, setting: Setting, jobs: &[Measured]) -> anyhow::Result<Vec<ScoringRow>> {
        let mut rows = Vec::new();
        for job in jobs {
            let program = job.job.program;
            let ours = ours_of(jobs, job)?;
            let is_compared = jobs.iter().any(|other| other.job != job.job && other.job.docs == job.job.docs);
            if program == Program::Ours && is_compared {
                continue;
            }
            let (scored, rival) = (last(ours)?, summary(jobs, job)?);
            rows.push(ScoringRow {
                what: "score",
                setting,
                threads: self.setup.threads,
                max_tokens: self.max_tokens,
                docs: scored.docs,
                tokens: scored.tokens,
                tokens_per_s: summary(jobs, ours)?.tokens_per_s.median,
                peer: rival.ours_is.map(|ratio| (program.name(), rival.tokens_per_s.median, ratio)),
                peak_bytes: peak_bytes(ours),
            });
        }
        Ok(rows)
    }
}

/// Says what is running, on the error stream, where it is not part of the result.
#[expect(clippy::print_stderr, reason = "a run takes minutes")]
pub(super) fn progress(what: &str) {
    eprintln!("… {what}");
}

/// Ours on the same documents; a job of ours is its own.
fn ours_of<'a>(jobs: &'a [Measured], rival: &Measured) -> anyhow::Result<&'a Measured> {
    let ours = Job { program: Program::Ours, docs: rival.job.docs };
    jobs.iter().find(|job| job.job == ours).context("ours runs before each rival")
}

fn last(job: &Measured) -> anyhow::Result<&Scored> {
    let outcome = job.outcomes.last().context("each job runs in each round")?;
    Ok(&outcome.scored)
}

fn peak_bytes(job: &Measured) -> Option<u64> {
    job.outcomes.iter().filter_map(|outcome| outcome.peak_bytes).max()
}

fn summary(jobs: &[Measured], job: &Measured) -> anyhow::Result<Summary> {
    let rates = |job: &Measured| -> Vec<f64> {
        job.outcomes.iter().map(|outcome| outcome.scored.tokens_per_s).collect()
    };
    let ours = ours_of(jobs, job)?;
    let ratios = rates(ours).into_iter().zip(rates(job)).map(|(ours, theirs)| ours / theirs);
    let is_rival = job.job.program != Program::Ours;
    let apart = relative_difference(last(ours)?.sum_log_likelihood, last(job)?.sum_log_likelihood);
    Ok(Summary {
        tokens_per_s: Spread::of(rates(job).into_iter()).context("each job runs in each round")?,
        ours_is: Spread::of(ratios).map(|spread| spread.median).filter(|_| is_rival),
        sums_apart: is_rival.then_some(apart),
    })
}

/// A fast wrong program is not a result. In bf16 sums depend on where numbers are rounded, so they are shown only.
fn agree(ours: &Scored, theirs: &Scored, dtype: Dtype) -> anyhow::Result<()> {
    let counts = |scored: &Scored| (scored.docs, scored.tokens);
    let (found, expected) = (counts(ours), counts(theirs));
    ensure!(found == expected, "(texts, tokens) are {found:?} and {expected:?}");
    let (found, expected) = (ours.sum_log_likelihood, theirs.sum_log_likelihood);
    let apart = relative_difference(found, expected);
    let most = if dtype == Dtype::F32 { SUMS_APART } else { f64::MAX };
    ensure!(apart <= most, "sums of log-likelihoods are {found} and {expected}, {apart:.1e} apart");
    Ok(())
}
