//! Poisson samples: which units enter a private step.

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use userprint_mitigate::MitigateError;

use crate::{NoiseKey, TrainError};

/// Draws each step's sample by one coin for each unit, all independent.
///
/// Units are examples or users, by their index. A sample may be empty, and large: what it is divided by is
/// [`PoissonSampler::expected_size`], whatever its size.
///
/// # Guarantees
/// - The sample of a step is a function of key, step, number of units and probability alone, so that a resumed training
///   goes on with the samples that it would have had.
/// - Coins of different units and steps are independent, as far as anyone can tell who does not know the key.
///   The privacy of sampling rests on the samples being secret.
/// - A coin's chance is the sampling probability to within `2^-52`.
/// - Time goes with the size of the sample, not with the number of units.
///
/// ```
/// use userprint_train::{NoiseKey, PoissonSampler};
/// let key = NoiseKey::new([7; 32]); // in earnest: from the operating system
/// let sampler = PoissonSampler::new(&key, 1_000_000, 1e-4)?;
/// assert_eq!(sampler.expected_size(), 100.0);
/// let sample = sampler.sample(12);
/// assert!(sample.is_sorted() && sample.iter().all(|&unit| unit < 1_000_000));
/// assert_eq!(sample, sampler.sample(12));
/// # Ok::<(), userprint_train::TrainError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PoissonSampler {
    key: NoiseKey,
    n_units: usize,
    sampling_probability: f64,
}

impl PoissonSampler {
    /// Samples of so many units, each with this chance.
    ///
    /// # Errors
    /// [`TrainError::Rule`] for a chance that is not above 0 and at most 1.
    pub fn new(key: &NoiseKey, n_units: usize, sampling_probability: f64) -> Result<Self, TrainError> {
        let is_fine = sampling_probability > 0.0 && sampling_probability <= 1.0;
        if is_fine {
            Ok(Self { key: key.clone(), n_units, sampling_probability })
        } else {
            Err(MitigateError::SamplingProbability { found: sampling_probability }.into())
        }
    }

    /// Chance of each coin.
    pub fn sampling_probability(&self) -> f64 {
        self.sampling_probability
    }

    /// Units in a sample on average, `q n`.
    pub fn expected_size(&self) -> f64 {
        self.sampling_probability * self.n_units as f64
    }

    /// The units of a step, ascending.
    pub fn sample(&self, step: u64) -> Vec<usize> {
        if self.sampling_probability == 1.0 {
            return (0..self.n_units).collect();
        }
        let mut rng = self.key.generator("sample", step, "");
        let mut sample = Vec::new();
        let mut next = 0;
        while let Some(unit) = self.drawn_from(next, &mut rng) {
            sample.push(unit);
            next = unit + 1;
        }
        sample
    }

    /// The first unit from `next` on whose coin falls: `⌊log U / log(1 − q)⌋` units are passed over, a geometric number.
    fn drawn_from(&self, next: usize, rng: &mut ChaCha20Rng) -> Option<usize> {
        // Above 0 and at most 1. Logarithms of this library have the same bits on every platform.
        let uniform = 1.0 - rng.random::<f64>();
        let passed_over = (libm::log(uniform) / libm::log1p(-self.sampling_probability)).floor();
        let left = self.n_units - next;
        (passed_over < left as f64).then(|| next + passed_over as usize)
    }
}

