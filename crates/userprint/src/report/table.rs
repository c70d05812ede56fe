//! The tables: rows of cells, made here and laid out by the template.

use std::collections::{BTreeMap, BTreeSet};

use userprint_attack::validity::Check;
use userprint_data::CanaryKind;
use userprint_mitigate::{PrivacyUnit, Public, TrainingRule};
use userprint_privacy::NeighboringRelation;

use super::number::{decimals, duration, grouped, interval, percent, probability, signed, words};
use super::{ReportInput, verdict};
use crate::results::{
    AssociationRow, AttackRow, CanaryRow, CheckRow, Detection, FactorRow, LeftOutRow, Results, ShareRow,
};

/// A titled table; `note` explains it in a sentence or two.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) note: String,
    /// What is said below the table; may be empty.
    pub(super) foot: String,
    pub(super) head: Vec<Cell>,
    pub(super) rows: Vec<Row>,
    /// Whether it takes the width of the page.
    pub(super) is_wide: bool,
}

/// A row; the headline's is emphasised.
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    pub(super) is_headline: bool,
}

/// A cell: its words, and the class of the style sheet that sets them.
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) class: &'static str,
}

/// Longer words than this may wrap.
const SHORT: usize = 32;

fn text(text: impl Into<String>) -> Cell {
    let text = text.into();
    let class = if text.chars().count() <= SHORT { "short" } else { "text" };
    Cell { text, class }
}

fn number(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), class: "number" }
}

fn row(cells: Vec<Cell>) -> Row {
    Row { cells, is_headline: false }
}

/// Canary users, tier by tier.
pub(super) fn canaries(results: &Results) -> Table {
    let line = |tier: &CanaryRow| {
        let kind = match tier.kind {
            CanaryKind::SharedSubstring => "shared substring",
            CanaryKind::RareWords => "rare words",
            CanaryKind::Signature => "signature",
        };
        let n_documents = tier.n_documents.map_or("all".to_owned(), |n| grouped(n as u64));
        let dash = || "–".to_owned();
        row(vec![
            text(kind),
            number(grouped(tier.n_tokens as u64)),
            number(n_documents),
            number(grouped(tier.held_in as u64)),
            number(grouped(tier.held_out as u64)),
            number(tier.auroc.map_or_else(dash, |auroc| probability(auroc, 3))),
            number(tier.auroc_interval.map_or_else(dash, |ends| interval(ends, 3))),
        ])
    };
    let why: Vec<&str> = results.canaries.iter().filter_map(|tier| tier.undefined.as_deref()).collect();
    Table {
        title: "Canary users",
        note: "Users in each of whose documents the same text was planted, some fine-tuned on and some not by the toss \
               of a coin: the headline attack on those of one kind. What it finds here is what a user who repeats \
               a phrase has to fear."
            .to_string(),
        foot: why.first().map_or_else(String::new, |why| format!("A dash: {why}.")),
        head: vec![
            text("Planted"),
            number("Tokens"),
            number("Documents trained on"),
            number("Held in"),
            number("Held out"),
            number("AUROC"),
            number("95\u{a0}% interval"),
        ],
        rows: results.canaries.iter().map(line).collect(),
        is_wide: true,
    }
}

/// Every statistic with every aggregate.
pub(super) fn attacks(results: &Results) -> Table {
    let rates: BTreeSet<&String> =
        results.attacks.iter().flat_map(|attack| attack.tpr_at_fpr.keys()).collect();
    let rates = by_value(rates);
    let mut head = vec![text("Statistic"), text("Aggregate"), number("AUROC"), number("95\u{a0}% interval")];
    head.extend(rates.iter().map(|(_, rate)| number(format!("TPR at {}", percent(*rate)))));
    let line = |attack: &AttackRow| {
        let mut cells = vec![
            text(words(&attack.statistic)),
            text(words(&attack.aggregate)),
            number(probability(attack.auroc, 3)),
            number(interval(attack.auroc_interval, 3)),
        ];
        cells.extend(rates.iter().map(|(name, _)| number(tpr(&attack.tpr_at_fpr, name))));
        let is_headline = attack.statistic == results.statistic && attack.aggregate == results.aggregate;
        Row { cells, is_headline }
    };
    Table {
        title: "Attacks",
        note: "Every example statistic with every aggregate over a user's attack examples; a combination of the \
               statistics and a test of all of a user's examples, both weighed on other users than they judge. The \
               headline, in bold, is the one that the experiment file names; the best of the others, picked \
               afterwards, would flatter the attack. A dash stands where there are too few held-out users for that \
               false positive rate."
            .to_string(),
        foot: left_out(&results.attacks_left_out),
        head,
        rows: results.attacks.iter().map(line).collect(),
        is_wide: true,
    }
}

