//! `report.html`: one self-contained page on one run, for a reader who has five minutes.
//!
//! The page loads nothing and is a pure function of its input. No user's text or id reaches it.

mod auroc_curve;
pub(crate) mod bounds;
pub(crate) mod canvas;
mod histogram;
mod knowledge;
mod losses;
pub(crate) mod number;
pub(crate) use number::grouped;
mod roc;
mod table;
pub(crate) use table::needed_held_out;
mod verdict;

use askama::Template;
use plotters::drawing::DrawingAreaErrorKind;

use crate::results::Results;
use table::Table;
use verdict::{Tile, Verdict};

/// What the report is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportInput<'a> {
    /// What the run found.
    pub(crate) results: &'a Results,
    /// Statistic of each held-in user under the headline attack.
    pub(crate) held_in: &'a [f64],
    /// Statistic of each held-out user under the headline attack.
    pub(crate) held_out: &'a [f64],
    /// How long each stage took.
    pub(crate) timings: &'a [Timing],
    /// What was run, as names and values: version, commit, device, hashes.
    pub(crate) environment: &'a [(String, String)],
    /// The resolved experiment file.
    pub(crate) experiment_toml: &'a str,
}

/// How long a stage took.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timing {
    /// Name of the stage.
    pub(crate) stage: String,
    /// Wall-clock seconds.
    pub(crate) wall_s: f64,
    /// What that amounts to, such as `5,120 tokens/s`; may be empty.
    pub(crate) note: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ReportError {
    /// A user statistic cannot be drawn.
    #[error("statistic {index} of the {membership} users is {value}, expected a finite number")]
    NotFinite {
        /// `held-in` or `held-out`.
        membership: &'static str,
        /// Position among those users.
        index: usize,
        /// What was found.
        value: f64,
    },
    /// The user statistics have no ROC.
    #[error("the user statistics have no ROC")]
    Roc {
        /// Why not.
        source: userprint_stats::StatsError,
    },
    /// A plot failed.
    #[error("the {plot} plot could not be drawn")]
    Plot {
        /// Which plot.
        plot: &'static str,
        /// Why not.
        source: DrawingAreaErrorKind<std::io::Error>,
    },
    /// The page failed.
    #[error("the page could not be laid out")]
    Page {
        /// Why not.
        #[from]
        source: askama::Error,
    },
}

/// A plot and what to see in it.
struct Figure {
    title: &'static str,
    svg: String,
    caption: String,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    name: &'a str,
    seed: u64,
    attack: String,
    void: &'a [String],
    verdict: Verdict,
    tiles: [Tile; 4],
    figures: Vec<Figure>,
    tables: Vec<Table>,
    experiment_toml: &'a str,
}

/// Renders the report as one HTML file; the same input gives the same bytes.
///
/// # Errors
/// [`ReportError::NotFinite`] and [`ReportError::Roc`] where the user statistics cannot be ranked.
pub(crate) fn render(input: &ReportInput<'_>) -> Result<String, ReportError> {
    check_finite("held-in", input.held_in)?;
    check_finite("held-out", input.held_out)?;
    let results = input.results;
    let n_held_out = input.held_out.len();
    let mut tables = vec![
        table::checks(results),
        table::promise(results),
        table::canaries(results),
        table::attacks(results),
        table::detection(results),
        table::sequential(results),
        table::exposure(results),
        table::rates(results, n_held_out),
        table::losses(results),
        table::counts(results),
        table::model(results),
        table::timings(input),
        table::environment(input),
    ];
    tables.retain(|table| !table.rows.is_empty());
    let page = Page {
        name: &results.name,
        seed: results.seed,
        attack: format!("{}, {}", number::words(&results.statistic), number::words(&results.aggregate)),
        void: &results.void,
        verdict: Verdict::new(results, n_held_out),
        tiles: verdict::tiles(results, n_held_out),
        figures: figures(input)?,
        tables,
        experiment_toml: input.experiment_toml,
    };
    Ok(page.render()?)
}

fn check_finite(membership: &'static str, values: &[f64]) -> Result<(), ReportError> {
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((index, &value)) => Err(ReportError::NotFinite { membership, index, value }),
        None => Ok(()),
    }
}

