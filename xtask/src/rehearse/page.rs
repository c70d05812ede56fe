//! What a rehearsal found, on the terminal and as a page.

use std::fs;

use xshell::{Shell, cmd};

use super::{Row, STAGES};
use crate::{machine, project_root};

/// One line.
pub(super) fn words(row: &Row) -> String {
    let stages =
        STAGES.iter().zip(row.ran.stage_s).filter_map(|(stage, s)| Some(format!("{stage} {:.1} s", s?)));
    let in_all = [format!("{:.0} s in all", row.ran.wall_s), memory(row.ran.peak_bytes)];
    let parts: Vec<String> = stages.chain(in_all).collect();
    format!("{} on {}: {}", row.recipe, row.corpus, parts.join(", "))
}

fn memory(peak_bytes: Option<u64>) -> String {
    peak_bytes.map_or("unknown".to_owned(), |bytes| format!("{:.1} GB", bytes as f64 / 1e9))
}

/// Writes docs/results/rehearsal.md.
pub(super) fn record(sh: &Shell, command: &str, rows: &[Row]) -> anyhow::Result<()> {
    let commit = cmd!(sh, "git rev-parse --short HEAD").read()?;
    let date = cmd!(sh, "date --utc +%Y-%m-%d").read()?;
    let mut lines = vec![
        "# Results: rehearsal of the paper scale\n".to_owned(),
        "Whether every stage of the recipes runs at `paper` scale, not what it shows: dumps are made up, in the formats of the \
         true ones, and the model has the files and shapes of GPT-Neo 125M with random weights.\n\
         Nothing is downloaded; recipe files and commands are those of `cargo xtask reproduce --scale paper`, with at most four \
         steps of training on two blocks of 64 tokens each, and other sizes as small.\n\
         Seconds are of all variants together; a stage without has been done by a recipe above it on the same corpus.\n"
            .to_owned(),
        format!("`{command}`, {date}, commit {commit}, {}.\n", machine::name()),
        format!("| recipe | corpus | {} | in all | memory |", STAGES.join(" | ")),
        format!("|---|---|{}---|---|", "---|".repeat(STAGES.len())),
    ];
    for Row { recipe, corpus, ran } in rows {
        let stages = ran.stage_s.map(|s| s.map_or(String::new(), |s| format!("{s:.1} s")));
        let memory = memory(ran.peak_bytes);
        lines.push(format!(
            "| {recipe} | {corpus} | {} | {:.0} s | {memory} |",
            stages.join(" | "),
            ran.wall_s
        ));
    }
    fs::write(project_root().join("docs/results/rehearsal.md"), lines.join("\n") + "\n")?;
    Ok(())
}
