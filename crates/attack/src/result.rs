//! Results: how well a statistic tells held-in from held-out users.

use userprint_core::Seed;
use userprint_stats::{Bootstrap, Interval, Roc, StatsError, bootstrap_auroc};

use crate::examples::check_length;
use crate::{AttackError, UserStatistics};

/// The false positive rates at which the true positive rate is reported.
pub const FPRS: [f64; 5] = [0.001, 0.005, 0.01, 0.05, 0.1];

/// What an attack found.
#[derive(Clone, Debug, PartialEq)]
pub struct AttackResult {
    /// Chance that a random held-in user outranks a random held-out one; ties count half.
    pub auroc: f64,
    /// 95 % score interval of `auroc`.
    pub auroc_interval: Interval,
    /// Whether too few users, or an AUROC far from one half, leave the interval's coverage unchecked.
    pub is_interval_approximate: bool,
    /// `auroc` over resamples of users within each side.
    pub bootstrap: Bootstrap,
    /// True positive rate at each of [`FPRS`]; `None` where there are too few held-out users to say.
    pub tpr_at_fpr: Vec<(f64, Option<f64>)>,
    /// Number of held-in users.
    pub n_held_in: usize,
    /// Number of held-out users.
    pub n_held_out: usize,
}

/// Judges the statistics of users against their membership.
///
/// # Errors
/// [`AttackError::Stats`] if a side is empty, a statistic is not finite, or there are fewer than 2 resamples;
/// [`AttackError::UnequalColumns`].
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, experiments (AUROC, TPR at low FPR, bootstrap over users).
/// ```
/// use userprint_attack::{UserStatistics, evaluate};
/// use userprint_core::{Seed, UserIdx};
/// let users = UserStatistics {
///     user: (0..8).map(UserIdx).collect(),
///     held_in: vec![true, true, true, true, false, false, false, false],
///     statistic: vec![0.0, 4.0, 6.0, 7.0, 1.0, 2.0, 3.0, 5.0],
///     n_examples: vec![1; 8],
/// };
/// let result = evaluate(&users, 100, Seed(7))?;
/// assert_eq!(result.auroc, 11.0 / 16.0);
/// assert_eq!(result.tpr_at_fpr[4], (0.1, None)); // of four held-out users
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn evaluate(users: &UserStatistics, resamples: u32, seed: Seed) -> Result<AttackResult, AttackError> {
    let (held_in, held_out) = sides(users)?;
    let roc = Roc::new(&held_in, &held_out)?;
    let tpr_at_fpr = FPRS.iter().map(|&fpr| match roc.tpr_at_fpr(fpr) {
        Ok(tpr) => Ok((fpr, Some(tpr))),
        Err(StatsError::FprBelowResolution { .. }) => Ok((fpr, None)),
        Err(error) => Err(error),
    });
    Ok(AttackResult {
        auroc: roc.auroc(),
        auroc_interval: roc.auroc_interval(0.05)?,
        is_interval_approximate: roc.is_interval_approximate(),
        bootstrap: bootstrap_auroc(&held_in, &held_out, resamples, seed.named("bootstrap_auroc").0)?,
        tpr_at_fpr: tpr_at_fpr.collect::<Result<_, _>>()?,
        n_held_in: held_in.len(),
        n_held_out: held_out.len(),
    })
}

/// The ROC curve of the users' statistics.
pub(crate) fn roc(users: &UserStatistics) -> Result<Roc, AttackError> {
    let (held_in, held_out) = sides(users)?;
    Ok(Roc::new(&held_in, &held_out)?)
}

/// The statistics of held-in and of held-out users; checks the columns, which are public.
pub(crate) fn sides(users: &UserStatistics) -> Result<(Vec<f64>, Vec<f64>), AttackError> {
    check_length("held_in", users.held_in.len(), users.user.len())?;
    check_length("statistic", users.statistic.len(), users.user.len())?;
    Ok(split(&users.statistic, &users.held_in))
}

/// Values of held-in and of held-out users.
pub(crate) fn split(values: &[f64], held_in: &[bool]) -> (Vec<f64>, Vec<f64>) {
    let side =
        |wanted: bool| values.iter().zip(held_in).filter(|row| *row.1 == wanted).map(|row| *row.0).collect();
    (side(true), side(false))
}

#[cfg(test)]
mod tests {
    use userprint_core::UserIdx;
    use userprint_stats::Side;

    use super::*;

    fn users(rows: &[(bool, f64)]) -> UserStatistics {
        UserStatistics {
            user: (0..).take(rows.len()).map(UserIdx).collect(),
            held_in: rows.iter().map(|row| row.0).collect(),
            statistic: rows.iter().map(|row| row.1).collect(),
            n_examples: vec![1; rows.len()],
        }
    }

    #[test]
    fn all_ties() {
        let result = evaluate(&users(&[(true, 1.0), (false, 1.0)]), 10, Seed(0)).unwrap();
        assert_eq!((result.auroc, result.bootstrap.std_dev), (0.5, 0.0));
        assert_eq!((result.n_held_in, result.n_held_out), (1, 1));
        assert!(result.auroc_interval.contains(0.5));
    }

    #[test]
    fn rates_appear_with_enough_held_out_users() {
        let mut rows = vec![(true, 2.0)];
        rows.extend((0..100).map(|value| (false, f64::from(value) / 100.0)));
        let result = evaluate(&users(&rows), 10, Seed(0)).unwrap();
        let expect = [(0.001, None), (0.005, None), (0.01, Some(1.0)), (0.05, Some(1.0)), (0.1, Some(1.0))];
        assert_eq!(result.tpr_at_fpr, expect);
    }

    #[test]
    fn same_seed_same_result() {
        let rows: Vec<_> = (0..20).map(|i| (i % 2 == 0, f64::from(i * 7 % 13))).collect();
        let result = |seed| evaluate(&users(&rows), 50, Seed(seed)).unwrap();
        assert_eq!(result(1), result(1));
        assert_ne!(result(1).bootstrap, result(2).bootstrap);
    }

    #[test]
    fn bad_input() {
        let error = |rows: &[(bool, f64)]| evaluate(&users(rows), 10, Seed(0)).unwrap_err();
        assert_eq!(error(&[]), AttackError::Stats(StatsError::EmptySide { side: Side::HeldIn }));
        assert_eq!(error(&[(true, 1.0)]), AttackError::Stats(StatsError::EmptySide { side: Side::HeldOut }));
        let nan = error(&[(true, f64::NAN), (false, 1.0)]);
        assert!(matches!(nan, AttackError::Stats(StatsError::NotFinite { index: 0, .. })), "{nan:?}");
        let mut uneven = users(&[(true, 1.0), (false, 1.0)]);
        uneven.statistic.pop();
        let error = evaluate(&uneven, 10, Seed(0)).unwrap_err();
        assert_eq!(error.to_string(), "column `statistic` has 1 entries, expected 2");
    }
}
