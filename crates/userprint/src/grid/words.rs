//! A grid in words: the table in a terminal, the claims, and what to do.

use super::outcome::{ClaimOutcome, CorpusOutcome, Outcome, RowOutcome, VariantOutcome, Verdict};
use crate::report::grouped;
use crate::report::number::{decimals, interval, probability, signed};

/// Decimals of AUROCs: most grids are about differences of some hundredths.
const DIGITS: usize = 3;

/// The table, the claims and the recommendation, for a terminal.
pub(super) fn summary(outcome: &Outcome) -> String {
    let mut parts: Vec<String> = outcome.corpus.iter().map(corpus).collect();
    if !outcome.rows.is_empty() {
        parts.push(table(outcome));
    }
    if !outcome.claims.is_empty() {
        parts.push(outcome.claims.iter().map(claim).collect::<Vec<_>>().join("\n"));
    }
    parts.extend(recommendation(outcome));
    parts.join("\n\n")
}

fn table(outcome: &Outcome) -> String {
    let width = outcome.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).clamp(8, 28);
    let mut lines =
        vec![format!("{:<width$} {:>6} {:>13} {:>13} {:>8}", "", "AUROC", "95 %", "difference", "loss")];
    for row in &outcome.rows {
        let difference = row.difference.map_or(String::new(), |(_, ends)| signed_interval(ends));
        let loss = variant(outcome, row).map_or(String::new(), |own| decimals(own.held_out_loss, 3));
        lines.push(format!(
            "{:<width$} {:>6} {:>13} {difference:>13} {loss:>8}",
            row.name,
            probability(row.auroc, DIGITS),
            interval(row.auroc_interval, DIGITS).replace(" to ", "-"),
        ));
    }
    lines.push("difference: AUROC less that of the first, 95 %; loss: of held-out users, nats".to_owned());
    lines.join("\n")
}

fn corpus(corpus: &CorpusOutcome) -> String {
    let rows = corpus_rows(corpus);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:<width$}  {value}")).collect::<Vec<_>>().join("\n")
}

/// What a corpus is, name by name.
pub(super) fn corpus_rows(corpus: &CorpusOutcome) -> Vec<(String, String)> {
    let percentiles = |values: [u64; 5]| values.map(grouped).join(" / ");
    let share = |n: u64| format!("{} ({:.1} %)", grouped(n), 100.0 * n as f64 / corpus.n_documents as f64);
    let row = |name: &str, value: String| (name.to_owned(), value);
    vec![
        row("users", grouped(corpus.n_users)),
        row(&format!("with {} documents or more", corpus.min_documents), grouped(corpus.n_kept_users)),
        row("documents", grouped(corpus.n_documents)),
        row("documents a user, P0 / P25 / P50 / P75 / P100", percentiles(corpus.documents)),
        row("words", grouped(corpus.n_words)),
        row("words a document, the same", percentiles(corpus.words)),
        row("copies of a user's earlier document", share(corpus.n_copies)),
        row("near-copies, those among them", share(corpus.n_near_copies)),
    ]
}

/// `−.12 to +.03`
pub(super) fn signed_interval(ends: [f64; 2]) -> String {
    ends.map(|end| signed(end, 2).replacen("0.", ".", 1)).join(" to ")
}

fn claim(claim: &ClaimOutcome) -> String {
    format!("{:<13} {} ({})", verdict(claim.verdict), claim.says, evidence(claim))
}

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reproduced => "reproduced",
        Verdict::Contradicted => "contradicted",
        Verdict::Undecided => "undecided",
    }
}

/// The numbers behind a claim.
pub(super) fn evidence(claim: &ClaimOutcome) -> String {
    if let Some(why) = &claim.undefined {
        return why.clone();
    }
    let mut parts: Vec<String> = claim.found.iter().cloned().collect();
    if let Some(estimate) = claim.estimate {
        let ends = claim.interval.map_or(String::new(), |ends| format!(", 95 % {}", signed_interval(ends)));
        parts.push(format!("{}{ends}", signed(estimate, DIGITS)));
    }
    if let Some(p_value) = claim.p_value {
        parts.push(format!("p {}", probability(p_value, DIGITS)));
    }
    if let Some(n_users) = claim.n_users {
        parts.push(format!("{n_users} users"));
    }
    if let Some(needed) = claim.n_users_needed {
        parts.push(format!("about {} would decide it", grouped(needed)));
    }
    parts.join(", ")
}

fn variant<'o>(outcome: &'o Outcome, row: &RowOutcome) -> Option<&'o VariantOutcome> {
    outcome.variants.iter().find(|variant| variant.name == row.variant)
}