fn figures(input: &ReportInput<'_>) -> Result<Vec<Figure>, ReportError> {
    let ReportInput { results, held_in, held_out, .. } = *input;
    let points = roc::roc_points(held_in, held_out)?;
    let label = statistic_label(&results.statistic, &results.aggregate);
    let mut figures = vec![
        Figure {
            title: "User statistic",
            svg: histogram::plot(held_in, held_out, &label)?,
            caption:
                "How the users of each group spread. The further the held-in users lie to the right of the \
                      held-out users, the easier they are to tell apart."
                    .to_string(),
        },
        Figure {
            title: "ROC",
            svg: roc::plot_linear(&points, results.auroc)?,
            caption:
                "Share of held-in users found against share of held-out users wrongly accused, over all \
                      thresholds. Guessing follows the dashed diagonal."
                    .to_string(),
        },
        Figure {
            title: "ROC, logarithmic axes",
            svg: roc::plot_log(&points, held_in.len(), held_out.len())?,
            caption: format!(
                "The same curve where false accusations are rare. It starts at one of the {} held-out users: \
                 lower rates cannot be measured with these users.",
                number::grouped(held_out.len() as u64)
            ),
        },
    ];
    if let Some(svg) = knowledge::plot(&results.knowledge)? {
        let caption =
            "AUROC when the attacker has so many texts of each user, drawn anew each time: what more \
                       knowledge buys."
                .to_string();
        figures.push(Figure { title: "Attacker's knowledge", svg, caption });
    }
    figures.extend(along_training(results)?);
    if let Some(svg) = bounds::plot(&results.bounds, "measured statistic")? {
        let inside = results.bounds.iter().filter(|user| user.is_inside).count();
        let caption = format!(
            "Mean log-likelihood ratio of each held-in user between the paper's two bounds, from the user's share \
             of the data and how unlike the others its words are, taken one by one, up to where a text was \
             scored. They hold for models that are \
             the mixtures of their users: here {inside} of {} users lie inside.",
            results.bounds.len()
        );
        figures.push(Figure { title: "Proposition 1", svg, caption });
    }
    Ok(figures)
}

/// The losses along fine-tuning, and beside them what the attack finds, where checkpoints were kept.
fn along_training(results: &Results) -> Result<Vec<Figure>, ReportError> {
    let mut figures = Vec::new();
    if let Some(svg) = losses::plot(&results.training, results.target_step)? {
        let caption = format!(
            "Validation losses of held-in and held-out users and the training loss. The dashed line marks \
             the target, the checkpoint under attack: step {}.",
            number::grouped(results.target_step)
        );
        figures.push(Figure { title: "Losses along fine-tuning", svg, caption });
    }
    if let Some(svg) = auroc_curve::plot(&results.auroc_curve, &results.training, results.target_step)? {
        let caption = "How well the same attack tells the same users apart after more and more training: each dot is \
             a checkpoint that was kept, with its 95\u{a0}% interval over users. At epoch 0 target and \
             reference are one model: fine-tuning has given nothing away yet. The upright dashed line marks the \
             target."
            .to_string();
        figures.push(Figure { title: "AUROC along fine-tuning", svg, caption });
    }
    Ok(figures)
}

