//! Claims about what runs say of themselves: audits, detection, exact exposure, losses.

use std::collections::BTreeMap;

use anyhow::Context;
use userprint_core::UserId;
use userprint_stats::audit::{CoinFlippedCanaries, CoinFlips, GuessCounts, OneRunAudit};
use userprint_stats::{Alternative, StatsError, Stratum, one_sample_t, spearman};

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
        Claim { follows_exact: Some(variant), .. } => follows_exact(&of(variant)?),
        Claim { lower_loss: Some([first, second]), .. } => lower_loss(&of(first)?, &of(second)?)?,
        _ => return Ok(None),
    };
    Ok(Some(found))
}

impl Tested {
    fn found(found: String, p_value: f64, opposite: f64, level: f64) -> Self {
        let (n_users, needed) = (None, None);
        Self { estimate: None, interval: None, p_value, opposite, level, n_users, needed, found: Some(found) }
    }
}

/// The guesses about canaries, the highest third of each run included, the lowest third left out, with the delta; or why there are
/// none.
///
/// Each run has coins of its own, so that all of them together are one audit of more canaries.
fn guesses(grid: &Grid, runs: &Runs, row: &Row) -> anyhow::Result<Result<(OneRunAudit, f64), String>> {
    let delta = promised(grid, runs, row)?.map_or(DELTA, |own| own.1);
    match guessed_together(runs.strata(grid, row)?) {
        Ok(guessed) => Ok(Ok((guessed, delta))),
        Err(why @ (StatsError::NoGuesses | StatsError::UnfairCoins { .. })) => Ok(Err(why.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn guessed_together(runs: Vec<Stratum>) -> Result<OneRunAudit, StatsError> {
    let (mut n_canaries, mut n_guesses, mut n_correct) = (0, 0, 0);
    for run in runs {
        let third = run.held_in.len() / 3;
        let coins = CoinFlips::recorded(run.held_in)?;
        let own = CoinFlippedCanaries::new(&coins, &run.statistic)?
            .guess(GuessCounts { n_in: third, n_out: third })?;
        n_canaries += own.n_canaries();
        n_guesses += own.n_guesses();
        n_correct += own.n_correct();
    }
    OneRunAudit::new(n_canaries, n_guesses, n_correct)
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
    if !row.is_audit() {
        return Ok(None);
    }
    let Ok((guessed, delta)) = guesses(grid, runs, row)? else { return Ok(None) };
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
    let (guessed, delta) = match guesses(grid, runs, grid.row(&leaks.row)?)? {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
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
    let (guessed, delta) = match guesses(grid, runs, row)? {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    let n_guesses = guessed.n_guesses();
    let all_right = OneRunAudit::new(guessed.n_canaries(), n_guesses, n_guesses)?;
    if all_right.p_value(epsilon, delta)? > DIRECTION {
        let epsilon = decimals(epsilon, 2);
        return Ok(Err(format!("{n_guesses} guesses could not refute epsilon {epsilon} if all were right")));
    }
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

fn follows_exact(runs: &[&Run]) -> Result<Tested, String> {
    if runs.iter().any(|run| run.results.exact.is_empty()) {
        return Err(
            "nothing is known exactly: no synthetic population, or something is planted in it".to_owned()
        );
    }
    let mut found = Vec::new();
    for run in runs {
        let rows = &run.results.exact;
        let exposure: Vec<f64> = rows.iter().map(|row| row.exposure_per_token).collect();
        let measured: Vec<f64> = rows.iter().map(|row| row.measured).collect();
        let own = spearman(&exposure, &measured, TOLD).map_err(|why| why.to_string())?;
        found.push(Correlated { coefficient: own.coefficient, p_value: own.p_value });
    }
    Ok(together(&found))
}

/// Losses on attack documents of users that are held out in both variants at a seed; a user's seeds are averaged.
fn lower_loss(first: &[&Run], second: &[&Run]) -> anyhow::Result<Result<Tested, String>> {
    let (first, second) = (held_out(first)?, held_out(second)?);
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

/// The target's log-likelihood, nats per token, of each user that is held out, by seed and user.
fn held_out(runs: &[&Run]) -> anyhow::Result<BTreeMap<(u64, UserId), f64>> {
    let mut values = BTreeMap::new();
    for run in runs {
        let column = run.column(LOG_LIKELIHOOD).with_context(|| format!("there is no `{LOG_LIKELIHOOD}`"))?;
        let rows = run.table.user_id.iter().zip(column).zip(&run.table.held_in);
        let own = rows.filter(|(_, held_in)| !**held_in);
        values.extend(own.map(|((user, value), _)| ((run.results.seed, user.clone()), *value)));
    }
    Ok(values)
}
