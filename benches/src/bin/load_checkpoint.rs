//! Loading a checkpoint: seconds from the page cache, and the most memory that it took against the size of its files.
//!
//! `cargo run -p userprint-benches --bin load-checkpoint -- CHECKPOINT [--adapter FOLDER]`

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use userprint_model::backend::Cpu;
use userprint_model::inventory::Inventory;
use userprint_model::{adapter, checkpoint};

/// Time the loading of a checkpoint, and of an adapter on top of it.
#[derive(Debug, Parser)]
struct Args {
    /// Checkpoint folder in Hugging Face's layout.
    checkpoint: PathBuf,
    /// Adapter folder in PEFT's layout: the adapted model shares the weights of the base.
    #[arg(long)]
    adapter: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let before = peak_bytes()?;
    let start = Instant::now();
    let (lm, config) = checkpoint::load::<Cpu>(&args.checkpoint, &Default::default())?;
    let seconds = start.elapsed().as_secs_f64();
    let peak = peak_bytes()?;
    let file_bytes = Inventory::read(&args.checkpoint, &config)?.file_bytes;
    let adapted = args.adapter.map(|folder| adapter::load(&folder, &lm, &config)).transpose()?;
    userprint_benches::say(&serde_json::json!({
        "seconds": seconds,
        "file_bytes": file_bytes,
        "peak_bytes": peak - before,
        "peak_over_file": (peak - before) as f64 / file_bytes as f64,
        "adapted_peak_bytes": adapted.map(|_| peak_bytes()).transpose()?.map(|peak| peak - before),
    }));
    Ok(())
}

fn peak_bytes() -> anyhow::Result<u64> {
    userprint_benches::peak_bytes().context("peak memory is read from Linux's /proc")
}
