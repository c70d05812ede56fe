//! `cargo xtask bench stats`: seconds of an AUROC with its bootstrap, beside a peer, once both agree.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;
use xshell::Shell;

use super::program::{Peer, Ran, build, parse, run_once};
use super::record::{HEADER_OF_STATISTICS, Record};
use super::score::progress;
use super::table::{Spread, grouped, megabytes};

/// How far the AUROCs may be apart.
const AUROCS_APART: f64 = 1e-12;
/// How far the bootstrap's standard deviations may be apart, relative, with a hundred resamples: both are estimates
/// with a relative error of .07, so that five errors of their difference are .5.
const SPREADS_APART: f64 = 0.5;

/// Seconds of an AUROC with its bootstrap, beside a peer, once both agree.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stats {
    /// Users of the table that is drawn, half of them held in.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    users: u64,
    /// Resamples of users.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    bootstrap: u32,
    /// How often both are run, in turn; what is said is the median.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// A Python with scikit-learn and pyarrow, to run the peer in turn with us.
    #[arg(long, value_name = "PYTHON")]
    peer: Option<PathBuf>,
    /// The peer's program [default: ../shared/peers/stats_sklearn.py, from the
    /// workspace].
    #[arg(long, value_name = "PATH")]
    peer_script: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench stats
  cargo xtask bench stats --peer venv/bin/python --record

The AUROCs must agree within 1e-12, the rates exactly, or nothing is said of
speed. Seconds are those that either program says, without reading the table.";

/// What both programs say.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Judged {
    users: u64,
    auroc: f64,
    tpr_at_fpr: BTreeMap<String, f64>,
    bootstrap_std: f64,
    seconds: f64,
}

/// All rounds of one program.
#[derive(Default)]
struct Rounds {
    judged: Vec<Judged>,
    peak_bytes: Option<u64>,
}

impl Rounds {
    fn run(&mut self, command: Command, folder: &std::path::Path) -> anyhow::Result<()> {
        let Ran { stdout, peak_bytes } = run_once(command, folder)?;
        self.judged.push(parse(&stdout)?);
        self.peak_bytes = self.peak_bytes.max(peak_bytes);
        Ok(())
    }

    fn seconds(&self) -> anyhow::Result<Spread> {
        Spread::of(self.judged.iter().map(|judged| judged.seconds)).context("each program runs in each round")
    }

    fn say(&self, name: &str) -> anyhow::Result<()> {
        let Spread { median, least, most } = self.seconds()?;
        let peak = self.peak_bytes.map(megabytes).unwrap_or_default();
        println!("{name:<14} {median:>9.4} {:>16} {peak:>9}", format!("{least:.4}-{most:.4}"));
        Ok(())
    }
}

impl Stats {
    pub(super) fn run(self, sh: &Shell, record: bool) -> anyhow::Result<()> {
        let peer = Peer::find(self.peer.as_deref(), self.peer_script.as_deref(), "stats_sklearn.py")?;
        let built = build(sh, &[])?;
        let folder = sh.create_temp_dir()?;
        let table = folder.path().join("statistics.parquet");
        let mut draw = Command::new(built.join("statistics-table"));
        draw.arg(&table).args(["--users", &self.users.to_string()]);
        run_once(draw, folder.path())?;

        let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
        let resamples = self.bootstrap.to_string();
        for round in 1..=self.rounds {
            progress(&format!("round {round}"));
            let mut command = Command::new(built.join("userprint"));
            command.arg("stats").arg(&table).args(["--json", "--bootstrap", &resamples]);
            ours.run(command, folder.path())?;
            let Some(Peer { python, script }) = &peer else { continue };
            let mut command = Command::new(python);
            command.arg(script).arg(&table).args(["--bootstrap", &resamples]);
            theirs.run(command, folder.path())?;
            agree(&ours, &theirs)?;
        }
        self.say(&ours, &theirs)?;
        if record { self.record(sh, &ours, &theirs) } else { Ok(()) }
    }

