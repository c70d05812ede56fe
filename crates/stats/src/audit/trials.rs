//! Independent trials: trainings with and without one target, a statistic each.

use std::collections::BTreeMap;

use super::bound::check_delta;
use super::{AuditKind, EpsilonLowerBound};
use crate::binomial::{binomial_lower_bound, binomial_upper_bound};
use crate::column::check_column;
use crate::interval::check_significance;
use crate::{Side, StatsError};

/// One whole training, with randomness of its own, and what the attack made of its model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// Which training it was, such as its seed: each trial is of another one.
    pub run: u64,
    /// Whether the target (the user whose privacy is audited) was trained on.
    pub includes_target: bool,
    /// The attack's statistic of the target; higher means included.
    pub statistic: f64,
}

/// Trainings that differ in nothing but their randomness and the target, one trial each.
///
/// The users of one training are not such trials, since they share its randomness: their right guesses come together.
/// A run that is given twice is refused, and canaries of one training have a type of their own:
///
/// ```compile_fail
/// use userprint_stats::audit::{CoinFlippedCanaries, CoinFlips, IndependentTrials};
/// let coins = CoinFlips::toss(4, 7).unwrap();
/// let canaries = CoinFlippedCanaries::new(&coins, &[3.0, 0.5, 1.0, 2.0]).unwrap();
/// let trials: IndependentTrials = canaries;
/// ```
#[derive(Clone, Debug)]
pub struct IndependentTrials {
    with_target: Vec<f64>,
    without_target: Vec<f64>,
}

impl IndependentTrials {
    /// Parts the trainings by whether they include the target.
    ///
    /// # Errors
    /// [`StatsError::EmptySide`]; [`StatsError::NotFinite`] with the position among the trainings;
    /// [`StatsError::RepeatedTraining`] if two trials are of one run.
    ///
    /// ```
    /// use userprint_stats::audit::{IndependentTrials, Training};
    /// let trainings = [
    ///     Training { run: 1, includes_target: false, statistic: 0.1 },
    ///     Training { run: 2, includes_target: true, statistic: 2.0 },
    /// ];
    /// let counts = IndependentTrials::new(&trainings)?.counts(1.0)?;
    /// assert_eq!(counts.true_positives(), 1);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn new(trainings: &[Training]) -> Result<Self, StatsError> {
        let mut trials = Self { with_target: Vec::new(), without_target: Vec::new() };
        let mut of_run = BTreeMap::new();
        for (index, training) in trainings.iter().enumerate() {
            let run = training.run;
            if let Some(first) = of_run.insert(run, index) {
                return Err(StatsError::RepeatedTraining { run, first, second: index });
            }
            let (side, values) = if training.includes_target {
                (Side::HeldIn, &mut trials.with_target)
            } else {
                (Side::HeldOut, &mut trials.without_target)
            };
            if !training.statistic.is_finite() {
                return Err(StatsError::NotFinite { side, index, value: training.statistic });
            }
            values.push(training.statistic);
        }
        for (side, values) in [(Side::HeldIn, &trials.with_target), (Side::HeldOut, &trials.without_target)] {
            if values.is_empty() {
                return Err(StatsError::EmptySide { side });
            }
        }
        Ok(trials)
    }

    /// Decides "included" from a threshold up; it must have been fixed before these trainings were seen.
    ///
    /// # Errors
    /// [`StatsError::NotFiniteInColumn`].
    ///
    /// ```
    /// use userprint_stats::audit::{IndependentTrials, Training};
    /// let trainings = [
    ///     Training { run: 1, includes_target: false, statistic: 0.1 },
    ///     Training { run: 2, includes_target: true, statistic: 2.0 },
    /// ];
    /// let trials = IndependentTrials::new(&trainings)?;
    /// assert!(trials.counts(f64::NAN).is_err());
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn counts(&self, threshold: f64) -> Result<TrialCounts, StatsError> {
        check_column("threshold", &[threshold])?;
        let at_least = |values: &[f64]| values.iter().filter(|&&value| value >= threshold).count() as u64;
        TrialCounts::one_per_training(
            [at_least(&self.with_target), self.with_target.len() as u64],
            [at_least(&self.without_target), self.without_target.len() as u64],
        )
    }

    /// The largest bound over thresholds that were stated beforehand, each at its share of `significance` (Bonferroni).
    ///
    /// # Errors
    /// [`StatsError::EmptyColumn`] for no thresholds, [`StatsError::NotFiniteInColumn`] with the position;
    /// those of [`TrialCounts::epsilon_lower_bound`].
    ///
    /// ```
    /// use userprint_stats::audit::{IndependentTrials, Training};
    /// let trainings: Vec<Training> = (0..1000)
    ///     .map(|run| Training { run, includes_target: run % 2 == 0, statistic: f64::from(u8::from(run % 2 == 0)) })
    ///     .collect();
    /// let trials = IndependentTrials::new(&trainings)?;
    /// let fixed = trials.epsilon_lower_bound(&[0.5], 0.0, 0.01)?;
    /// assert!((fixed.epsilon - 4.541915810224092).abs() < 1e-9);
    /// let best_of_two = trials.epsilon_lower_bound(&[0.5, 0.7], 0.0, 0.01)?;
    /// assert!(best_of_two.epsilon < fixed.epsilon);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn epsilon_lower_bound(
        &self,
        thresholds: &[f64],
        delta: f64,
        significance: f64,
    ) -> Result<EpsilonLowerBound, StatsError> {
        check_column("thresholds", thresholds)?;
        EpsilonLowerBound::largest(thresholds, significance, |&threshold, each| {
            self.counts(threshold)?.epsilon_lower_bound(delta, each)
        })
    }
}

