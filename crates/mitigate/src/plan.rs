//! Plans: the noise and the batch that a privacy target asks for.

use std::fmt;

use serde::{Deserialize, Serialize};
use userprint_privacy::{Accountant, DpEvent, PldAccountant, calibrate};

use crate::claim::check_delta;
use crate::training::check_sampling;
use crate::{DpSampling, MitigateError, PrivacyUnit, TrainingRule};

/// A delta above this part of one unit's share is worth a warning.
const DELTA_SHARE: f64 = 0.1;

/// What a private training should promise, and on what.
///
/// What coins are tossed for is `n_examples` or `n_users`, see [`DpSampling::sampled_unit`]; epochs and batches count that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyTarget {
    /// The most epsilon.
    pub epsilon: f64,
    /// At this delta, below one over the number of units that are hidden.
    pub delta: f64,
    /// What is sampled, and who is hidden.
    pub sampling: DpSampling,
    /// How long to train.
    pub length: Length,
    /// How much a step samples.
    pub batch: BatchChoice,
    /// Training examples; capped users' after the cap.
    pub n_examples: u64,
    /// Users among whom they are.
    pub n_users: u64,
    /// Parameters that training moves: of adapters alone where the rest is frozen.
    pub n_parameters: u64,
}

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Until each sampled unit was drawn so often, on average: a larger batch has fewer steps.
    Epochs(u32),
    /// So many steps, whatever the batch: a larger batch costs more time.
    Steps(u64),
}

/// How much a step samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchChoice {
    /// So many units, on average.
    Expected(u64),
    /// As few as keep the noise over the whole run within this factor of its floor.
    ///
    /// With a fixed number of steps that is the noise in one step's mean gradient. With a fixed number of epochs the whole run
    /// counts, because a larger batch then has less noise a step merely for having fewer steps.
    /// Where epsilon is small the answer can be a batch of very few; a number of steps bounds the time that this takes.
    ///
    /// # Reference
    /// arXiv:2310.09266, Appendix D.4, tunes the batch by the noise in the mean gradient; its 1,200 steps of 1,024 out of
    /// 41,000 examples are at 1.09 times the floor for epsilon 2, and at 1.57 for epsilon 8.
    WithinFactor(f64),
}

/// Standard deviation of the noise in each coordinate of a mean gradient, over the clip norm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoisePerUnit {
    /// Of one step: `σ / B`, with the expected batch `B`.
    pub step: f64,
    /// Of the mean over all `T` steps: `σ / (B √T)`.
    pub run: f64,
}

/// How to keep a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The target.
    pub target: PrivacyTarget,
    /// Chance of each coin, `q`.
    pub sampling_probability: f64,
    /// Units a step, on average, `B = q n`.
    pub expected_batch: f64,
    /// Steps, `T`.
    pub steps: u64,
    /// The least noise that keeps the target, `σ / C`.
    pub noise_multiplier: f64,
    /// Noise in a mean gradient.
    pub noise: NoisePerUnit,
    /// The same with everybody in each batch, for as many epochs or steps: no batch has less noise over the run.
    pub floor: NoisePerUnit,
    /// What to know before training.
    pub warnings: Vec<PlanWarning>,
}

/// Euclidean norm of the noise over all parameters, over the clip norm: a mean of clipped gradients is at most 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseNorms {
    /// In the mean gradient of one step, `σ √d / B`.
    pub step: f64,
    /// In the mean over all steps, `σ √d / (B √T)`.
    pub run: f64,
    /// The least that the latter can be, with everybody in each batch.
    pub floor: f64,
}

/// Something that makes a plan doubtful, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlanWarning {
    /// With any batch, the noise in the mean over all steps is longer than a gradient can be.
    ///
    /// Were all clipped gradients of the run one and the same vector, the noise would still be longer.
    CorpusTooSmall {
        /// How long the noise is.
        noise: NoiseNorms,
        /// Parameters that are trained.
        n_parameters: u64,
        /// What is sampled.
        sampled_unit: PrivacyUnit,
        /// How many of them there are.
        n_sampled: u64,
        /// About how many it would take at the same epsilon and delta, were everybody in each batch.
        n_needed: f64,
    },
    /// With this batch, the noise in the mean over all steps is longer than a gradient can be; a larger batch would do.
    BatchTooSmall {
        /// How long the noise is.
        noise: NoiseNorms,
        /// Parameters that are trained.
        n_parameters: u64,
    },
    /// Delta is not far below one over the number of units: giving away some unit at random would nearly be allowed.
    DeltaNearShare {
        /// The target's delta.
        delta: f64,
        /// One over the number of units.
        share: f64,
    },
}

