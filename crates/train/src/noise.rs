//! Gaussian noise of private steps, and the key that all of a run's privacy rests on.

use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Values that one stream of the generator makes: a part of the definition of the noise, not of its speed.
const CHUNK: usize = 1 << 14;

/// The secret from which a private run's coins and noise come.
///
/// Whoever knows the key can take the noise off again: it needs 32 bytes that nobody can guess, from the operating system
/// and not from a seed, and where it is kept for resuming, the file is as secret as the training data.
/// One key belongs to one run on one set of data. The same key on data with one unit more would give the same noise, and
/// the difference of both models would show the unit bare.
///
/// ```
/// use userprint_train::NoiseKey;
/// assert_eq!(format!("{:?}", NoiseKey::new([7; 32])), "NoiseKey { .. }");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct NoiseKey([u8; 32]);

impl NoiseKey {
    /// The key of these bytes, which are the caller's to draw: nothing here asks for entropy.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What tells this key from others and nothing of the key itself.
    pub(crate) fn id(&self) -> String {
        blake3::keyed_hash(&self.0, b"identity").to_hex().to_string()
    }

    /// A generator of its own for each use, step and name: a keyed BLAKE3 hash of them is the key of ChaCha20.
    pub(crate) fn generator(&self, usage: &str, step: u64, name: &str) -> ChaCha20Rng {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in [usage.as_bytes(), &step.to_le_bytes(), name.as_bytes()] {
            // With its length, so that no two lists of parts look alike.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        ChaCha20Rng::from_seed(*hasher.finalize().as_bytes())
    }
}

impl fmt::Debug for NoiseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseKey").finish_non_exhaustive()
    }
}

