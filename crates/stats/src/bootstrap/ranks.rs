//! The AUROC of users that are counted several times.

use super::Times;
use crate::StatsError;
use crate::placement::{Placement, ascending, place, place_sorted};

/// One statistic of both sides, as ranks: all that the AUROC of a resample needs.
#[derive(Debug)]
pub(super) struct Ranks {
    of_held_in: Vec<Placement>,
    /// The held-out users in ascending order.
    held_out: Vec<u32>,
}

impl Ranks {
    pub(super) fn new(held_in: &[f64], held_out: &[f64]) -> Self {
        Self { of_held_in: place(held_in, held_out), held_out: ascending(held_out) }
    }

    /// The same of sides in ascending order.
    pub(super) fn of_sorted(held_in: &[f64], held_out: &[f64]) -> Self {
        Self { of_held_in: place_sorted(held_in, held_out), held_out: (0..).take(held_out.len()).collect() }
    }

    /// The AUROC with each user counted so many times: one pass a side, in integers.
    pub(super) fn auroc(&self, times: &mut Times) -> f64 {
        let sums = &mut times.sums;
        sums.clear();
        sums.push(0);
        let mut drawn = 0;
        sums.extend(self.held_out.iter().map(|&user| {
            drawn += u32::from(times.held_out[user as usize]);
            drawn
        }));
        let won = |(placement, &times): (&Placement, &u16)| {
            u64::from(times)
                * (u64::from(sums[placement.below as usize]) + u64::from(sums[placement.up_to as usize]))
        };
        let twice_won: u64 = self.of_held_in.iter().zip(&times.held_in).map(won).sum();
        twice_won as f64 / 2.0 / (self.of_held_in.len() as u64 * u64::from(drawn)) as f64
    }
}

/// A sixth of the skewness of what users contribute, each side divided by its size.
///
/// `sum_s (sum_i U_si³ / n_s³) / (6 (sum_s sum_i U_si² / n_s²)^(3/2))`, `U_si` being `n_s - 1` times what leaving user `i` of
/// side `s` out takes away. Efron & Tibshirani, 1993, equations 14.15 and 15.36.
///
/// # Errors
/// [`StatsError::NoVariance`] where nobody contributes.
pub(super) fn acceleration(influences: [&[f64]; 2]) -> Result<f64, StatsError> {
    let sum = |power: i32| -> f64 {
        let side = |side: &[f64]| side.iter().map(|u| (u / side.len() as f64).powi(power)).sum::<f64>();
        influences.into_iter().map(side).sum()
    };
    let squares = sum(2);
    if squares > 0.0 { Ok(sum(3) / (6.0 * squares.powf(1.5))) } else { Err(StatsError::NoVariance) }
}