/// `n KL(count / n, q)`: so many of `n` coins of chance `q` fall, or further from `q n` on either side, with a chance of at most
/// `2 e^−x` where this is `x` (Chernoff).
pub(crate) fn chernoff_exponent(count: usize, n: usize, q: f64) -> f64 {
    let (p, n) = (count as f64 / n as f64, n as f64);
    let fell = if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    let did_not = if p == 1.0 { 0.0 } else { (1.0 - p) * ((q - p) / (1.0 - q)).ln_1p() };
    n * (fell + did_not)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each test rejects a sound sampler with at most this chance.
    const FALSE_ALARM: f64 = 1e-9;

    fn key() -> NoiseKey {
        NoiseKey::new(std::array::from_fn(|at| at as u8))
    }

    fn sampler(n_units: usize, q: f64) -> PoissonSampler {
        PoissonSampler::new(&key(), n_units, q).expect("a probability")
    }

    /// Whether so many of `n` coins of chance `q` may have fallen, one of `n_checks` in a test.
    #[track_caller]
    fn check_count(count: usize, n: usize, q: f64, n_checks: usize) {
        let most = (2.0 * n_checks as f64 / FALSE_ALARM).ln();
        assert!(chernoff_exponent(count, n, q) <= most, "{count} of {n} at {q}");
    }

    #[test]
    fn every_unit_is_drawn_as_often_as_it_should() {
        const STEPS: usize = 20_000;
        for q in [0.003, 0.1, 0.5, 0.97] {
            let mut counts = [0; 40];
            let sampler = sampler(counts.len(), q);
            for step in 0..STEPS {
                sampler.sample(step as u64).into_iter().for_each(|unit| counts[unit] += 1);
            }
            let n_checks = 4 * (counts.len() + 1);
            // Together they see a chance that is off by some percent.
            check_count(counts.iter().sum(), STEPS * counts.len(), q, n_checks);
            for count in counts {
                check_count(count, STEPS, q, n_checks);
            }
        }
    }

    /// `Pr[sup |F_n − F| > t] ≤ 2 e^(−2 n t²)` holds for any distribution (Massart, Annals of Probability 18(3), 1990).
    #[test]
    fn sizes_are_binomial() {
        const STEPS: usize = 50_000;
        let (n, q) = (300, 0.02);
        let sampler = sampler(n, q);
        let mut counts = vec![0; n + 1];
        (0..STEPS).for_each(|step| counts[sampler.sample(step as u64).len()] += 1);
        let most = ((2.0 / FALSE_ALARM).ln() / (2.0 * STEPS as f64)).sqrt();
        let (mut weight, mut cdf, mut empirical) = ((1.0 - q).powi(n as i32), 0.0, 0.0);
        for (size, count) in counts.into_iter().enumerate() {
            cdf += weight;
            empirical += f64::from(count) / STEPS as f64;
            assert!((cdf - empirical).abs() <= most, "size {size}: {empirical}, expected {cdf}");
            weight *= q / (1.0 - q) * (n - size) as f64 / (size + 1) as f64;
        }
    }

    /// Pairs that share no coin: both fall with chance `q²`.
    #[test]
    fn steps_and_units_are_independent() {
        const STEPS: usize = 40_000;
        let (n, q) = (50, 0.2);
        let sampler = sampler(n, q);
        let (mut neighbours, mut successive) = (0, 0);
        let mut before = Vec::new();
        for step in 0..STEPS {
            let sample = sampler.sample(step as u64);
            neighbours += sample.windows(2).filter(|pair| pair[0] % 2 == 0 && pair[1] == pair[0] + 1).count();
            if step % 2 == 1 {
                successive += sample.iter().filter(|unit| before.contains(*unit)).count();
            }
            before = sample;
        }
        check_count(neighbours, STEPS * n / 2, q * q, 2);
        check_count(successive, STEPS / 2 * n, q * q, 2);
    }

    #[test]
    fn a_sample_is_a_function_of_key_and_step() {
        let one = sampler(500, 0.1);
        let later = one.sample(7);
        assert_eq!(later, sampler(500, 0.1).sample(7));
        assert_ne!(later, one.sample(8));
        let other = PoissonSampler::new(&NoiseKey::new([0; 32]), 500, 0.1).expect("a probability");
        assert_ne!(later, other.sample(7));
        // Written down, so that a later version goes on with the samples of this one.
        assert_eq!(sampler(100, 0.05).sample(1), [77, 79, 80]);
    }

    #[test]
    fn everybody_or_nobody() {
        assert_eq!(sampler(5, 1.0).sample(3), [0, 1, 2, 3, 4]);
        assert!(sampler(0, 1.0).sample(3).is_empty());
        assert!(sampler(0, 0.5).sample(3).is_empty());
        assert!(sampler(1_000, f64::MIN_POSITIVE).sample(3).is_empty());
        assert_eq!(sampler(0, 0.5).expected_size(), 0.0);
    }

    /// A coin for each unit would take hours.
    #[test]
    fn a_trillion_units_cost_their_draws_alone() {
        let n: usize = 1 << 40;
        let q = 0.5_f64.powi(38);
        let sampler = sampler(n, q);
        let total: usize = (0..1_000).map(|step| sampler.sample(step).len()).sum();
        check_count(total, 1_000 * n, q, 1);
    }

    #[test]
    fn chances_out_of_range() {
        for found in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            let error = PoissonSampler::new(&key(), 5, found).expect_err("no such chance");
            let is_named = matches!(error, TrainError::Rule(MitigateError::SamplingProbability { .. }));
            assert!(is_named, "{error:?}");
        }
    }
}
