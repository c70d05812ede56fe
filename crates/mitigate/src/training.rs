//! The training rule: how a step treats gradients, and the claim that this implies.

use std::fmt;

use serde::{Deserialize, Serialize};
use userprint_privacy::DpEvent;

use crate::{AdaptiveClip, MitigateError};

/// How a step of training samples, clips and noises: one value, so that they cannot disagree.
///
/// Fields are read as they are; [`TrainingRule::check`] says whether they make sense.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum TrainingRule {
    /// Shuffled batches, mean gradient.
    Plain {
        /// Examples a step.
        batch_size: u32,
    },
    /// Shuffled batches; gradients over all parameters are scaled down to a norm of at most `clip_norm`:
    /// `g ← min(C, |g|) / |g| · g`.
    ///
    /// # Reference
    /// Gradient clipping, of the batch and per example, arXiv:2310.09266, Appendix D.3.
    Clipped {
        /// Examples a step.
        batch_size: u32,
        /// Whose gradient is clipped.
        #[serde(default, skip_serializing_if = "ClipUnit::is_batch")]
        unit: ClipUnit,
        /// The largest norm that is left alone, `C`.
        clip_norm: f64,
    },
    /// Poisson samples; each unit's gradient is clipped to `C`, the sum gets normal noise of standard deviation
    /// `noise_multiplier * C` in every coordinate and is divided by the *expected* batch size.
    ///
    /// What an optimiser makes of the noised gradients (momentum, Adam) costs no privacy.
    /// Noise of 0 is allowed, to compare with clipping alone; there is no claim then.
    ///
    /// # Reference
    /// Abadi et al., arXiv:1607.00133, Algorithm 1; at user level Charles et al., arXiv:2407.07737.
    DpSgd {
        /// What enters a step by independent coins, and what is clipped.
        sampling: DpSampling,
        /// Chance of each coin.
        sampling_probability: f64,
        /// The largest norm that is left alone, `C`; where it adapts, that of the first step.
        clip_norm: f64,
        /// Standard deviation of the noise over the clip norm, `σ / C`; where the clip norm adapts, of gradients and count
        /// together.
        noise_multiplier: f64,
        /// How the clip norm follows the norms, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        adaptive_clip: Option<AdaptiveClip>,
    },
}

/// Whose gradient is clipped where nobody is promised anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipUnit {
    /// The mean gradient of the batch.
    #[default]
    Batch,
    /// Each example's gradient, before they are averaged.
    Example,
}

impl ClipUnit {
    /// For serde, which passes a reference: rules from before there was a choice are written as they were.
    fn is_batch(&self) -> bool {
        *self == Self::Batch
    }
}

/// What enters a private step by independent coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DpSampling {
    /// Examples, each clipped: hides one example.
    ///
    /// What is clipped is the gradient of a whole example; sequences that mix examples have none.
    Examples,
    /// Examples, each clipped, in training data where no user has more than so many: hides one user (ELS).
    ///
    /// The cap is on the data, for instance by [`crate::UserCap`], and not on a step's sample.
    /// Which of its examples a user keeps must not depend on other users.
    CappedUsers {
        /// Most examples of any user, `G`.
        examples_per_user: u32,
    },
    /// Users; the gradient of a sampled user is the mean over up to so many of its examples, clipped: hides one user (ULS).
    ///
    /// Which examples of a sampled user are used is free, as long as it does not depend on other users.
    Users {
        /// Most examples of a sampled user, `G`.
        examples_per_user: u32,
    },
}

impl DpSampling {
    /// Whose presence this hides.
    ///
    /// ```
    /// use userprint_mitigate::{DpSampling, PrivacyUnit};
    /// assert_eq!(DpSampling::Examples.privacy_unit(), PrivacyUnit::Example);
    /// assert_eq!(DpSampling::Users { examples_per_user: 4 }.privacy_unit(), PrivacyUnit::User);
    /// ```
    pub fn privacy_unit(self) -> PrivacyUnit {
        match self {
            Self::Examples => PrivacyUnit::Example,
            Self::CappedUsers { .. } | Self::Users { .. } => PrivacyUnit::User,
        }
    }

    /// What the coins are tossed for, which for capped users is not what is hidden.
    ///
    /// ```
    /// use userprint_mitigate::{DpSampling, PrivacyUnit};
    /// let capped = DpSampling::CappedUsers { examples_per_user: 4 };
    /// assert_eq!(capped.sampled_unit(), PrivacyUnit::Example);
    /// ```
    pub fn sampled_unit(self) -> PrivacyUnit {
        match self {
            Self::Examples | Self::CappedUsers { .. } => PrivacyUnit::Example,
            Self::Users { .. } => PrivacyUnit::User,
        }
    }

