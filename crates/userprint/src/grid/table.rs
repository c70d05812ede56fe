//! The numbers of a grid: variants, rows, curves.

use anyhow::Context;
use userprint_mitigate::TrainingRule;
use userprint_stats::{Interval, Roc, StatsError, Stratum, Term, contrast, pooled_auroc, pooled_interval};

use super::file::{Grid, Row};
use super::findings;
use super::outcome::{CurvePoint, KnowledgeOutcome, NormsOutcome, RowOutcome, VariantOutcome};
use super::runs::{Run, Runs};
use crate::results::Results;
use crate::stages::norms::GradientNorms;

/// False positive rates of the true positive rates.
pub(super) const RATES: [f64; 2] = [0.01, 0.05];

/// Resamples of users behind an interval.
const RESAMPLES: u32 = 2000;

pub(super) fn ends(interval: Interval) -> [f64; 2] {
    [interval.lower, interval.upper]
}

/// What each variant came to.
pub(super) fn variants(grid: &Grid, runs: &Runs) -> Vec<VariantOutcome> {
    let outcome = |(at, name): (usize, &String)| {
        let own: Vec<&Run> = runs.of_variant(at).collect();
        let mean = |of: &dyn Fn(&Run) -> f64| own.iter().map(|run| of(run)).sum::<f64>() / own.len() as f64;
        let void = own.iter().flat_map(|run| {
            let seed = run.results.seed;
            run.results.void.iter().map(move |why| format!("seed {seed}: {why}"))
        });
        VariantOutcome {
            name: name.clone(),
            held_in_loss: mean(&|run| run.results.validation_loss.held_in),
            held_out_loss: mean(&|run| run.results.validation_loss.held_out),
            n_detected: mean(&|run| run.results.detection.held_in as f64),
            n_wrongly_detected: mean(&|run| run.results.detection.held_out as f64),
            train_s: mean(&|run| run.manifest.stages.get("train").map_or(0.0, |stage| stage.wall_s)),
            promise: own.first().and_then(|run| promise(&run.results)),
            noise: own.first().and_then(|run| noise(&run.results)),
            norms: own.first().and_then(|run| norms(run.norms.as_ref()?)),
            exact: own.first().map_or(Vec::new(), |run| run.results.exact.clone()),
            void: void.collect(),
            curves: own.iter().map(|run| curve(&run.results)).filter(|curve| !curve.is_empty()).collect(),
            knowledge: knowledge(&own),
        }
    };
    grid.variants.iter().map(|variant| &variant.name).enumerate().map(outcome).collect()
}

fn promise(results: &Results) -> Option<(f64, bool)> {
    let promise = results.promise.as_ref()?;
    Some((promise.claim.epsilon(), promise.claim.unit() == userprint_mitigate::PrivacyUnit::User))
}

fn norms(found: &GradientNorms) -> Option<NormsOutcome> {
    let quartiles = |norms: &[f64]| {
        let mut sorted = norms.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        [0.25, 0.5, 0.75].map(|share| sorted[(share * (sorted.len() - 1) as f64).round() as usize])
    };
    let canary_is_higher = Roc::new(&found.canaries, &found.others).ok()?.auroc();
    Some(NormsOutcome {
        canaries: quartiles(&found.canaries),
        others: quartiles(&found.others),
        canary_is_higher,
    })
}

/// Noise on a step's mean gradient, in clip norms: what is sampled must be what is hidden, as its number is known then.
fn noise(results: &Results) -> Option<f64> {
    let claim = &results.promise.as_ref()?.claim;
    match *claim.rule() {
        TrainingRule::DpSgd { sampling, sampling_probability, noise_multiplier, .. }
            if sampling.sampled_unit() == claim.unit() =>
        {
            Some(noise_multiplier / (sampling_probability * claim.n_units() as f64))
        }
        _ => None,
    }
}

