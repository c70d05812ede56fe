//! `userprint account`: what a private training guarantees, what noise a guarantee needs, and what an audit shows.

mod audit;
mod plan;
mod plot;

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use userprint_privacy::gdp::central_limit_mu;
use userprint_privacy::{
    Accountant, Bracket, CentralLimitMu, DpEvent, MuGdp, MuKind, PldAccountant, RdpAccountant, TradeOff,
    calibrate,
};

use crate::run_folder::write_file;

// The usages are given because those that are made fit no terminal of 80 columns.
const EPSILON_USAGE: &str = "userprint account epsilon [OPTIONS] --noise-multiplier <SIGMA> \\
           --sampling-probability <Q> --steps <N> --delta <DELTA>";

const NOISE_USAGE: &str = "userprint account noise [OPTIONS] --epsilon <EPSILON> \\
           --sampling-probability <Q> --steps <N> --delta <DELTA>";

const EPSILON_EXAMPLES: &str = "\
Examples:
  userprint account epsilon --noise-multiplier 1 --sampling-probability 0.025 \\
      --steps 1200 --delta 1e-6 --plot trade-off.svg
  userprint account epsilon --noise-multiplier 2 --sampling-probability 0.01 \\
      --steps 1000 --delta 1e-6 --users 5000 --examples-per-user 4

Batches must be drawn by a coin for each example or user (Poisson sampling):
for shuffled batches these numbers are no guarantee.";

const NOISE_EXAMPLES: &str = "\
Example:
  userprint account noise --epsilon 8 --sampling-probability 0.025 \\
      --steps 1200 --delta 1e-6";

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Epsilon of a training with noise, and what it caps.
    #[command(override_usage = EPSILON_USAGE, after_help = EPSILON_EXAMPLES)]
    Epsilon(EpsilonArgs),
    /// The least noise for a target epsilon.
    #[command(override_usage = NOISE_USAGE, after_help = NOISE_EXAMPLES)]
    Noise(NoiseArgs),
    /// Noise and batch for a target epsilon on so much data, and whether it is
    /// enough.
    #[command(override_usage = plan::USAGE, after_help = plan::EXAMPLES)]
    Plan(plan::PlanArgs),
    /// A lower bound on epsilon from guesses about canary users of one training.
    #[command(override_usage = audit::ONE_RUN_USAGE, after_help = audit::ONE_RUN_EXAMPLES)]
    OneRun(audit::OneRunArgs),
    /// A lower bound on epsilon from independent trainings, one trial each.
    #[command(override_usage = audit::TRAININGS_USAGE, after_help = audit::TRAININGS_EXAMPLES)]
    Trainings(audit::TrainingsArgs),
}

/// What is printed, and whether it refutes the claim that it was to be set beside.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) is_refuted: bool,
}

impl AccountCommand {
    pub(crate) fn run(&self) -> anyhow::Result<Answer> {
        let plain = |text| Answer { text, is_refuted: false };
        match self {
            Self::Epsilon(args) => args.run().map(plain),
            Self::Noise(args) => args.run().map(plain),
            Self::Plan(args) => args.run().map(plain),
            Self::OneRun(args) => args.run(),
            Self::Trainings(args) => args.run(),
        }
    }
}

/// How epsilon is computed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AccountantName {
    /// Privacy loss distributions: tight.
    Pld,
    /// Rényi differential privacy: looser, as in many papers.
    Rdp,
}

impl AccountantName {
    fn name(self) -> &'static str {
        match self {
            Self::Pld => "pld",
            Self::Rdp => "rdp",
        }
    }

    fn accountant(self) -> Box<dyn Accountant> {
        match self {
            Self::Pld => Box::new(PldAccountant::default()),
            Self::Rdp => Box::new(RdpAccountant::default()),
        }
    }
}

/// A training, but for its noise.
#[derive(Clone, Debug, Args)]
struct Training {
    /// Chance that an example, or with --users a user, is in a batch.
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    sampling_probability: f64,
    /// Number of steps.
    #[arg(long, value_name = "N")]
    steps: u64,
    /// The delta of the guarantee.
    #[arg(long, allow_negative_numbers = true)]
    delta: f64,
    /// How epsilon is computed.
    #[arg(long, value_enum, default_value = "pld")]
    accountant: AccountantName,
    /// Number of users: the guarantee is for a whole user.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    users: Option<u64>,
    /// Examples are sampled, and no user has more than so many; without it
    /// users are sampled.
    #[arg(long, value_name = "G", requires = "users", value_parser = clap::value_parser!(u32).range(1..))]
    examples_per_user: Option<u32>,
}

