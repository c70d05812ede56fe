//! Claims: how much privacy a training gave, in numbers.

use std::fmt;

use serde::{Deserialize, Serialize};
use userprint_privacy::{Accountant, NeighboringRelation, PldAccountant};

use crate::{MitigateError, PrivacyUnit, TrainingRule};

/// Stored numbers may differ from computed ones by this much, relative, and no more: another machine rounds otherwise.
const ROUNDING: f64 = 1e-9;

/// How much privacy a training gave to whom.
///
/// `Pr[M(D) ∈ S] ≤ e^ε Pr[M(D') ∈ S] + δ` for all sets `S` of models and all training data `D`, `D'` of which one has
/// one unit more, where `M` is as many steps of the rule as the claim says.
///
/// # Guarantees
/// - [`Claim::of`] computes every claim from a rule and a number of steps; none can be put together from parts.
/// - Epsilon comes from privacy loss distributions and is never below the truth.
/// - A claim that is read from a file is computed again, which takes a fraction of a second, and refused where it promises
///   more than its own rule and steps give.
///
/// # What it does not say
/// - That the training did what the rule says: whoever makes the claim answers for the sampling, the clipping, the noise
///   and the number of steps. All steps count, also those after the checkpoint that was kept.
/// - Anything about what is [`Public`]. The losses on validation examples are the trap: where they are shown, pick the
///   checkpoint or end the training, the examples behind them are not protected, nor is their user.
/// - Anything about other trainings on the same data: another run, a search for the best settings, the reference model.
///   Their epsilons add up.
/// - Anything about examples before filters: with a cap or deduplication, one example more can put another one out.
///   Users are protected all the same, as long as a filter looks at one user at a time.
/// - Anything about whether the training ended well: a gradient of one unit that is not finite ends it, and that shows.
/// - That the noise is normal to the last bit, see the noise of the training crate.
///
/// ```
/// use userprint_mitigate::{Claim, DpSampling, PrivacyUnit, TrainingRule};
/// let rule = TrainingRule::dp_sgd(DpSampling::Users { examples_per_user: 8 }, 0.025, 1.0, 2.2)?;
/// let claim = Claim::of(rule, 1_200, 40_000, 1e-6)?.expect("noised Poisson samples have a claim");
/// assert_eq!(claim.unit(), PrivacyUnit::User);
/// assert!(claim.epsilon() < 2.0);
/// assert_eq!(Claim::of(TrainingRule::plain(8)?, 1_200, 40_000, 1e-6)?, None);
/// # Ok::<(), userprint_mitigate::MitigateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Record", try_from = "Record")]
pub struct Claim {
    epsilon: f64,
    delta: f64,
    unit: PrivacyUnit,
    relation: NeighboringRelation,
    rule: TrainingRule,
    steps: u64,
    n_units: u64,
}

/// What a claim takes for known to everybody, so that it says nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Public {
    /// The rule, the number of steps, the learning rates and all other settings.
    Settings,
    /// The weights that training started from, and the tokenizer.
    Start,
    /// How many units there are: it bounds delta.
    NumberOfUnits,
    /// How many examples there are, which capped users' noised sums are divided by.
    NumberOfExamples,
    /// Everything that validation examples decide, such as which checkpoint is kept and when training ends.
    Validation,
}

impl Claim {
    /// What so many steps of a rule give; `None` where they give nothing: shuffled batches, no noise, or so little of it that
    /// no epsilon holds.
    ///
    /// `n_units` counts the units that the rule hides, of [`TrainingRule::privacy_unit`], whatever is sampled.
    ///
    /// # Errors
    /// [`MitigateError::Delta`] for a delta that is not above 0 and below `1 / n_units`: above, giving away a unit at random
    /// and with it all of its privacy would be allowed. The rule's own errors, and those of the accountant.
    /// ```
    /// use userprint_mitigate::{Claim, DpSampling, MitigateError, TrainingRule};
    /// let rule = TrainingRule::dp_sgd(DpSampling::Examples, 0.1, 1.0, 1.0)?;
    /// let error = Claim::of(rule, 100, 1_000, 1e-3);
    /// assert_eq!(error, Err(MitigateError::Delta { found: 1e-3, n_units: 1_000 }));
    /// # Ok::<(), MitigateError>(())
    /// ```
    pub fn of(
        rule: TrainingRule,
        steps: u64,
        n_units: u64,
        delta: f64,
    ) -> Result<Option<Self>, MitigateError> {
        let rule = rule.check()?;
        let Some(unit) = rule.privacy_unit() else { return Ok(None) };
        check_delta(delta, n_units)?;
        let accountant = PldAccountant::default();
        let epsilon = accountant.epsilon(&rule.dp_event(steps), delta)?;
        let relation = accountant.relation();
        let claim = Self { epsilon, delta, unit, relation, rule, steps, n_units };
        Ok(epsilon.is_finite().then_some(claim))
    }