impl fmt::Display for PlanWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CorpusTooSmall { noise, n_parameters, sampled_unit, n_sampled, n_needed } => write!(
                f,
                "the corpus is too small: with {n_sampled} {sampled_unit}s the noise on {n_parameters} parameters is {:.1} clip norms long in a step and {:.1} in the mean of all steps, where a gradient is at most 1; it would take at least about {n_needed:.0} {sampled_unit}s, fewer parameters or a larger epsilon",
                noise.step, noise.run
            ),
            Self::BatchTooSmall { noise, n_parameters } => write!(
                f,
                "the batch is too small: the noise on {n_parameters} parameters is {:.1} clip norms long in a step and {:.1} in the mean of all steps, where a gradient is at most 1; the largest batch has {:.2}",
                noise.step, noise.run, noise.floor
            ),
            Self::DeltaNearShare { delta, share } => write!(
                f,
                "delta {delta:e} is {:.0} % of one unit's share, {share:.2e}; expected at most {:.0} %",
                100.0 * delta / share,
                100.0 * DELTA_SHARE
            ),
        }
    }
}

impl PrivacyTarget {
    /// The least noise that keeps the target, and the batch if it is to be found.
    ///
    /// The accountant has certified the noise at the rate and the steps of the plan, which takes seconds.
    /// A batch that is found is the smallest one up to the rounding of epochs to whole steps.
    ///
    /// # Errors
    /// [`MitigateError`]: delta or a rate out of range, nobody to sample, a batch of nobody or of more than there are, a length of
    /// nothing, more examples than the cap leaves; [`MitigateError::Accounting`] where no noise reaches epsilon.
    /// ```
    /// use userprint_mitigate::{BatchChoice, DpSampling, Length, PlanWarning, PrivacyTarget};
    /// // A large corpus, at the level of examples.
    /// let target = PrivacyTarget {
    ///     epsilon: 8.0,
    ///     delta: 1e-6,
    ///     sampling: DpSampling::Examples,
    ///     length: Length::Epochs(50),
    ///     batch: BatchChoice::WithinFactor(1.2),
    ///     n_examples: 41_000,
    ///     n_users: 138,
    ///     n_parameters: 125_000_000,
    /// };
    /// let plan = target.plan()?;
    /// assert!(plan.noise.run <= 1.2 * plan.floor.run);
    /// assert!(plan.warnings.is_empty());
    ///
    /// // The same corpus has far too few users to hide one of them.
    /// let sampling = DpSampling::Users { examples_per_user: 16 };
    /// let plan = PrivacyTarget { sampling, ..target }.plan()?;
    /// assert!(matches!(plan.warnings[..], [PlanWarning::CorpusTooSmall { n_needed, .. }] if n_needed > 7_000.0));
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn plan(self) -> Result<Plan, MitigateError> {
        self.check()?;
        let accountant = PldAccountant::default();
        let full = self.pace(self.n_sampled());
        let full_noise = self.noise_multiplier(&accountant, full)?;
        let floor = full.noise_per_unit(full_noise);
        let pace = match self.batch {
            BatchChoice::Expected(batch) => self.pace(batch),
            BatchChoice::WithinFactor(factor) => {
                self.pace(self.smallest_batch(&accountant, factor * floor.run)?)
            }
        };
        let noise_multiplier =
            if pace == full { full_noise } else { self.noise_multiplier(&accountant, pace)? };
        let noise = pace.noise_per_unit(noise_multiplier);
        Ok(Plan {
            target: self,
            sampling_probability: pace.sampling_probability,
            expected_batch: pace.batch as f64,
            steps: pace.steps,
            noise_multiplier,
            noise,
            floor,
            warnings: self.warnings(noise, floor),
        })
    }

