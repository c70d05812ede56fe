//! `cargo xtask ci`: what must hold before a change is shared, cheapest first.

use std::time::Instant;

use xshell::{Shell, cmd};

use crate::tidy;

/// Runs the steps in order and stops at the first that fails.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<()> {
    let start = Instant::now();
    timed("cargo fmt --all --check", || Ok(cmd!(sh, "cargo fmt --all --check").quiet().run()?))?;
    timed("cargo xtask tidy", || tidy::run(sh))?;
    timed("cargo clippy --workspace --all-targets -- -D warnings", || {
        Ok(cmd!(sh, "cargo clippy --workspace --all-targets -- -D warnings").quiet().run()?)
    })?;
    timed("cargo test --workspace", || Ok(cmd!(sh, "cargo test --workspace").quiet().run()?))?;
    println!("ci: all passed in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn timed(command: &str, step: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("$ {command}");
    let start = Instant::now();
    step()?;
    println!("  {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