/// Adds normal noise of mean 0 to one parameter's summed gradient.
///
/// Draws are made and added in f64 and rounded once.
///
/// # Guarantees
/// - The noise is a function of key, step, path and position alone: the same on any number of threads, and after resuming.
/// - Different keys, steps, paths and positions have independent noise, as far as anyone can tell who does not know the key.
///
/// # What it does not guarantee
/// Floating-point numbers are no real numbers. Which bits a sum can have depends on what was summed, so that who sees exact
/// sums of many digits can at times tell two sets of data apart that no normal noise would tell apart, whatever the noise.
/// No claim here covers that. It matters where raw noised gradients are published, less where only weights are that hundreds
/// of rounded steps went into; discrete noise would exclude it.
///
/// # Reference
/// Mironov, "On significance of the least significant bits for differential privacy", CCS 2012.
/// ```
/// use userprint_train::{NoiseKey, add_gaussian_noise};
/// let key = NoiseKey::new([7; 32]); // in earnest: from the operating system
/// let mut sum = vec![1.0_f32, -2.0];
/// add_gaussian_noise(&key, 12, "head.weight", 0.5, &mut sum);
/// let mut again = vec![1.0_f32, -2.0];
/// add_gaussian_noise(&key, 12, "head.weight", 0.5, &mut again);
/// assert_eq!(sum, again);
/// assert_ne!(sum, [1.0, -2.0]);
/// ```
pub fn add_gaussian_noise(
    key: &NoiseKey,
    step: u64,
    path: &str,
    standard_deviation: f64,
    values: &mut [f32],
) {
    let generator = key.generator("noise", step, path);
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(stream, chunk)| {
        let mut rng = generator.clone();
        rng.set_stream(stream as u64);
        for value in chunk {
            let normal: f64 = rng.sample(StandardNormal);
            *value = (f64::from(*value) + standard_deviation * normal) as f32;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than 60 chunks, the last of them not full.
    const N: usize = 1_000_003;

    /// Each check below rejects sound noise with at most this chance.
    const FALSE_ALARM: f64 = 1e-9;

    fn key() -> NoiseKey {
        NoiseKey::new(std::array::from_fn(|at| at as u8))
    }

    fn noise(key: &NoiseKey, step: u64, path: &str) -> Vec<f64> {
        let mut values = vec![0.0; N];
        add_gaussian_noise(key, step, path, 1.0, &mut values);
        values.into_iter().map(f64::from).collect()
    }

    /// `N(0, n)` is beyond 6.2 deviations with chance 5.7e-10.
    #[test]
    fn the_mean_is_zero() {
        let sum: f64 = noise(&key(), 1, "a").iter().sum();
        assert!(sum.abs() <= 6.2 * (N as f64).sqrt(), "{sum}");
    }

    /// `Pr[|χ²_n − n| ≥ 2 √(n x) + 2 x] ≤ 2 e^−x` (Laurent & Massart, Annals of Statistics 28(5), 2000, Lemma 1).
    #[test]
    fn the_variance_is_what_was_asked() {
        let n = N as f64;
        let x = (2.0 / FALSE_ALARM).ln();
        let squares: f64 = noise(&key(), 1, "a").iter().map(|value| value * value).sum();
        assert!((squares - n).abs() <= 2.0 * (n * x).sqrt() + 2.0 * x, "{}", squares / n);

        let mut scaled = vec![0.0_f32; N];
        add_gaussian_noise(&key(), 1, "a", 0.25, &mut scaled);
        let squares: f64 = scaled.iter().map(|value| f64::from(*value).powi(2)).sum();
        assert!((squares * 16.0 - n).abs() <= 2.0 * (n * x).sqrt() + 2.0 * x, "{}", squares / n);
    }

    /// `Pr[sup |F_n − F| > t] ≤ 2 e^(−2 n t²)` (Massart, Annals of Probability 18(3), 1990).
    #[test]
    fn the_distribution_is_normal() {
        let mut values = noise(&key(), 1, "a");
        values.sort_by(f64::total_cmp);
        let n = N as f64;
        let most = ((2.0 / FALSE_ALARM).ln() / (2.0 * n)).sqrt();
        for (rank, value) in values.iter().enumerate() {
            let cdf = 0.5 * libm::erfc(-value / std::f64::consts::SQRT_2);
            // The empirical one jumps here; 1e-6 is for the rounding to f32.
            let (below, at) = (rank as f64 / n, (rank + 1) as f64 / n);
            assert!((cdf - below).abs().max((cdf - at).abs()) <= most + 1e-6, "{value}");
        }
    }

    /// Given one side, the sum of products with the other is `N(0, |a|²)`: beyond 6.2 deviations with chance 5.7e-10.
    #[track_caller]
    fn check_independent(a: &[f64], b: &[f64]) {
        let n = a.len().min(b.len());
        let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        let norm = a[..n].iter().map(|a| a * a).sum::<f64>().sqrt();
        assert!(product.abs() <= 6.2 * norm, "{}", product / norm);
    }

    #[test]
    fn keys_steps_paths_and_positions_are_independent() {
        let one = noise(&key(), 1, "a");
        check_independent(&one, &noise(&key(), 2, "a"));
        check_independent(&one, &noise(&key(), 1, "b"));
        check_independent(&one, &noise(&NoiseKey::new([0; 32]), 1, "a"));
        let (first, second): (Vec<f64>, Vec<f64>) =
            one.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
        check_independent(&first, &second);
        check_independent(&one[..CHUNK], &one[CHUNK..2 * CHUNK]);
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let on = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads");
            pool.install(|| noise(&key(), 3, "a"))
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn noise_is_added() {
        let mut values = vec![100.0_f32; 3];
        add_gaussian_noise(&key(), 1, "a", 0.0, &mut values);
        assert_eq!(values, [100.0; 3]);
        add_gaussian_noise(&key(), 1, "a", 1.0, &mut values);
        let pure = noise(&key(), 1, "a");
        let expected: Vec<f32> = pure[..3].iter().map(|noise| (100.0 + noise) as f32).collect();
        // The noise was rounded once more on its way here.
        assert!(values.iter().zip(expected).all(|(value, expected)| (value - expected).abs() <= 1e-5));
    }

    /// Written down, so that a run goes on under a later version with the noise of this one.
    #[test]
    fn noise_stays_the_same() {
        let mut values = [0.0_f32; 3];
        add_gaussian_noise(&key(), 1, "head.weight", 1.0, &mut values);
        assert_eq!(values, [-0.8148959, -0.16146015, 1.0475157]);
    }
}
