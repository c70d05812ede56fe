//! The command line of userprint.

mod account;
mod backend;
mod checkpoint;
mod cli;
mod corpus;
mod experiment;
mod grid;
mod hub;
mod model;
mod parts;
mod pipeline;
mod pool;
mod privacy;
mod progress;
mod report;
mod results;
mod run_folder;
mod score;
mod stages;
mod stats;

use std::process::ExitCode;

use clap::Parser;
use tracing_indicatif::IndicatifLayer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let bars = IndicatifLayer::new();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(bars.get_stderr_writer())
        .with_target(false)
        .with_level(false)
        .without_time();
    let level = if cli.quiet { "warn" } else { "info" };
    tracing_subscriber::registry()
        .with(tracing_subscriber::EnvFilter::new(format!("warn,userprint={level}")))
        .with(lines)
        .with(bars)
        .init();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
