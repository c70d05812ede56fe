//! How often each user is drawn.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::StatsError;

/// The generator of one resample: its own stream, so that threads may take resamples in any order.
pub(crate) fn resample_rng(seed: u64, resample: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(resample));
    rng
}

/// How often each user of a side was drawn; a count above 65 535 has no chance.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) held_in: Vec<u16>,
    pub(super) held_out: Vec<u16>,
    /// Scratch of the number that is resampled.
    pub(super) sums: Vec<u32>,
}

impl Times {
    pub(super) fn once([n_held_in, n_held_out]: [usize; 2]) -> Self {
        Self { held_in: vec![1; n_held_in], held_out: vec![1; n_held_out], sums: Vec::new() }
    }

    /// Draws as many users of each side as it has, with replacement.
    fn draw(&mut self, rng: &mut ChaCha8Rng) {
        for side in [&mut self.held_in, &mut self.held_out] {
            side.fill(0);
            let n = side.len() as u32;
            for _ in 0..n {
                side[rng.random_range(0..n) as usize] += 1;
            }
        }
    }
}

/// A number over resamples, in parallel.
pub(super) fn over_resamples(
    sizes: [usize; 2],
    resamples: u32,
    seed: u64,
    number: impl Fn(&mut Times) -> f64 + Sync,
) -> Result<Vec<f64>, StatsError> {
    if resamples < 2 {
        return Err(StatsError::TooFewResamples { found: resamples as usize, needed: 2 });
    }
    let of_resample = |times: &mut Times, resample| {
        times.draw(&mut resample_rng(seed, resample));
        number(times)
    };
    Ok((0..resamples).into_par_iter().map_init(|| Times::once(sizes), of_resample).collect())
}
