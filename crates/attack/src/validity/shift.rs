//! Shifts: held-in and held-out users that wrote at other times or in other places.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use userprint_core::Seed;
use userprint_stats::{Alternative, Side, StatsError, mann_whitney, permutation_p_value};

use super::{Checked, Finding, Missing, check_permutations, least_permutation_p_value, share_of_one_split};
use crate::AttackError;
use crate::examples::check_length;
use crate::result::split;

/// Whether held-in and held-out users wrote at different times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeShiftCheck {
    /// Chance that a random held-in user wrote later than a random held-out one; ties count half.
    pub auroc: f64,
    /// Two-sided Mann-Whitney p-value.
    pub p_value: f64,
    /// The least p-value that so many users of known time can have.
    pub least_p_value: f64,
    /// Users whose time is not known; they do not enter.
    pub n_unknown: usize,
}

/// Whether held-in and held-out users come from different sources.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceShiftCheck {
    /// Pearson's statistic of the table of sides by sources.
    pub chi_square: f64,
    /// Chance of a statistic as high at shuffled memberships.
    pub p_value: f64,
    /// The least p-value that so many users and permutations can have.
    pub least_p_value: f64,
    /// Number of sources; users of unknown source are one more.
    pub n_sources: usize,
    /// Users whose source is not known.
    pub n_unknown: usize,
}

impl TimeShiftCheck {
    pub(super) fn finding(&self) -> Finding {
        let which = if self.auroc > 0.5 { "later" } else { "earlier" };
        let reason = format!("held-in users wrote {which} than held-out users: AUROC {:.3}", self.auroc);
        Finding::Tested { p_value: self.p_value, least_p_value: self.least_p_value, reason }
    }
}

impl SourceShiftCheck {
    pub(super) fn finding(&self) -> Finding {
        let (chi_square, n_sources) = (self.chi_square, self.n_sources);
        let reason = format!(
            "held-in and held-out users come from different sources: chi-square {chi_square:.1} over {n_sources} sources"
        );
        Finding::Tested { p_value: self.p_value, least_p_value: self.least_p_value, reason }
    }
}

/// Compares when held-in and held-out users wrote, one time a user, such as the median over the examples.
///
/// A target trained on later texts finds later texts likelier, whoever wrote them.
/// The unit of the times does not matter, as only their order enters.
///
/// # Errors
/// [`AttackError::UnequalColumns`], [`AttackError::NotFinite`] with the user's position, [`AttackError::Stats`].
///
/// # Reference
/// Meeus et al., arXiv:2406.17975, and Das et al., arXiv:2406.16201; the test is Mann & Whitney's, 1947.
/// ```
/// use userprint_attack::validity::{Checked, time_shift};
/// let held_in: Vec<bool> = (0..40).map(|user| user < 20).collect();
/// let years: Vec<_> = (0..40).map(|user| Some(if user < 20 { 2019.0 } else { 2018.0 })).collect();
/// let Checked::Done(check) = time_shift(&held_in, &years)? else { unreachable!() };
/// assert!(check.auroc == 1.0 && check.p_value < 1e-6);
/// assert!(matches!(time_shift(&held_in, &[None; 40])?, Checked::Not(_)));
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn time_shift(held_in: &[bool], time: &[Option<f64>]) -> Result<Checked<TimeShiftCheck>, AttackError> {
    check_length("time", time.len(), held_in.len())?;
    let (mut known, mut side) = (Vec::new(), Vec::new());
    for (row, (&time, &held_in)) in time.iter().zip(held_in).enumerate() {
        let Some(value) = time else { continue };
        if !value.is_finite() {
            return Err(AttackError::NotFinite { column: "time", row, value });
        }
        known.push(value);
        side.push(held_in);
    }
    let (of_held_in, of_held_out) = split(&known, &side);
    if known.is_empty() {
        return Ok(Checked::Not(Missing::Timestamps));
    }
    if of_held_in.is_empty() || of_held_out.is_empty() {
        return Ok(Checked::Not(Missing::TimestampsOfOneSide));
    }
    let test = mann_whitney(&of_held_in, &of_held_out, Alternative::TwoSided)?;
    let n_unknown = time.len() - known.len();
    let least_p_value = 2.0 * share_of_one_split(of_held_in.len(), of_held_out.len());
    Ok(Checked::Done(TimeShiftCheck { auroc: test.auroc, p_value: test.p_value, least_p_value, n_unknown }))
}

