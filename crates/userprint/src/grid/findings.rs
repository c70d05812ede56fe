//! Claims about what runs say of themselves: audits, detection, Proposition 1, losses.

use anyhow::Context;
use userprint_stats::audit::{CoinFlippedCanaries, CoinFlips, GuessCounts, OneRunAudit};
use userprint_stats::{Alternative, StatsError, one_sample_t, spearman};

use super::claims::{Correlated, DIRECTION, Tested, together};
use super::file::{Claim, Grid, Leaks, Row};
use super::outcome::AuditOutcome;
use super::runs::{Run, Runs};
use crate::report::number::{decimals, probability, signed};

/// Delta of a bound on a training that promises nothing.
const DELTA: f64 = 1e-5;

/// The level of a bound that is told, and at which some users are detected.
const TOLD: f64 = 0.05;

/// The column of the target's own log-likelihood, nats per token.
const LOG_LIKELIHOOD: &str = "token_mean_log_likelihood_mean";

/// The test of such a claim, or why there is none; nothing for other claims.
pub(super) fn tested(
    grid: &Grid,
    runs: &Runs,
    claim: &Claim,
) -> anyhow::Result<Option<Result<Tested, String>>> {
    let of = |variant: &String| runs.of_named(grid, variant);
    let found = match claim {
        Claim { leaks: Some(leaks), .. } => self::leaks(grid, runs, leaks)?,
        Claim { keeps_promise: Some(row), .. } => keeps_promise(grid, runs, grid.row(row)?)?,
        Claim { detects: Some(variant), .. } => detects(&of(variant)?)?,
        Claim { bounds_hold: Some(variant), .. } => bounds_hold(&of(variant)?),
        Claim { follows_exact: Some(variant), .. } => follows_exact(&of(variant)?),
        Claim { lower_loss: Some([first, second]), .. } => lower_loss(runs, &of(first)?, &of(second)?)?,
        _ => return Ok(None),
    };
    Ok(Some(found))
}

impl Tested {
    fn found(found: String, p_value: f64, opposite: f64, level: f64) -> Self {
        let (estimate, n_users, needed) = (0.0, None, None);
        Self { estimate, interval: None, p_value, opposite, level, n_users, needed, found: Some(found) }
    }
}

/// The guesses about canaries: the highest third of each run included, the lowest third left out; and the delta.
///
/// Each run has coins of its own, so that all of them together are one audit of more canaries.
fn guesses(grid: &Grid, runs: &Runs, row: &Row) -> anyhow::Result<(OneRunAudit, f64)> {
    let (mut n_canaries, mut n_guesses, mut n_correct) = (0, 0, 0);
    for run in runs.strata(grid, row)? {
        let third = run.held_in.len() / 3;
        let coins = CoinFlips::recorded(run.held_in)?;
        let own = CoinFlippedCanaries::new(&coins, &run.statistic)?
            .guess(GuessCounts { n_in: third, n_out: third })?;
        n_canaries += own.n_canaries();
        n_guesses += own.n_guesses();
        n_correct += own.n_correct();
    }
    Ok((
        OneRunAudit::new(n_canaries, n_guesses, n_correct)?,
        promised(grid, runs, row)?.map_or(DELTA, |own| own.1),
    ))
}

/// Epsilon and delta that every run of a row promises to users: the weakest of them.
fn promised(grid: &Grid, runs: &Runs, row: &Row) -> anyhow::Result<Option<(f64, f64)>> {
    let mut weakest: Option<(f64, f64)> = None;
    for run in runs.of_named(grid, &row.variant)? {
        let Some((epsilon, delta)) = run.promised_to_users() else { return Ok(None) };
        let (most_epsilon, most_delta) = weakest.unwrap_or((0.0, 0.0));
        weakest = Some((epsilon.max(most_epsilon), delta.max(most_delta)));
    }
    Ok(weakest)
}