    /// Most examples of a user, where there is such a bound.
    ///
    /// ```
    /// use userprint_mitigate::DpSampling;
    /// assert_eq!(DpSampling::Users { examples_per_user: 4 }.examples_per_user(), Some(4));
    /// assert_eq!(DpSampling::Examples.examples_per_user(), None);
    /// ```
    pub fn examples_per_user(self) -> Option<u32> {
        match self {
            Self::Examples => None,
            Self::CappedUsers { examples_per_user } | Self::Users { examples_per_user } => {
                Some(examples_per_user)
            }
        }
    }

    /// One step with this sampling, to an accountant.
    fn step(self, sampling_probability: f64, noise_multiplier: f64) -> DpEvent {
        match self {
            Self::Examples | Self::Users { .. } => {
                DpEvent::gaussian(noise_multiplier).poisson_sampled(sampling_probability)
            }
            Self::CappedUsers { examples_per_user } => {
                DpEvent::example_sampled(noise_multiplier, sampling_probability, examples_per_user)
            }
        }
    }
}

/// Whose presence in the training data is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyUnit {
    /// One example.
    Example,
    /// One user with all its examples.
    User,
}

impl fmt::Display for ClipUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batch => "batch",
            Self::Example => "example",
        })
    }
}

impl fmt::Display for PrivacyUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Example => "example",
            Self::User => "user",
        })
    }
}

impl TrainingRule {
    /// Plain training with batches of this size.
    ///
    /// # Errors
    /// [`MitigateError::BatchSize`] for 0.
    /// ```
    /// use userprint_mitigate::{MitigateError, TrainingRule};
    /// assert_eq!(TrainingRule::plain(8)?.batch_size(), Some(8));
    /// assert_eq!(TrainingRule::plain(0), Err(MitigateError::BatchSize));
    /// # Ok::<(), MitigateError>(())
    /// ```
    pub fn plain(batch_size: u32) -> Result<Self, MitigateError> {
        Self::Plain { batch_size }.check()
    }

    /// Training with each batch's or each example's gradient clipped to this norm.
    ///
    /// # Errors
    /// [`MitigateError::BatchSize`] for 0, [`MitigateError::ClipNorm`] for what is not a finite number above 0.
    /// ```
    /// use userprint_mitigate::{ClipUnit, MitigateError, TrainingRule};
    /// let error = TrainingRule::clipped(8, ClipUnit::Batch, -1.0);
    /// assert_eq!(error, Err(MitigateError::ClipNorm { found: -1.0 }));
    /// ```
    pub fn clipped(batch_size: u32, unit: ClipUnit, clip_norm: f64) -> Result<Self, MitigateError> {
        Self::Clipped { batch_size, unit, clip_norm }.check()
    }

    /// Private training.
    ///
    /// # Errors
    /// [`MitigateError::ExamplesPerUser`], [`MitigateError::SamplingProbability`], [`MitigateError::ClipNorm`] or
    /// [`MitigateError::NoiseMultiplier`]: what is out of range.
    /// ```
    /// use userprint_mitigate::{DpSampling, MitigateError, TrainingRule};
    /// let users = DpSampling::Users { examples_per_user: 8 };
    /// let rule = TrainingRule::dp_sgd(users, 0.05, 1.0, 1.2)?;
    /// assert_eq!(rule.expected_batch_size(2_000), Some(100.0));
    /// let error = TrainingRule::dp_sgd(users, 1.05, 1.0, 1.2);
    /// assert_eq!(error, Err(MitigateError::SamplingProbability { found: 1.05 }));
    /// # Ok::<(), MitigateError>(())
    /// ```
    pub fn dp_sgd(
        sampling: DpSampling,
        sampling_probability: f64,
        clip_norm: f64,
        noise_multiplier: f64,
    ) -> Result<Self, MitigateError> {
        let adaptive_clip = None;
        Self::DpSgd { sampling, sampling_probability, clip_norm, noise_multiplier, adaptive_clip }.check()
    }

