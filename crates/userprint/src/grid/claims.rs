//! Claims: each is reproduced, contradicted or undecided, by tests over users.

use anyhow::Context;
use userprint_stats::{Contrast, StatsError, Stratum, Term, contrast, holm_adjusted, pooled_auroc, spearman};

use super::file::{Claim, GoesWith, Grid};
use super::findings;
use super::outcome::{ClaimOutcome, Verdict};
use super::runs::{Run, Runs};
use super::table;

/// The level at which a direction holds, and at which anything is contradicted.
pub(super) const DIRECTION: f64 = 0.01;
/// The level at which two AUROCs are alike.
const ALIKE: f64 = 0.05;
/// How far apart AUROCs may be that are alike.
const MARGIN: f64 = 0.05;

/// The chance with which so many users as are said would decide a claim.
const POWER: f64 = 0.8;

/// A claim's tests, before those of others are looked at.
pub(super) struct Tested {
    pub(super) estimate: Option<f64>,
    pub(super) interval: Option<[f64; 2]>,
    pub(super) p_value: f64,
    pub(super) opposite: f64,
    pub(super) level: f64,
    pub(super) n_users: Option<usize>,
    pub(super) needed: Option<u64>,
    /// What was found, in the place of the numbers.
    pub(super) found: Option<String>,
}

/// Judges all claims of a grid.
pub(super) fn judge(grid: &Grid, runs: &Runs) -> anyhow::Result<Vec<ClaimOutcome>> {
    let tests = grid.claims.iter().map(|claim| {
        // Coins make an audit valid, whatever a check finds.
        let void = if claim.audited().is_some() { 0 } else { voided(grid, runs, claim) };
        if void > 0 {
            return Ok(Err(format!("{void} of the runs must not be used")));
        }
        tested(grid, runs, claim).with_context(|| format!("the claim {:?}", claim.says))
    });
    let tests = tests.collect::<anyhow::Result<Vec<_>>>()?;
    let opposites: Vec<f64> = tests.iter().flatten().map(|test| test.opposite).collect();
    let adjusted = if opposites.is_empty() { Vec::new() } else { holm_adjusted(&opposites)? };
    let mut adjusted = adjusted.into_iter();
    let outcome = |(claim, test): (&Claim, Result<Tested, String>)| match test {
        Ok(test) => test.outcome(claim, adjusted.next().unwrap_or(1.0)),
        Err(why) => ClaimOutcome {
            says: claim.says.clone(),
            verdict: Verdict::Undecided,
            estimate: None,
            interval: None,
            p_value: None,
            opposite_p_value: None,
            n_users: None,
            n_users_needed: None,
            undefined: Some(why),
            found: None,
        },
    };
    Ok(grid.claims.iter().zip(tests).map(outcome).collect())
}

impl Tested {
    fn outcome(self, claim: &Claim, opposite: f64) -> ClaimOutcome {
        let verdict = if self.p_value <= self.level {
            Verdict::Reproduced
        } else if opposite <= DIRECTION {
            Verdict::Contradicted
        } else {
            Verdict::Undecided
        };
        ClaimOutcome {
            says: claim.says.clone(),
            verdict,
            estimate: self.estimate,
            interval: self.interval,
            p_value: self.found.is_none().then_some(self.p_value),
            opposite_p_value: Some(opposite),
            n_users: self.n_users,
            n_users_needed: self.needed.filter(|_| verdict == Verdict::Undecided),
            undefined: None,
            found: self.found,
        }
    }

    /// Of two attacks that rank all users alike.
    fn identical() -> Self {
        Self {
            estimate: Some(0.0),
            interval: None,
            p_value: 0.0,
            opposite: 1.0,
            level: ALIKE,
            n_users: None,
            needed: None,
            found: None,
        }
    }

    fn above_zero(found: &Contrast) -> anyhow::Result<Self> {
        Ok(Self {
            estimate: Some(found.estimate),
            interval: Some(table::ends(found.interval(0.05)?)),
            p_value: found.above(0.0),
            opposite: found.below(0.0),
            level: DIRECTION,
            n_users: Some(found.n_users),
            needed: found.users_for(found.estimate, DIRECTION, POWER)?,
            found: None,
        })
    }

    fn alike(found: &Contrast) -> anyhow::Result<Self> {
        Ok(Self {
            estimate: Some(found.estimate),
            interval: Some(table::ends(found.interval(0.05)?)),
            p_value: found.within(MARGIN),
            // Apart by more than the margin, on whichever side.
            opposite: (2.0 * found.above(MARGIN).min(found.below(-MARGIN))).min(1.0),
            level: ALIKE,
            n_users: Some(found.n_users),
            // Both tests must pass: each fails half as often.
            needed: found.users_for(MARGIN - found.estimate.abs(), ALIKE, (1.0 + POWER) / 2.0)?,
            found: None,
        })
    }
}

/// How many of the runs that a claim is about must not be used.
fn voided(grid: &Grid, runs: &Runs, claim: &Claim) -> usize {
    let of_rows = claim.rows().filter_map(|name| grid.row(name).ok());
    let of_rows = of_rows.flat_map(|row| [&row.variant].into_iter().chain(&row.shadows));
    let variants: Vec<&String> = of_rows.chain(claim.variants()).collect();
    let is_meant = |run: &&Run| variants.contains(&&grid.variants[run.variant].name);
    runs.runs.iter().filter(is_meant).filter(|run| !run.results.void.is_empty()).count()
}

