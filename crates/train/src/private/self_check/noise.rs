//! Checks of the noise: its size, and that it does not repeat.

use userprint_mitigate::AdaptiveClip;

use super::{MOST_SAMPLES, PROBE_STEP, ROUNDING, SHARE, failed};
use crate::gradients::ByPath;
use crate::private::PrivateSteps;
use crate::private::parts::host;
use crate::{TrainBackend, TrainError};

impl<B: TrainBackend> PrivateSteps<'_, B> {
    /// The noise of each parameter, and of all, has the standard deviation that the accountant counts on, and is another one
    /// for another step and, of each two parameters in the order of their paths, for the other.
    pub(super) fn check_noise(&self, sum: &ByPath<B>, noised: &ByPath<B>) -> Result<(), TrainError> {
        let Some(multiplier) = self.rule.gradient_noise() else { return Ok(()) };
        let deviation = multiplier * self.clip_norm;
        if deviation == 0.0 {
            return Ok(());
        }
        let standard = |path: &String, noised: &ByPath<B>| -> Vec<f64> {
            let (after, before) = (host::<B>(&noised[path]), host::<B>(&sum[path]));
            after
                .iter()
                .zip(before)
                .map(|(after, before)| (f64::from(*after) - f64::from(before)) / deviation)
                .collect()
        };
        let mut of_other_step = sum.clone();
        self.parts.add_noise(PROBE_STEP - 1, self.clip_norm, &mut of_other_step);
        let x = (2.0 * (sum.len() + 2) as f64 / SHARE).ln();
        let (mut all, mut over_steps, mut over_paths) =
            (Products::default(), Products::default(), Products::default());
        let mut unpaired: Option<Vec<f64>> = None;
        for path in sum.keys() {
            let noise = standard(path, noised);
            let own = Products::of(&noise, &noise);
            check_deviation(path, own, x, deviation)?;
            all.add(own);
            over_steps.add(Products::of(&noise, &standard(path, &of_other_step)));
            // In pairs, which have no number in common.
            unpaired = match unpaired {
                Some(other) => {
                    over_paths.add(Products::of(&noise, &other));
                    None
                }
                None => Some(noise),
            };
        }
        check_deviation("all parameters", all, x, deviation)?;
        check_independence("steps", over_steps)?;
        check_independence("parameters", over_paths)?;
        self.check_noise_of_counts(x)
    }

    fn check_noise_of_counts(&self, x: f64) -> Result<(), TrainError> {
        let Some(AdaptiveClip { count_noise, .. }) = self.adaptive_clip else { return Ok(()) };
        let noise = |back| self.parts.noised_count(PROBE_STEP - back, 0.0) / count_noise;
        let noise: Vec<f64> = (0..MOST_SAMPLES).map(noise).collect();
        check_deviation("counts", Products::of(&noise, &noise), x, count_noise)?;
        let (even, odd): (Vec<f64>, Vec<f64>) = noise.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
        check_independence("the counts of steps", Products::of(&even, &odd))?;
        let one_more = self.parts.noised_count(PROBE_STEP, 1.0) - self.parts.noised_count(PROBE_STEP, 0.0);
        if (one_more - 1.0).abs() <= ROUNDING {
            return Ok(());
        }
        Err(failed("count", format!("{one_more:.3} more for a count of one more"), "1 more".to_owned()))
    }
}

/// A sum of products of so many pairs.
#[derive(Clone, Copy, Default)]
struct Products {
    sum: f64,
    n: usize,
}

impl Products {
    /// Of as many as the shorter has.
    fn of(a: &[f64], b: &[f64]) -> Self {
        Self { sum: a.iter().zip(b).map(|(a, b)| a * b).sum(), n: a.len().min(b.len()) }
    }

    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.n += other.n;
    }
}

/// The squares of standard normal numbers add up to `n`, but for `2 √(n x) + 2 x`, with chance `1 − 2 e^−x`
/// (Laurent & Massart, Annals of Statistics 28(5), 2000, Lemma 1).
fn check_deviation(what: &str, squares: Products, x: f64, deviation: f64) -> Result<(), TrainError> {
    let n = squares.n as f64;
    // Rounding of the sum to f32 adds a little.
    if (squares.sum - n).abs() <= 2.0 * (n * x).sqrt() + 2.0 * x + ROUNDING * n {
        return Ok(());
    }
    let found = format!("noise of deviation {:e} on {what}", deviation * (squares.sum / n).sqrt());
    Err(failed("noise", found, format!("{deviation:e} over {n} values")))
}

/// Products of independent standard normal numbers add up to 0, but for `2 √(n x) + x`, with chance `1 − 4 e^−x`: each is
/// half the difference of two squares of independent ones, `ab = (((a + b) / √2)² − ((a − b) / √2)²) / 2`.
///
/// Of a few numbers alone this says nothing: what repeats must outweigh the bound.
fn check_independence(what: &str, products: Products) -> Result<(), TrainError> {
    let (n, x) = (products.n as f64, (12.0 / SHARE).ln()); // three such checks
    if products.sum.abs() <= 2.0 * (n * x).sqrt() + x + ROUNDING * n {
        return Ok(());
    }
    let found = format!("a correlation of {:.3} between {what}", products.sum / n);
    Err(failed("noise", found, "independent noise".to_owned()))
}