impl Training {
    fn event(&self, noise_multiplier: f64) -> DpEvent {
        let step = match self.examples_per_user {
            Some(most) => DpEvent::example_sampled(noise_multiplier, self.sampling_probability, most),
            None => DpEvent::gaussian(noise_multiplier).poisson_sampled(self.sampling_probability),
        };
        step.repeated(self.steps)
    }

    fn unit(&self) -> &'static str {
        if self.users.is_some() { "user" } else { "example" }
    }

    /// A delta at which losing a user outright is allowed for is no guarantee.
    fn warning(&self) -> Option<String> {
        let users = self.users.filter(|&users| self.delta * users as f64 >= 1.0)?;
        Some(format!(
            "delta {} is at least 1/{users}: it would allow for revealing one of these users outright; take less",
            scientific(self.delta)
        ))
    }

    /// The fields of the answer that repeat the question.
    fn fields(&self, noise_multiplier: f64) -> Map<String, Value> {
        let fields = json!({
            "accountant": self.accountant.name(),
            "noise_multiplier": noise_multiplier,
            "sampling_probability": self.sampling_probability,
            "steps": self.steps,
            "delta": self.delta,
            "unit": self.unit(),
            "relation": "add_or_remove",
            "users": self.users,
            "examples_per_user": self.examples_per_user,
            "warning": self.warning(),
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct EpsilonArgs {
    /// Standard deviation of the noise over the clip norm.
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    noise_multiplier: f64,
    #[command(flatten)]
    training: Training,
    /// Draw the trade-off curve (SVG).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// What is known of a training's privacy.
struct Guarantee {
    epsilon: f64,
    /// Where the accountant knows the truth from both sides.
    bracket: Option<Bracket>,
    /// Of the whole profile where there is one, else of `(epsilon, delta)`.
    curve: TradeOff,
    mu: Option<MuGdp>,
    central_limit: Option<CentralLimitMu>,
}

/// A delta as people write it: `0.01`, but `1e-6`.
fn scientific(delta: f64) -> String {
    if delta < 1e-3 { format!("{delta:e}") } else { delta.to_string() }
}

/// The false positive rate of the printed cap.
const CAP_FPR: f64 = 0.01;

impl EpsilonArgs {
    fn run(&self) -> anyhow::Result<String> {
        let guarantee = self.guarantee()?;
        if let Some(path) = &self.plot {
            let svg = plot::trade_off(&guarantee.curve, guarantee.epsilon, self.training.delta)?;
            write_file(path, svg.as_bytes())?;
        }
        if self.json {
            let mut fields = self.training.fields(self.noise_multiplier);
            fields.extend(guarantee.fields()?);
            return Ok(serde_json::to_string(&fields)?);
        }
        let mut lines = guarantee.in_words(&self.training)?;
        if let Some(path) = &self.plot {
            write!(lines, "\ntrade-off curve: {}", path.display())?;
        }
        Ok(lines)
    }

    fn guarantee(&self) -> anyhow::Result<Guarantee> {
        let (training, event) = (&self.training, self.training.event(self.noise_multiplier));
        let central_limit = central_limit_mu(&event).ok();
        match training.accountant {
            AccountantName::Rdp => {
                let epsilon = RdpAccountant::default().epsilon(&event, training.delta)?;
                ensure_finite(epsilon)?;
                let curve = TradeOff::epsilon_delta(epsilon, training.delta)?;
                let mu = MuGdp::exact(&event).ok();
                Ok(Guarantee { epsilon, bracket: None, curve, mu, central_limit })
            }
            AccountantName::Pld => {
                let accountant = PldAccountant::default();
                let bracket = accountant.epsilon_bracket(&event, training.delta)?;
                ensure_finite(bracket.pessimistic)?;
                let profile = accountant.profile(&event)?;
                let mu = MuGdp::exact(&event).or_else(|_| MuGdp::from_profile(&profile, training.delta)).ok();
                let curve = TradeOff::profile(&profile);
                Ok(Guarantee {
                    epsilon: bracket.pessimistic,
                    bracket: Some(bracket),
                    curve,
                    mu,
                    central_limit,
                })
            }
        }
    }
}

fn ensure_finite(epsilon: f64) -> anyhow::Result<()> {
    ensure!(
        epsilon.is_finite(),
        "there is no finite epsilon: so little noise gives no guarantee; raise --noise-multiplier"
    );
    Ok(())
}

impl Guarantee {
    fn fields(&self) -> anyhow::Result<Map<String, Value>> {
        let kind = self.mu.map(|mu| match mu.kind() {
            MuKind::Exact => json!("exact"),
            MuKind::FromPld { least_delta } => json!({ "from_pld_down_to_delta": least_delta }),
        });
        let fields = json!({
            "epsilon": self.epsilon,
            "epsilon_optimistic": self.bracket.map(|bracket| bracket.optimistic),
            "mu": self.mu.map(|mu| mu.mu()),
            "mu_kind": kind,
            "mu_central_limit_approximate": self.central_limit.map(|mu| mu.approximate),
            "per_user_tpr_cap_at_fpr_0.01": self.curve.per_user_tpr_cap(CAP_FPR)?.value(),
            "per_user_auroc_cap": self.curve.per_user_auroc_cap().value(),
            "expected_run_auroc_cap": self.curve.expected_run_auroc_cap_by_midpoint().value(),
        });
        match fields {
            Value::Object(fields) => Ok(fields),
            _ => Ok(Map::new()),
        }
    }

    fn in_words(&self, training: &Training) -> anyhow::Result<String> {
        let unit = training.unit();
        let mut lines = vec![format!(
            "epsilon {:.4} at delta {}, for adding or removing one {unit}",
            self.epsilon,
            scientific(training.delta)
        )];
        if let Some(bracket) = &self.bracket {
            lines.push(format!("  the true value is at least {:.4}", bracket.optimistic));
        }
        if let Some(mu) = &self.mu {
            lines.push(match mu.kind() {
                MuKind::Exact => format!("mu {:.4} of Gaussian privacy, exactly", mu.mu()),
                MuKind::FromPld { least_delta } => {
                    let least_delta = scientific(least_delta);
                    format!("mu {:.4} of Gaussian privacy, down to delta {least_delta}", mu.mu())
                }
            });
        }
        if let Some(mu) = self.central_limit {
            lines.push(format!("  {:.4} by the central limit: approximate, no claim", mu.approximate));
        }
        let tpr = self.curve.per_user_tpr_cap(CAP_FPR)?.value();
        lines.push(format!("one {unit} over independent trainings, threshold fixed beforehand:"));
        lines.push(format!(
            "  TPR at FPR 1 % at most {tpr:.4}, AUROC at most {:.4}",
            self.curve.per_user_auroc_cap().value()
        ));
        lines.push(format!("{unit}s of one training, expected over a random choice of those held in:"));
        lines.push(format!("  AUROC at most {:.4}", self.curve.expected_run_auroc_cap_by_midpoint().value()));
        lines.extend(training.warning().map(|warning| format!("warning: {warning}")));
        Ok(lines.join("\n"))
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NoiseArgs {
    /// The epsilon to keep to.
    #[arg(long, allow_negative_numbers = true)]
    epsilon: f64,
    #[command(flatten)]
    training: Training,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl NoiseArgs {
    fn run(&self) -> anyhow::Result<String> {
        let training = &self.training;
        let accountant = training.accountant.accountant();
        let event = |noise| training.event(noise);
        let noise = calibrate::noise_multiplier(accountant.as_ref(), &event, self.epsilon, training.delta)?;
        let reached =
            accountant.epsilon(&event(noise), training.delta).context("the noise that was found")?;
        if self.json {
            let mut fields = training.fields(noise);
            fields.insert("target_epsilon".to_owned(), json!(self.epsilon));
            fields.insert("epsilon".to_owned(), json!(reached));
            return Ok(serde_json::to_string(&fields)?);
        }
        let unit = training.unit();
        let mut lines = vec![format!(
            "noise multiplier {noise:.6}: epsilon {reached:.6} at delta {} for one {unit}",
            scientific(training.delta)
        )];
        lines.extend(training.warning().map(|warning| format!("warning: {warning}")));
        Ok(lines.join("\n"))
    }
}
