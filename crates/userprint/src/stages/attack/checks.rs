//! The validity checks of a run: what they need of corpus and partition, and what they found, for the results.

use std::collections::{BTreeMap, BTreeSet};

use userprint_attack::validity::{self, BlindCheck, Check, Checked, Outcome, Validity, Verdict};
use userprint_attack::{ScoredExamples, example_statistics};
use userprint_core::{ExampleSource, UserId, UserIdx};
use userprint_data::{BlindClassifier, Corpus, near_copies};

use super::super::score::AttackExample;
use super::super::train;
use super::Attack;
use crate::pipeline::Pipeline;
use crate::results::CheckRow;

/// Makes every check that the corpus allows.
pub(super) fn validity(
    pipeline: &Pipeline,
    examples: &[AttackExample],
    users: &[UserId],
    scored: &ScoredExamples,
    headline: &Attack,
    placebo: f64,
) -> anyhow::Result<Validity> {
    let experiment = &pipeline.experiment;
    let permutations = experiment.raw.attack.blind_permutations;
    let origins = Origins::new(pipeline, users)?;
    let held_in = &headline.users.held_in;
    Ok(Validity {
        placebo,
        null: validity::null(scored)?,
        blind: blind(pipeline, examples, users)?,
        shared_users: shared_users(users, held_in),
        leakage: leakage(pipeline, examples, scored)?,
        time_shift: validity::time_shift(held_in, &origins.time)?,
        source_shift: validity::source_shift(
            held_in,
            &origins.source,
            permutations,
            experiment.seed.named("source shift"),
        )?,
        resolution: validity::resolution(headline.result.n_held_out, &headline.result.tpr_at_fpr),
    })
}

fn blind(pipeline: &Pipeline, examples: &[AttackExample], users: &[UserId]) -> anyhow::Result<BlindCheck> {
    let experiment = &pipeline.experiment;
    let mut texts = vec![Vec::new(); users.len()];
    let mut held_in = vec![false; users.len()];
    for example in examples {
        if let Ok(user) = users.binary_search(&example.user_id) {
            texts[user].push(example.text.clone());
            held_in[user] = example.held_in;
        }
    }
    let seed = experiment.seed.named("blind");
    let classifier = BlindClassifier::new(&texts, seed);
    let labels: Vec<bool> = classifier.used_users().iter().map(|&user| held_in[user]).collect();
    let classify = |labels: &[bool]| classifier.scores(labels);
    Ok(validity::blind(&labels, &classify, experiment.raw.attack.blind_permutations, seed)?)
}

/// Names on both sides but for case and white space: the split keeps equal names together, not like ones.
fn shared_users(users: &[UserId], held_in: &[bool]) -> usize {
    let names = |wanted: bool| -> BTreeSet<String> {
        let side = users.iter().zip(held_in).filter(|(_, held_in)| **held_in == wanted);
        side.map(|(user, _)| user.as_str().split_whitespace().collect::<String>().to_lowercase()).collect()
    };
    names(true).intersection(&names(false)).count()
}

fn leakage(
    pipeline: &Pipeline,
    examples: &[AttackExample],
    scored: &ScoredExamples,
) -> anyhow::Result<Checked<validity::LeakageCheck>> {
    // What filters removed was not trained on.
    let (selection, _) = train::examples(pipeline, pipeline.corpus()?)?;
    let mut train = Vec::with_capacity(selection.n_examples_total());
    for user in 0..selection.users().len() {
        train.extend(selection.texts(UserIdx(user as u32))?);
    }
    let train: Vec<&str> = train.iter().map(String::as_str).collect();
    let attack: Vec<&str> = examples.iter().map(|example| example.text.as_str()).collect();
    let experiment = &pipeline.experiment;
    let rows = example_statistics(scored, experiment.statistic.as_ref())?;
    let check = validity::leakage(&rows, experiment.aggregate, &near_copies(&attack, &train))?;
    Ok(Checked::Done(check))
}

/// When and where each user wrote: the median time and the commonest source of all of its examples.
struct Origins {
    time: Vec<Option<f64>>,
    source: Vec<Option<u32>>,
}

impl Origins {
    fn new(pipeline: &Pipeline, users: &[UserId]) -> anyhow::Result<Self> {
        let corpus = pipeline.corpus()?;
        let mut number = BTreeMap::new();
        let mut origins = Self { time: Vec::new(), source: Vec::new() };
        for user in users {
            let at = corpus.users().binary_search(user).map(|at| UserIdx(at as u32)).ok();
            let examples = at.map_or(Ok(Vec::new()), |at| corpus.examples(at))?;
            let mut times: Vec<i64> =
                examples.iter().filter_map(|example| example.origin.timestamp_s).collect();
            times.sort_unstable();
            origins.time.push(times.get(times.len() / 2).map(|&time| time as f64));
            let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
            for source in examples.iter().filter_map(|example| example.origin.source) {
                *counts.entry(source).or_default() += 1;
            }
            let commonest = counts.into_iter().max_by_key(|&(_, count)| count).map(|(source, _)| source);
            let n_known = number.len() as u32;
            origins.source.push(commonest.map(|source| *number.entry(source).or_insert(n_known)));
        }
        Ok(origins)
    }
}

/// What each check found, in words.
pub(super) fn rows(validity: &Validity) -> anyhow::Result<Vec<CheckRow>> {
    let row = |verdict: Verdict| {
        let (outcome, reason) = match verdict.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Void(reason) => ("void", Some(reason)),
            Outcome::NotChecked(missing) => ("not checked", Some(missing.to_string())),
        };
        CheckRow {
            check: verdict.check.name().to_owned(),
            outcome: outcome.to_owned(),
            found: found(validity, verdict.check),
            p_value: verdict.p_value,
            adjusted_p_value: verdict.adjusted_p_value,
            reason,
        }
    };
    Ok(validity.verdicts()?.into_iter().map(row).collect())
}

fn found(validity: &Validity, check: Check) -> String {
    let done = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    match check {
        Check::Placebo => format!("AUROC {}", validity.placebo),
        Check::Null => format!("AUROC {:.3}", validity.null.auroc),
        Check::Blind => format!("AUROC {:.3}", validity.blind.auroc),
        Check::SharedUsers => format!("{} users", validity.shared_users),
        Check::Leakage => done(validity.leakage.done().map(|found| {
            let without = found.auroc_without.map_or("undefined".to_owned(), |auroc| format!("{auroc:.3}"));
            format!(
                "{} of {}, of held-out {} of {}; AUROC without them {without}",
                found.n_held_in_duplicates, found.n_held_in, found.n_held_out_duplicates, found.n_held_out
            )
        })),
        Check::TimeShift => done(validity.time_shift.done().map(|found| format!("AUROC {:.3}", found.auroc))),
        Check::SourceShift => done(
            validity
                .source_shift
                .done()
                .map(|found| format!("chi-square {:.1} over {} sources", found.chi_square, found.n_sources)),
        ),
        Check::Resolution => format!("finest FPR 1/{}", validity.resolution.n_held_out),
    }
}