/// The attack and the losses at the kept checkpoints of a run.
pub(super) fn curve(results: &Results) -> Vec<CurvePoint> {
    let point = |point: &crate::results::AurocPoint| {
        let losses = results.training.iter().find(|losses| losses.step == point.step)?;
        Some(CurvePoint {
            epoch: point.epoch,
            auroc: point.auroc,
            auroc_interval: point.auroc_interval,
            held_in_loss: losses.held_in,
            held_out_loss: losses.held_out,
        })
    };
    results.auroc_curve.iter().filter_map(point).collect()
}

/// Mean AUROC by number of attack examples, of those numbers that all runs have.
fn knowledge(own: &[&Run]) -> Vec<KnowledgeOutcome> {
    let Some(first) = own.first() else { return Vec::new() };
    let mean = |n_examples: u32| {
        let at = |run: &&Run| {
            let point = run.results.knowledge.iter().find(|point| point.n_examples == n_examples);
            point.map(|point| (point.auroc, point.auroc_std_dev))
        };
        let found = own.iter().map(at).collect::<Option<Vec<(f64, f64)>>>()?;
        let mean = |of: fn(&(f64, f64)) -> f64| found.iter().map(of).sum::<f64>() / found.len() as f64;
        Some(KnowledgeOutcome { n_examples, auroc: mean(|own| own.0), std_dev: mean(|own| own.1) })
    };
    first.results.knowledge.iter().filter_map(|point| mean(point.n_examples)).collect()
}

/// Each row's attack.
pub(super) fn rows(grid: &Grid, runs: &Runs) -> anyhow::Result<Vec<RowOutcome>> {
    let mut rows: Vec<RowOutcome> = Vec::new();
    let mut first: Option<Vec<Stratum>> = None;
    for row in &grid.rows {
        let strata = runs.strata(grid, row)?;
        let context = || format!("row `{}`", row.name);
        let mut outcome = outcome(row, &strata, first.as_deref()).with_context(context)?;
        outcome.audit = findings::audit(grid, runs, row).with_context(context)?;
        rows.push(outcome);
        first.get_or_insert(strata);
    }
    Ok(rows)
}

fn outcome(row: &Row, strata: &[Stratum], first: Option<&[Stratum]>) -> anyhow::Result<RowOutcome> {
    let n = |wanted: bool| strata.iter().flat_map(|run| &run.held_in).filter(|own| **own == wanted).count();
    let difference = match first {
        None => None,
        Some(first) => difference(strata, first)?,
    };
    Ok(RowOutcome {
        name: row.name.clone(),
        variant: row.variant.clone(),
        n_held_in: n(true),
        n_held_out: n(false),
        auroc: pooled_auroc(strata)?,
        auroc_interval: ends(pooled_interval(strata, RESAMPLES, 0.05, 0)?),
        tpr: RATES.map(|rate| mean_tpr(strata, rate)),
        difference,
        published: row.published,
        audit: None,
    })
}

/// How much higher the AUROC is than that of other runs, if it can differ.
fn difference(strata: &[Stratum], first: &[Stratum]) -> anyhow::Result<Option<(f64, [f64; 2])>> {
    let terms = [(1.0, strata), (-1.0, first)];
    let terms = terms.map(|(factor, strata)| Term { factor, strata: strata.to_vec() });
    match contrast(&terms, 0.0) {
        Ok(found) => Ok(Some((found.estimate, ends(found.interval(0.05)?)))),
        Err(StatsError::NoVariance | StatsError::TooFewValues { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn mean_tpr(strata: &[Stratum], rate: f64) -> Option<f64> {
    let tpr = |run: &Stratum| {
        let n_held_out = run.held_in.iter().filter(|held_in| !**held_in).count();
        if (n_held_out as f64) * rate < 1.0 - 1e-9 {
            return None;
        }
        Roc::from_labels(&run.statistic, &run.held_in).ok()?.tpr_at_fpr(rate).ok()
    };
    let found = strata.iter().map(tpr).collect::<Option<Vec<f64>>>()?;
    Some(found.iter().sum::<f64>() / found.len() as f64)
}
