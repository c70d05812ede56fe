//! `cargo xtask bench split`: seconds and memory of a split of a large corpus, beside a peer, once both agree.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use xshell::Shell;

use super::program::{Peer, Ran, build, parse, run_once};
use super::record::{HEADER_OF_SPLITS, Record};
use super::score::progress;
use super::table::{Spread, grouped, megabytes};
use crate::project_root;

/// Seconds and memory of a split of a large corpus, beside a peer, once both agree.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Split {
    /// Documents of the corpus that is drawn, about 500 bytes each.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    documents: u64,
    /// Memory that either program may use for sorts and joins.
    #[arg(long, value_name = "SIZE", default_value = "2GB")]
    memory: String,
    /// Threads.
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: u16,
    /// How often both are run, in turn; what is said is the median.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Folder for corpus, work and results, with room for four times the
    /// corpus [default: a temporary one].
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// A Python with DuckDB, to run the peer in turn with us.
    #[arg(long, value_name = "PYTHON")]
    peer: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench split --documents 100000
  cargo xtask bench split --documents 10000000 --peer venv/bin/python --record

Both must find the same number of training documents, or nothing is said of
speed. The peer is DuckDB with the same SQL, benches/peers/split_duckdb.py.";

/// What both programs say.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Done {
    n_rows: u64,
    n_train: u64,
    wall_s: f64,
}

/// What our program says.
#[derive(Deserialize)]
struct Ours {
    counts: Value,
    wall_s: f64,
}

/// What the peer says.
#[derive(Deserialize)]
struct Theirs {
    n_rows: u64,
    n_train: u64,
    wall_s: f64,
}

/// What is said of drawing documents from the split.
#[derive(Deserialize)]
struct Drawn {
    documents_per_s: f64,
    open_s: f64,
}

/// All rounds of one program.
#[derive(Default)]
struct Rounds {
    done: Vec<Done>,
    peak_bytes: Option<u64>,
}

impl Rounds {
    fn seconds(&self) -> anyhow::Result<Spread> {
        Spread::of(self.done.iter().map(|done| done.wall_s)).context("each program runs in each round")
    }

    fn say(&self, name: &str) -> anyhow::Result<()> {
        let Spread { median, least, most } = self.seconds()?;
        let peak = self.peak_bytes.map(megabytes).unwrap_or_default();
        let speed = grouped(self.done[0].n_rows as f64 / median);
        println!("{name:<8} {median:>9.2} {:>16} {speed:>12} {peak:>9}", format!("{least:.2}-{most:.2}"));
        Ok(())
    }
}

impl Split {
    pub(super) fn run(self, sh: &Shell, record: bool) -> anyhow::Result<()> {
        let script = project_root().join("benches/peers/split_duckdb.py");
        let peer = Peer::find(self.peer.as_deref(), Some(&script), "")?;
        let built = build(sh, &[])?;
        let temporary = sh.create_temp_dir()?;
        let folder = self.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
        std::fs::create_dir_all(&folder)?;
        let corpus = folder.join(format!("corpus-{}.parquet", self.documents));
        if !corpus.exists() {
            progress("drawing the corpus");
            let mut draw = Command::new(built.join("corpus-table"));
            draw.arg(&corpus).args(["--documents", &self.documents.to_string()]);
            run_once(draw, temporary.path())?;
        }
        let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
        for round in 1..=self.rounds {
            progress(&format!("round {round}"));
            let mut command = Command::new(built.join("userprint"));
            command.args(["-q", "corpus", "split"]).arg(&corpus).arg("--out").arg(folder.join("ours"));
            command.args(["--example-id", "example_id", "--duplicates", "one-a-user", "--json"]);
            let Ran { stdout, peak_bytes } = run_once(self.told(command), temporary.path())?;
            let Ours { counts, wall_s } = parse(&stdout)?;
            let number = |value: &Value| value.as_u64().context("userprint counts");
            let (n_rows, n_train) = (number(&counts["n_rows"])?, number(&counts["n_examples"][0])?);
            ours.done.push(Done { n_rows, n_train, wall_s });
            ours.peak_bytes = ours.peak_bytes.max(peak_bytes);
            let Some(Peer { python, script }) = &peer else { continue };
            let mut command = Command::new(python);
            command.arg(script).arg(&corpus).arg("--out").arg(folder.join("theirs"));
            // A peer that cannot do it is a finding, not a reason to lose what was measured.
            let Ran { stdout, peak_bytes } = match run_once(self.told(command), temporary.path()) {
                Ok(ran) => ran,
                Err(error) => {
                    progress(&format!("the peer failed: {error:#}"));
                    continue;
                }
            };
            let Theirs { n_rows, n_train, wall_s } = parse(&stdout)?;
            theirs.done.push(Done { n_rows, n_train, wall_s });
            theirs.peak_bytes = theirs.peak_bytes.max(peak_bytes);
            agree(&ours, &theirs)?;
        }
        self.say(&ours, &theirs)?;
        let mut command = Command::new(built.join("user-documents"));
        command.arg(folder.join("ours/documents.parquet"));
        let Ran { stdout, peak_bytes } = run_once(command, temporary.path())?;
        let Drawn { documents_per_s, open_s } = parse(&stdout)?;
        let peak = peak_bytes.map(megabytes).unwrap_or_default();
        println!(
            "4 users x 2 documents at a time: {} documents/s, opened in {open_s:.2} s, memory {peak}",
            grouped(documents_per_s)
        );
        if record { self.record(sh, &ours, &theirs) } else { Ok(()) }
    }

