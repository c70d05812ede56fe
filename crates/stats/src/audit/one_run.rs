//! One run with many canaries: a bound from how many of the guessed coins were right.

use super::bound::{check_delta, largest_rejected};
use super::tails::WrongGuesses;
use super::{AuditKind, EpsilonLowerBound};
use crate::StatsError;
use crate::binomial::MAX_TRIALS;
use crate::interval::check_significance;

/// Guesses at the coins that included the canaries of one training.
///
/// Sound only if each canary was included by an independent fair coin, the guesses see nothing of the coins but what
/// was trained, and their number was fixed beforehand; [`CoinFlippedCanaries`](super::CoinFlippedCanaries) sees to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneRunAudit {
    n_canaries: u64,
    n_guesses: u64,
    n_correct: u64,
}

impl OneRunAudit {
    /// Takes counts: canaries, guesses (no more than canaries), right guesses.
    ///
    /// # Errors
    /// [`StatsError::NoGuesses`], [`StatsError::MoreGuessesThanCanaries`], [`StatsError::MoreCorrectThanGuesses`],
    /// [`StatsError::TooManyTrials`] above 10^12 guesses.
    ///
    /// ```
    /// use userprint_stats::audit::OneRunAudit;
    /// let error = OneRunAudit::new(1000, 100, 101).unwrap_err();
    /// assert_eq!(error.to_string(), "101 of 100 guesses are correct");
    /// ```
    pub fn new(n_canaries: u64, n_guesses: u64, n_correct: u64) -> Result<Self, StatsError> {
        if n_guesses == 0 {
            return Err(StatsError::NoGuesses);
        }
        if n_guesses > n_canaries {
            return Err(StatsError::MoreGuessesThanCanaries { guesses: n_guesses, canaries: n_canaries });
        }
        if n_guesses > MAX_TRIALS {
            return Err(StatsError::TooManyTrials { trials: n_guesses, most: MAX_TRIALS });
        }
        if n_correct > n_guesses {
            return Err(StatsError::MoreCorrectThanGuesses { correct: n_correct, guesses: n_guesses });
        }
        Ok(Self { n_canaries, n_guesses, n_correct })
    }

    /// How many canaries had a coin.
    ///
    /// ```
    /// assert_eq!(userprint_stats::audit::OneRunAudit::new(1000, 100, 90)?.n_canaries(), 1000);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn n_canaries(&self) -> u64 {
        self.n_canaries
    }

    /// How many coins were guessed.
    ///
    /// ```
    /// assert_eq!(userprint_stats::audit::OneRunAudit::new(1000, 100, 90)?.n_guesses(), 100);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn n_guesses(&self) -> u64 {
        self.n_guesses
    }

    /// How many guesses were right.
    ///
    /// ```
    /// assert_eq!(userprint_stats::audit::OneRunAudit::new(1000, 100, 90)?.n_correct(), 90);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn n_correct(&self) -> u64 {
        self.n_correct
    }

    /// The most likely that an `(epsilon, delta)` private training gives as many right guesses.
    ///
    /// `p = f(v) + 2 m delta max_i (f(v - i) - f(v)) / i`, at most 1, with `f(k) = Pr[Bin(r, q) >= k]`,
    /// `q = e^epsilon / (1 + e^epsilon)`, `m` canaries, `r` guesses and `v` right ones.
    /// Sums of neighbouring probabilities: `O(sqrt(r))`.
    ///
    /// # Errors
    /// [`StatsError::EpsilonOutOfRange`] below 0 or not finite, [`StatsError::DeltaOutOfRange`] outside `[0, 1)`.
    ///
    /// # Reference
    /// Steinke, Nasr & Jagielski, arXiv:2305.08846, Theorem 5.2.
    /// ```
    /// let audit = userprint_stats::audit::OneRunAudit::new(4, 4, 4)?;
    /// assert!((audit.p_value(0.0, 0.0)? - 1.0 / 16.0).abs() < 1e-15); // four fair coins
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn p_value(&self, epsilon: f64, delta: f64) -> Result<f64, StatsError> {
        check_delta(delta)?;
        if !(0.0..f64::INFINITY).contains(&epsilon) {
            return Err(StatsError::EpsilonOutOfRange { epsilon });
        }
        Ok(self.bounded_p_value(epsilon, delta))
    }

    /// The largest epsilon at which the p-value is at most `significance`; 0 where there is none.
    ///
    /// # Errors
    /// [`StatsError::DeltaOutOfRange`] outside `[0, 1)`, [`StatsError::SignificanceOutOfRange`] outside `(0, 1)`.
    ///
    /// # Reference
    /// Steinke, Nasr & Jagielski, arXiv:2305.08846, Theorem 5.2.
    /// ```
    /// let audit = userprint_stats::audit::OneRunAudit::new(1000, 600, 500)?;
    /// let bound = audit.epsilon_lower_bound(1e-5, 0.05)?;
    /// assert!((bound.epsilon - 1.425271).abs() < 1e-6);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn epsilon_lower_bound(
        &self,
        delta: f64,
        significance: f64,
    ) -> Result<EpsilonLowerBound, StatsError> {
        check_delta(delta)?;
        check_significance(significance)?;
        let epsilon = largest_rejected(|epsilon| self.bounded_p_value(epsilon, delta) <= significance);
        Ok(EpsilonLowerBound { epsilon, delta, significance, kind: AuditKind::OneRun })
    }

    fn bounded_p_value(&self, epsilon: f64, delta: f64) -> f64 {
        let n_wrong = self.n_guesses - self.n_correct;
        let wrong = WrongGuesses::new(self.n_guesses, epsilon);
        let pure = wrong.at_most(n_wrong);
        if delta == 0.0 {
            return pure;
        }
        (pure + 2.0 * self.n_canaries as f64 * delta * wrong.largest_mean_above(n_wrong)).min(1.0)
    }
}