    /// The bound `ε`.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// The bound's `δ`.
    pub fn delta(&self) -> f64 {
        self.delta
    }

    /// Whose presence is hidden.
    pub fn unit(&self) -> PrivacyUnit {
        self.unit
    }

    /// Which two data sets are compared.
    pub fn relation(&self) -> NeighboringRelation {
        self.relation
    }

    /// What each step did: sampling probability, clip norm (of the first step, where it adapts) and noise multiplier are here.
    pub fn rule(&self) -> &TrainingRule {
        &self.rule
    }

    /// How many steps were made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How many units there were.
    pub fn n_units(&self) -> u64 {
        self.n_units
    }

    /// What the claim says nothing about.
    ///
    /// ```
    /// use userprint_mitigate::{Claim, DpSampling, Public, TrainingRule};
    /// let rule = TrainingRule::dp_sgd(DpSampling::Examples, 0.1, 1.0, 1.0)?;
    /// let claim = Claim::of(rule, 100, 1_000, 1e-5)?.expect("there is noise");
    /// assert!(claim.public().contains(&Public::Validation));
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn public(&self) -> Vec<Public> {
        let mut public = vec![Public::Settings, Public::Start, Public::NumberOfUnits];
        let sampled = match self.rule {
            TrainingRule::DpSgd { sampling, .. } => sampling.sampled_unit(),
            TrainingRule::Plain { .. } | TrainingRule::Clipped { .. } => self.unit,
        };
        if sampled != self.unit {
            public.push(Public::NumberOfExamples);
        }
        public.push(Public::Validation);
        public
    }
}

/// One line for people: `epsilon 1.90 at delta 1e-6 for adding or removing one user of 40000, 1200 steps`.
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epsilon, delta, unit, n_units, steps, .. } = self;
        // A bound is rounded up.
        let epsilon = (epsilon * 100.0).ceil() / 100.0;
        let change = match self.relation {
            NeighboringRelation::AddOrRemove => "adding or removing",
            NeighboringRelation::Replace => "replacing",
            NeighboringRelation::ZeroOut => "zeroing out",
        };
        write!(
            f,
            "epsilon {epsilon:.2} at delta {delta:e} for {change} one {unit} of {n_units}, {steps} steps"
        )
    }
}

/// Refuses a delta under which a claim would say nothing: it must be above 0 and below one unit's share.
pub(crate) fn check_delta(found: f64, n_units: u64) -> Result<(), MitigateError> {
    // Without units the share is infinite, which would let anything pass.
    let is_fine = n_units > 0 && found > 0.0 && found < 1.0 / n_units as f64;
    if is_fine { Ok(()) } else { Err(MitigateError::Delta { found, n_units }) }
}

/// A claim in a file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    epsilon: f64,
    delta: f64,
    unit: PrivacyUnit,
    #[serde(with = "Relation")]
    relation: NeighboringRelation,
    rule: TrainingRule,
    steps: u64,
    n_units: u64,
    public: Vec<Public>,
}

/// How files spell a relation; the accountants know no serde.
#[derive(Serialize, Deserialize)]
#[serde(remote = "NeighboringRelation", rename_all = "snake_case")]
enum Relation {
    AddOrRemove,
    Replace,
    ZeroOut,
}

impl From<Claim> for Record {
    fn from(claim: Claim) -> Self {
        let public = claim.public();
        let Claim { epsilon, delta, unit, relation, rule, steps, n_units } = claim;
        Self { epsilon, delta, unit, relation, rule, steps, n_units, public }
    }
}

impl TryFrom<Record> for Claim {
    type Error = MitigateError;