/// Which attacks have no result, and why.
fn left_out(rows: &[LeftOutRow]) -> String {
    let name = |row: &LeftOutRow| match &row.aggregate {
        Some(aggregate) => format!("{}, {}", words(&row.statistic), words(aggregate)),
        None => words(&row.statistic),
    };
    let reasons: Vec<String> = rows.iter().map(|row| format!("{} ({})", name(row), row.reason)).collect();
    if reasons.is_empty() { String::new() } else { format!("Left out: {}.", reasons.join("; ")) }
}

/// Names of rates in order of their value; a name that is no rate is left out.
fn by_value(names: BTreeSet<&String>) -> Vec<(String, f64)> {
    let mut rates: Vec<_> = names
        .into_iter()
        .filter_map(|n| Some((n.clone(), n.parse().ok().filter(|rate| *rate > 0.0)?)))
        .collect();
    rates.sort_by(|a: &(String, f64), b| a.1.total_cmp(&b.1));
    rates
}

fn tpr(rates: &BTreeMap<String, Option<f64>>, name: &str) -> String {
    rates.get(name).copied().flatten().map_or("–".to_string(), |tpr| probability(tpr, 3))
}

/// The name of a check for readers, and what it asks.
fn question(check: Check) -> (&'static str, &'static str) {
    match check {
        Check::Placebo => (
            "Placebo",
            "The reference stands in for the target in the headline attack, so that no user differs from another: \
             is the plumbing sound?",
        ),
        Check::Null => {
            ("Null", "The reference's own log-likelihood, before any fine-tuning: are both sides alike?")
        }
        Check::Blind => {
            ("Blind", "A bag-of-words classifier that sees no model: do the words alone give the split away?")
        }
        Check::SharedUsers => {
            ("Shared users", "Does a name stand on both sides, but for case and white space?")
        }
        Check::Leakage => (
            "Leakage",
            "Are more attack examples of held-in users near-duplicates of training examples than of held-out users?",
        ),
        Check::TimeShift => ("Time", "Did held-in and held-out users write at different times?"),
        Check::SourceShift => ("Source", "Did they write in different places?"),
        Check::Resolution => ("Resolution", "Is a rate printed that so few held-out users cannot show?"),
    }
}

/// The checks that make a result void.
pub(super) fn checks(results: &Results) -> Table {
    let line = |check: &CheckRow| {
        let known = Check::ALL.into_iter().find(|known| known.name() == check.check);
        let (name, question) = match known {
            Some(known) => question(known),
            None => (&*check.check, ""),
        };
        let p_value = check.adjusted_p_value.map_or("–".to_string(), |p| probability(p, 3));
        let outcome = match &*check.outcome {
            "passed" => Cell { text: "pass".to_string(), class: "pass" },
            "void" => Cell { text: "void".to_string(), class: "fail" },
            _ => text(format!("not checked: {}", check.reason.as_deref().unwrap_or("no data"))),
        };
        row(vec![text(name), text(question), text(check.found.clone()), number(p_value), outcome])
    };
    Table {
        title: "Validity checks",
        note: "None of these may tell the sides apart: one that does shows a fault of the experiment, not a leak \
               of the model, and makes the run void. The p-values are over all checks (Holm's method); up to .01 \
               is void, so that a sound experiment is called void at most once in a hundred times."
            .to_string(),
        foot: String::new(),
        head: vec![text("Check"), text("What it asks"), text("Found"), number("p, over all"), text("Result")],
        rows: results.checks.iter().map(line).collect(),
        is_wide: true,
    }
}

/// Who is detected one by one.
pub(super) fn detection(results: &Results) -> Table {
    let Detection { false_discovery_rate, held_in, held_out, least_p_value, least_detected } =
        &results.detection;
    let count = |n: usize| number(grouped(n as u64));
    let resolution = match least_detected {
        Some(1) | None => String::new(),
        Some(least) => format!(
            " With these held-out users no p-value is below {}, so that fewer than {} users cannot be detected \
             at once, however clear each is.",
            probability(*least_p_value, 3),
            grouped(*least as u64)
        ),
    };
    let nobody = if least_detected.is_none() { " With so few held-out users nobody can be." } else { "" };
    Table {
        title: "Users detected",
        note: format!(
            "Each user has a p-value, its rank among held-out users; those detected hold a false discovery rate \
             of {} (Benjamini-Hochberg).{resolution}{nobody} Each user's numbers are in statistics.parquet.",
            percent(*false_discovery_rate)
        ),
        foot: String::new(),
        head: vec![text("Users"), number("Detected"), number("Of")],
        rows: vec![
            row(vec![text("held-in"), count(*held_in), number(grouped(results.users.held_in.into()))]),
            row(vec![
                text("held-out, wrongly"),
                count(*held_out),
                number(grouped(results.users.held_out.into())),
            ]),
        ],
        is_wide: false,
    }
}

