//! `userprint account plan`: noise and batch for a target epsilon, and whether the data are enough.

use clap::Args;
use userprint_mitigate::{BatchChoice, Length, Plan, PrivacyTarget};

use crate::privacy::{Sampling, sampling_of};

pub(super) const USAGE: &str = "userprint account plan [OPTIONS] --epsilon <EPSILON> --delta <DELTA> \\
           --sampling <WHAT> --examples <N> --users <N> --parameters <N> \\
           <--epochs <N>|--steps <N>>";

pub(super) const EXAMPLES: &str = "\
Examples:
  userprint account plan --epsilon 8 --delta 1e-6 --sampling examples \\
      --examples 41000 --users 138 --parameters 125198592 --epochs 50
  userprint account plan --epsilon 8 --delta 1e-6 --sampling users \\
      --examples-per-user 16 --examples 41000 --users 138 \\
      --parameters 125198592 --steps 1200 --batch 64

Without --batch, the smallest batch is found whose noise over the whole training
is within --batch-factor of what it would be with everybody in each batch.";

/// What to promise, and on what.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanArgs {
    /// The most epsilon.
    #[arg(long, allow_negative_numbers = true)]
    epsilon: f64,
    /// The delta, below one over the number of examples or users hidden.
    #[arg(long, allow_negative_numbers = true)]
    delta: f64,
    /// What coins are tossed for; the latter two hide a whole user.
    #[arg(long, value_enum, value_name = "WHAT")]
    sampling: Sampling,
    /// Most examples of a user that a step uses, or with capped-users that
    /// there are.
    #[arg(long, value_name = "G")]
    examples_per_user: Option<u32>,
    /// Training examples.
    #[arg(long, value_name = "N")]
    examples: u64,
    /// Users whose they are.
    #[arg(long, value_name = "N")]
    users: u64,
    /// Parameters that training moves, of adapters alone if there are some.
    #[arg(long, value_name = "N")]
    parameters: u64,
    /// How often each is sampled on average.
    #[arg(long, value_name = "N", required_unless_present = "steps", conflicts_with = "steps")]
    epochs: Option<u32>,
    /// How many steps there are.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// How many are sampled in a step on average.
    #[arg(long, value_name = "N", conflicts_with = "batch_factor")]
    batch: Option<u64>,
    /// How far above its floor the noise may be.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.2)]
    batch_factor: f64,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl PlanArgs {
    pub(super) fn run(&self) -> anyhow::Result<String> {
        let target = PrivacyTarget {
            epsilon: self.epsilon,
            delta: self.delta,
            sampling: sampling_of(self.sampling, self.examples_per_user)?,
            length: match (self.steps, self.epochs) {
                (Some(steps), _) => Length::Steps(steps),
                (None, epochs) => Length::Epochs(epochs.unwrap_or(0)),
            },
            batch: self.batch.map_or(BatchChoice::WithinFactor(self.batch_factor), BatchChoice::Expected),
            n_examples: self.examples,
            n_users: self.users,
            n_parameters: self.parameters,
        };
        let plan = target.plan()?;
        if self.json { Ok(serde_json::to_string(&plan)?) } else { Ok(lines(&plan)) }
    }
}

fn lines(plan: &Plan) -> String {
    let Plan { target, sampling_probability, expected_batch, steps, noise_multiplier, noise, floor, .. } =
        plan;
    let (sampled, hidden) = (target.sampling.sampled_unit(), target.sampling.privacy_unit());
    let mut lines = vec![
        format!("epsilon {} at delta {:e} for one {hidden}:", target.epsilon, target.delta),
        format!("  noise multiplier      {noise_multiplier:.6}"),
        format!("  batch                 {expected_batch:.0} {sampled}s on average"),
        format!("  sampling probability  {sampling_probability:.6}"),
        format!("  steps                 {steps}"),
        format!("  noise over the run    {:.2} times its floor", noise.run / floor.run),
    ];
    lines.extend(plan.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}
