//! Canaries of one training: from statistics to guesses.

use super::{CoinFlips, EpsilonLowerBound, OneRunAudit};
use crate::StatsError;
use crate::column::{check_column, check_length};

/// How many canaries are guessed; all between abstain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessCounts {
    /// Those with the highest statistics are guessed included.
    pub n_in: usize,
    /// Those with the lowest statistics are guessed not included.
    pub n_out: usize,
}

/// Canaries of one training, included by independent fair coins, with a statistic each; higher means included.
#[derive(Clone, Debug)]
pub struct CoinFlippedCanaries {
    /// How many of the `k + 1` highest were included, and of the `k + 1` lowest not.
    included_among_highest: Vec<u64>,
    left_out_among_lowest: Vec<u64>,
}

impl CoinFlippedCanaries {
    /// Sorts the canaries; of equal statistics those that make a guess wrong come first.
    ///
    /// So a statistic that is the same for all certifies nothing, in whatever order the canaries are given.
    /// The statistics may depend on the coins through what was trained alone.
    ///
    /// # Errors
    /// [`StatsError::EmptyColumn`], [`StatsError::NotFiniteInColumn`] with the position, or
    /// [`StatsError::ColumnLength`] without one statistic a coin.
    ///
    /// ```
    /// use userprint_stats::audit::{CoinFlippedCanaries, CoinFlips, GuessCounts};
    /// let coins = CoinFlips::recorded(vec![true, false, true, false])?;
    /// let canaries = CoinFlippedCanaries::new(&coins, &[3.0, 0.5, 1.0, 2.0])?;
    /// let audit = canaries.guess(GuessCounts { n_in: 2, n_out: 1 })?;
    /// assert_eq!((audit.n_canaries(), audit.n_guesses(), audit.n_correct()), (4, 3, 2));
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn new(coins: &CoinFlips, statistic: &[f64]) -> Result<Self, StatsError> {
        let heads = coins.heads();
        check_column("statistic", statistic)?;
        check_length("statistic", statistic.len(), heads.len())?;
        // Adding 0 turns -0 into 0, so that both are one value.
        let mut rows: Vec<(f64, bool)> =
            statistic.iter().map(|value| value + 0.0).zip(heads.to_vec()).collect();
        rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        Ok(Self {
            included_among_highest: running_count(rows.iter().rev().map(|row| row.1)),
            left_out_among_lowest: running_count(rows.iter().map(|row| !row.1)),
        })
    }

    /// Guesses the coins of the highest and the lowest.
    ///
    /// # Errors
    /// [`StatsError::NoGuesses`], or [`StatsError::MoreGuessesThanCanaries`] if some would be guessed twice.
    ///
    /// ```
    /// use userprint_stats::audit::{CoinFlippedCanaries, CoinFlips, GuessCounts};
    /// let coins = CoinFlips::recorded(vec![true, false])?;
    /// let all_tied = CoinFlippedCanaries::new(&coins, &[1.0, 1.0])?;
    /// assert_eq!(all_tied.guess(GuessCounts { n_in: 1, n_out: 1 })?.n_correct(), 0);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn guess(&self, counts: GuessCounts) -> Result<OneRunAudit, StatsError> {
        let n_canaries = self.included_among_highest.len() as u64;
        let n_guesses = (counts.n_in as u64).saturating_add(counts.n_out as u64);
        let among = |running: &[u64], n: usize| n.checked_sub(1).and_then(|last| running.get(last).copied());
        let n_correct = among(&self.included_among_highest, counts.n_in).unwrap_or(0)
            + among(&self.left_out_among_lowest, counts.n_out).unwrap_or(0);
        OneRunAudit::new(n_canaries, n_guesses, n_correct)
    }

    /// The largest bound over counts that were stated beforehand, each at its share of `significance` (Bonferroni).
    ///
    /// # Errors
    /// [`StatsError::NoGuesses`] for no counts; those of [`CoinFlippedCanaries::guess`] and
    /// [`OneRunAudit::epsilon_lower_bound`].
    ///
    /// ```
    /// use userprint_stats::audit::{CoinFlippedCanaries, CoinFlips, GuessCounts};
    /// let coins = CoinFlips::toss(400, 1)?;
    /// let leaked: Vec<f64> = coins.heads().iter().map(|&heads| f64::from(heads)).collect();
    /// let canaries = CoinFlippedCanaries::new(&coins, &leaked)?;
    /// let counts = [50, 100, 150].map(|n| GuessCounts { n_in: n, n_out: n });
    /// let bound = canaries.epsilon_lower_bound(&counts, 0.0, 0.05)?;
    /// assert!(bound.epsilon > 4.0 && bound.significance == 0.05);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn epsilon_lower_bound(
        &self,
        counts: &[GuessCounts],
        delta: f64,
        significance: f64,
    ) -> Result<EpsilonLowerBound, StatsError> {
        if counts.is_empty() {
            return Err(StatsError::NoGuesses);
        }
        EpsilonLowerBound::largest(counts, significance, |&counts, each| {
            self.guess(counts)?.epsilon_lower_bound(delta, each)
        })
    }
}

fn running_count(flags: impl Iterator<Item = bool>) -> Vec<u64> {
    flags
        .scan(0, |count, flag| {
            *count += u64::from(flag);
            Some(*count)
        })
        .collect()
}