    fn check(&self) -> Result<(), MitigateError> {
        check_sampling(self.sampling, 1.0)?;
        let n_sampled = self.n_sampled();
        if n_sampled == 0 {
            return Err(MitigateError::NothingToSample { unit: self.sampling.sampled_unit() });
        }
        check_delta(self.delta, self.n_units())?;
        match self.batch {
            BatchChoice::Expected(0) => return Err(MitigateError::BatchSize),
            BatchChoice::Expected(found) if found > n_sampled => {
                return Err(MitigateError::LargeBatch { found, n_sampled });
            }
            BatchChoice::WithinFactor(found) if !(found.is_finite() && found > 1.0) => {
                return Err(MitigateError::BatchFactor { found });
            }
            BatchChoice::Expected(_) | BatchChoice::WithinFactor(_) => {}
        }
        if matches!(self.length, Length::Epochs(0) | Length::Steps(0)) {
            return Err(MitigateError::NoSteps);
        }
        let (n_examples, n_users) = (self.n_examples, self.n_users);
        match self.sampling {
            DpSampling::CappedUsers { examples_per_user }
                if n_examples > n_users.saturating_mul(examples_per_user.into()) =>
            {
                Err(MitigateError::AboveCap { n_examples, n_users, examples_per_user })
            }
            _ => Ok(()),
        }
    }

    fn count(&self, unit: PrivacyUnit) -> u64 {
        match unit {
            PrivacyUnit::Example => self.n_examples,
            PrivacyUnit::User => self.n_users,
        }
    }

    /// How many coins a step tosses.
    fn n_sampled(&self) -> u64 {
        self.count(self.sampling.sampled_unit())
    }

    /// How many there are of what is hidden.
    fn n_units(&self) -> u64 {
        self.count(self.sampling.privacy_unit())
    }

    /// Rate and steps that go with a batch.
    fn pace(&self, batch: u64) -> Pace {
        let n_sampled = self.n_sampled();
        let steps = match self.length {
            Length::Epochs(epochs) => n_sampled.saturating_mul(epochs.into()).div_ceil(batch),
            Length::Steps(steps) => steps,
        };
        Pace { batch, sampling_probability: batch as f64 / n_sampled as f64, steps }
    }

    fn event(&self, pace: Pace, noise_multiplier: f64) -> DpEvent {
        let (sampling, sampling_probability) = (self.sampling, pace.sampling_probability);
        // No clip norm enters an event.
        let (clip_norm, adaptive_clip) = (1.0, None);
        let rule = TrainingRule::DpSgd {
            sampling,
            sampling_probability,
            clip_norm,
            noise_multiplier,
            adaptive_clip,
        };
        rule.dp_event(pace.steps)
    }

    fn noise_multiplier(&self, accountant: &PldAccountant, pace: Pace) -> Result<f64, MitigateError> {
        let event = |noise| self.event(pace, noise);
        Ok(calibrate::noise_multiplier(accountant, &event, self.epsilon, self.delta)?)
    }

    /// The smallest batch whose noise over the run can be as little as this; a smaller batch has more.
    ///
    /// Each trial asks once whether that noise is enough, so nothing is calibrated on the way.
    fn smallest_batch(&self, accountant: &PldAccountant, run_noise: f64) -> Result<u64, MitigateError> {
        let (mut above, mut enough) = (0, self.n_sampled());
        while enough - above > 1 {
            let batch = above + (enough - above) / 2;
            let pace = self.pace(batch);
            let noise_multiplier = run_noise * batch as f64 * (pace.steps as f64).sqrt();
            let epsilon = accountant.epsilon(&self.event(pace, noise_multiplier), self.delta)?;
            if epsilon <= self.epsilon {
                enough = batch;
            } else {
                above = batch;
            }
        }
        Ok(enough)
    }