/// Which rule protects at least loss, and what none protects; none where there is nothing to choose.
pub(super) fn recommendation(outcome: &Outcome) -> Option<String> {
    let (first, others) = outcome.rows.split_first().filter(|_| outcome.is_of_mitigations)?;
    let plain = variant(outcome, first)?;
    let others: Vec<(&RowOutcome, &VariantOutcome)> = others
        .iter()
        .filter_map(|row| Some((row, variant(outcome, row)?)))
        .filter(|(row, own)| own.name != plain.name && row.variant == row.name && own.void.is_empty())
        .collect();
    if others.is_empty() {
        return None;
    }
    let mut lowers: Vec<_> =
        others.iter().filter(|(row, _)| row.difference.is_some_and(|(_, ends)| ends[1] < 0.0)).collect();
    lowers.sort_by(|a, b| a.1.held_out_loss.total_cmp(&b.1.held_out_loss));
    let auroc = |row: &RowOutcome| {
        format!("{} ({})", probability(row.auroc, DIGITS), interval(row.auroc_interval, DIGITS))
    };
    let mut words = Vec::new();
    match lowers.first() {
        Some((row, own)) => {
            words.push(format!(
                "Of the rules that lower exposure, `{}` costs least: AUROC {} against {}, held-out loss {} against {} nats \
                 per token.",
                row.name,
                auroc(row),
                auroc(first),
                decimals(own.held_out_loss, 3),
                decimals(plain.held_out_loss, 3)
            ));
            let most = lowers.iter().min_by(|a, b| a.0.auroc.total_cmp(&b.0.auroc));
            if let Some((most, own)) = most.filter(|(most, _)| most.name != row.name) {
                words.push(format!(
                    "`{}` lowers it most: AUROC {}, held-out loss {}.",
                    most.name,
                    auroc(most),
                    decimals(own.held_out_loss, 3)
                ));
            }
        }
        None => words.push("No rule lowers the AUROC by more than chance could (95 %).".to_owned()),
    }
    let useless: Vec<String> = others
        .iter()
        .filter(|(row, _)| row.difference.is_none_or(|(_, ends)| ends[1] >= 0.0))
        .map(|(row, _)| format!("`{}`", row.name))
        .collect();
    if !useless.is_empty() && !lowers.is_empty() {
        words.push(format!("Without such an effect: {}.", useless.join(", ")));
    }
    let least = outcome.rows.iter().min_by(|a, b| a.auroc_interval[0].total_cmp(&b.auroc_interval[0]))?;
    words.push(if least.auroc_interval[0] > 0.5 {
        format!(
            "None hides the users altogether: even under `{}` held-in users are told from others.",
            least.name
        )
    } else {
        "An AUROC whose interval holds .5 is no proof of safety: more users may show what these do not."
            .to_owned()
    });
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, auroc: f64, ends: Option<[f64; 2]>) -> RowOutcome {
        RowOutcome {
            name: name.to_owned(),
            variant: name.to_owned(),
            n_held_in: 50,
            n_held_out: 50,
            auroc,
            auroc_interval: [auroc - 0.1, auroc + 0.1],
            tpr: [None, None],
            difference: ends.map(|ends| (0.0, ends)),
            published: None,
            audit: None,
        }
    }

    fn with_loss(name: &str, held_out_loss: f64) -> VariantOutcome {
        VariantOutcome {
            name: name.to_owned(),
            held_in_loss: 2.0,
            held_out_loss,
            n_detected: 0.0,
            n_wrongly_detected: 0.0,
            train_s: 1.0,
            promise: None,
            void: Vec::new(),
            curves: Vec::new(),
            knowledge: Vec::new(),
            noise: None,
            norms: None,
            exact: Vec::new(),
        }
    }

    #[test]
    fn the_cheapest_rule_that_works_is_recommended() {
        let rows = vec![
            row("none", 0.8, None),
            row("dedup", 0.7, Some([-0.15, -0.05])),
            row("dp", 0.55, Some([-0.4, -0.1])),
            row("clip", 0.79, Some([-0.05, 0.03])),
        ];
        let losses = [("none", 3.0), ("dedup", 3.01), ("dp", 3.6), ("clip", 2.9)];
        let mut outcome = Outcome {
            schema: 1,
            name: "grid".to_owned(),
            is_of_mitigations: true,
            version: String::new(),
            machine: String::new(),
            seeds: vec![1],
            wall_s: 1.0,
            n_held_in: 50,
            n_held_out: 50,
            n_parameters: 1,
            variants: losses.map(|(name, loss)| with_loss(name, loss)).to_vec(),
            rows,
            published_on: None,
            claims: Vec::new(),
            corpus: None,
        };
        let words = recommendation(&outcome).unwrap();
        assert!(words.starts_with("Of the rules that lower exposure, `dedup` costs least"), "{words}");
        assert!(
            words.contains("`dp` lowers it most") && words.contains("Without such an effect: `clip`"),
            "{words}"
        );
        assert!(words.contains("no proof of safety"), "{words}");
        assert!(summary(&outcome).lines().take(6).all(|line| line.chars().count() <= 80));
        outcome.rows.truncate(1);
        assert_eq!(recommendation(&outcome), None);
    }
}
