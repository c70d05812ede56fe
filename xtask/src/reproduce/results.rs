//! `docs/results`: the page of each recipe, put together from what its runs left, and the page of all claims.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use xshell::{Shell, cmd};

use super::read;
use crate::project_root;
use crate::recipe::{self, Recipe};

/// Files that a grid leaves and that are kept.
const KEPT: [&str; 9] = [
    "grid.json",
    "page.md",
    "exposure.svg",
    "trade-off.svg",
    "training.svg",
    "knowledge.svg",
    "bounds.svg",
    "documents.svg",
    "words.svg",
];

/// When, from what and how it was found, beside the files of a grid.
const ABOUT: &str = "about.md";

fn folder() -> PathBuf {
    project_root().join("docs/results")
}

/// Keeps what a recipe left and writes its page anew.
pub(super) fn record(
    sh: &Shell,
    name: &str,
    recipe: &Recipe,
    command: &str,
    place: &str,
    found: &Path,
) -> anyhow::Result<()> {
    let own = folder().join(name).join(place);
    if own.exists() {
        // Of an earlier result nothing may be left.
        fs::remove_dir_all(&own).with_context(|| own.display().to_string())?;
    }
    fs::create_dir_all(&own)?;
    for file in KEPT {
        let (from, to) = (found.join(file), own.join(file));
        if from.exists() {
            fs::copy(&from, &to).with_context(|| to.display().to_string())?;
        }
    }
    let commit = cmd!(sh, "git rev-parse --short HEAD").read()?;
    let date = cmd!(sh, "date --utc +%Y-%m-%d").read()?;
    fs::write(own.join(ABOUT), format!("`{command}`, {date}, commit {commit}.\n"))?;
    fs::write(folder().join(format!("{name}.md")), page(name, recipe)?)?;
    fs::write(folder().join("claims.md"), claims()?)?;
    Ok(())
}

/// The folders of a recipe's results, smoke scale first.
fn sections(name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder().join(name)) else { return Ok(Vec::new()) };
    let mut sections: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    sections.retain(|section| section.join("grid.json").is_file());
    sections.sort_by_key(|section| (!title(section).ends_with("smoke scale"), section.clone()));
    Ok(sections)
}

/// `reuters, desk scale`
fn title(section: &Path) -> String {
    let name = section.file_name().unwrap_or_default().to_string_lossy();
    let (scale, corpus) = name.split_once('-').unwrap_or(("", &name));
    format!("{corpus}, {scale} scale")
}

fn page(name: &str, recipe: &Recipe) -> anyhow::Result<String> {
    let mut parts = vec![
        format!("# Results: {name}"),
        format!("{}\nPublished: {}", recipe.shows, recipe.published),
        "Written by `cargo xtask reproduce --record`; the numbers stand in `grid.json` beside the plots. Users are pooled \
         over seeds, intervals are over users. What a claim must show is said in `claims.md`."
            .to_owned(),
    ];
    for section in sections(name)? {
        let place = section.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text =
            |file: &str| fs::read_to_string(section.join(file)).with_context(|| format!("{place}/{file}"));
        let pictures_here = text("page.md")?.replace("](", &format!("]({name}/{place}/"));
        parts.push(format!("## {}", title(&section)));
        parts.push(text(ABOUT)?.trim_end().to_owned());
        parts.push(pictures_here.trim_end().to_owned());
    }
    Ok(parts.join("\n\n") + "\n")
}

/// Every claim of every recipe, with what became of it on each corpus.
fn claims() -> anyhow::Result<String> {
    let mut parts = vec![
        "# Results: all claims".to_owned(),
        "Written by `cargo xtask reproduce --record`.\n\
         A direction is *reproduced* where a one-sided test over users, paired where users are the same, has p at most .01; \
         \"no effect\" where two one-sided tests at .05 show less than .05 of AUROC. *Contradicted* is the opposite at .01, \
         by Holm's method within the recipe. Claims about the gap of losses are over checkpoints of each run instead, which are \
         taken as independent though they are not. Audits guess a third of the canaries in and a third out; users are detected \
         where the least adjusted p-value of a held-in one is at most the rate; losses are those of held-out users, by a paired \
         t-test. All else is *undecided*, with the number of users that would decide it four \
         times in five, if they are like those at hand: undecided, 250."
            .to_owned(),
    ];
    // What became of each claim, by recipe and claim, then by corpus.
    let (mut verdicts, mut corpora) =
        (Vec::<(String, String, BTreeMap<String, String>)>::new(), BTreeSet::new());
    for name in recipe::names()? {
        for section in sections(&name)? {
            let (outcome, corpus) = (read(&section.join("grid.json"))?, title(&section));
            for claim in outcome["claims"].as_array().into_iter().flatten() {
                let says = claim["says"].as_str().unwrap_or_default();
                let at = verdicts.iter().position(|(recipe, own, _)| *recipe == name && own == says);
                let at = at.unwrap_or_else(|| {
                    verdicts.push((name.clone(), says.to_owned(), BTreeMap::new()));
                    verdicts.len() - 1
                });
                verdicts[at].2.insert(corpus.clone(), verdict(claim));
            }
            if outcome["claims"].as_array().is_some_and(|claims| !claims.is_empty()) {
                corpora.insert((!corpus.ends_with("smoke scale"), corpus));
            }
        }
    }
    let corpora: Vec<String> = corpora.into_iter().map(|(_, corpus)| corpus).collect();
    let mut lines =
        vec![format!("| recipe | claim | {} |", corpora.join(" | ")), "|---".repeat(corpora.len() + 2) + "|"];
    for (name, says, own) in verdicts {
        let cells = corpora.iter().map(|corpus| own.get(corpus).map_or("", String::as_str));
        lines.push(format!("| [{name}]({name}.md) | {says} | {} |", cells.collect::<Vec<_>>().join(" | ")));
    }
    parts.push(lines.join("\n"));
    Ok(parts.join("\n\n") + "\n")
}

/// `undecided, 250`
fn verdict(claim: &Value) -> String {
    let verdict = claim["verdict"].as_str().unwrap_or_default();
    match claim["n_users_needed"].as_u64() {
        Some(needed) => format!("{verdict}, {needed}"),
        None if verdict == "undecided" => verdict.to_owned(),
        None => format!("**{verdict}**"),
    }
}
