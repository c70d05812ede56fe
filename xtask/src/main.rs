//! The project's tasks. Light on purpose: this links none of the crates, so it builds in seconds.
#![expect(clippy::print_stdout, reason = "a task's output is what it prints")]

mod backend;
mod bench;
mod ci;
mod cluster;
mod fixtures;
mod machine;
mod recipe;
mod rehearse;
mod reproduce;
mod tidy;
mod watch;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use xshell::Shell;

/// The project's tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Repeat an experiment and hold its result against the recipe's expectation.
    Reproduce(reproduce::Reproduce),
    /// Every stage of recipes at paper scale, on made-up dumps and random weights; nothing is downloaded.
    Rehearse(rehearse::Rehearse),
    /// Run the benches, or measure scoring; with --record, keep the results.
    Bench(bench::Bench),
    /// A split on a Ballista cluster against the same without one; not part of ci.
    Cluster(cluster::Cluster),
    /// Everything that must hold before a change is shared, cheapest first.
    Ci,
    /// The rules that no compiler checks: crate arrows, file and function sizes, words, fixtures.
    Tidy,
    /// Rewrite fixtures/manifest.toml, or check it.
    Fixtures(fixtures::Fixtures),
}

fn main() -> anyhow::Result<()> {
    let sh = Shell::new()?;
    match Cli::parse().task {
        Task::Reproduce(task) => task.run(&sh),
        Task::Rehearse(task) => task.run(&sh),
        Task::Bench(task) => task.run(&sh),
        Task::Cluster(task) => task.run(&sh),
        Task::Ci => ci::run(&sh),
        Task::Tidy => tidy::run(&sh),
        Task::Fixtures(task) => task.run(),
    }
}

/// The folder of the workspace.
fn project_root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or(xtask.clone(), PathBuf::from)
}
