//! Validity: checks whose failure voids a result.

mod blind;
mod null;
mod placebo;

pub use blind::{BlindCheck, blind};
pub use null::{NullCheck, null};
pub use placebo::placebo;

/// The checks of one run.
///
/// # Reference
/// Meeus et al., arXiv:2406.17975, and Das et al., arXiv:2406.16201: attacks that seemed to work because held-in
/// and held-out texts could be told apart without any model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Validity {
    /// AUROC with the reference in the place of the target, see [`placebo`].
    pub placebo: f64,
    /// Whether the reference alone tells the sides apart, see [`null`].
    pub null: NullCheck,
    /// Whether the texts alone tell the sides apart, see [`blind`].
    pub blind: BlindCheck,
}

impl Validity {
    /// Why the result must not be used, one sentence a reason; empty when it may.
    ///
    /// ```
    /// use userprint_attack::validity::{BlindCheck, NullCheck, Validity};
    /// use userprint_stats::Interval;
    /// let validity = Validity {
    ///     placebo: 0.5,
    ///     null: NullCheck { auroc: 0.52, interval: Interval { lower: 0.41, upper: 0.63 }, void: false },
    ///     blind: BlindCheck { auroc: 0.81, p_value: 1.0 / 1001.0, void: true },
    /// };
    /// assert_eq!(validity.void_reasons(), [
    ///     "a classifier that sees no model tells held-in from held-out users: AUROC 0.810, p = 0.000999, below .001"
    /// ]);
    /// ```
    pub fn void_reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.placebo != 0.5 {
            reasons.push(format!(
                "with the reference in the place of the target the AUROC is {}, not exactly .5",
                self.placebo
            ));
        }
        if self.null.void {
            reasons.push(format!(
                "the reference alone tells held-in from held-out users: AUROC {:.3}, 99.9 % interval {:.3} to {:.3}",
                self.null.auroc, self.null.interval.lower, self.null.interval.upper
            ));
        }
        if self.blind.void {
            reasons.push(format!(
                "a classifier that sees no model tells held-in from held-out users: AUROC {:.3}, p = {:.6}, below .001",
                self.blind.auroc, self.blind.p_value
            ));
        }
        reasons
    }
}

#[cfg(test)]
mod tests;
