//! Training-step speed on a checkpoint: random tokens, all parameters, Adam; median of the steps, and the most memory.
//!
//! `cargo run -p userprint-benches --bin train-step -- CHECKPOINT --rule clip --batch 8 --block 128`

use std::path::PathBuf;
use std::time::Instant;

use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData};
use clap::Parser;
use rand::RngExt;
use userprint_core::Seed;
use userprint_model::backend::Cpu;
use userprint_model::{Batch, CausalLm, checkpoint};
use userprint_train::{
    Gradients, NoiseKey, Optimizer, OptimizerConfig, UnitBatch, add_gaussian_noise, clipped_sum,
    clipped_sum_recomputed, gradients, gradients_recomputed,
};

/// Time training steps on random tokens.
#[derive(Debug, Parser)]
struct Args {
    /// Checkpoint folder in Hugging Face's layout.
    checkpoint: PathBuf,
    /// What a step makes of gradients.
    #[arg(long, value_enum, default_value = "plain")]
    rule: Rule,
    /// Compute activations again in the backward pass rather than keep them.
    #[arg(long)]
    activation_checkpointing: bool,
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
    /// The same with noise.
    Dp,
    /// Each user's, of two examples, is clipped to norm 1.
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

    /// Examples of a unit.
    fn examples_per_unit(self) -> usize {
        match self {
            Self::Plain | Self::Clip | Self::Dp => 1,
            Self::UserClip | Self::UserDp => 2,
        }
    }
}

type Backend = Autodiff<Cpu>;

/// Loss and gradients of a step.
fn gradients_by(
    args: &Args,
    lm: &CausalLm<Backend>,
    sequences: &[Vec<u32>],
    step: u64,
) -> Gradients<Backend> {
    let rule = args.rule;
    if matches!(rule, Rule::Plain) {
        let of_batch = if args.activation_checkpointing { gradients_recomputed } else { gradients };
        return of_batch(lm, &Batch::new(sequences, &Default::default()));
    }
    let units: Vec<&[Vec<u32>]> = sequences.chunks(rule.examples_per_unit()).collect();
    let of_units = if args.activation_checkpointing { clipped_sum_recomputed } else { clipped_sum };
    let mut found = of_units(lm, &UnitBatch::new(&units, &Default::default()), 1.0);
    if matches!(rule, Rule::Dp | Rule::UserDp) {
        let key = NoiseKey::new([0; 32]);
        found.by_path = found
            .by_path
            .into_iter()
            .map(|(path, sum)| {
                let mut values: Vec<f32> = sum.into_data().into_vec().expect("the backend computes in f32");
                add_gaussian_noise(&key, step, &path, 1.0, &mut values);
                let n = values.len();
                (path, Tensor::from_data(TensorData::new(values, [n]), &Default::default()))
            })
            .collect();
    }
    found.mean()
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (mut lm, config) = checkpoint::load::<Backend>(&args.checkpoint, &Default::default())?;
    let mut rng = Seed(0).named("tokens").rng();
    let draw = |_| (0..=args.block).map(|_| rng.random_range(0..config.decoder.vocab_size as u32)).collect();
    let sequences: Vec<Vec<u32>> = (0..args.batch).map(draw).collect();
    let mut optimizer = Optimizer::new(OptimizerConfig::ADAM);
    let mut times = Vec::new();
    for step in 0..args.steps + 2 {
        let start = Instant::now();
        let found = gradients_by(&args, &lm, &sequences, step as u64);
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
