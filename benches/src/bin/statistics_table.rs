//! Draws a table of users' statistics, for `cargo xtask bench stats`.

use std::path::PathBuf;

use clap::Parser;
use rand::RngExt;
use userprint_core::{Seed, UserId};
use userprint_score::store::{StatisticsTable, write_statistics};

/// Draw a table of users' statistics, every second user held in: uniform
/// numbers, those of held-in users a tenth higher, rounded so that many tie.
#[derive(Debug, Parser)]
struct Args {
    /// Where the table goes (Parquet).
    table: PathBuf,
    /// Number of users.
    #[arg(long)]
    users: u64,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut rng = Seed(args.seed).named("statistics").rng();
    let mut table = StatisticsTable::default();
    for user in 0..args.users {
        let held_in = user % 2 == 0;
        let drawn = rng.random::<f64>() + if held_in { 0.1 } else { 0.0 };
        table.user_id.push(UserId::new(format!("user-{user:09}")));
        table.held_in.push(held_in);
        table.statistic.push((drawn * 1e6).round() / 1e6);
        table.n_examples.push(10);
    }
    Ok(write_statistics(&args.table, &table)?)
}