/// The attack one example at a time.
pub(super) fn sequential(results: &Results) -> Table {
    let found = &results.sequential;
    let line = |name: &str, share: &Option<ShareRow>| {
        let share = share.as_ref()?;
        let interval = interval(share.interval, 2);
        Some(row(vec![text(name), number(probability(share.share, 2)), number(interval)]))
    };
    let rows = [
        line("held-out users called held-in", &found.fpr),
        line("held-in users called held-out", &found.fnr),
        line("held-in users called held-in", &found.tpr),
        line("users left undecided", &found.undecided),
    ];
    let examples = match (found.mean_examples, found.mean_examples_at_hand) {
        (Some(used), Some(all)) => format!(
            " It asked for {} examples a user where {} were at hand.",
            decimals(used, 1),
            decimals(all, 1)
        ),
        _ => String::new(),
    };
    Table {
        title: "One example at a time",
        note: format!(
            "An attack that asks for one more text only while a user is undecided, with either error held at {}: \
             its thresholds are those that other users of known membership cross no oftener.{examples}",
            percent(found.rate_asked)
        ),
        foot: String::new(),
        head: vec![text("Decision"), number("Share"), number("95\u{a0}% interval")],
        rows: rows.into_iter().flatten().collect(),
        is_wide: false,
    }
}

/// What makes users easy to find.
pub(super) fn exposure(results: &Results) -> Table {
    let signed_interval = |[low, high]: [f64; 2]| format!("{} to {}", decimals(low, 2), decimals(high, 2));
    let correlation = |found: &AssociationRow| match (found.estimate, found.interval) {
        (Some(estimate), Some(ends)) => format!("{} ({})", signed(estimate, 2), signed_interval(ends)),
        _ => "–".to_string(),
    };
    let p_value =
        |found: &AssociationRow| found.adjusted_p_value.map_or("–".to_string(), |p| probability(p, 3));
    let chance = |found: &AssociationRow| match (found.estimate, found.interval) {
        (Some(estimate), Some(ends)) => format!("{} ({})", probability(estimate, 2), interval(ends, 2)),
        _ => "–".to_string(),
    };
    let line = |found: &FactorRow| {
        let name =
            FACTORS.iter().find(|(name, _)| *name == found.factor).map_or(&*found.factor, |(_, name)| name);
        row(vec![
            text(name),
            number(correlation(&found.held_in)),
            number(p_value(&found.held_in)),
            number(correlation(&found.held_out)),
            number(chance(&found.detected)),
        ])
    };
    Table {
        title: "What goes with exposure",
        note: "Spearman's correlation of each factor with the headline statistic, and the chance that a detected \
               held-in user has more of it than one that is not detected; 95\u{a0}% intervals, p-values over all \
               factors (Holm). A correlation that held-out users show, too, does not come from training on them. \
               The two divergences from scores are made of the numbers that the statistic is made of."
            .to_string(),
        foot: String::new(),
        head: vec![
            text("Factor"),
            number("With the statistic, held-in"),
            number("p"),
            number("held-out"),
            number("More of it if detected"),
        ],
        rows: results.exposure.iter().map(line).collect(),
        is_wide: true,
    }
}

/// Names of factors for readers.
const FACTORS: [(&str, &str); 9] = [
    ("share", "share of the tokens trained on"),
    ("n_train_examples", "training examples"),
    ("n_train_tokens", "training tokens"),
    ("n_duplicates", "duplicates among them"),
    ("phrase_overlap", "phrases of its own, repeated"),
    ("word_divergence", "words unlike the others'"),
    ("reference_loss", "loss under the reference"),
    ("kl", "KL divergence, from scores"),
    ("chi_square", "chi-square divergence, from scores"),
];

