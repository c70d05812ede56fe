//! A grid as a page of Markdown.

use super::outcome::{CorpusOutcome, Outcome, RowOutcome, VariantOutcome};
use super::words::{corpus_rows, evidence, recommendation, signed_interval, verdict};
use crate::report::grouped;
use crate::report::number::{decimals, interval, probability};

/// What each plot shows, by its file.
const CAPTIONS: [(&str, &str); 7] = [
    ("exposure.svg", "AUROC with its 95 % interval over users"),
    ("trade-off.svg", "exposure against utility"),
    ("training.svg", "AUROC and the gap of validation losses along training"),
    ("knowledge.svg", "AUROC by number of attack documents"),
    ("bounds.svg", "exact exposure of each held-in user between Proposition 1's bounds"),
    ("documents.svg", "users by number of documents"),
    ("words.svg", "documents by number of words"),
];

/// The page; `plots` are the files beside it.
pub(super) fn page(outcome: &Outcome, plots: &[&str]) -> String {
    let mut parts: Vec<String> = outcome.corpus.iter().map(corpus).collect();
    if !outcome.rows.is_empty() {
        parts.extend([head(outcome), rows(outcome), variants(outcome)]);
    }
    parts.extend(audits(outcome));
    parts.extend(norms(outcome));
    let pictures = CAPTIONS.iter().filter(|(file, _)| plots.contains(file));
    parts
        .push(pictures.map(|(file, caption)| format!("![{caption}]({file})")).collect::<Vec<_>>().join("\n"));
    if !outcome.claims.is_empty() {
        parts.push(claims(outcome));
    }
    parts.extend(recommendation(outcome));
    let void = outcome
        .variants
        .iter()
        .flat_map(|variant| variant.void.iter().map(|why| format!("VOID: `{}`, {why}", variant.name)));
    parts.extend(void);
    parts.join("\n\n") + "\n"
}

fn corpus(corpus: &CorpusOutcome) -> String {
    let rows = corpus_rows(corpus).into_iter().map(|(name, value)| format!("| {name} | {value} |"));
    ["| corpus | |".to_owned(), "|---|---|".to_owned()].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

/// What canaries certify, if there are any.
fn audits(outcome: &Outcome) -> Option<String> {
    let row = |row: &RowOutcome| {
        let audit = row.audit?;
        Some(format!(
            "| {} | {} | {} of {} | {} | {} | {} |",
            row.name,
            audit.n_canaries,
            audit.n_correct,
            audit.n_guesses,
            audit.delta,
            decimals(audit.epsilon, 2),
            decimals(audit.epsilon_strict, 2)
        ))
    };
    let rows: Vec<String> = outcome.rows.iter().filter_map(row).collect();
    let head = [
        "| audit | canaries | guessed right | delta | epsilon at least, at .05 | at .001 |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    (!rows.is_empty()).then(|| head.into_iter().chain(rows).collect::<Vec<_>>().join("\n"))
}

/// Gradient norms, where they were measured.
fn norms(outcome: &Outcome) -> Option<String> {
    let row = |own: &VariantOutcome| {
        let norms = own.norms?;
        let quartiles = |of: [f64; 3]| of.map(|norm| decimals(norm, 3)).join(" / ");
        Some(format!(
            "| {} | {} | {} | {} |",
            own.name,
            quartiles(norms.canaries),
            quartiles(norms.others),
            probability(norms.canary_is_higher, 3)
        ))
    };
    let rows: Vec<String> = outcome.variants.iter().filter_map(row).collect();
    let head = [
        "| gradient norms of examples, P25 / P50 / P75 | canary users | others | chance that a canary's is higher |",
        "|---|---|---|---|",
    ];
    let lines = head.map(str::to_owned).into_iter().chain(rows.iter().cloned());
    (!rows.is_empty()).then(|| lines.collect::<Vec<_>>().join("\n"))
}

fn head(outcome: &Outcome) -> String {
    let seeds: Vec<String> = outcome.seeds.iter().map(u64::to_string).collect();
    format!(
        "{} held-in and {} held-out users a run, seeds {}, {} parameters, {:.0} minutes; {}.",
        outcome.n_held_in,
        outcome.n_held_out,
        seeds.join(", "),
        grouped(outcome.n_parameters),
        outcome.wall_s / 60.0,
        outcome.machine
    )
}

fn rows(outcome: &Outcome) -> String {
    let has_published = outcome.rows.iter().any(|row| row.published.is_some());
    let mut lines = vec![
        "| | users | AUROC, 95 % | less the first, 95 % | TPR at 1 % | TPR at 5 % |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    if has_published {
        let on = outcome.published_on.as_ref().map_or(String::new(), |corpus| format!(", {corpus}"));
        lines[0] += &format!(" published{on} |");
        lines[1] += "---|";
    }
    for row in &outcome.rows {
        let published = row.published.map_or(String::new(), |published| probability(published, 3));
        let published = if has_published { format!(" {published} |") } else { String::new() };
        lines.push(line(row) + &published);
    }
    lines.join("\n")
}

fn line(row: &RowOutcome) -> String {
    let tpr = row.tpr.map(|tpr| tpr.map_or("–".to_owned(), |tpr| probability(tpr, 3)));
    let difference = row.difference.map_or(String::new(), |(_, ends)| signed_interval(ends));
    format!(
        "| {} | {} / {} | {} ({}) | {difference} | {} | {} |",
        row.name,
        row.n_held_in,
        row.n_held_out,
        probability(row.auroc, 3),
        interval(row.auroc_interval, 3),
        tpr[0],
        tpr[1]
    )
}

fn variants(outcome: &Outcome) -> String {
    let mut lines = vec![
        "| variant | loss, held-in | loss, held-out | detected, wrongly | promise | fine-tuning |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    for own in &outcome.variants {
        let promise = own.promise.map_or(String::new(), |(epsilon, of_users)| {
            let noise = own.noise.map_or(String::new(), |noise| format!(", noise {}", decimals(noise, 4)));
            format!("ε {} of {}{noise}", decimals(epsilon, 2), if of_users { "users" } else { "examples" })
        });
        lines.push(format!(
            "| {} | {} | {} | {:.1}, {:.1} | {promise} | {:.0} s |",
            own.name,
            decimals(own.held_in_loss, 3),
            decimals(own.held_out_loss, 3),
            own.n_detected,
            own.n_wrongly_detected,
            own.train_s
        ));
    }
    if outcome.variants.iter().any(|own| own.noise.is_some()) {
        lines.push("\nnoise: on a step's mean gradient, standard deviation in clip norms".to_owned());
    }
    lines.join("\n")
}

fn claims(outcome: &Outcome) -> String {
    let mut lines = vec!["| claim | | evidence |".to_owned(), "|---|---|---|".to_owned()];
    for claim in &outcome.claims {
        lines.push(format!("| {} | **{}** | {} |", claim.says, verdict(claim.verdict), evidence(claim)));
    }
    lines.join("\n")
}