    fn warnings(&self, noise: NoisePerUnit, floor: NoisePerUnit) -> Vec<PlanWarning> {
        let (n_parameters, n_sampled) = (self.n_parameters, self.n_sampled());
        let norm = |per_coordinate: f64| per_coordinate * (n_parameters as f64).sqrt();
        let noise = NoiseNorms { step: norm(noise.step), run: norm(noise.run), floor: norm(floor.run) };
        let mut warnings = Vec::new();
        if noise.floor > 1.0 {
            let sampled_unit = self.sampling.sampled_unit();
            // At its floor the noise over a run is inverse to the number of units.
            let n_needed = (n_sampled as f64 * noise.floor).ceil();
            let warning =
                PlanWarning::CorpusTooSmall { noise, n_parameters, sampled_unit, n_sampled, n_needed };
            warnings.push(warning);
        } else if noise.run > 1.0 {
            warnings.push(PlanWarning::BatchTooSmall { noise, n_parameters });
        }
        let (delta, share) = (self.delta, 1.0 / self.n_units() as f64);
        if delta > DELTA_SHARE * share {
            warnings.push(PlanWarning::DeltaNearShare { delta, share });
        }
        warnings
    }
}

/// How fast a training goes through its data.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pace {
    batch: u64,
    sampling_probability: f64,
    steps: u64,
}

impl Pace {
    fn noise_per_unit(self, noise_multiplier: f64) -> NoisePerUnit {
        let step = noise_multiplier / self.batch as f64;
        NoisePerUnit { step, run: step / (self.steps as f64).sqrt() }
    }
}