    fn try_from(record: Record) -> Result<Self, MitigateError> {
        let Record { epsilon: stored, delta, unit, relation, rule, steps, n_units, public } = record;
        let computed = Self::of(rule, steps, n_units, delta)?;
        let found = computed.as_ref().map_or(f64::INFINITY, |claim| claim.epsilon);
        let is_no_stronger = |claim: &Self| {
            let epsilon = stored.is_finite() && stored >= claim.epsilon * (1.0 - ROUNDING);
            epsilon && (unit, relation) == (claim.unit, claim.relation) && public == claim.public()
        };
        let claim = computed.filter(is_no_stronger).ok_or(MitigateError::StoredClaim { stored, found })?;
        // An accountant that has become sharper since does not change what was claimed.
        Ok(Self { epsilon: stored, ..claim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClipUnit, DpSampling};

    fn rule(sampling: DpSampling) -> TrainingRule {
        TrainingRule::dp_sgd(sampling, 0.05, 1.0, 1.5).unwrap()
    }

    fn claim() -> Claim {
        Claim::of(rule(DpSampling::Users { examples_per_user: 4 }), 200, 5_000, 1e-5).unwrap().unwrap()
    }

    #[track_caller]
    fn check_delta(n_units: u64, delta: f64, is_fine: bool) {
        let claim = Claim::of(rule(DpSampling::Examples), 10, n_units, delta);
        match claim {
            Ok(claim) => assert!(is_fine && claim.is_some()),
            Err(MitigateError::Delta { n_units: found, .. }) => assert!(!is_fine && found == n_units),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn deltas() {
        check_delta(1_000, 9.99e-4, true);
        check_delta(1_000, 1e-3, false);
        check_delta(49, 1.0 / 49.0, false);
        check_delta(1, 0.999, true);
        check_delta(1, 1.0, false);
        for delta in [0.0, -1e-6, 2.0, f64::NAN, f64::INFINITY] {
            check_delta(1, delta, false);
        }
        check_delta(0, 1e-6, false);
        check_delta(0, f64::NAN, false);
    }

    #[test]
    fn rules_without_a_claim() {
        let silent = TrainingRule::dp_sgd(DpSampling::Examples, 0.05, 1.0, 0.0).unwrap();
        let clipped = TrainingRule::clipped(8, ClipUnit::Example, 1.0).unwrap();
        for rule in [silent, clipped, TrainingRule::plain(8).unwrap()] {
            assert_eq!(Claim::of(rule, 10, 1_000, 1e-6), Ok(None));
        }
        let wrong = TrainingRule::Plain { batch_size: 0 };
        assert_eq!(Claim::of(wrong, 10, 1_000, 1e-6), Err(MitigateError::BatchSize));
    }

    #[track_caller]
    fn check_epsilon(sampling: DpSampling, expected: f64) {
        let rule = TrainingRule::dp_sgd(sampling, 0.01, 1.0, 1.0).unwrap();
        let claim = Claim::of(rule, 1_000, 50_000, 1e-6).unwrap().unwrap();
        assert!((claim.epsilon() / expected - 1.0).abs() < 1e-4, "{}", claim.epsilon());
    }

    /// Computed with dp-accounting; users that are sampled whole cost what an example does.
    #[test]
    fn known_answers() {
        check_epsilon(DpSampling::Examples, 2.12452);
        check_epsilon(DpSampling::CappedUsers { examples_per_user: 1 }, 2.12452);
        check_epsilon(DpSampling::CappedUsers { examples_per_user: 4 }, 10.01530);
        check_epsilon(DpSampling::Users { examples_per_user: 4 }, 2.12452);
    }

    #[test]
    fn no_step_costs_nothing() {
        let claim = Claim::of(rule(DpSampling::Examples), 0, 1_000, 1e-6).unwrap().unwrap();
        assert_eq!(claim.epsilon(), 0.0);
    }

    #[test]
    fn what_is_public() {
        let public = |sampling| Claim::of(rule(sampling), 1, 1_000, 1e-6).unwrap().unwrap().public();
        let capped = public(DpSampling::CappedUsers { examples_per_user: 2 });
        assert!(capped.contains(&Public::NumberOfExamples), "{capped:?}");
        for sampling in [DpSampling::Examples, DpSampling::Users { examples_per_user: 2 }] {
            assert!(!public(sampling).contains(&Public::NumberOfExamples));
        }
    }

    #[test]
    fn people_read_a_bound_that_is_rounded_up() {
        let claim = Claim { epsilon: 1.891, ..claim() };
        let expected = "epsilon 1.90 at delta 1e-5 for adding or removing one user of 5000, 200 steps";
        assert_eq!(claim.to_string(), expected);
    }

    #[test]
    fn claims_survive_a_file() {
        let text = serde_json::to_string(&claim()).unwrap();
        assert_eq!(serde_json::from_str::<Claim>(&text).unwrap(), claim());
    }

    /// A record with one field changed.
    fn changed(key: &str, value: serde_json::Value) -> Result<Claim, serde_json::Error> {
        let mut record = serde_json::to_value(claim()).unwrap();
        assert!(record.get(key).is_some(), "{record}");
        record[key] = value;
        serde_json::from_value(record)
    }

    #[test]
    fn claims_that_promise_more_than_they_keep_are_refused() {
        let epsilon = claim().epsilon();
        assert!(changed("epsilon", (epsilon * 0.99).into()).is_err());
        assert!(changed("epsilon", serde_json::Value::Null).is_err());
        assert!(changed("steps", 201.into()).is_err());
        assert!(changed("delta", 9e-6.into()).is_err());
        assert!(changed("unit", "example".into()).is_err());
        assert!(changed("relation", "replace".into()).is_err());
        assert!(changed("public", serde_json::json!([])).is_err());
        assert!(changed("n_units", 200_000.into()).is_err());
        assert!(changed("rule", serde_json::json!({"plain": {"batch_size": 8}})).is_err());
        let weaker = changed("epsilon", (epsilon * 1.01).into()).expect("a weaker claim holds too");
        assert_eq!(weaker.epsilon(), epsilon * 1.01);
    }
}