/// How many trainings were taken for ones that include the target, by whether they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialCounts {
    with_target: Positives,
    without_target: Positives,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Positives {
    positives: u64,
    trainings: u64,
}

impl TrialCounts {
    /// Takes `[taken for included, trainings]` of the trainings with the target, and of those without.
    ///
    /// # Errors
    /// [`StatsError::EmptySide`]; [`StatsError::TooManySuccesses`].
    ///
    /// ```
    /// use userprint_stats::audit::TrialCounts;
    /// let error = TrialCounts::one_per_training([9, 8], [0, 8]).unwrap_err();
    /// assert_eq!(error.to_string(), "9 successes in 8 trials");
    /// ```
    pub fn one_per_training(with_target: [u64; 2], without_target: [u64; 2]) -> Result<Self, StatsError> {
        Ok(Self {
            with_target: Positives::new(Side::HeldIn, with_target)?,
            without_target: Positives::new(Side::HeldOut, without_target)?,
        })
    }

    /// Trainings with the target that were taken for such.
    ///
    /// ```
    /// let counts = userprint_stats::audit::TrialCounts::one_per_training([7, 8], [1, 9])?;
    /// assert_eq!(counts.true_positives(), 7);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn true_positives(&self) -> u64 {
        self.with_target.positives
    }

    /// Trainings without the target that were taken for ones with it.
    ///
    /// ```
    /// let counts = userprint_stats::audit::TrialCounts::one_per_training([7, 8], [1, 9])?;
    /// assert_eq!(counts.false_positives(), 1);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn false_positives(&self) -> u64 {
        self.without_target.positives
    }

    /// The epsilon below which the rates cannot be, from Clopper-Pearson limits at half the significance each.
    ///
    /// `max(0, log((TPR_lo - delta) / FPR_hi), log((TNR_lo - delta) / FNR_hi))`.
    /// Both directions follow from the same two limits (`TNR_lo = 1 - FPR_hi`, `FNR_hi = 1 - TPR_lo`), which hold
    /// together with probability `1 - significance`: taking the larger costs nothing more.
    ///
    /// # Errors
    /// [`StatsError::DeltaOutOfRange`] outside `[0, 1)`, [`StatsError::SignificanceOutOfRange`] outside `(0, 1)`.
    ///
    /// # Reference
    /// Jagielski, Ullman & Oprea, arXiv:2006.07709; both directions: Nasr et al., arXiv:2101.04535.
    /// ```
    /// let counts = userprint_stats::audit::TrialCounts::one_per_training([68, 68], [0, 68])?;
    /// let bound = counts.epsilon_lower_bound(0.0, 0.05)?;
    /// assert!((bound.epsilon - 2.887).abs() < 1e-3);
    /// # Ok::<(), userprint_stats::StatsError>(())
    /// ```
    pub fn epsilon_lower_bound(
        &self,
        delta: f64,
        significance: f64,
    ) -> Result<EpsilonLowerBound, StatsError> {
        check_delta(delta)?;
        check_significance(significance)?;
        let half = significance / 2.0;
        let (with_target, without_target) = (self.with_target, self.without_target);
        let tpr_lower = binomial_lower_bound(with_target.positives, with_target.trainings, half)?;
        // The upper limit of what is left, rather than 1 less the lower one, which rounds where that is near 1.
        let fnr_upper = binomial_upper_bound(with_target.negatives(), with_target.trainings, half)?;
        let fpr_upper = binomial_upper_bound(without_target.positives, without_target.trainings, half)?;
        let tnr_lower = binomial_lower_bound(without_target.negatives(), without_target.trainings, half)?;
        let epsilon =
            log_ratio(tpr_lower - delta, fpr_upper).max(log_ratio(tnr_lower - delta, fnr_upper)).max(0.0);
        Ok(EpsilonLowerBound { epsilon, delta, significance, kind: AuditKind::IndependentTrainings })
    }
}

impl Positives {
    fn new(side: Side, [positives, trainings]: [u64; 2]) -> Result<Self, StatsError> {
        if trainings == 0 {
            return Err(StatsError::EmptySide { side });
        }
        if positives > trainings {
            return Err(StatsError::TooManySuccesses { successes: positives, trials: trainings });
        }
        Ok(Self { positives, trainings })
    }

    fn negatives(self) -> u64 {
        self.trainings - self.positives
    }
}

/// Negative infinity where the upper rate is not above 0.
fn log_ratio(above: f64, below: f64) -> f64 {
    if above > 0.0 { (above / below).ln() } else { f64::NEG_INFINITY }
}