    fn told(&self, mut command: Command) -> Command {
        command.args(["--memory", &self.memory, "--threads", &self.threads.to_string()]);
        command
    }

    fn say(&self, ours: &Rounds, theirs: &Rounds) -> anyhow::Result<()> {
        let (documents, memory) = (grouped(self.documents as f64), &self.memory);
        println!("{documents} documents, {memory}, {} threads, {} rounds", self.threads, self.rounds);
        println!("{:<8} {:>9} {:>16} {:>12} {:>9}", "", "seconds", "least-most", "documents/s", "memory");
        ours.say("ours")?;
        if let Some(ratio) = ratio(ours, theirs) {
            theirs.say("DuckDB")?;
            println!("ours is {ratio:.2} x as fast, by the median of rounds");
        }
        Ok(())
    }

    fn record(&self, sh: &Shell, ours: &Rounds, theirs: &Rounds) -> anyhow::Result<()> {
        let bytes = |rounds: &Rounds| rounds.peak_bytes.map(|n| n.to_string()).unwrap_or_default();
        let row = format!(
            "{},{},{},{:.2},{},{},{},{}",
            self.documents,
            self.memory,
            self.threads,
            ours.seconds()?.median,
            theirs.seconds().map(|seconds| format!("{:.2}", seconds.median)).unwrap_or_default(),
            ratio(ours, theirs).map(|ratio| format!("{ratio:.3}")).unwrap_or_default(),
            bytes(ours),
            bytes(theirs),
        );
        Record::open(sh, "-split", HEADER_OF_SPLITS)?.append(std::iter::once(row))
    }
}

/// How many times as fast ours is, by the median of rounds.
fn ratio(ours: &Rounds, theirs: &Rounds) -> Option<f64> {
    let pairs = ours.done.iter().zip(&theirs.done);
    Spread::of(pairs.map(|(ours, theirs)| theirs.wall_s / ours.wall_s)).map(|spread| spread.median)
}

fn agree(ours: &Rounds, theirs: &Rounds) -> anyhow::Result<()> {
    let counts = |rounds: &Rounds| rounds.done.last().map(|done| (done.n_rows, done.n_train));
    let (found, expected) = (counts(ours), counts(theirs));
    ensure!(found == expected, "ours has {found:?} rows and training documents, the peer {expected:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_counts_are_refused() {
        let rounds =
            |n_train| Rounds { done: vec![Done { n_rows: 9, n_train, wall_s: 1.0 }], peak_bytes: None };
        assert!(agree(&rounds(4), &rounds(4)).is_ok());
        assert!(agree(&rounds(4), &rounds(5)).is_err());
    }
}
