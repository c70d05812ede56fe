//! The privacy of a training, as the experiment file asks for it, and the rule and claim that come of it.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use userprint_mitigate::{
    AdaptiveClip, BatchChoice, Claim, DpSampling, Length, Plan, PlanWarning, PrivacyTarget, PrivacyUnit,
    TrainingRule,
};
use userprint_privacy::TradeOff;
use userprint_train::TrainSettings;

/// `[target.training.privacy]` as it stands in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPrivacy {
    pub(crate) sampling: Sampling,
    pub(crate) examples_per_user: Option<u32>,
    pub(crate) epsilon: Option<f64>,
    pub(crate) noise_multiplier: Option<f64>,
    pub(crate) delta: f64,
    pub(crate) batch_factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) adaptive_clip: Option<RawAdaptiveClip>,
}

/// `[target.training.privacy.adaptive_clip]`: the clip norm follows the norms.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAdaptiveClip {
    #[serde(default = "half")]
    target_quantile: f64,
    #[serde(default = "a_fifth")]
    learning_rate: f64,
    /// A twentieth of the batch where it is left out, and at least the noise multiplier.
    count_noise: Option<f64>,
}

fn half() -> f64 {
    0.5
}

fn a_fifth() -> f64 {
    0.2
}

impl RawAdaptiveClip {
    /// The rule with a clip norm that adapts.
    fn applied(self, rule: TrainingRule, expected_batch: f64) -> anyhow::Result<TrainingRule> {
        let Self { target_quantile, learning_rate, count_noise } = self;
        let multiplier = rule.noise_multiplier().unwrap_or(0.0);
        let count_noise = count_noise.unwrap_or((expected_batch / 20.0).max(multiplier));
        Ok(rule.adapting(AdaptiveClip { target_quantile, learning_rate, count_noise })?)
    }
}

/// What coins are tossed for, by its name in the file and on the command line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sampling {
    /// Examples: one example is hidden.
    Examples,
    /// Examples, of which no user has more than so many.
    CappedUsers,
    /// Users, with up to so many examples each.
    Users,
}

/// How private a training is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrivacyChoice {
    pub(crate) sampling: DpSampling,
    noise: Noise,
    delta: f64,
    clip_norm: f64,
    adaptive_clip: Option<RawAdaptiveClip>,
}

/// How much noise, in batches of what size.
#[derive(Clone, Copy, Debug)]
enum Noise {
    /// This multiple of the clip norm, in batches of so many on average.
    Multiplier(f64, u64),
    /// As little as keeps this epsilon.
    Epsilon(f64, BatchChoice),
}

/// What is trained on, counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) n_examples: u64,
    pub(crate) n_users: u64,
    /// That training moves.
    pub(crate) n_parameters: u64,
}

impl RawPrivacy {
    /// Checks everything that can be checked before the data are counted.
    pub(crate) fn check(
        &self,
        batch_size: Option<u32>,
        clip_norm: Option<f64>,
    ) -> anyhow::Result<PrivacyChoice> {
        let sampling = sampling_of(self.sampling, self.examples_per_user)?;
        let batch = match (batch_size, self.batch_factor) {
            (Some(batch_size), None) => BatchChoice::Expected(batch_size.into()),
            (None, Some(factor)) => BatchChoice::WithinFactor(factor),
            _ => bail!("expected one of `batch_size` of the training, as an average, and `batch_factor`"),
        };
        let noise = match (self.epsilon, self.noise_multiplier, batch) {
            (Some(epsilon), None, batch) => Noise::Epsilon(epsilon, batch),
            (None, Some(multiplier), BatchChoice::Expected(batch)) => Noise::Multiplier(multiplier, batch),
            (None, Some(_), BatchChoice::WithinFactor(_)) => {
                bail!("batch_factor needs `epsilon`: it finds the batch that keeps it with little noise")
            }
            (Some(_), Some(_), _) => {
                bail!("both `epsilon` and `noise_multiplier` are given, expected one of them")
            }
            (None, None, _) => {
                bail!(
                    "neither `epsilon` nor `noise_multiplier` is given, expected one of them: how much noise there is"
                )
            }
        };
        if let Some(epsilon) = self.epsilon.filter(|epsilon| !(epsilon.is_finite() && *epsilon > 0.0)) {
            bail!("epsilon is {epsilon}, expected a finite number above 0");
        }
        let clip_norm = clip_norm.context("clip_norm is missing: what each gradient is clipped to")?;
        if !(self.delta > 0.0 && self.delta < 1.0) {
            bail!(
                "delta is {}, expected a number above 0 and below one over the number of users or examples",
                self.delta
            );
        }
        let Self { delta, adaptive_clip, .. } = *self;
        let choice = PrivacyChoice { sampling, noise, delta, clip_norm, adaptive_clip };
        // Noise that is still to be found is 0 here, which no setting is too little for.
        let multiplier = if let Noise::Multiplier(multiplier, _) = noise { multiplier } else { 0.0 };
        let rule = choice.rule(1.0, multiplier)?;
        if let Some(adaptive) = adaptive_clip {
            adaptive.applied(rule, f64::from(batch_size.unwrap_or(1))).context("[adaptive_clip]")?;
        }
        Ok(choice)
    }
}