/// What the canaries of a row certify; nothing where there are too few to guess about.
pub(super) fn audit(grid: &Grid, runs: &Runs, row: &Row) -> anyhow::Result<Option<AuditOutcome>> {
    if row.canary.is_none() || !row.shadows.is_empty() {
        return Ok(None);
    }
    let (guessed, delta) = match guesses(grid, runs, row) {
        Ok(found) => found,
        Err(error) if matches!(error.downcast_ref(), Some(StatsError::NoGuesses)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let bound = |significance| guessed.epsilon_lower_bound(delta, significance).map(|bound| bound.epsilon);
    Ok(Some(AuditOutcome {
        n_canaries: guessed.n_canaries(),
        n_guesses: guessed.n_guesses(),
        n_correct: guessed.n_correct(),
        delta,
        epsilon: bound(TOLD)?,
        epsilon_strict: bound(0.001)?,
    }))
}

fn leaks(grid: &Grid, runs: &Runs, leaks: &Leaks) -> anyhow::Result<Result<Tested, String>> {
    let row = grid.row(&leaks.row)?;
    let (guessed, delta) = guesses(grid, runs, row)?;
    let bound = guessed.epsilon_lower_bound(delta, DIRECTION)?.epsilon;
    let found = format!(
        "{} of {} guesses right: epsilon at least {} at .01",
        guessed.n_correct(),
        guessed.n_guesses(),
        decimals(bound, 2)
    );
    // However little is found, that is no evidence of privacy.
    Ok(Ok(Tested::found(found, guessed.p_value(leaks.epsilon, delta)?, 1.0, DIRECTION)))
}

fn keeps_promise(grid: &Grid, runs: &Runs, row: &Row) -> anyhow::Result<Result<Tested, String>> {
    let Some((epsilon, _)) = promised(grid, runs, row)? else {
        return Ok(Err("a run promises nothing to users".to_owned()));
    };
    let (guessed, delta) = guesses(grid, runs, row)?;
    let bound = guessed.epsilon_lower_bound(delta, TOLD)?.epsilon;
    let found = format!(
        "{} of {} guesses right: epsilon at least {} at .05, promised {}",
        guessed.n_correct(),
        guessed.n_guesses(),
        decimals(bound, 2),
        decimals(epsilon, 2)
    );
    let p_value = if bound <= epsilon { 0.0 } else { 1.0 };
    Ok(Ok(Tested::found(found, p_value, guessed.p_value(epsilon, delta)?, DIRECTION)))
}

/// Whether anybody is detected who trained the model: p is the least adjusted one, Simes' test of nobody at all.
fn detects(runs: &[&Run]) -> anyhow::Result<Result<Tested, String>> {
    let (mut p_value, mut counts) = (0.0f64, Vec::new());
    for run in runs {
        let adjusted = run.column("q_value").context("statistics.parquet has no q_value")?;
        let own = adjusted.iter().zip(&run.table.held_in).filter(|(_, held_in)| **held_in).map(|(q, _)| *q);
        p_value = p_value.max(own.fold(1.0, f64::min));
        let found = &run.results.detection;
        counts.push(format!("{} held-in and {} held-out", found.held_in, found.held_out));
    }
    let rate = runs.first().map_or(0.0, |run| run.results.detection.false_discovery_rate);
    let found = format!("users detected at {} %: {}", rate * 100.0, counts.join("; "));
    Ok(Ok(Tested::found(found, p_value, 1.0, rate)))
}

fn bounds_hold(runs: &[&Run]) -> Result<Tested, String> {
    let rows: Vec<_> = runs.iter().flat_map(|run| &run.results.exact).collect();
    if rows.is_empty() {
        return Err("the population is not a synthetic one, so nothing is known exactly".to_owned());
    }
    // Where a document is all but certain to be the user's, the lower bound is met to the last bit.
    let slack = |value: f64| 1e-9 * (1.0 + value.abs());
    let inside = rows.iter().filter(|row| {
        row.lower <= row.exposure + slack(row.lower) && row.exposure <= row.upper + slack(row.upper)
    });
    let (n_inside, n) = (inside.count(), rows.len());
    let (p_value, opposite) = if n_inside == n { (0.0, 1.0) } else { (1.0, 0.0) };
    Ok(Tested::found(format!("{n_inside} of {n} users between the bounds"), p_value, opposite, DIRECTION))
}

fn follows_exact(runs: &[&Run]) -> Result<Tested, String> {
    let mut found = Vec::new();
    for run in runs {
        let rows = &run.results.exact;
        let exposure: Vec<f64> = rows.iter().map(|row| row.exposure).collect();
        let measured: Vec<f64> = rows.iter().map(|row| row.measured).collect();
        let own = spearman(&exposure, &measured, TOLD).map_err(|why| why.to_string())?;
        found.push(Correlated { coefficient: own.coefficient, p_value: own.p_value });
    }
    Ok(together(&found))
}

/// Losses on attack documents of users that are held out in both variants, a user's runs averaged.
fn lower_loss(runs: &Runs, first: &[&Run], second: &[&Run]) -> anyhow::Result<Result<Tested, String>> {
    let (first, second) =
        (runs.held_out_means(first, LOG_LIKELIHOOD)?, runs.held_out_means(second, LOG_LIKELIHOOD)?);
    let gains: Vec<f64> = first.iter().filter_map(|(user, value)| Some(value - second.get(user)?)).collect();
    let test = |alternative| one_sample_t(&gains, alternative);
    let (higher, lower) = match (test(Alternative::Greater), test(Alternative::Less)) {
        (Ok(higher), Ok(lower)) => (higher.p_value, lower.p_value),
        (Err(why), _) | (_, Err(why)) => return Ok(Err(why.to_string())),
    };
    let mean = gains.iter().sum::<f64>() / gains.len() as f64;
    let found = format!(
        "loss {} nats per token, p {}, {} users",
        signed(-mean, 4),
        probability(higher, 3),
        gains.len()
    );
    Ok(Ok(Tested::found(found, higher, lower, DIRECTION)))
}
