//! The training rule: how a step treats gradients, and the claim that this implies.

use userprint_privacy::DpEvent;

use crate::MitigateError;

/// How a step of training samples, clips and noises: one value, so that they cannot disagree.
///
/// Fields are read as they are; [`TrainingRule::check`] says whether they make sense.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum TrainingRule {
    /// Shuffled batches, mean gradient.
    Plain {
        /// Examples a step.
        batch_size: u32,
    },
    /// Shuffled batches; the batch's gradient over all parameters is scaled down to a norm of at most `clip_norm`:
    /// `g ← min(C, |g|) / |g| · g`.
    ///
    /// # Reference
    /// Batch gradient clipping, arXiv:2310.09266, Appendix D.3.
    Clipped {
        /// Examples a step.
        batch_size: u32,
        /// The largest norm that is left alone, `C`.
        clip_norm: f64,
    },
}

impl TrainingRule {
    /// Plain training with batches of this size.
    ///
    /// # Errors
    /// [`MitigateError::BatchSize`] for 0.
    /// ```
    /// use userprint_mitigate::{MitigateError, TrainingRule};
    /// assert_eq!(TrainingRule::plain(8)?.batch_size(), 8);
    /// assert_eq!(TrainingRule::plain(0), Err(MitigateError::BatchSize));
    /// # Ok::<(), MitigateError>(())
    /// ```
    pub fn plain(batch_size: u32) -> Result<Self, MitigateError> {
        Self::Plain { batch_size }.check()
    }

    /// Training with each batch's gradient clipped to this norm.
    ///
    /// # Errors
    /// [`MitigateError::BatchSize`] for 0, [`MitigateError::ClipNorm`] for what is not a finite number above 0.
    /// ```
    /// use userprint_mitigate::{MitigateError, TrainingRule};
    /// assert_eq!(TrainingRule::clipped(8, -1.0), Err(MitigateError::ClipNorm { found: -1.0 }));
    /// ```
    pub fn clipped(batch_size: u32, clip_norm: f64) -> Result<Self, MitigateError> {
        Self::Clipped { batch_size, clip_norm }.check()
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
        if self.batch_size() == 0 {
            return Err(MitigateError::BatchSize);
        }
        match self {
            Self::Clipped { clip_norm: found, .. } if !(found.is_finite() && found > 0.0) => {
                Err(MitigateError::ClipNorm { found })
            }
            Self::Plain { .. } | Self::Clipped { .. } => Ok(self),
        }
    }

    /// Examples a step.
    ///
    /// ```
    /// use userprint_mitigate::TrainingRule;
    /// assert_eq!(TrainingRule::clipped(4, 1.0)?.batch_size(), 4);
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn batch_size(&self) -> u32 {
        match *self {
            Self::Plain { batch_size } | Self::Clipped { batch_size, .. } => batch_size,
        }
    }

    /// The largest norm that a step leaves alone; `None` where nothing is clipped.
    ///
    /// ```
    /// use userprint_mitigate::TrainingRule;
    /// assert_eq!(TrainingRule::clipped(4, 1.5)?.clip_norm(), Some(1.5));
    /// assert_eq!(TrainingRule::plain(4)?.clip_norm(), None);
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn clip_norm(&self) -> Option<f64> {
        match *self {
            Self::Plain { .. } => None,
            Self::Clipped { clip_norm, .. } => Some(clip_norm),
        }
    }

    /// What so many steps are to an accountant: the only source of a privacy claim.
    ///
    /// ```
    /// use userprint_mitigate::TrainingRule;
    /// use userprint_privacy::DpEvent;
    /// assert_eq!(TrainingRule::plain(8)?.dp_event(100), DpEvent::NonPrivate);
    /// # Ok::<(), userprint_mitigate::MitigateError>(())
    /// ```
    pub fn dp_event(&self, _steps: u64) -> DpEvent {
        match self {
            // No noise, no claim: clipping alone bounds nothing.
            Self::Plain { .. } | Self::Clipped { .. } => DpEvent::NonPrivate,
        }
    }
}

#[cfg(test)]
mod tests {
    use userprint_privacy::{Accountant, RdpAccountant};

    use super::*;

    #[test]
    fn norms_that_mean_nothing_are_named() {
        for found in [0.0, -1.0, f64::INFINITY] {
            assert_eq!(TrainingRule::clipped(8, found), Err(MitigateError::ClipNorm { found }));
        }
        assert!(matches!(TrainingRule::clipped(8, f64::NAN), Err(MitigateError::ClipNorm { .. })));
        assert_eq!(TrainingRule::clipped(0, 1.0), Err(MitigateError::BatchSize));
    }

    #[test]
    fn neither_rule_claims_privacy() {
        for rule in [TrainingRule::plain(8).unwrap(), TrainingRule::clipped(8, 0.1).unwrap()] {
            let epsilon = RdpAccountant::default().epsilon(&rule.dp_event(10), 1e-6);
            assert_eq!(epsilon, Ok(f64::INFINITY));
        }
    }
}
