//! Pooling over training runs: pairs within a run only, users as clusters.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rayon::prelude::*;

use crate::bootstrap::resample_rng;
use crate::interval::{check_significance, newcombe, quantile};
use crate::levels::{Count, Levels, Pairs};
use crate::{Interval, Side, StatsError};

/// One training run: who was held-in there, and the statistic of each.
///
/// Statistics of different runs are not comparable, because each run has another target model.
/// A user may be held-in in one stratum and held-out in another, never both within one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stratum {
    /// Who the row is about; the same number is the same user in every stratum.
    pub user: Vec<u32>,
    /// Whether the run trained on the user.
    pub held_in: Vec<bool>,
    /// The user statistic; higher means held-in.
    pub statistic: Vec<f64>,
}

/// How often the users of one resample are drawn again before giving up.
const MAX_ATTEMPTS: u32 = 100;

/// Chance that a held-in row outranks a held-out row of the same stratum; ties count half.
///
/// `sum_s U_s / sum_s n_s m_s`: each stratum's AUROC weighted by its pairs.
///
/// # Errors
/// [`StatsError::NoStrata`]; and, with the stratum's position, [`StatsError::UnequalColumns`],
/// [`StatsError::NotFiniteInStratum`], [`StatsError::UserOnBothSides`], [`StatsError::EmptyStratumSide`].
///
/// # Reference
/// The stratified Mann-Whitney statistic, van Elteren, Bulletin of the ISI 37, 1960, weighted by pairs.
/// ```
/// use userprint_stats::{Stratum, pooled_auroc};
/// let run = |statistic: [f64; 2]| Stratum {
///     user: vec![0, 1], held_in: vec![true, false], statistic: statistic.to_vec(),
/// };
/// // 12 against 1 would be a pair won, but they are of different runs.
/// assert_eq!(pooled_auroc(&[run([2.0, 1.0]), run([12.0, 13.0])])?, 0.5);
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn pooled_auroc(strata: &[Stratum]) -> Result<f64, StatsError> {
    let clusters = Clusters::new(strata)?;
    clusters.auroc(&vec![1; clusters.n_users]).ok_or(StatsError::NoStrata)
}

/// Interval of [`pooled_auroc`]: at each end the wider of a bootstrap over users and of a score interval.
///
/// The bootstrap resamples users as clusters: a user that is drawn brings its rows in every stratum in which it stands.
/// A stratum that a resample leaves without a side contributes no pairs; with no pairs at all the users are
/// drawn again.
/// The score interval is [`Roc::newcombe_interval`](crate::Roc::newcombe_interval)'s at the pooled AUROC and the numbers
/// of distinct users that are ever held-in and ever held-out: so there is a width also where every stratum is separated
/// completely, and where percentiles cover too little.
/// In parallel; the result depends on the seed alone.
///
/// # Errors
/// Those of [`pooled_auroc`]; [`StatsError::SignificanceOutOfRange`]; [`StatsError::TooFewResamples`] below
/// `2 / significance`, where not even one resample would lie beyond each end; [`StatsError::NoPairs`] when
/// drawing again 100 times did not help.
///
/// # Reference
/// Field & Welsh, Journal of the Royal Statistical Society B 69(3), 2007 (the cluster bootstrap); Newcombe, Statistics in
/// Medicine 25(4), 2006, part 2, method 5. That they are joined is ours; `docs/results/coverage.md` tells why.
/// ```
/// use userprint_stats::{Stratum, pooled_interval};
/// let run = Stratum {
///     user: (0..8).collect(),
///     held_in: vec![true, true, true, true, false, false, false, false],
///     statistic: vec![0.0, 4.0, 6.0, 7.0, 1.0, 2.0, 3.0, 5.0],
/// };
/// let interval = pooled_interval(&[run], 200, 0.05, 7)?;
/// assert!(interval.contains(11.0 / 16.0));
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn pooled_interval(
    strata: &[Stratum],
    resamples: u32,
    significance: f64,
    seed: u64,
) -> Result<Interval, StatsError> {
    check_significance(significance)?;
    let needed = (2.0 / significance).ceil();
    if f64::from(resamples) < needed {
        return Err(StatsError::TooFewResamples { found: resamples as usize, needed: needed as usize });
    }
    let clusters = Clusters::new(strata)?;
    let mut aurocs = (0..resamples)
        .into_par_iter()
        .map(|resample| clusters.resampled_auroc(seed, resample))
        .collect::<Result<Vec<f64>, StatsError>>()?;
    aurocs.sort_unstable_by(f64::total_cmp);
    let by_resamples = Interval {
        lower: quantile(&aurocs, significance / 2.0),
        upper: quantile(&aurocs, 1.0 - significance / 2.0),
    };
    let auroc = clusters.auroc(&vec![1; clusters.n_users]).ok_or(StatsError::NoStrata)?;
    let [n_held_in, n_held_out] = [true, false].map(|held_in| clusters.n_ever(held_in));
    Ok(by_resamples.hull(newcombe(auroc, n_held_in, n_held_out, significance)?))
}