    /// A private rule with a clip norm that adapts.
    ///
    /// # Errors
    /// [`MitigateError::AdaptiveClip`]: what is out of range. [`MitigateError::NothingToAdapt`] for a rule without coins.
    /// ```
    /// use userprint_mitigate::{AdaptiveClip, DpSampling, TrainingRule};
    /// let rule = TrainingRule::dp_sgd(DpSampling::Examples, 0.05, 1.0, 1.0)?;
    /// let adaptive = AdaptiveClip { target_quantile: 0.5, learning_rate: 0.2, count_noise: 5.0 };
    /// let adapting = rule.adapting(adaptive)?;
    /// assert_eq!(adapting.dp_event(100), rule.dp_event(100));
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn adapting(mut self, adaptive: AdaptiveClip) -> Result<Self, MitigateError> {
        match &mut self {
            Self::DpSgd { adaptive_clip, .. } => *adaptive_clip = Some(adaptive),
            Self::Plain { .. } | Self::Clipped { .. } => return Err(MitigateError::NothingToAdapt),
        }
        self.check()
    }

    /// The rule itself, if its values make sense: for rules read from a file.
    ///
    /// # Errors
    /// As the constructors.
    /// ```
    /// use userprint_mitigate::TrainingRule;
    /// assert!(TrainingRule::Plain { batch_size: 0 }.check().is_err());
    /// ```
    pub fn check(self) -> Result<Self, MitigateError> {
        match self {
            Self::Plain { batch_size } => check_batch_size(batch_size)?,
            Self::Clipped { batch_size, clip_norm, .. } => {
                check_batch_size(batch_size)?;
                check_clip_norm(clip_norm)?;
            }
            Self::DpSgd {
                sampling,
                sampling_probability,
                clip_norm,
                noise_multiplier: noise,
                adaptive_clip,
            } => {
                check_sampling(sampling, sampling_probability)?;
                check_clip_norm(clip_norm)?;
                if !(noise.is_finite() && noise >= 0.0) {
                    return Err(MitigateError::NoiseMultiplier { found: noise });
                }
                adaptive_clip.map_or(Ok(()), |adaptive| adaptive.check(noise))?;
            }
        }
        Ok(self)
    }

    /// Examples a step; `None` where coins decide.
    ///
    /// ```
    /// use userprint_mitigate::{DpSampling, TrainingRule};
    /// assert_eq!(TrainingRule::plain(4)?.batch_size(), Some(4));
    /// assert_eq!(TrainingRule::dp_sgd(DpSampling::Examples, 0.01, 1.0, 1.0)?.batch_size(), None);
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn batch_size(&self) -> Option<u32> {
        match *self {
            Self::Plain { batch_size } | Self::Clipped { batch_size, .. } => Some(batch_size),
            Self::DpSgd { .. } => None,
        }
    }

    /// `q n`: what a noised sum is divided by, whatever the coins gave; `None` where batches have a fixed size.
    ///
    /// `n_sampled` counts what the coins are tossed for, see [`DpSampling::sampled_unit`].
    ///
    /// ```
    /// use userprint_mitigate::{DpSampling, TrainingRule};
    /// let rule = TrainingRule::dp_sgd(DpSampling::Examples, 0.5, 1.0, 1.0)?;
    /// assert_eq!(rule.expected_batch_size(41), Some(20.5));
    /// assert_eq!(TrainingRule::plain(4)?.expected_batch_size(41), None);
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn expected_batch_size(&self, n_sampled: u64) -> Option<f64> {
        match *self {
            Self::Plain { .. } | Self::Clipped { .. } => None,
            Self::DpSgd { sampling_probability, .. } => Some(sampling_probability * n_sampled as f64),
        }
    }

    /// The largest norm that a step leaves alone; `None` where nothing is clipped.
    ///
    /// ```
    /// use userprint_mitigate::{ClipUnit, TrainingRule};
    /// assert_eq!(TrainingRule::clipped(4, ClipUnit::Batch, 1.5)?.clip_norm(), Some(1.5));
    /// assert_eq!(TrainingRule::plain(4)?.clip_norm(), None);
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn clip_norm(&self) -> Option<f64> {
        match *self {
            Self::Plain { .. } => None,
            Self::Clipped { clip_norm, .. } | Self::DpSgd { clip_norm, .. } => Some(clip_norm),
        }
    }

    /// Standard deviation of the noise over the clip norm; `None` for rules without noise, and 0 where it is switched off.
    ///
    /// ```
    /// use userprint_mitigate::{DpSampling, TrainingRule};
    /// assert_eq!(TrainingRule::dp_sgd(DpSampling::Examples, 0.5, 1.0, 1.5)?.noise_multiplier(), Some(1.5));
    /// assert_eq!(TrainingRule::plain(4)?.noise_multiplier(), None);
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn noise_multiplier(&self) -> Option<f64> {
        match *self {
            Self::Plain { .. } | Self::Clipped { .. } => None,
            Self::DpSgd { noise_multiplier, .. } => Some(noise_multiplier),
        }
    }

