//! How long the AUROC, its TPRs and a bootstrap take.
//!
//! `cargo run --release -p userprint-stats --example bootstrap_time STATISTICS RESAMPLES`, where `STATISTICS` holds one
//! user a row: a byte 0 or 1 for held-in, then the statistic as a little-endian `f64`.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::time::Instant;

use userprint_stats::{Resamples, Roc};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, path, resamples] = &args[..] else { return Err("expected STATISTICS RESAMPLES".into()) };
    let resamples = resamples.parse()?;
    let bytes = std::fs::read(path)?;
    let held_in: Vec<bool> = bytes.chunks_exact(9).map(|row| row[0] == 1).collect();
    let statistic = bytes
        .chunks_exact(9)
        .map(|row| Ok(f64::from_le_bytes(row[1..].try_into()?)))
        .collect::<Result<Vec<f64>, Box<dyn std::error::Error>>>()?;
    drop(bytes);
    let start = Instant::now();
    let roc = Roc::from_labels(&statistic, &held_in)?;
    let sorted_s = start.elapsed().as_secs_f64();
    let tprs = [0.001, 0.005, 0.01, 0.05, 0.1].map(|fpr| roc.tpr_at_fpr(fpr));
    let bootstrap = Resamples::of_auroc(&roc, resamples, 0)?.summary();
    let all_s = start.elapsed().as_secs_f64();
    println!("users {} auroc {:.17} std_dev {:.6}", statistic.len(), roc.auroc(), bootstrap.std_dev);
    println!("tpr_at_fpr {tprs:?}");
    println!("sorted_s {sorted_s:.3} all_s {all_s:.3}");
    Ok(())
}
