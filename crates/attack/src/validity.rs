//! Validity: checks whose failure voids a result.

mod blind;
mod checked;
mod leakage;
mod null;
mod placebo;
mod resolution;
mod shift;

use userprint_stats::holm_adjusted;

pub use blind::{BlindCheck, blind};
pub use checked::{Checked, Missing};
pub use leakage::{LeakageCheck, MAX_NEAR_DUPLICATE_SHARE, leakage};
pub use null::{NullCheck, null};
pub use placebo::placebo;
pub use resolution::{ResolutionCheck, resolution};
pub use shift::{SourceShiftCheck, TimeShiftCheck, source_shift, time_shift};

use crate::AttackError;

/// The largest chance that any of the checks with a p-value voids a run whose sides were drawn alike.
pub const FAMILYWISE_SIGNIFICANCE: f64 = 0.01;

/// The fewest permutations of a check: their least p-value stays below a tenth of the family's significance.
const MIN_PERMUTATIONS: u32 = 1000;

/// The checks of one run.
///
/// Those with a p-value void a run by Holm's rule, together with chance at most [`FAMILYWISE_SIGNIFICANCE`] where
/// held-in and held-out users were drawn alike, however the checks depend on each other.
/// The others compare with what is exact in a sound run, or with a fixed rule.
/// A check whose least p-value is too high to void, as there are too few users, counts as not made.
///
/// # Reference
/// Meeus et al., arXiv:2406.17975, and Das et al., arXiv:2406.16201: attacks that seemed to work because held-in
/// and held-out texts could be told apart without any model.
/// Holm, Scandinavian Journal of Statistics 6(2), 1979.
#[derive(Clone, Debug, PartialEq)]
pub struct Validity {
    /// AUROC of the attack with the reference in the place of the target, see [`placebo`].
    pub placebo: f64,
    /// Whether the reference alone tells the sides apart, see [`null`].
    pub null: NullCheck,
    /// Whether the texts alone tell the sides apart, see [`blind`].
    pub blind: BlindCheck,
    /// Number of users that are on both sides.
    pub shared_users: usize,
    /// Whether attack examples were trained on, see [`leakage`].
    pub leakage: Checked<LeakageCheck>,
    /// Whether the sides wrote at different times, see [`time_shift`].
    pub time_shift: Checked<TimeShiftCheck>,
    /// Whether the sides come from different sources, see [`source_shift`].
    pub source_shift: Checked<SourceShiftCheck>,
    /// Which false positive rates can be claimed, see [`resolution`].
    pub resolution: ResolutionCheck,
}

/// A check, the field of [`Validity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// See [`Validity::placebo`].
    Placebo,
    /// See [`Validity::null`].
    Null,
    /// See [`Validity::blind`].
    Blind,
    /// See [`Validity::shared_users`].
    SharedUsers,
    /// See [`Validity::leakage`].
    Leakage,
    /// See [`Validity::time_shift`].
    TimeShift,
    /// See [`Validity::source_shift`].
    SourceShift,
    /// See [`Validity::resolution`].
    Resolution,
}

impl Check {
    /// Every check, in the order of the fields.
    pub const ALL: [Self; 8] = [
        Self::Placebo,
        Self::Null,
        Self::Blind,
        Self::SharedUsers,
        Self::Leakage,
        Self::TimeShift,
        Self::SourceShift,
        Self::Resolution,
    ];

    /// The name in files.
    ///
    /// ```
    /// assert_eq!(userprint_attack::validity::Check::SharedUsers.name(), "shared_users");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Placebo => "placebo",
            Self::Null => "null",
            Self::Blind => "blind",
            Self::SharedUsers => "shared_users",
            Self::Leakage => "leakage",
            Self::TimeShift => "time_shift",
            Self::SourceShift => "source_shift",
            Self::Resolution => "resolution",
        }
    }
}