/// The test of a claim, or why there is none.
fn tested(grid: &Grid, runs: &Runs, claim: &Claim) -> anyhow::Result<Result<Tested, String>> {
    if let Some(found) = findings::tested(grid, runs, claim)? {
        return Ok(found);
    }
    if let Some(variant) = &claim.grows_with_gap {
        return grows_with_gap(grid, runs, variant);
    }
    if let Some(claim) = &claim.goes_with {
        return goes_with(grid, runs, claim);
    }
    let term = |factor: f64, name: &String| -> anyhow::Result<Term> {
        Ok(Term { factor, strata: runs.strata(grid, grid.row(name)?)? })
    };
    let (terms, constant, is_alike) = match (&claim.more, &claim.less, &claim.alike, &claim.above_chance) {
        (Some(more), Some(less), ..) => {
            (vec![term(1.0, more)?, term(-claim.factor.unwrap_or(1.0), less)?], 0.0, false)
        }
        (_, _, Some([first, second]), _) => (vec![term(1.0, first)?, term(-1.0, second)?], 0.0, true),
        (_, _, _, Some(row)) => (vec![term(1.0, row)?], -0.5, false),
        _ => anyhow::bail!("claims were checked"),
    };
    match contrast(&terms, constant) {
        Ok(found) if is_alike => Tested::alike(&found).map(Ok),
        Ok(found) => Tested::above_zero(&found).map(Ok),
        Err(StatsError::NoVariance) if is_alike => Ok(Ok(Tested::identical())),
        Err(StatsError::NoVariance) if claim.above_chance.is_some() => Ok(separated(&terms)),
        Err(
            why @ (StatsError::NoVariance
            | StatsError::TooFewValues { .. }
            | StatsError::EmptyStratumSide { .. }),
        ) => Ok(Err(why.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// The test of an attack without variance: where every run has all held-in users above all others, how rare that is among
/// all ways to name so many held-in, in the run where it is least rare.
fn separated(terms: &[Term]) -> Result<Tested, String> {
    let runs = terms.iter().flat_map(|term| &term.strata);
    let p_value = |run: &Stratum| {
        let is_separated = pooled_auroc(std::slice::from_ref(run)).is_ok_and(|auroc| auroc == 1.0);
        let n_held_in = run.held_in.iter().filter(|held_in| **held_in).count();
        let n = run.held_in.len();
        let share = |k: usize| (k + 1) as f64 / (n - n_held_in + k + 1) as f64;
        is_separated.then(|| (0..n_held_in).map(share).product::<f64>())
    };
    let found = runs.map(p_value).collect::<Option<Vec<f64>>>();
    let p_value = found.ok_or("all users have the same value")?.into_iter().fold(0.0, f64::max);
    Ok(Tested {
        estimate: Some(0.5),
        interval: None,
        p_value,
        opposite: 1.0,
        level: DIRECTION,
        n_users: None,
        needed: None,
        found: None,
    })
}

/// A correlation at one seed.
pub(super) struct Correlated {
    pub(super) coefficient: f64,
    /// Two-sided.
    pub(super) p_value: f64,
}

/// The mean correlation over seeds; of the p-values the largest, as the users are the same at all seeds.
pub(super) fn together(found: &[Correlated]) -> Tested {
    let largest = |sign: f64| {
        let one_sided = found.iter().map(|own| match own.coefficient * sign > 0.0 {
            true => own.p_value / 2.0,
            false => 1.0 - own.p_value / 2.0,
        });
        one_sided.fold(0.0, f64::max)
    };
    Tested {
        estimate: Some(found.iter().map(|own| own.coefficient).sum::<f64>() / found.len() as f64),
        interval: None,
        p_value: largest(1.0),
        opposite: largest(-1.0),
        level: DIRECTION,
        n_users: None,
        needed: None,
        found: None,
    }
}

/// Spearman's correlation of the gap of losses and the AUROC along kept checkpoints.
fn grows_with_gap(grid: &Grid, runs: &Runs, variant: &str) -> anyhow::Result<Result<Tested, String>> {
    let mut found = Vec::new();
    for run in runs.of_variant(grid.position(variant)?) {
        let points = table::curve(&run.results);
        let gap: Vec<f64> = points.iter().map(|point| point.held_out_loss - point.held_in_loss).collect();
        let auroc: Vec<f64> = points.iter().map(|point| point.auroc).collect();
        match spearman(&gap, &auroc, 0.05) {
            Ok(own) => found.push(Correlated { coefficient: own.coefficient, p_value: own.p_value }),
            Err(why) => return Ok(Err(why.to_string())),
        }
    }
    Ok(Ok(together(&found)))
}

/// Spearman's correlation of a factor and the headline statistic among held-in users, p-values over all factors.
fn goes_with(grid: &Grid, runs: &Runs, claim: &GoesWith) -> anyhow::Result<Result<Tested, String>> {
    let mut found = Vec::new();
    for run in runs.of_variant(grid.position(&claim.variant)?) {
        let factors = &run.results.exposure;
        let row = factors.iter().find(|row| row.factor == claim.factor).with_context(|| {
            let names: Vec<&str> = factors.iter().map(|row| row.factor.as_str()).collect();
            format!("there is no factor `{}`, expected one of {}", claim.factor, names.join(", "))
        })?;
        match (row.held_in.estimate, row.held_in.adjusted_p_value) {
            (Some(coefficient), Some(p_value)) => found.push(Correlated { coefficient, p_value }),
            _ => return Ok(Err(row.held_in.undefined.clone().unwrap_or_default())),
        }
    }
    Ok(Ok(together(&found)))
}
