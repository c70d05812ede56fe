//! Lower bounds on epsilon from counts of guesses, beside a claim.

use clap::Args;
use serde_json::json;
use userprint_stats::StatsError;
use userprint_stats::audit::{
    AuditBounds, EpsilonLowerBound, OneRunAudit, PrivacyClaim, TrialCounts, Verdict,
};

use super::Answer;

pub(super) const ONE_RUN_USAGE: &str = "userprint account one-run [OPTIONS] --canaries <M> \\
           --guesses <R> --correct <V> --delta <DELTA>";

pub(super) const TRAININGS_USAGE: &str = "userprint account trainings [OPTIONS] --with <N> \\
           --found <N> --without <N> --accused <N> --delta <DELTA>";

pub(super) const ONE_RUN_EXAMPLES: &str = "\
Example: 1,000 canary users, each trained on by the toss of its own fair coin;
the 600 clearest are guessed, 560 rightly.
  userprint account one-run --canaries 1000 --guesses 600 --correct 560 \\
      --delta 1e-5 --claim 2

How many are guessed must be fixed before the attack is looked at. A split in
two fixed halves is no toss of coins and shows nothing. A claim that is refuted
at significance .001 ends with exit code 1.";

pub(super) const TRAININGS_EXAMPLES: &str = "\
Example: 100 trainings with the target user and 100 without, all else alike;
a statistic above a threshold fixed beforehand in 80 and in 3.
  userprint account trainings --with 100 --found 80 --without 100 \\
      --accused 3 --delta 1e-5 --claim 8

One trial is a whole training: the users of one training are not trials.";

/// The claim that a bound is set beside.
#[derive(Clone, Debug, Args)]
struct Claim {
    /// The delta of the bound, and of the claim.
    #[arg(long, allow_negative_numbers = true)]
    delta: f64,
    /// The epsilon that is claimed.
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    claim: Option<f64>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct OneRunArgs {
    /// Canary users, each included by its own fair coin.
    #[arg(long, value_name = "M")]
    canaries: u64,
    /// Canary users that were guessed about.
    #[arg(long, value_name = "R")]
    guesses: u64,
    /// Guesses that were right.
    #[arg(long, value_name = "V")]
    correct: u64,
    #[command(flatten)]
    claim: Claim,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TrainingsArgs {
    /// Trainings with the target user.
    #[arg(long, value_name = "N")]
    with: u64,
    /// Of them, those decided to be with it.
    #[arg(long, value_name = "N")]
    found: u64,
    /// Trainings without the target user.
    #[arg(long, value_name = "N")]
    without: u64,
    /// Of them, those decided to be with it.
    #[arg(long, value_name = "N")]
    accused: u64,
    #[command(flatten)]
    claim: Claim,
}

impl OneRunArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let audit = OneRunAudit::new(self.canaries, self.guesses, self.correct)?;
        let delta = self.claim.delta;
        self.claim.answer(|significance| audit.epsilon_lower_bound(delta, significance))
    }
}

impl TrainingsArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let counts = TrialCounts::one_per_training([self.found, self.with], [self.accused, self.without])?;
        let delta = self.claim.delta;
        self.claim.answer(|significance| counts.epsilon_lower_bound(delta, significance))
    }
}

impl Claim {
    fn answer(&self, bound: impl Fn(f64) -> Result<EpsilonLowerBound, StatsError>) -> anyhow::Result<Answer> {
        let bounds = AuditBounds::at_both(bound)?;
        let verdict = match self.claim {
            Some(epsilon) => Some(bounds.verdict(PrivacyClaim::new(epsilon, self.delta)?)?),
            None => None,
        };
        let text = if self.json { self.in_json(&bounds, verdict)? } else { self.in_words(&bounds, verdict) };
        Ok(Answer { text, is_refuted: verdict == Some(Verdict::Fail) })
    }

    fn in_json(&self, bounds: &AuditBounds, verdict: Option<Verdict>) -> anyhow::Result<String> {
        let (warn, fail) = (bounds.warn(), bounds.fail());
        let verdict = verdict.map(|verdict| match verdict {
            Verdict::Consistent => "consistent",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        });
        Ok(serde_json::to_string(&json!({
            "epsilon_lower_bound": warn.epsilon,
            "significance": warn.significance,
            "epsilon_lower_bound_strict": fail.epsilon,
            "significance_strict": fail.significance,
            "delta": self.delta,
            "claim": self.claim,
            "verdict": verdict,
        }))?)
    }

    fn in_words(&self, bounds: &AuditBounds, verdict: Option<Verdict>) -> String {
        let (warn, fail) = (bounds.warn(), bounds.fail());
        let line = |bound: &EpsilonLowerBound| {
            format!("epsilon is at least {:.4} at significance {}", bound.epsilon, bound.significance)
        };
        let mut lines = vec![line(&warn), line(&fail)];
        if let (Some(verdict), Some(claim)) = (verdict, self.claim) {
            lines.push(match verdict {
                Verdict::Consistent => format!("the claim of epsilon {claim} is consistent with this audit"),
                Verdict::Warn => format!(
                    "WARNING: the claim of epsilon {claim} is below the bound at significance {}",
                    warn.significance
                ),
                Verdict::Fail => format!(
                    "FAILED: the claim of epsilon {claim} is refuted at significance {}",
                    fail.significance
                ),
            });
        }
        lines.join("\n")
    }
}
