//! What the numbers say, in plain words, and the few to look at first.

use super::number::{decimals, digits_for, grouped, interval, percent, probability, signed};
use crate::results::{Results, ValidationLoss};

/// The false positive rate of the key figures.
const KEY_FPR: f64 = 0.01;

/// One paragraph; the conclusion is its emphasised part.
pub(super) struct Verdict {
    pub(super) finding: String,
    pub(super) conclusion: &'static str,
    pub(super) rest: String,
}

/// One key figure.
pub(super) struct Tile {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) detail: String,
}

impl Verdict {
    pub(super) fn new(results: &Results, n_held_out: usize) -> Self {
        let [low, high] = results.auroc_interval;
        let digits = digits_for(&[results.auroc, low, high]);
        let finding = format!(
            "A random held-in user outranks a random held-out user with probability {} \
             (95\u{a0}% interval {}):",
            probability(results.auroc, digits),
            interval([low, high], digits),
        );
        let (conclusion, meaning) = if low > 0.5 {
            ("held-in users can be told apart.", String::new())
        } else if high < 0.5 {
            let why = "The attack ranks held-in users below held-out users, which no training on them explains; \
                       find out why before using any number here.";
            ("the attack works backwards.", format!(" {why}"))
        } else {
            let limit = format!(
                " Values up to {} remain possible, so this is no proof that nothing leaks.",
                probability(high, digits)
            );
            ("held-in users cannot be told apart with these users.", limit)
        };
        let at_key = match at_rate(results, KEY_FPR) {
            Some(Some(tpr)) => format!(
                " At a false positive rate of {} the attack finds {} of the held-in users.",
                percent(KEY_FPR),
                percent((tpr * 1000.0).round() / 1000.0),
            ),
            None => String::new(),
            Some(None) => format!(
                " With {} held-out users a false positive rate of {} is not resolvable.",
                grouped(n_held_out as u64),
                percent(KEY_FPR),
            ),
        };
        Self { finding, conclusion, rest: format!("{meaning}{at_key}") }
    }
}

/// TPR at `fpr`: nothing where it was not asked for, `Some(None)` where it is not resolvable.
fn at_rate(results: &Results, fpr: f64) -> Option<Option<f64>> {
    let is_rate = |name: &str| name.parse::<f64>().is_ok_and(|rate| (rate - fpr).abs() < 1e-12);
    results.tpr_at_fpr.iter().find(|(name, _)| is_rate(name)).map(|(_, tpr)| *tpr)
}

/// Held-out minus held-in loss, under the reference and under the target.
pub(super) fn loss_gaps(loss: &ValidationLoss) -> [f64; 2] {
    [loss.reference_held_out - loss.reference_held_in, loss.held_out - loss.held_in]
}

/// The four key figures.
pub(super) fn tiles(results: &Results, n_held_out: usize) -> [Tile; 4] {
    let digits = digits_for(&[results.auroc, results.auroc_interval[0], results.auroc_interval[1]]);
    let (tpr, tpr_detail) = match at_rate(results, KEY_FPR) {
        Some(Some(tpr)) => (probability(tpr, 3), "share of held-in users found".to_string()),
        None => ("–".to_string(), "not asked for".to_string()),
        Some(None) => {
            ("–".to_string(), format!("not resolvable with {} held-out users", grouped(n_held_out as u64)))
        }
    };
    let users = &results.users;
    let [reference, target] = loss_gaps(&results.validation_loss);
    let counts = [users.held_in, users.held_out, users.public].map(|n| grouped(n.into()));
    [
        Tile {
            label: "AUROC",
            value: probability(results.auroc, digits),
            detail: format!(
                "95\u{a0}% interval {}{}",
                interval(results.auroc_interval, digits),
                if results.is_interval_approximate { ", approximate" } else { "" }
            ),
        },
        Tile { label: "TPR at 1\u{a0}% FPR", value: tpr, detail: tpr_detail },
        Tile { label: "Users", value: counts.join(" / "), detail: "held-in / held-out / public".to_string() },
        Tile {
            label: "Loss gap growth",
            value: signed(target - reference, 3),
            detail: format!(
                "nats per token: {} under the reference, {} under the target",
                decimals(reference, 3),
                decimals(target, 3)
            ),
        },
    ]
}