    /// Standard deviation of the noise of gradients over the clip norm: above [`TrainingRule::noise_multiplier`] where a count
    /// for the clip norm is released, too; `None` for rules without noise.
    pub fn gradient_noise(&self) -> Option<f64> {
        match *self {
            Self::DpSgd { noise_multiplier, adaptive_clip: Some(adaptive), .. } => {
                Some(adaptive.gradient_noise(noise_multiplier))
            }
            _ => self.noise_multiplier(),
        }
    }

    /// What so many steps are to an accountant: the only source of a privacy claim.
    ///
    /// The event is about adding or removing one unit of [`TrainingRule::privacy_unit`].
    /// Shuffled batches and steps without noise are [`DpEvent::NonPrivate`].
    ///
    /// ```
    /// use userprint_mitigate::{DpSampling, TrainingRule};
    /// use userprint_privacy::{Accountant, DpEvent, RdpAccountant};
    /// assert_eq!(TrainingRule::plain(8)?.dp_event(100), DpEvent::NonPrivate);
    /// let rule = TrainingRule::dp_sgd(DpSampling::Examples, 0.04, 1.0, 1.5)?;
    /// let epsilon = RdpAccountant::default().epsilon(&rule.dp_event(2_250), 1e-5)?;
    /// assert!((epsilon - 7.329).abs() < 1e-3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dp_event(&self, steps: u64) -> DpEvent {
        match *self {
            // No noise, no claim: clipping alone bounds nothing.
            Self::Plain { .. } | Self::Clipped { .. } => DpEvent::NonPrivate,
            Self::DpSgd { noise_multiplier: 0.0, .. } => DpEvent::NonPrivate,
            Self::DpSgd { sampling, sampling_probability, noise_multiplier, .. } => {
                sampling.step(sampling_probability, noise_multiplier).repeated(steps)
            }
        }
    }

    /// Whose presence the rule hides; `None` where it hides nobody's.
    ///
    /// ```
    /// use userprint_mitigate::{DpSampling, PrivacyUnit, TrainingRule};
    /// let capped = DpSampling::CappedUsers { examples_per_user: 4 };
    /// assert_eq!(TrainingRule::dp_sgd(capped, 0.01, 1.0, 1.0)?.privacy_unit(), Some(PrivacyUnit::User));
    /// assert_eq!(TrainingRule::dp_sgd(capped, 0.01, 1.0, 0.0)?.privacy_unit(), None);
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn privacy_unit(&self) -> Option<PrivacyUnit> {
        match *self {
            Self::Plain { .. } | Self::Clipped { .. } => None,
            Self::DpSgd { noise_multiplier: 0.0, .. } => None,
            Self::DpSgd { sampling, .. } => Some(sampling.privacy_unit()),
        }
    }
}

fn check_batch_size(batch_size: u32) -> Result<(), MitigateError> {
    if batch_size == 0 { Err(MitigateError::BatchSize) } else { Ok(()) }
}

fn check_clip_norm(found: f64) -> Result<(), MitigateError> {
    let is_fine = found.is_finite() && found > 0.0;
    if is_fine { Ok(()) } else { Err(MitigateError::ClipNorm { found }) }
}