/// TPR at FPR of the headline attack.
pub(super) fn rates(results: &Results, n_held_out: usize) -> Table {
    let rates = by_value(results.tpr_at_fpr.keys().collect());
    let line = |(name, rate): &(String, f64)| {
        let found = match results.tpr_at_fpr.get(name).copied().flatten() {
            Some(tpr) => probability(tpr, 3),
            None => needed_held_out(*rate),
        };
        let wrong = match (rate * n_held_out as f64 + 1e-9).floor() as u64 {
            0 => "–".to_string(),
            n => grouped(n),
        };
        row(vec![number(percent(*rate)), number(found), number(wrong)])
    };
    let bootstrap = &results.auroc_bootstrap;
    Table {
        title: "True positive rate at a false positive rate",
        note: format!(
            "Share of held-in users that the headline attack finds when at most so many of the {} held-out \
             users are accused wrongly. Over {} resamples of users its AUROC is {} on average, with standard \
             deviation {}.",
            grouped(n_held_out as u64),
            grouped(bootstrap.resamples.into()),
            probability(bootstrap.mean, 3),
            probability(bootstrap.std_dev, 3),
        ),
        foot: String::new(),
        head: vec![number("FPR"), number("TPR"), number("Wrongly accused, at most")],
        rows: rates.iter().map(line).collect(),
        is_wide: false,
    }
}

/// Validation losses and their gaps.
pub(super) fn losses(results: &Results) -> Table {
    let loss = &results.validation_loss;
    let [reference_gap, target_gap] = verdict::loss_gaps(loss);
    let print = |value| number(decimals(value, 3));
    let change = |value| number(signed(value, 3));
    Table {
        title: "Validation losses",
        note:
            "Nats per token on texts that neither model was trained on. The gap is held-out minus held-in; \
               the attack lives on its growth from reference to target."
                .to_string(),
        foot: String::new(),
        head: vec![text("Model"), number("Held-in"), number("Held-out"), number("Gap")],
        rows: vec![
            row(vec![
                text("Reference"),
                print(loss.reference_held_in),
                print(loss.reference_held_out),
                print(reference_gap),
            ]),
            row(vec![text("Target"), print(loss.held_in), print(loss.held_out), print(target_gap)]),
            row(vec![
                text("Change"),
                change(loss.held_in - loss.reference_held_in),
                change(loss.held_out - loss.reference_held_out),
                change(target_gap - reference_gap),
            ]),
        ],
        is_wide: false,
    }
}

fn facts(title: &'static str, note: &str, facts: Vec<(&str, Cell)>) -> Table {
    let rows = facts.into_iter().map(|(name, value)| row(vec![text(name), value])).collect();
    Table { title, note: note.to_string(), foot: String::new(), head: Vec::new(), rows, is_wide: false }
}

/// What the training promises, beside what was measured; no rows where it promises nothing.
pub(super) fn promise(results: &Results) -> Table {
    let Some(promise) = &results.promise else { return facts("Promise", "", Vec::new()) };
    let claim = &promise.claim;
    let rule = claim.rule();
    let change = match claim.relation() {
        NeighboringRelation::AddOrRemove => "Adding or removing",
        NeighboringRelation::Replace => "Replacing",
        NeighboringRelation::ZeroOut => "Zeroing out",
    };
    let mut lines = vec![
        // A bound is rounded up.
        ("Epsilon", text(decimals((claim.epsilon() * 100.0).ceil() / 100.0, 2))),
        ("Delta", text(format!("{:e}", claim.delta()))),
        ("For", text(format!("{change} one {} of {}", claim.unit(), grouped(claim.n_units())))),
        ("Steps", text(grouped(claim.steps()))),
    ];
    lines.extend(promised_steps(rule));
    match promise.auroc_cap() {
        Some(cap) if results.auroc_interval[0] > cap => {
            let class = "fail";
            let broken = format!("BROKEN: at most {} is allowed", probability(cap, 4));
            lines.push(("AUROC across users", Cell { text: broken, class }));
        }
        Some(cap) => {
            let (measured, cap_text) = (probability(results.auroc, 3), probability(cap, 4));
            let reading = match results.auroc <= cap {
                true if cap > 0.99 => "but so high a bound forbids hardly anything",
                true => "which is not above it",
                false => "above it, by no more than chance allows",
            };
            let beside = format!("at most {cap_text} is allowed; {measured} was measured, {reading}");
            lines.push(("AUROC across users", text(beside)));
        }
        None => lines.push(("AUROC across users", text("it says nothing about a whole user"))),
    }
    lines.extend(promise.warnings.iter().map(|warning| ("Warning", text(warning.to_string()))));
    let public: Vec<String> = claim.public().into_iter().map(|public| known(public, claim.unit())).collect();
    let mut table = facts(
        "Promise",
        "What the training's sampling, clipping and noise promise about the target's weights, computed from all steps that the training might have made. \
         The AUROC that it allows is a mean over who is held in, so that one run may exceed it by chance.",
        lines,
    );
    table.is_wide = true;
    table.foot =
        format!("Taken as known to everybody: {}. Losses in this report are not noised.", public.join("; "));
    table
}

