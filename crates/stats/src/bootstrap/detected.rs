//! The TPR at an FPR of users that are counted several times.

use super::{Times, acceleration};
use crate::StatsError;
use crate::roc::{check_two_a_side, most_allowed};

/// Both sides in ascending order, and the most false positives that keep the rate.
#[derive(Debug)]
pub(super) struct Detected<'a> {
    pub(super) held_in: &'a [f64],
    pub(super) held_out: &'a [f64],
    pub(super) n_allowed: usize,
}

impl Detected<'_> {
    /// The TPR with each user counted so many times, at the threshold that this asks.
    pub(super) fn tpr(&self, times: &mut Times) -> f64 {
        let mut drawn = 0;
        let barred = times.held_out.iter().rposition(|&times| {
            drawn += usize::from(times);
            drawn > self.n_allowed
        });
        let detected = &times.held_in[self.first_above(barred)..];
        detected.iter().map(|&times| u64::from(times)).sum::<u64>() as f64 / self.held_in.len() as f64
    }

    /// Where held-in values above the barred held-out one begin.
    fn first_above(&self, barred: Option<usize>) -> usize {
        barred.map_or(0, |barred| self.held_in.partition_point(|&value| value <= self.held_out[barred]))
    }

    /// From leaving out each user once: a held-out one bars one value or its neighbour, a held-in one counts or not.
    pub(super) fn acceleration(&self, fpr: f64) -> Result<f64, StatsError> {
        let (n, m) = (self.held_in.len(), self.held_out.len());
        check_two_a_side(n, m)?;
        let share_above = |barred: Option<usize>| (n - self.first_above(barred)) as f64 / n as f64;
        let tpr = share_above((m - 1).checked_sub(self.n_allowed));
        let of_held_in: Vec<f64> = (0..n)
            .map(|i| f64::from(u8::from(i >= self.first_above((m - 1).checked_sub(self.n_allowed)))) - tpr)
            .collect();
        // Without user j, the allowed of m - 1 are counted from above, past j if it is among them.
        let n_allowed = most_allowed(fpr, m - 1);
        let without = |j: usize| {
            let barred = (m - 1)
                .checked_sub(n_allowed)
                .filter(|&barred| barred > j)
                .or_else(|| (m - 2).checked_sub(n_allowed));
            share_above(barred)
        };
        let tprs: Vec<f64> = (0..m).map(without).collect();
        let mean = tprs.iter().sum::<f64>() / m as f64;
        let of_held_out: Vec<f64> = tprs.iter().map(|tpr| (m - 1) as f64 * (mean - tpr)).collect();
        acceleration([&of_held_in, &of_held_out])
    }
}
