//! Training-step speed on a checkpoint: random tokens, all parameters, Adam; median of the steps, and the most memory.
//!
//! `cargo run -p userprint-benches --bin train-step -- CHECKPOINT --rule clip --batch 8 --block 128`

use std::path::PathBuf;
use std::time::Instant;

use burn::backend::Autodiff;
use clap::Parser;
use rand::RngExt;
use userprint_core::Seed;
use userprint_model::backend::Cpu;
use userprint_model::{Batch, CausalLm, checkpoint};
use userprint_train::{Gradients, Optimizer, OptimizerConfig, UnitBatch, clipped_sum, gradients};

/// Time training steps on random tokens.
#[derive(Debug, Parser)]
struct Args {
    /// Checkpoint folder in Hugging Face's layout.
    checkpoint: PathBuf,
    /// What a step makes of gradients.
    #[arg(long, value_enum, default_value = "plain")]
    rule: Rule,
    /// Sequences a step.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Tokens a sequence.
    #[arg(long, default_value_t = 128)]
    block: usize,
    /// Timed steps.
    #[arg(long, default_value_t = 20)]
    steps: usize,
}

/// What a step makes of gradients.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Rule {
    /// The mean over all tokens.
    Plain,
    /// Each example's is clipped to norm 1.
    Clip,
    /// Each user's, of two examples, is clipped to norm 1.
    UserClip,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Clip => "clip",
            Self::UserClip => "user-clip",
        }
    }
}

/// Loss and gradients of a step.
fn gradients_by(
    rule: Rule,
    lm: &CausalLm<Autodiff<Cpu>>,
    sequences: &[Vec<u32>],
) -> Gradients<Autodiff<Cpu>> {
    let clipped = |per_unit: usize| {
        let units: Vec<&[Vec<u32>]> = sequences.chunks(per_unit).collect();
        clipped_sum(lm, &UnitBatch::new(&units, &Default::default()), 1.0).mean()
    };
    match rule {
        Rule::Plain => gradients(lm, &Batch::new(sequences, &Default::default())),
        Rule::Clip => clipped(1),
        Rule::UserClip => clipped(2),
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (mut lm, config) = checkpoint::load::<Autodiff<Cpu>>(&args.checkpoint, &Default::default())?;
    let mut rng = Seed(0).named("tokens").rng();
    let draw = |_| (0..=args.block).map(|_| rng.random_range(0..config.decoder.vocab_size as u32)).collect();
    let sequences: Vec<Vec<u32>> = (0..args.batch).map(draw).collect();
    let mut optimizer = Optimizer::new(OptimizerConfig::ADAM);
    let mut times = Vec::new();
    for step in 0..args.steps + 2 {
        let start = Instant::now();
        let found = gradients_by(args.rule, &lm, &sequences);
        anyhow::ensure!(found.loss_nats.is_finite(), "the loss of step {step} is {}", found.loss_nats);
        lm = optimizer.update(lm, found, 5e-5);
        times.push(start.elapsed().as_secs_f64());
    }
    let mut times = times.split_off(2); // the first two warm up
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    userprint_benches::say(&serde_json::json!({
        "peer": "userprint", "rule": args.rule.name(), "device": "cpu", "batch": args.batch, "block": args.block,
        "peak_bytes": userprint_benches::peak_bytes(), "median_step_s": median, "tokens_per_s": (args.batch * args.block) as f64 / median,
    }));
    Ok(())
}
