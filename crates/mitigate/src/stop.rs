//! The stop rule: when training ends before its last step.

/// When training ends before its last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum StopRule {
    /// It does not.
    #[default]
    Never,
    /// After so many evaluations in a row without a new least held-in validation loss.
    Patience {
        /// How many; 0 counts as 1.
        evaluations: u32,
    },
}

impl StopRule {
    /// Whether to stop now, given the held-in validation losses of all evaluations so far.
    ///
    /// Only a strictly smaller loss is a new least one; a loss that is not a number never is.
    ///
    /// # Reference
    /// Early stopping, arXiv:2310.09266, Section 5.
    /// ```
    /// use userprint_mitigate::StopRule;
    /// let rule = StopRule::Patience { evaluations: 2 };
    /// assert!(!rule.should_stop(&[3.0, 2.0, 2.1]));
    /// assert!(rule.should_stop(&[3.0, 2.0, 2.1, 2.0]));
    /// assert!(!StopRule::Never.should_stop(&[1.0, 2.0, 3.0, 4.0]));
    /// ```
    pub fn should_stop(&self, held_in_losses: &[f64]) -> bool {
        match *self {
            Self::Never => false,
            Self::Patience { evaluations } => since_least(held_in_losses) >= evaluations.max(1) as usize,
        }
    }
}

/// Evaluations since the least loss; all of them where none is a number.
fn since_least(losses: &[f64]) -> usize {
    let mut least = f64::INFINITY;
    let mut since = 0;
    for &loss in losses {
        since += 1;
        if loss < least {
            (least, since) = (loss, 0);
        }
    }
    since
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(evaluations: u32, losses: &[f64], expected: bool) {
        assert_eq!(StopRule::Patience { evaluations }.should_stop(losses), expected);
    }

    #[test]
    fn patience() {
        check(1, &[], false);
        check(1, &[3.0], false);
        check(1, &[3.0, 3.0], true);
        check(0, &[3.0, 2.0], false);
        check(2, &[3.0, 2.0, 2.5, 1.0], false);
        check(2, &[3.0, 2.0, 2.5, 2.4], true);
        check(2, &[f64::NAN, f64::NAN], true);
        check(2, &[2.0, f64::NAN, 1.0], false);
    }
}