/// A cap that leaves somebody something, and a chance above 0.
pub(crate) fn check_sampling(sampling: DpSampling, found: f64) -> Result<(), MitigateError> {
    if sampling.examples_per_user() == Some(0) {
        return Err(MitigateError::ExamplesPerUser);
    }
    let is_fine = found > 0.0 && found <= 1.0;
    if is_fine { Ok(()) } else { Err(MitigateError::SamplingProbability { found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLINGS: [DpSampling; 3] = [
        DpSampling::Examples,
        DpSampling::CappedUsers { examples_per_user: 4 },
        DpSampling::Users { examples_per_user: 4 },
    ];

    #[test]
    fn norms_that_mean_nothing_are_named() {
        for found in [0.0, -1.0, f64::INFINITY] {
            let error = Err(MitigateError::ClipNorm { found });
            assert_eq!(TrainingRule::clipped(8, ClipUnit::Batch, found), error);
            assert_eq!(TrainingRule::clipped(8, ClipUnit::Example, found), error);
            for sampling in SAMPLINGS {
                assert_eq!(TrainingRule::dp_sgd(sampling, 0.1, found, 1.0), error);
            }
        }
        let error = TrainingRule::clipped(8, ClipUnit::Batch, f64::NAN);
        assert!(matches!(error, Err(MitigateError::ClipNorm { .. })));
        assert_eq!(TrainingRule::clipped(0, ClipUnit::Example, 1.0), Err(MitigateError::BatchSize));
    }

    #[test]
    fn private_rules_out_of_range_are_named() {
        for sampling in SAMPLINGS {
            for found in [0.0, -0.1, 1.0 + 1e-9, f64::INFINITY] {
                let error = Err(MitigateError::SamplingProbability { found });
                assert_eq!(TrainingRule::dp_sgd(sampling, found, 1.0, 1.0), error);
            }
            for found in [-1e-9, f64::INFINITY] {
                let error = Err(MitigateError::NoiseMultiplier { found });
                assert_eq!(TrainingRule::dp_sgd(sampling, 0.1, 1.0, found), error);
            }
            let rate = TrainingRule::dp_sgd(sampling, f64::NAN, 1.0, 1.0);
            assert!(matches!(rate, Err(MitigateError::SamplingProbability { .. })));
            let noise = TrainingRule::dp_sgd(sampling, 0.1, 1.0, f64::NAN);
            assert!(matches!(noise, Err(MitigateError::NoiseMultiplier { .. })));
        }
        for sampling in
            [DpSampling::CappedUsers { examples_per_user: 0 }, DpSampling::Users { examples_per_user: 0 }]
        {
            let error = Err(MitigateError::ExamplesPerUser);
            assert_eq!(TrainingRule::dp_sgd(sampling, 0.1, 1.0, 1.0), error);
        }
    }

    #[test]
    fn rules_without_noise_claim_nothing() {
        let shuffled = [
            TrainingRule::plain(8).unwrap(),
            TrainingRule::clipped(8, ClipUnit::Batch, 0.1).unwrap(),
            TrainingRule::clipped(8, ClipUnit::Example, 0.1).unwrap(),
        ];
        let silent = SAMPLINGS.map(|sampling| TrainingRule::dp_sgd(sampling, 0.1, 1.0, 0.0).unwrap());
        for rule in shuffled.into_iter().chain(silent) {
            assert_eq!(rule.dp_event(10), DpEvent::NonPrivate);
            assert_eq!(rule.privacy_unit(), None);
        }
        let minus_zero = TrainingRule::dp_sgd(DpSampling::Examples, 0.1, 1.0, -0.0).unwrap();
        assert_eq!(minus_zero.dp_event(10), DpEvent::NonPrivate);
    }

    #[test]
    fn users_are_accounted_as_what_is_sampled() {
        let event = |sampling| TrainingRule::dp_sgd(sampling, 0.1, 1.0, 2.0).unwrap().dp_event(3);
        let gaussian = DpEvent::gaussian(2.0).poisson_sampled(0.1).repeated(3);
        assert_eq!(event(DpSampling::Examples), gaussian);
        assert_eq!(event(DpSampling::Users { examples_per_user: 9 }), gaussian);
        let mixture = DpEvent::example_sampled(2.0, 0.1, 9).repeated(3);
        assert_eq!(event(DpSampling::CappedUsers { examples_per_user: 9 }), mixture);
    }

    #[test]
    fn rules_written_before_there_were_clip_units_mean_what_they_meant() {
        let old = r#"{"clipped":{"batch_size":8,"clip_norm":0.5}}"#;
        let rule = TrainingRule::clipped(8, ClipUnit::Batch, 0.5).unwrap();
        assert_eq!(serde_json::from_str::<TrainingRule>(old).unwrap(), rule);
        assert_eq!(serde_json::to_string(&rule).unwrap(), old);
    }

    #[test]
    fn rules_survive_a_file() {
        let mut rules: Vec<_> =
            SAMPLINGS.map(|sampling| TrainingRule::dp_sgd(sampling, 0.1, 1.0, 2.0).unwrap()).into();
        rules.push(TrainingRule::clipped(8, ClipUnit::Example, 0.5).unwrap());
        for rule in rules {
            let text = serde_json::to_string(&rule).unwrap();
            assert_eq!(serde_json::from_str::<TrainingRule>(&text).unwrap(), rule, "{text}");
        }
        let unknown =
            r#"{"dp_sgd":{"sampling":"examples","sampling_probability":0.1,"clip_norm":1.0,"noise":1.0}}"#;
        assert!(serde_json::from_str::<TrainingRule>(unknown).is_err());
    }
}
