//! Training-step speed on a checkpoint: random tokens, all parameters, Adam; median of the steps.
//!
//! `cargo run -p userprint-benches --bin train-step -- CHECKPOINT --batch 8 --block 128`

use std::path::PathBuf;
use std::time::Instant;

use burn::backend::Autodiff;
use clap::Parser;
use rand::RngExt;
use userprint_core::Seed;
use userprint_model::Batch;
use userprint_model::backend::Cpu;
use userprint_model::checkpoint;
use userprint_train::{Optimizer, gradients};

/// Time training steps on random tokens.
#[derive(Debug, Parser)]
struct Args {
    /// Checkpoint folder in Hugging Face's layout.
    checkpoint: PathBuf,
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

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (mut lm, config) = checkpoint::load::<Autodiff<Cpu>>(&args.checkpoint, &Default::default())?;
    let mut rng = Seed(0).named("tokens").rng();
    let draw = |_| (0..=args.block).map(|_| rng.random_range(0..config.decoder.vocab_size as u32)).collect();
    let sequences: Vec<Vec<u32>> = (0..args.batch).map(draw).collect();
    let batch = Batch::new(&sequences, &Default::default());
    let mut optimizer = Optimizer::default();
    let mut times = Vec::new();
    for step in 0..args.steps + 2 {
        let start = Instant::now();
        let found = gradients(&lm, &batch);
        anyhow::ensure!(found.loss_nats.is_finite(), "the loss of step {step} is {}", found.loss_nats);
        lm = optimizer.update(lm, found, 5e-5);
        times.push(start.elapsed().as_secs_f64());
    }
    let mut times = times.split_off(2); // the first two warm up
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    userprint_benches::say(&serde_json::json!({
        "peer": "userprint", "rule": "plain", "device": "cpu", "batch": args.batch, "block": args.block,
        "median_step_s": median, "tokens_per_s": (args.batch * args.block) as f64 / median,
    }));
    Ok(())
}