/// What is sampled, with the bound on users that it needs.
pub(crate) fn sampling_of(sampling: Sampling, examples_per_user: Option<u32>) -> anyhow::Result<DpSampling> {
    Ok(match (sampling, examples_per_user) {
        (Sampling::Examples, None) => DpSampling::Examples,
        (Sampling::Examples, Some(_)) => {
            bail!(
                "examples per user are given, expected none: where users are not hidden, nothing bounds them"
            )
        }
        (Sampling::CappedUsers, Some(examples_per_user)) => DpSampling::CappedUsers { examples_per_user },
        (Sampling::Users, Some(examples_per_user)) => DpSampling::Users { examples_per_user },
        (Sampling::CappedUsers | Sampling::Users, None) => {
            bail!("examples_per_user is missing: the most examples of a user that a step may use")
        }
    })
}

impl PrivacyChoice {
    fn rule(&self, sampling_probability: f64, noise_multiplier: f64) -> anyhow::Result<TrainingRule> {
        Ok(TrainingRule::dp_sgd(self.sampling, sampling_probability, self.clip_norm, noise_multiplier)?)
    }

    /// Stands for the rule until the data are counted: without noise, so that nothing could be claimed by it.
    pub(crate) fn provisional_rule(&self) -> anyhow::Result<TrainingRule> {
        self.rule(1.0, 0.0)
    }

    /// The settings with the rule for these data, and what was planned where an epsilon is to be kept.
    pub(crate) fn settle(
        &self,
        settings: &TrainSettings,
        counts: Counts,
    ) -> anyhow::Result<(TrainSettings, Option<Plan>)> {
        let settings = TrainSettings { delta: Some(self.delta), ..settings.clone() };
        let adapting = |rule, expected_batch| match self.adaptive_clip {
            Some(adaptive) => adaptive.applied(rule, expected_batch).context("[adaptive_clip]"),
            None => Ok(rule),
        };
        match self.noise {
            Noise::Multiplier(noise_multiplier, batch) => {
                let n_sampled = counts.of(self.sampling.sampled_unit());
                if batch > n_sampled {
                    bail!("batch_size is {batch}, expected at most the {n_sampled} that are sampled from");
                }
                let rule = self.rule(batch as f64 / n_sampled as f64, noise_multiplier)?;
                Ok((TrainSettings { rule: adapting(rule, batch as f64)?, ..settings }, None))
            }
            Noise::Epsilon(epsilon, batch) => {
                let plan = self.plan(epsilon, batch, &settings, counts)?;
                let rule = adapting(plan.rule(self.clip_norm)?, plan.expected_batch)?;
                Ok((TrainSettings { rule, max_steps: plan.steps, ..settings }, Some(plan)))
            }
        }
    }

    /// The plan for all epochs, or for the most steps where the epochs have more.
    fn plan(
        &self,
        epsilon: f64,
        batch: BatchChoice,
        settings: &TrainSettings,
        counts: Counts,
    ) -> anyhow::Result<Plan> {
        let target = PrivacyTarget {
            epsilon,
            delta: self.delta,
            sampling: self.sampling,
            length: Length::Epochs(settings.epochs),
            batch,
            n_examples: counts.n_examples,
            n_users: counts.n_users,
            n_parameters: counts.n_parameters,
        };
        let plan = target.plan()?;
        if plan.steps <= settings.max_steps {
            return Ok(plan);
        }
        Ok(PrivacyTarget { length: Length::Steps(settings.max_steps), ..target }.plan()?)
    }
}

impl Counts {
    fn of(self, unit: PrivacyUnit) -> u64 {
        match unit {
            PrivacyUnit::Example => self.n_examples,
            PrivacyUnit::User => self.n_users,
        }
    }
}

/// What a training promises, beside its checkpoint and in the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Promise {
    /// What may be claimed.
    pub(crate) claim: Claim,
    /// What makes it doubtful whether the training can learn anything.
    pub(crate) warnings: Vec<PlanWarning>,
}

impl Promise {
    /// The most that the AUROC across users of a run may be, in expectation over who is held in; `None` where the promise is
    /// about examples, which bounds no attack on whole users.
    pub(crate) fn auroc_cap(&self) -> Option<f64> {
        if self.claim.unit() != PrivacyUnit::User {
            return None;
        }
        let trade_off = TradeOff::epsilon_delta(self.claim.epsilon(), self.claim.delta()).ok()?;
        Some(
            trade_off
                .expected_run_auroc_cap()
                .value()
                .min(trade_off.expected_run_auroc_cap_by_midpoint().value()),
        )
    }
}
