//! Fair coins: what decides which canaries a training includes.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::tails::WrongGuesses;
use crate::StatsError;

/// Independent fair coins, one a canary: heads includes it in the training.
///
/// Nothing in a list of bools tells coins from a split into two fixed halves, of which an audit certifies nothing:
/// whoever makes this value says that each canary was included independently, with probability one half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinFlips {
    heads: Vec<bool>,
}

/// Fair coins come out less even than is accepted with at most this probability.
const UNFAIR: f64 = 1e-9;

const NO_COINS: StatsError = StatsError::EmptyColumn { name: "coins" };

impl CoinFlips {
    /// Tosses a fair coin for each of `n_canaries`.
    ///
    /// # Errors
    /// [`StatsError::EmptyColumn`] for none.
    ///
    /// ```
    /// let coins = userprint_stats::audit::CoinFlips::toss(1000, 7)?;
    /// let n_heads = coins.heads().iter().filter(|&&heads| heads).count();
    /// assert!((400..600).contains(&n_heads));
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn toss(n_canaries: usize, seed: u64) -> Result<Self, StatsError> {
        if n_canaries == 0 {
            return Err(NO_COINS);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Ok(Self { heads: (0..n_canaries).map(|_| rng.random()).collect() })
    }

    /// Takes coins that were tossed elsewhere; true is heads, that is included.
    ///
    /// # Errors
    /// [`StatsError::EmptyColumn`] for none; [`StatsError::UnfairCoins`] if one side came up so often that fair coins
    /// would do so with probability below 1e-9, as when most canaries were included.
    ///
    /// ```
    /// use userprint_stats::audit::CoinFlips;
    /// assert_eq!(CoinFlips::recorded(vec![true, false, true])?.heads(), [true, false, true]);
    /// let error = CoinFlips::recorded(vec![true; 40]).unwrap_err();
    /// assert_eq!(error.to_string(), "40 heads in 40 flips of a coin that should be fair");
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn recorded(heads: Vec<bool>) -> Result<Self, StatsError> {
        if heads.is_empty() {
            return Err(NO_COINS);
        }
        let (flips, n_heads) = (heads.len() as u64, heads.iter().filter(|&&heads| heads).count() as u64);
        let p_value = 2.0 * WrongGuesses::new(flips, 0.0).at_most(n_heads.min(flips - n_heads));
        if p_value < UNFAIR {
            return Err(StatsError::UnfairCoins { heads: n_heads, flips });
        }
        Ok(Self { heads })
    }

    /// Which canaries are included.
    ///
    /// ```
    /// let coins = userprint_stats::audit::CoinFlips::recorded(vec![true, false])?;
    /// assert_eq!(coins.heads(), [true, false]);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn heads(&self) -> &[bool] {
        &self.heads
    }
}