    fn say(&self, ours: &Rounds, theirs: &Rounds) -> anyhow::Result<()> {
        let (users, resamples) = (grouped(self.users as f64), self.bootstrap);
        println!("{users} users, {resamples} resamples, {} rounds", self.rounds);
        println!("{:<14} {:>9} {:>16} {:>9}", "", "seconds", "least-most", "memory");
        ours.say("ours")?;
        if let Some(ratio) = ratio(ours, theirs) {
            theirs.say("scikit-learn")?;
            println!("ours is {ratio:.1} × as fast, by the median of rounds");
        }
        Ok(())
    }

    fn record(&self, sh: &Shell, ours: &Rounds, theirs: &Rounds) -> anyhow::Result<()> {
        let number = |value: Option<f64>, digits: usize| {
            value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
        };
        let bytes = |rounds: &Rounds| rounds.peak_bytes.map(|n| n.to_string()).unwrap_or_default();
        let row = format!(
            "{},{},{:.4},{},{},{},{}",
            self.users,
            self.bootstrap,
            ours.seconds()?.median,
            number(theirs.seconds().ok().map(|seconds| seconds.median), 4),
            number(ratio(ours, theirs), 2),
            bytes(ours),
            bytes(theirs),
        );
        Record::open(sh, "-stats", HEADER_OF_STATISTICS)?.append(std::iter::once(row))
    }
}

/// How many times as fast ours is, by the median of rounds.
fn ratio(ours: &Rounds, theirs: &Rounds) -> Option<f64> {
    let pairs = ours.judged.iter().zip(&theirs.judged);
    Spread::of(pairs.map(|(ours, theirs)| theirs.seconds / ours.seconds)).map(|spread| spread.median)
}

/// A fast wrong program is not a result.
fn agree(ours: &Rounds, theirs: &Rounds) -> anyhow::Result<()> {
    let last = |rounds: &Rounds| rounds.judged.last().cloned().context("each program runs in each round");
    let (ours, theirs) = (last(ours)?, last(theirs)?);
    ensure!(ours.users == theirs.users, "users are {} and {}", ours.users, theirs.users);
    let apart = (ours.auroc - theirs.auroc).abs();
    ensure!(
        apart <= AUROCS_APART,
        "AUROCs are {} and {}, {apart:.1e} apart, at most {AUROCS_APART:.0e} is allowed",
        ours.auroc,
        theirs.auroc
    );
    ensure!(
        ours.tpr_at_fpr == theirs.tpr_at_fpr,
        "rates are {:?} and {:?}",
        ours.tpr_at_fpr,
        theirs.tpr_at_fpr
    );
    let (found, expected) = (ours.bootstrap_std, theirs.bootstrap_std);
    ensure!(
        (found - expected).abs() <= SPREADS_APART * expected,
        "standard deviations over resamples are {found} and {expected}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(auroc: f64, seconds: f64) -> Rounds {
        let tpr_at_fpr = [("0.1".to_owned(), 0.25)].into();
        let judged = Judged { users: 10, auroc, tpr_at_fpr, bootstrap_std: 0.01, seconds };
        Rounds { judged: vec![judged], peak_bytes: None }
    }

    #[test]
    fn another_auroc_is_no_result() {
        assert!(agree(&rounds(0.75, 1.0), &rounds(0.75 + 1e-13, 20.0)).is_ok());
        assert!(agree(&rounds(0.75, 1.0), &rounds(0.75 + 1e-11, 20.0)).is_err());
        assert!(agree(&rounds(f64::NAN, 1.0), &rounds(0.75, 20.0)).is_err());
    }

    #[test]
    fn ratios_are_of_rounds() {
        assert_eq!(ratio(&rounds(0.75, 2.0), &rounds(0.75, 50.0)), Some(25.0));
        assert_eq!(ratio(&rounds(0.75, 2.0), &Rounds::default()), None);
    }
}