impl Plan {
    /// The rule that keeps the plan, with gradients clipped to this norm.
    ///
    /// # Errors
    /// [`MitigateError::ClipNorm`] for what is not a finite number above 0.
    /// ```
    /// use userprint_mitigate::{BatchChoice, Claim, DpSampling, Length, PrivacyTarget};
    /// let target = PrivacyTarget {
    ///     epsilon: 4.0,
    ///     delta: 1e-6,
    ///     sampling: DpSampling::Users { examples_per_user: 8 },
    ///     length: Length::Steps(200),
    ///     batch: BatchChoice::Expected(500),
    ///     n_examples: 90_000,
    ///     n_users: 10_000,
    ///     n_parameters: 300_000,
    /// };
    /// let plan = target.plan()?;
    /// let claim = Claim::of(plan.rule(1.0)?, plan.steps, target.n_users, target.delta)?;
    /// assert!(claim.is_some_and(|claim| claim.epsilon() <= 4.0 && claim.epsilon() > 3.999));
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn rule(&self, clip_norm: f64) -> Result<TrainingRule, MitigateError> {
        let Self { sampling_probability, noise_multiplier, .. } = *self;
        TrainingRule::dp_sgd(self.target.sampling, sampling_probability, clip_norm, noise_multiplier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's private trainings: example level, 41,000 examples of some 138 users.
    fn enron(epsilon: f64) -> PrivacyTarget {
        PrivacyTarget {
            epsilon,
            delta: 1e-6,
            sampling: DpSampling::Examples,
            length: Length::Steps(1_200),
            batch: BatchChoice::Expected(1_024),
            n_examples: 41_000,
            n_users: 138,
            n_parameters: 125_198_592,
        }
    }

    #[track_caller]
    fn check_factor(target: PrivacyTarget, expected: f64) {
        let plan = target.plan().unwrap();
        let factor = plan.noise.run / plan.floor.run;
        assert!((factor - expected).abs() < 0.005, "{factor}");
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    }

    #[test]
    fn the_batches_of_the_paper_are_near_the_floor() {
        check_factor(enron(2.0), 1.09);
        check_factor(enron(8.0), 1.57);
    }

    #[test]
    fn a_found_batch_is_the_smallest() {
        let batch = BatchChoice::WithinFactor(1.2);
        for length in [Length::Steps(1_200), Length::Epochs(30)] {
            let target = PrivacyTarget { batch, length, ..enron(2.0) };
            let found = target.plan().unwrap();
            // Up to the tolerance of the calibration.
            assert!(found.noise.run <= 1.2 * found.floor.run * (1.0 + 2e-6));
            let smaller = BatchChoice::Expected(found.expected_batch as u64 - 1);
            let smaller = PrivacyTarget { batch: smaller, ..target }.plan().unwrap();
            assert!(smaller.noise.run > 1.2 * smaller.floor.run, "{smaller:?}");
        }
    }

    #[test]
    fn epochs_become_steps() {
        let pace = |batch| PrivacyTarget { length: Length::Epochs(50), ..enron(2.0) }.pace(batch);
        assert_eq!(pace(41_000).steps, 50);
        assert_eq!(pace(1_024).steps, 2_002);
        assert_eq!(pace(1).steps, 2_050_000);
    }

    #[test]
    fn a_hundred_users_cannot_hide_one() {
        let sampling = DpSampling::Users { examples_per_user: 16 };
        let target = PrivacyTarget { sampling, batch: BatchChoice::Expected(64), ..enron(8.0) };
        let plan = target.plan().unwrap();
        let [PlanWarning::CorpusTooSmall { noise, n_needed, n_sampled: 138, .. }] = plan.warnings[..] else {
            panic!("{:?}", plan.warnings);
        };
        let by_hand = plan.noise_multiplier * 125_198_592_f64.sqrt() / 64.0;
        assert!((noise.step / by_hand - 1.0).abs() < 1e-12);
        assert!(noise.floor > 50.0 && n_needed > 7_000.0, "{noise:?} {n_needed}");
        let says = plan.warnings[0].to_string();
        assert!(says.starts_with("the corpus is too small: with 138 users the noise on 125198592"), "{says}");

        // So many users, all in each batch, would be enough.
        let n_users = n_needed as u64;
        let batch = BatchChoice::Expected(n_users);
        assert_eq!(PrivacyTarget { n_users, batch, ..target }.plan().unwrap().warnings, []);
    }

    #[test]
    fn a_small_batch_of_a_large_corpus() {
        let target = PrivacyTarget { batch: BatchChoice::Expected(64), ..enron(2.0) };
        let warnings = target.plan().unwrap().warnings;
        assert!(matches!(warnings[..], [PlanWarning::BatchTooSmall { .. }]), "{warnings:?}");
    }

    #[test]
    fn a_delta_near_one_unit_s_share() {
        let target = PrivacyTarget { delta: 1e-5, ..enron(2.0) };
        let warnings = target.plan().unwrap().warnings;
        let share = 1.0 / 41_000.0;
        assert_eq!(warnings, [PlanWarning::DeltaNearShare { delta: 1e-5, share }]);
        let says = "delta 1e-5 is 41 % of one unit's share, 2.44e-5; expected at most 10 %";
        assert_eq!(warnings[0].to_string(), says);
    }

    #[track_caller]
    fn check_refused(target: PrivacyTarget, expected: &str) {
        let error = target.plan().expect_err("the target makes no sense");
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }

    #[test]
    fn senseless_targets() {
        let target = enron(2.0);
        let users = |examples_per_user| DpSampling::Users { examples_per_user };
        check_refused(PrivacyTarget { epsilon: f64::NAN, ..target }, "Accounting(Epsilon");
        check_refused(PrivacyTarget { epsilon: -1.0, ..target }, "Accounting(Epsilon");
        check_refused(PrivacyTarget { epsilon: f64::INFINITY, ..target }, "Accounting(Epsilon");
        check_refused(PrivacyTarget { delta: 1.0 / 41_000.0, ..target }, "Delta");
        check_refused(PrivacyTarget { delta: 0.0, ..target }, "Delta");
        check_refused(PrivacyTarget { sampling: users(0), ..target }, "ExamplesPerUser");
        check_refused(PrivacyTarget { sampling: users(1), n_users: 0, ..target }, "NothingToSample");
        check_refused(PrivacyTarget { length: Length::Steps(0), ..target }, "NoSteps");
        check_refused(PrivacyTarget { length: Length::Epochs(0), ..target }, "NoSteps");
        check_refused(PrivacyTarget { batch: BatchChoice::Expected(0), ..target }, "BatchSize");
        check_refused(PrivacyTarget { batch: BatchChoice::Expected(41_001), ..target }, "LargeBatch");
        check_refused(PrivacyTarget { batch: BatchChoice::WithinFactor(1.0), ..target }, "BatchFactor");
        check_refused(PrivacyTarget { batch: BatchChoice::WithinFactor(f64::NAN), ..target }, "BatchFactor");
        let sampling = DpSampling::CappedUsers { examples_per_user: 297 };
        check_refused(PrivacyTarget { sampling, ..target }, "AboveCap");
    }
}
