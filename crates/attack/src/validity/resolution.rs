//! FPR resolution: rates that are too fine for the number of held-out users.

/// Which false positive rates the held-out users can show.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolutionCheck {
    /// Number of held-out users.
    pub n_held_out: usize,
    /// Rates that were asked for and refused, as they are below `1 / n_held_out`.
    pub refused: Vec<f64>,
    /// Rates below `1 / n_held_out` with a true positive rate all the same: they void the result.
    pub overclaimed: Vec<f64>,
}

impl ResolutionCheck {
    pub(super) fn void_reason(&self) -> Option<String> {
        let finest = self.overclaimed.iter().copied().reduce(f64::min)?;
        Some(format!(
            "a true positive rate is printed at a false positive rate of {finest}, which {} held-out users cannot show",
            self.n_held_out
        ))
    }
}

/// Goes through the rates of a result: each with its true positive rate, or `None` where that was refused.
///
/// A refusal is no fault; a number at a rate that no held-out user can show is one.
///
/// # Reference
/// The refusal is that of [`Roc::tpr_at_fpr`](userprint_stats::Roc::tpr_at_fpr).
/// ```
/// use userprint_attack::validity::resolution;
/// let check = resolution(68, &[(0.001, Some(0.04)), (0.01, None), (0.05, Some(0.28))]);
/// assert_eq!((check.refused, check.overclaimed), (vec![0.01], vec![0.001]));
/// ```
pub fn resolution(n_held_out: usize, tpr_at_fpr: &[(f64, Option<f64>)]) -> ResolutionCheck {
    // Written so that a rate that is NaN counts as too fine.
    let is_shown = |fpr: f64| fpr >= 1.0 / n_held_out as f64;
    let rates = |kept: &dyn Fn(f64, Option<f64>) -> bool| {
        tpr_at_fpr.iter().filter(|row| kept(row.0, row.1)).map(|row| row.0).collect()
    };
    ResolutionCheck {
        n_held_out,
        refused: rates(&|_, tpr| tpr.is_none()),
        overclaimed: rates(&|fpr, tpr| tpr.is_some() && !is_shown(fpr)),
    }
}