/// Compares where held-in and held-out users come from, one source a user, by permuting memberships.
///
/// `chi_square = Σ (observed - expected)² / expected` over sides and sources; it needs no large counts, as its
/// p-value `(1 + #{permuted >= observed}) / (1 + permutations)` does not come from the limiting distribution.
/// Users of unknown source count as one source: that it is unknown can be what differs.
/// Where no source has two users there is nothing to compare, and the check is not made.
///
/// # Errors
/// [`AttackError::UnequalColumns`], [`AttackError::TooFewPermutations`] below 1000, [`AttackError::Stats`] if a
/// side is empty.
///
/// # Reference
/// Das et al., arXiv:2406.16201; the p-value is Phipson & Smyth's, 2010.
/// ```
/// use userprint_attack::validity::{Checked, source_shift};
/// use userprint_core::Seed;
/// let held_in: Vec<bool> = (0..40).map(|user| user < 20).collect();
/// let source: Vec<_> = (0..40).map(|user| Some(user / 20)).collect();
/// let Checked::Done(check) = source_shift(&held_in, &source, 1000, Seed(7))? else { unreachable!() };
/// assert_eq!((check.chi_square, check.n_sources), (40.0, 2));
/// assert!(check.p_value < 0.001);
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn source_shift(
    held_in: &[bool],
    source: &[Option<u32>],
    permutations: u32,
    seed: Seed,
) -> Result<Checked<SourceShiftCheck>, AttackError> {
    check_length("source", source.len(), held_in.len())?;
    check_permutations(permutations)?;
    for (side, wanted) in [(Side::HeldIn, true), (Side::HeldOut, false)] {
        if !held_in.contains(&wanted) {
            return Err(StatsError::EmptySide { side }.into());
        }
    }
    let table = SourceTable::new(source);
    let n_unknown = source.iter().filter(|source| source.is_none()).count();
    if n_unknown == source.len() {
        return Ok(Checked::Not(Missing::Sources));
    }
    if table.n_users.len() < 2 {
        return Ok(Checked::Not(Missing::SecondSource));
    }
    // With a source for each user the table has the same statistic whoever is held in.
    if table.n_users.iter().all(|&n_users| n_users < 2) {
        return Ok(Checked::Not(Missing::SourceOfTwo));
    }
    let observed = table.chi_square(held_in);
    let stream = seed.named("source_shift");
    let permuted = (0..permutations).map(|permutation| {
        let mut labels = held_in.to_vec();
        labels.shuffle(&mut stream.indexed(u64::from(permutation)).rng());
        table.chi_square(&labels)
    });
    // Equal tables may sum in another order: what is within rounding of the observed counts as as high.
    let p_value = permutation_p_value(observed * (1.0 - 1e-9), &permuted.collect::<Vec<_>>())?;
    let n_sources = table.n_users.len() - usize::from(n_unknown > 0);
    let least_p_value = least_permutation_p_value(held_in, permutations);
    Ok(Checked::Done(SourceShiftCheck { chi_square: observed, p_value, least_p_value, n_sources, n_unknown }))
}

/// The sources of users, numbered from 0.
struct SourceTable {
    of_user: Vec<usize>,
    n_users: Vec<usize>,
}

impl SourceTable {
    fn new(source: &[Option<u32>]) -> Self {
        let mut number = BTreeMap::new();
        for &source in source {
            let next = number.len();
            number.entry(source).or_insert(next);
        }
        let of_user: Vec<usize> = source.iter().map(|source| number[source]).collect();
        let mut n_users = vec![0; number.len()];
        for &source in &of_user {
            n_users[source] += 1;
        }
        Self { of_user, n_users }
    }

    /// The sum over both sides; held-out deviations are those of held-in with the other sign.
    fn chi_square(&self, held_in: &[bool]) -> f64 {
        let mut observed = vec![0_usize; self.n_users.len()];
        for (&source, &held_in) in self.of_user.iter().zip(held_in) {
            observed[source] += usize::from(held_in);
        }
        let share = observed.iter().sum::<usize>() as f64 / held_in.len() as f64;
        let terms = observed.iter().zip(&self.n_users).map(|(&observed, &n_users)| {
            let deviation = observed as f64 - share * n_users as f64;
            deviation * deviation / (n_users as f64 * share * (1.0 - share))
        });
        terms.sum()
    }
}