/// What one check says of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Which check.
    pub check: Check,
    /// The p-value, for a check that has one.
    pub p_value: Option<f64>,
    /// The p-value with Holm's adjustment over the checks of this run that have one.
    pub adjusted_p_value: Option<f64>,
    /// Whether the check passed.
    pub outcome: Outcome,
}

/// Whether a check passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was found.
    Passed,
    /// The result must not be used, and why, in one sentence.
    Void(String),
    /// It could not be made.
    NotChecked(Missing),
}

/// What a check found, before the p-values are adjusted to each other.
enum Finding {
    Ruled(Option<String>),
    Tested { p_value: f64, least_p_value: f64, reason: String },
    NotChecked(Missing),
}

impl Validity {
    /// What each check says, in the order of the fields.
    ///
    /// # Errors
    /// [`AttackError::Stats`] if a p-value is no probability.
    ///
    /// ```
    /// # use userprint_attack::validity::{BlindCheck, Check, Checked, Missing, NullCheck, ResolutionCheck, Validity};
    /// # use userprint_stats::Interval;
    /// # let interval = Interval { lower: 0.41, upper: 0.63 };
    /// # let validity = Validity {
    /// #     placebo: 0.5,
    /// #     null: NullCheck { auroc: 0.52, interval, p_value: 0.6, least_p_value: 1e-9 },
    /// #     blind: BlindCheck { auroc: 0.81, p_value: 1.0 / 1001.0, least_p_value: 1.0 / 1001.0 },
    /// #     shared_users: 0,
    /// #     leakage: Checked::Not(Missing::TrainingTexts),
    /// #     time_shift: Checked::Not(Missing::Timestamps),
    /// #     source_shift: Checked::Not(Missing::Sources),
    /// #     resolution: ResolutionCheck { n_held_out: 68, refused: vec![0.01], overclaimed: vec![] },
    /// # };
    /// let verdicts = validity.verdicts()?;
    /// assert_eq!(verdicts[2].check, Check::Blind);
    /// assert_eq!(verdicts[2].adjusted_p_value, Some(2.0 / 1001.0)); // of two checks with a p-value
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn verdicts(&self) -> Result<Vec<Verdict>, AttackError> {
        let findings = Check::ALL.map(|check| (check, self.finding(check)));
        let p_values: Vec<f64> = findings.iter().filter_map(|(_, finding)| finding.p_value()).collect();
        let level = FAMILYWISE_SIGNIFICANCE / p_values.len() as f64;
        let mut adjusted = holm_adjusted(&p_values)?.into_iter();
        let verdict = |(check, finding): (Check, Finding)| {
            let p_value = finding.p_value();
            let adjusted_p_value = p_value.and_then(|_| adjusted.next());
            let outcome = finding.outcome(adjusted_p_value, level);
            Verdict { check, p_value, adjusted_p_value, outcome }
        };
        Ok(findings.into_iter().map(verdict).collect())
    }