/// What each step of a private rule did.
fn promised_steps(rule: &TrainingRule) -> Vec<(&'static str, Cell)> {
    let TrainingRule::DpSgd { sampling, sampling_probability, clip_norm, noise_multiplier, adaptive_clip } =
        *rule
    else {
        return Vec::new();
    };
    let most = sampling
        .examples_per_user()
        .map(|most| format!(", up to {most} examples a user"))
        .unwrap_or_default();
    let sampled = format!(
        "each {} with a chance of {}{most}",
        sampling.sampled_unit(),
        probability(sampling_probability, 4)
    );
    let (clip_norm, noise) = (decimals(clip_norm, 3), decimals(noise_multiplier, 3));
    let (clip_norm, noise) = match adaptive_clip {
        Some(adaptive) => {
            let gradients = decimals(adaptive.gradient_noise(noise_multiplier), 3);
            (
                format!("{clip_norm} in the first step, then adapting"),
                format!("{noise}; {gradients} on gradients, beside a count"),
            )
        }
        None => (clip_norm, noise),
    };
    vec![
        ("Sampled in a step", text(sampled)),
        ("Clip norm", text(clip_norm)),
        ("Noise multiplier", text(noise)),
    ]
}

fn known(public: Public, unit: PrivacyUnit) -> String {
    match public {
        Public::Settings => "the settings".to_owned(),
        Public::Start => "the reference".to_owned(),
        Public::NumberOfUnits => format!("how many {unit}s there are"),
        Public::NumberOfExamples => "how many examples there are".to_owned(),
        Public::Validation => "what validation losses show".to_owned(),
        _ => "other facts".to_owned(),
    }
}

/// Users and examples by use.
pub(super) fn counts(results: &Results) -> Table {
    let (users, examples) = (&results.users, &results.examples);
    let count = |n: u64| number(grouped(n));
    facts(
        "Users and examples",
        "Attack examples are what the attacker knows of a user; none of them was trained on.",
        vec![
            ("Held-in users, fine-tuned on", count(users.held_in.into())),
            ("Held-out users, never trained on", count(users.held_out.into())),
            ("Public users, pre-trained the reference", count(users.public.into())),
            ("Users dropped for too few examples", count(users.dropped.into())),
            ("Examples that pre-trained the reference", count(examples.pretrain)),
            ("Examples that fine-tuned the target", count(examples.train)),
            ("Attack examples, held-in users", count(examples.attack_held_in)),
            ("Attack examples, held-out users", count(examples.attack_held_out)),
            ("Tokens scored under each model", count(examples.scored_tokens)),
        ],
    )
}

/// The models.
pub(super) fn model(results: &Results) -> Table {
    let model = &results.model;
    facts(
        "Models",
        "Target and reference alike. The target is the checkpoint of least held-in validation loss.",
        vec![
            ("Family", text(&model.family)),
            ("Reference", text(&model.reference)),
            ("Parameters", number(grouped(model.n_parameters))),
            ("Vocabulary, tokens", number(grouped(model.vocab_size))),
            ("Context, tokens", number(grouped(model.context))),
            ("Target, step", number(grouped(results.target_step))),
        ],
    )
}

/// Wall-clock time of each stage.
pub(super) fn timings(input: &ReportInput<'_>) -> Table {
    let line =
        |stage: &str, wall_s: f64, note: &str| row(vec![text(stage), number(duration(wall_s)), text(note)]);
    let mut rows: Vec<_> = input.timings.iter().map(|t| line(&t.stage, t.wall_s, &t.note)).collect();
    let total: f64 = input.timings.iter().map(|t| t.wall_s).sum();
    rows.push(Row { is_headline: true, ..line("total", total, "") });
    Table {
        title: "Timings",
        note: "Wall-clock time of each stage.".to_string(),
        foot: String::new(),
        head: vec![text("Stage"), number("Time"), text("Work")],
        rows,
        is_wide: false,
    }
}

/// What was run, on what.
pub(super) fn environment(input: &ReportInput<'_>) -> Table {
    let pairs = input
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), Cell { text: value.clone(), class: "code" }));
    facts("Environment", "What it takes to run this again.", pairs.collect())
}
/// Why a rate is not printed: how many held-out users could show it.
pub(crate) fn needed_held_out(fpr: f64) -> String {
    format!("needs {} held-out users", grouped((1.0 / fpr - 1e-9).ceil() as u64))
}