/// What the user statistic is and its unit, for an axis.
fn statistic_label(statistic: &str, aggregate: &str) -> String {
    let quantity = match statistic {
        "token_mean_likelihood_ratio" => "log-likelihood ratio, nats per token".to_string(),
        "likelihood_ratio" => "log-likelihood ratio, nats".to_string(),
        "token_mean_log_likelihood" => "log-likelihood, nats per token".to_string(),
        "log_likelihood" => "log-likelihood, nats".to_string(),
        _ => number::words(statistic),
    };
    format!("{} {quantity}", number::words(aggregate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::Promise;
    use crate::results::*;
    use userprint_mitigate::{Claim, DpSampling, TrainingRule};

    fn undefined() -> AssociationRow {
        let undefined = Some("there are no values".to_string());
        AssociationRow { users: 0, estimate: None, interval: None, adjusted_p_value: None, undefined }
    }

    fn exposure() -> Vec<FactorRow> {
        let found = AssociationRow {
            users: 23,
            estimate: Some(0.4),
            interval: Some([0.1, 0.7]),
            adjusted_p_value: Some(0.03),
            undefined: None,
        };
        let factor = "share".to_string();
        vec![FactorRow {
            factor,
            held_in: found,
            held_out: undefined(),
            all: undefined(),
            detected: undefined(),
        }]
    }

    fn detection() -> Detection {
        Detection {
            false_discovery_rate: 0.05,
            held_in: 3,
            held_out: 0,
            least_p_value: 0.04,
            least_detected: Some(38),
        }
    }

    fn left_out() -> Vec<LeftOutRow> {
        let (statistic, reason) = ("min_k_20".to_string(), "it needs tokens".to_string());
        vec![LeftOutRow { statistic, aggregate: None, reason }]
    }

    fn bounds() -> Vec<BoundRow> {
        let row = |measured| BoundRow { share: 0.1, lower: -2.0, measured, upper: 9.0, is_inside: true };
        [-1.0, 2.0].map(row).to_vec()
    }

    fn knowledge() -> Vec<KnowledgePoint> {
        let point =
            |n_examples| KnowledgePoint { n_examples, users_with_fewer: 0, auroc: 0.7, auroc_std_dev: 0.02 };
        [1, 5].map(point).to_vec()
    }

    fn check() -> CheckRow {
        CheckRow {
            check: "null".to_string(),
            outcome: "passed".to_string(),
            found: "AUROC .52".to_string(),
            p_value: Some(0.6),
            adjusted_p_value: Some(1.0),
            reason: None,
        }
    }

    fn results() -> Results {
        let rates = || [("0.01".to_string(), None), ("0.1".to_string(), Some(0.25))].into();
        Results {
            schema: 2,
            name: "desk".to_string(),
            seed: 7,
            void: Vec::new(),
            checks: vec![check()],
            detection: detection(),
            statistic: "token_mean_likelihood_ratio".to_string(),
            aggregate: "mean".to_string(),
            auroc: 0.71,
            auroc_interval: [0.64, 0.78],
            is_interval_approximate: false,
            auroc_bootstrap: BootstrapSummary { resamples: 1000, mean: 0.711, std_dev: 0.036 },
            tpr_at_fpr: rates(),
            placebo_auroc: 0.5,
            null_auroc: 0.52,
            null_interval: [0.31, 0.72],
            blind_auroc: 0.55,
            blind_p_value: 0.23,
            validation_loss: ValidationLoss {
                held_in: 3.1,
                held_out: 3.25,
                reference_held_in: 3.4,
                reference_held_out: 3.41,
                gap_growth: 0.1,
            },
            users: UserCounts { public: 120, held_in: 23, held_out: 24, dropped: 3 },
            examples: ExampleCounts {
                pretrain: 9000,
                train: 1800,
                attack_held_in: 230,
                attack_held_out: 240,
                scored_tokens: 61_000,
            },
            attacks: vec![AttackRow {
                statistic: "token_mean_likelihood_ratio".to_string(),
                aggregate: "mean".to_string(),
                auroc: 0.71,
                auroc_interval: [0.64, 0.78],
                tpr_at_fpr: rates(),
            }],
            attacks_left_out: left_out(),
            exposure: exposure(),
            exact: Vec::new(),
            bounds: bounds(),
            knowledge: knowledge(),
            sequential: SequentialSummary::default(),
            auroc_curve: Vec::new(),
            canaries: Vec::new(),
            training: vec![CurvePoint {
                step: 0,
                epoch: 0.0,
                train_loss: None,
                held_in: 3.4,
                held_out: 3.41,
            }],
            target_step: 0,
            promise: None,
            model: ModelSummary {
                family: "gpt_neo".to_string(),
                n_parameters: 3_400_000,
                vocab_size: 4096,
                context: 256,
                reference: "pre-trained on public users".to_string(),
            },
        }
    }

    #[track_caller]
    fn page(results: &Results, held_in: &[f64], held_out: &[f64]) -> String {
        let timings =
            [Timing { stage: "train".to_string(), wall_s: 61.0, note: "5,120 tokens/s".to_string() }];
        let environment = [("device".to_string(), "2 cores".to_string())];
        let input = ReportInput {
            results,
            held_in,
            held_out,
            timings: &timings,
            environment: &environment,
            experiment_toml: "seed = 7",
        };
        let html = render(&input).unwrap();
        assert_eq!(html, render(&input).unwrap(), "the same input gives the same bytes");
        assert!(!html.contains("NaN") && !html.contains("inf,"), "a plot has a coordinate that is no number");
        html
    }

    const HELD_IN: [f64; 4] = [0.3, 0.5, 0.2, 0.9];
    const HELD_OUT: [f64; 4] = [-0.3, 0.1, 0.2, 0.25];

    #[test]
    fn loads_nothing() {
        let html = page(&results(), &HELD_IN, &HELD_OUT);
        for loader in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", " id="] {
            assert!(!html.contains(loader), "{loader}");
        }
        assert_eq!(html.matches("<svg viewBox").count(), 6);
    }

    #[test]
    fn states_the_verdict() {
        let html = page(&results(), &HELD_IN, &HELD_OUT);
        assert!(html.contains(
            "with probability .71 (95\u{a0}% interval .64 to .78): <strong>held-in users can be told apart."
        ));
        let unsure = Results { auroc_interval: [0.46, 0.78], ..results() };
        assert!(page(&unsure, &HELD_IN, &HELD_OUT).contains("cannot be told apart with these users"));
        let backwards = Results { auroc: 0.3, auroc_interval: [0.2, 0.4], ..results() };
        assert!(page(&backwards, &HELD_IN, &HELD_OUT).contains("works backwards"));
    }

    #[test]
    fn has_the_banner_if_and_only_if_void() {
        let banner = "VOID: do not use these numbers";
        assert!(!page(&results(), &HELD_IN, &HELD_OUT).contains(banner));
        let void = Results { void: vec!["the null attack succeeds".to_string()], ..results() };
        let html = page(&void, &HELD_IN, &HELD_OUT);
        assert!(html.contains(banner) && html.contains("the null attack succeeds"));
        assert!(!html.contains("can be told apart"), "a void run has no verdict");
    }

    #[test]
    fn says_what_was_left_out_under_the_attacks() {
        let html = page(&results(), &HELD_IN, &HELD_OUT);
        let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("no {text}"));
        let found = at("Left out: min k 20 (it needs tokens).");
        assert!(at("Validity checks") < at("<h2>Attacks") && at("<h2>Attacks") < found);
        assert!(found < at("<h2>Users detected"));
        let all = Results { attacks_left_out: Vec::new(), ..results() };
        assert!(!page(&all, &HELD_IN, &HELD_OUT).contains("Left out"));
    }

    #[test]
    fn sets_a_promise_beside_what_was_measured() {
        let users = DpSampling::Users { examples_per_user: 4 };
        let promised = |sampling, noise| {
            let rule = TrainingRule::dp_sgd(sampling, 0.5, 1.0, noise).unwrap();
            let claim = Claim::of(rule, 10, 23, 1e-3).unwrap().unwrap();
            let promise = Some(Promise { claim, warnings: Vec::new() });
            page(&Results { promise, ..results() }, &HELD_IN, &HELD_OUT)
        };
        let html = promised(users, 2.0);
        assert!(
            html.contains("Adding or removing one user of 23") && html.contains("which is not above it"),
            "{html}"
        );
        // An AUROC of .71 is above what so much noise allows, its interval is not.
        assert!(promised(users, 8.0).contains("above it, by no more than chance allows"));
        // An AUROC of .71 is more than so much noise allows.
        assert!(promised(users, 200.0).contains("BROKEN"));
        assert!(promised(DpSampling::Examples, 2.0).contains("nothing about a whole user"));
        assert!(!page(&results(), &HELD_IN, &HELD_OUT).contains("Promise"));
    }

    #[test]
    fn escapes_names() {
        let name = "<b>a & b</b>".to_string();
        let html =
            page(&Results { name: name.clone(), statistic: name.clone(), ..results() }, &HELD_IN, &HELD_OUT);
        assert!(!html.contains("<b>a"));
    }

    #[test]
    fn copes_with_separation_ties_and_few_users() {
        page(&results(), &[3.0, 4.0], &[1.0, 2.0]);
        page(&results(), &[1.0; 5], &[1.0; 5]);
        page(&results(), &[0.0], &[0.0]);
        page(&Results { training: Vec::new(), attacks: Vec::new(), ..results() }, &HELD_IN, &HELD_OUT);
    }

    fn auroc_curve(aurocs: &[f64]) -> Vec<AurocPoint> {
        let point = |(at, &auroc): (usize, &f64)| AurocPoint {
            step: 50 * (at as u64 + 1),
            epoch: at as f64 + 1.0,
            auroc,
            auroc_interval: [auroc - 0.06, (auroc + 0.06).min(1.0)],
        };
        aurocs.iter().enumerate().map(point).collect()
    }

    #[test]
    fn draws_the_attack_along_fine_tuning_where_checkpoints_were_kept() {
        let title = "AUROC along fine-tuning";
        assert!(!page(&results(), &HELD_IN, &HELD_OUT).contains(title));
        for aurocs in [&[0.5][..], &[0.5, 0.5], &[0.55, 0.7, 1.0], &[1.0, 1.0]] {
            let curve = Results { auroc_curve: auroc_curve(aurocs), ..results() };
            let html = page(&curve, &HELD_IN, &HELD_OUT);
            let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("no {text}"));
            assert!(at("Losses along fine-tuning") < at(title) && at(title) < at("Proposition 1"));
            assert_eq!(html.matches("<svg viewBox").count(), 7);
        }
    }

    #[test]
    fn refuses_what_has_no_order() {
        let results = results();
        let input = ReportInput {
            results: &results,
            held_in: &[0.0, f64::NAN],
            held_out: &[0.0],
            timings: &[],
            environment: &[],
            experiment_toml: "",
        };
        assert!(matches!(
            render(&input),
            Err(ReportError::NotFinite { membership: "held-in", index: 1, .. })
        ));
        assert!(matches!(render(&ReportInput { held_in: &[], ..input }), Err(ReportError::Roc { .. })));
    }
}
