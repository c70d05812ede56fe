//! Wald's sequential test: observe until the decision is clear, and no further.

use crate::{Side, StatsError};

/// Where a sequential test stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Neither boundary was reached: observe more.
    Open,
    /// Held-in, for good.
    HeldIn,
    /// Held-out, for good.
    HeldOut,
}

/// Wald's sequential probability ratio test of held-in against held-out.
///
/// With `a` the false positive and `b` the false negative rate, it sums log-likelihood ratios until they reach
/// `ln((1 - b) / a)`, held-in, or `ln(b / (1 - a))`, held-out.
/// The rates that it has are at most `a / (1 - b)` and `b / (1 - a)`, and their sum at most `a + b`: what is lost is
/// by overshooting a boundary.
/// They hold for increments that are log-likelihood ratios; a statistic that is none must be calibrated first.
///
/// # Reference
/// Wald, Annals of Mathematical Statistics 16(2), 1945, section 3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sprt {
    upper: f64,
    lower: f64,
    false_positive_rate: f64,
    false_negative_rate: f64,
    sum: f64,
    decision: Decision,
}

impl Sprt {
    /// A test that has observed nothing.
    ///
    /// # Errors
    /// [`StatsError::RateOutOfRange`] unless both rates are above 0 and below 1, [`StatsError::RatesTooHigh`] unless
    /// their sum is below 1.
    ///
    /// ```
    /// assert!(userprint_stats::Sprt::new(0.01, 0.05).is_ok());
    /// assert!(userprint_stats::Sprt::new(0.5, 0.5).is_err()); // as good as a coin
    /// ```
    pub fn new(false_positive_rate: f64, false_negative_rate: f64) -> Result<Self, StatsError> {
        for (name, value) in
            [("false positive rate", false_positive_rate), ("false negative rate", false_negative_rate)]
        {
            if !(value > 0.0 && value < 1.0) {
                return Err(StatsError::RateOutOfRange { name, value });
            }
        }
        if false_positive_rate + false_negative_rate >= 1.0 {
            return Err(StatsError::RatesTooHigh { false_positive_rate, false_negative_rate });
        }
        Ok(Self {
            upper: (-false_negative_rate).ln_1p() - false_positive_rate.ln(),
            lower: false_negative_rate.ln() - (-false_positive_rate).ln_1p(),
            false_positive_rate,
            false_negative_rate,
            sum: 0.0,
            decision: Decision::Open,
        })
    }

    /// Adds one log-likelihood ratio, `ln(P[x | held-in] / P[x | held-out])` in nats; after a decision it changes nothing.
    ///
    /// An infinite increment decides at once.
    ///
    /// # Errors
    /// [`StatsError::IncrementIsNan`].
    ///
    /// ```
    /// use userprint_stats::{Decision, Sprt};
    /// let mut test = Sprt::new(0.05, 0.05)?; // boundaries at ln 19 = 2.94 and its negative
    /// assert_eq!(test.observe(2.0)?, Decision::Open);
    /// assert_eq!(test.observe(1.0)?, Decision::HeldIn);
    /// assert_eq!(test.observe(-9.0)?, Decision::HeldIn);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn observe(&mut self, increment: f64) -> Result<Decision, StatsError> {
        if increment.is_nan() {
            return Err(StatsError::IncrementIsNan);
        }
        if self.decision == Decision::Open {
            self.sum += increment;
            self.decision = match self.sum {
                sum if sum >= self.upper => Decision::HeldIn,
                sum if sum <= self.lower => Decision::HeldOut,
                _ => Decision::Open,
            };
        }
        Ok(self.decision)
    }

    /// Where the test stands.
    ///
    /// ```
    /// use userprint_stats::{Decision, Sprt};
    /// assert_eq!(Sprt::new(0.05, 0.05)?.decision(), Decision::Open);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// About how many observations a decision takes, by Wald's approximation, which neglects overshoot.
    ///
    /// `(P[held-in decided] ln((1 - b) / a) + P[held-out decided] ln(b / (1 - a))) / mean`, for a user of the side given,
    /// whose increments have the mean given.
    ///
    /// # Errors
    /// [`StatsError::WrongDrift`] unless the mean is finite, above 0 for held-in and below 0 for held-out, and far enough
    /// from 0 that the answer is finite.
    ///
    /// # Reference
    /// Wald, Annals of Mathematical Statistics 16(2), 1945, section 4.
    /// ```
    /// use userprint_stats::{Side, Sprt};
    /// let test = Sprt::new(0.05, 0.05)?;
    /// assert!((test.expected_observations(Side::HeldIn, 0.5)? - 1.8 * 19f64.ln()).abs() < 1e-12);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn expected_observations(&self, side: Side, mean_increment: f64) -> Result<f64, StatsError> {
        let (held_in_decided, drifts_well) = match side {
            Side::HeldIn => (1.0 - self.false_negative_rate, mean_increment > 0.0),
            Side::HeldOut => (self.false_positive_rate, mean_increment < 0.0),
        };
        let expected = (held_in_decided * self.upper + (1.0 - held_in_decided) * self.lower) / mean_increment;
        if !drifts_well || mean_increment.is_infinite() || expected.is_infinite() {
            return Err(StatsError::WrongDrift { side, value: mean_increment });
        }
        Ok(expected)
    }
}

#[cfg(test)]
mod tests;
