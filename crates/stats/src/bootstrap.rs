//! Bootstrap: how an AUROC varies when the users are drawn again.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::StatsError;
use crate::levels::{Count, Pairs};
use crate::roc::levels_by_side;

/// Mean and spread of an AUROC over resamples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Number of resamples.
    pub resamples: u32,
    /// Mean AUROC over the resamples.
    pub mean: f64,
    /// Standard deviation over the resamples, with `resamples - 1` in the denominator.
    pub std_dev: f64,
}

/// The generator of one resample: its own stream, so that threads may take resamples in any order.
pub(crate) fn resample_rng(seed: u64, resample: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(resample));
    rng
}

/// Draws each side again with replacement, at its own size, and takes the AUROC.
///
/// One value is one user, so this is a bootstrap over users.
/// In parallel; the result depends on the seed alone.
///
/// # Errors
/// Those of [`Roc::new`](crate::Roc::new), and [`StatsError::TooFewResamples`] below 2.
///
/// # Reference
/// Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8 (two samples).
/// ```
/// let bootstrap = userprint_stats::bootstrap_auroc(&[2.0, 3.0], &[0.0, 1.0], 50, 1)?;
/// assert_eq!((bootstrap.mean, bootstrap.std_dev), (1.0, 0.0));
/// # Ok::<(), userprint_stats::StatsError>(())
/// ```
pub fn bootstrap_auroc(
    held_in: &[f64],
    held_out: &[f64],
    resamples: u32,
    seed: u64,
) -> Result<Bootstrap, StatsError> {
    if resamples < 2 {
        return Err(StatsError::TooFewResamples { found: resamples as usize, needed: 2 });
    }
    let (levels, no_counts) = levels_by_side(held_in, held_out)?;
    let (of_held_in, of_held_out) = levels.of_row.split_at(held_in.len());
    let aurocs: Vec<f64> = (0..resamples)
        .into_par_iter()
        .map(|resample| {
            let mut rng = resample_rng(seed, resample);
            let mut counts: Vec<Count> = no_counts.clone();
            for _ in of_held_in {
                counts[of_held_in[rng.random_range(0..of_held_in.len())]].held_in += 1;
            }
            for _ in of_held_out {
                counts[of_held_out[rng.random_range(0..of_held_out.len())]].held_out += 1;
            }
            Pairs::count(&counts).share_won()
        })
        .collect();
    let n = f64::from(resamples);
    let mean = aurocs.iter().sum::<f64>() / n;
    let squares: f64 = aurocs.iter().map(|auroc| (auroc - mean).powi(2)).sum();
    Ok(Bootstrap { resamples, mean, std_dev: (squares / (n - 1.0)).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD_IN: [f64; 4] = [0.0, 4.0, 6.0, 7.0];
    const HELD_OUT: [f64; 4] = [1.0, 2.0, 3.0, 5.0];

    /// Mean and standard deviation over all 4^8 resamples, by enumeration.
    fn by_enumeration() -> (f64, f64) {
        let wins = |code: usize| -> f64 {
            let digit = |place: usize| (code >> (2 * place)) & 3;
            let mut won = 0;
            for i in 0..4 {
                for o in 4..8 {
                    won += usize::from(HELD_IN[digit(i)] > HELD_OUT[digit(o)]);
                }
            }
            won as f64 / 16.0
        };
        let n = 65536.0;
        let mean = (0..65536).map(wins).sum::<f64>() / n;
        let variance = (0..65536).map(|code| (wins(code) - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }

    /// 20 000 resamples: each bound is beyond 6 standard errors, chance below 1e-8.
    #[test]
    fn agrees_with_enumeration() {
        let (mean, std_dev) = by_enumeration();
        let bootstrap = bootstrap_auroc(&HELD_IN, &HELD_OUT, 20_000, 1).unwrap();
        assert!((mean - 11.0 / 16.0).abs() < 1e-12);
        assert!((bootstrap.mean - mean).abs() < 6.0 * std_dev / 20_000f64.sqrt());
        assert!((bootstrap.std_dev - std_dev).abs() < 6.0 * std_dev / 40_000f64.sqrt());
    }

    #[test]
    fn threads_do_not_matter_and_the_seed_does() {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bootstrap_auroc(&HELD_IN, &HELD_OUT, 101, 5)).unwrap()
        };
        assert_eq!(on(1), on(3));
        assert_ne!(on(1), bootstrap_auroc(&HELD_IN, &HELD_OUT, 101, 6).unwrap());
    }

    #[test]
    fn bad_input() {
        assert!(bootstrap_auroc(&[], &HELD_OUT, 10, 0).is_err());
        assert!(bootstrap_auroc(&HELD_IN, &[f64::NAN], 10, 0).is_err());
        let error = bootstrap_auroc(&HELD_IN, &HELD_OUT, 1, 0).unwrap_err();
        assert_eq!(error.to_string(), "expected at least 2 resamples, found 1");
        let tied = bootstrap_auroc(&[1.0], &[1.0], 10, 0).unwrap();
        assert_eq!((tied.mean, tied.std_dev), (0.5, 0.0));
    }
}