    /// Why the result must not be used, one sentence a reason; empty when it may.
    ///
    /// # Errors
    /// [`AttackError::Stats`] if a p-value is no probability.
    ///
    /// ```
    /// use userprint_attack::validity::{BlindCheck, Checked, Missing, NullCheck, ResolutionCheck, Validity};
    /// use userprint_stats::Interval;
    /// let interval = Interval { lower: 0.41, upper: 0.63 };
    /// let validity = Validity {
    ///     placebo: 0.5,
    ///     null: NullCheck { auroc: 0.52, interval, p_value: 0.6, least_p_value: 1e-9 },
    ///     blind: BlindCheck { auroc: 0.81, p_value: 1.0 / 1001.0, least_p_value: 1.0 / 1001.0 },
    ///     shared_users: 0,
    ///     leakage: Checked::Not(Missing::TrainingTexts),
    ///     time_shift: Checked::Not(Missing::Timestamps),
    ///     source_shift: Checked::Not(Missing::Sources),
    ///     resolution: ResolutionCheck { n_held_out: 68, refused: vec![0.01], overclaimed: vec![] },
    /// };
    /// assert_eq!(validity.void_reasons()?, [
    ///     "a classifier that sees no model tells held-in from held-out users: AUROC 0.810, p = 0.000999, over all checks 0.001998, not above .01"
    /// ]);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn void_reasons(&self) -> Result<Vec<String>, AttackError> {
        let reason = |verdict: Verdict| match verdict.outcome {
            Outcome::Void(reason) => Some(reason),
            Outcome::Passed | Outcome::NotChecked(_) => None,
        };
        Ok(self.verdicts()?.into_iter().filter_map(reason).collect())
    }

    fn finding(&self, check: Check) -> Finding {
        match check {
            Check::Placebo => Finding::Ruled((self.placebo != 0.5).then(|| {
                format!(
                    "with the reference in the place of the target the AUROC is {}, not exactly .5",
                    self.placebo
                )
            })),
            Check::Null => self.null.finding(),
            Check::Blind => self.blind.finding(),
            Check::SharedUsers => Finding::Ruled(
                (self.shared_users > 0)
                    .then(|| format!("{} users are held-in and held-out", self.shared_users)),
            ),
            Check::Leakage => Finding::of(&self.leakage, |check| Finding::Ruled(check.void_reason())),
            Check::TimeShift => Finding::of(&self.time_shift, TimeShiftCheck::finding),
            Check::SourceShift => Finding::of(&self.source_shift, SourceShiftCheck::finding),
            Check::Resolution => Finding::Ruled(self.resolution.void_reason()),
        }
    }
}

impl Finding {
    fn of<T>(checked: &Checked<T>, found: impl Fn(&T) -> Self) -> Self {
        match checked {
            Checked::Done(check) => found(check),
            Checked::Not(missing) => Self::NotChecked(*missing),
        }
    }

    fn p_value(&self) -> Option<f64> {
        match self {
            Self::Tested { p_value, .. } => Some(*p_value),
            Self::Ruled(_) | Self::NotChecked(_) => None,
        }
    }

    /// The outcome at an adjusted p-value, where `level` is what the least p-value of all must not exceed.
    fn outcome(self, adjusted_p_value: Option<f64>, level: f64) -> Outcome {
        match (self, adjusted_p_value) {
            (Self::NotChecked(missing), _) => Outcome::NotChecked(missing),
            (Self::Ruled(Some(reason)), _) => Outcome::Void(reason),
            (Self::Tested { p_value, reason, .. }, Some(adjusted)) if adjusted <= FAMILYWISE_SIGNIFICANCE => {
                Outcome::Void(format!(
                    "{reason}, p = {p_value:.6}, over all checks {adjusted:.6}, not above .01"
                ))
            }
            (Self::Tested { least_p_value, .. }, _) if least_p_value > level => {
                Outcome::NotChecked(Missing::Users)
            }
            (Self::Ruled(None) | Self::Tested { .. }, _) => Outcome::Passed,
        }
    }
}

fn check_permutations(permutations: u32) -> Result<(), AttackError> {
    if permutations < MIN_PERMUTATIONS {
        return Err(AttackError::TooFewPermutations { found: permutations, needed: MIN_PERMUTATIONS });
    }
    Ok(())
}

/// `1 / C(n + m, n)`: the chance of one way to split users into sides of such sizes.
fn share_of_one_split(n: usize, m: usize) -> f64 {
    (1..=n.min(m)).map(|i| i as f64 / (n.max(m) + i) as f64).product()
}

fn least_permutation_p_value(held_in: &[bool], permutations: u32) -> f64 {
    let n_held_in = held_in.iter().filter(|&&held_in| held_in).count();
    share_of_one_split(n_held_in, held_in.len() - n_held_in).max(1.0 / (1.0 + f64::from(permutations)))
}

#[cfg(test)]
mod tests;