/// Strata that were checked, with users as positions and statistics as levels.
#[derive(Debug)]
struct Clusters {
    n_users: usize,
    strata: Vec<RankedStratum>,
}

#[derive(Debug)]
struct RankedStratum {
    user: Vec<usize>,
    held_in: Vec<bool>,
    levels: Levels,
}

impl Clusters {
    fn new(strata: &[Stratum]) -> Result<Self, StatsError> {
        check_strata(strata)?;
        let mut position: BTreeMap<u32, usize> =
            strata.iter().flat_map(|stratum| stratum.user.iter().map(|&user| (user, 0))).collect();
        for (next, position) in position.values_mut().enumerate() {
            *position = next;
        }
        let rank = |stratum: &Stratum| RankedStratum {
            user: stratum.user.iter().map(|user| position[user]).collect(),
            held_in: stratum.held_in.clone(),
            levels: Levels::new(&stratum.statistic),
        };
        Ok(Self { n_users: position.len(), strata: strata.iter().map(rank).collect() })
    }

    /// Distinct users that are on a side in any stratum.
    fn n_ever(&self, held_in: bool) -> usize {
        let rows = self.strata.iter().flat_map(|stratum| stratum.user.iter().zip(&stratum.held_in));
        rows.filter(|row| *row.1 == held_in).map(|row| *row.0).collect::<BTreeSet<usize>>().len()
    }

    /// The pooled AUROC with each user's rows counted `times[user]` times, if there are pairs.
    fn auroc(&self, times: &[u64]) -> Option<f64> {
        let pairs = self.strata.iter().map(|stratum| stratum.pairs(times));
        pairs.fold(Pairs::default(), Pairs::add).auroc()
    }

    fn resampled_auroc(&self, seed: u64, resample: u32) -> Result<f64, StatsError> {
        let mut rng = resample_rng(seed, resample);
        for _ in 0..MAX_ATTEMPTS {
            let mut times = vec![0; self.n_users];
            for _ in 0..self.n_users {
                times[rng.random_range(0..self.n_users)] += 1;
            }
            if let Some(auroc) = self.auroc(&times) {
                return Ok(auroc);
            }
        }
        Err(StatsError::NoPairs { attempts: MAX_ATTEMPTS })
    }
}

impl RankedStratum {
    fn pairs(&self, times: &[u64]) -> Pairs {
        let mut counts: Vec<Count> = self.levels.no_counts();
        for ((&user, &held_in), &level) in self.user.iter().zip(&self.held_in).zip(&self.levels.of_row) {
            if held_in {
                counts[level].held_in += times[user];
            } else {
                counts[level].held_out += times[user];
            }
        }
        Pairs::count(counts)
    }
}

pub(crate) fn check_strata(strata: &[Stratum]) -> Result<(), StatsError> {
    if strata.is_empty() {
        return Err(StatsError::NoStrata);
    }
    strata.iter().enumerate().try_for_each(|(position, stratum)| check_stratum(position, stratum))
}

fn check_stratum(position: usize, stratum: &Stratum) -> Result<(), StatsError> {
    let Stratum { user, held_in, statistic } = stratum;
    if user.len() != held_in.len() || user.len() != statistic.len() {
        return Err(StatsError::UnequalColumns {
            stratum: position,
            user: user.len(),
            held_in: held_in.len(),
            statistic: statistic.len(),
        });
    }
    if let Some(row) = statistic.iter().position(|value| !value.is_finite()) {
        return Err(StatsError::NotFiniteInStratum { stratum: position, row, value: statistic[row] });
    }
    let mut side_of = BTreeMap::new();
    for (&user, &held_in) in user.iter().zip(held_in) {
        if *side_of.entry(user).or_insert(held_in) != held_in {
            return Err(StatsError::UserOnBothSides { stratum: position, user });
        }
    }
    for (side, is_held_in) in [(Side::HeldIn, true), (Side::HeldOut, false)] {
        if !held_in.contains(&is_held_in) {
            return Err(StatsError::EmptyStratumSide { stratum: position, side });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
