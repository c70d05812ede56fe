//! A clip norm that follows the gradients' norms, privately.

use serde::{Deserialize, Serialize};

use crate::MitigateError;

/// A clip norm that moves to a quantile of the norms: after each step
/// `C ← C · exp(−η (b − γ))`, with `b` the noised fraction of norms that are at most `C`.
///
/// The fraction is asked with noise of its own, so that gradients get a little more noise for the same claim; the accountant
/// sees one release of both, at the rule's noise multiplier.
///
/// # Reference
/// Andrew et al., arXiv:1905.03871v5, Algorithm 1 and Theorem 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveClip {
    /// The fraction of norms that is to be left alone, `γ`.
    pub target_quantile: f64,
    /// How fast the clip norm moves, `η`.
    pub learning_rate: f64,
    /// Standard deviation of the noise in the count of norms that are at most `C`, `σ_b`.
    pub count_noise: f64,
}

impl AdaptiveClip {
    /// Refuses what cannot work beside this noise multiplier.
    pub(crate) fn check(&self, noise_multiplier: f64) -> Result<(), MitigateError> {
        let Self { target_quantile, learning_rate, count_noise } = *self;
        let refuse =
            |name, found, expected: String| Err(MitigateError::AdaptiveClip { name, found, expected });
        if !(target_quantile > 0.0 && target_quantile < 1.0) {
            return refuse("target_quantile", target_quantile, "a fraction above 0 and below 1".to_owned());
        }
        if !(learning_rate.is_finite() && learning_rate > 0.0) {
            return refuse("learning_rate", learning_rate, "a finite number above 0".to_owned());
        }
        if !count_noise.is_finite() || count_noise < 0.0 {
            return refuse("count_noise", count_noise, "a finite number from 0 on".to_owned());
        }
        // At half the multiplier, the count alone would cost what the rule may.
        let least = noise_multiplier / 2.0;
        if noise_multiplier > 0.0 && count_noise <= least {
            return refuse(
                "count_noise",
                count_noise,
                format!("above {least:.4}, half the noise multiplier"),
            );
        }
        Ok(())
    }

    /// The noise multiplier that is left for the gradients: `(z⁻² − (2 σ_b)⁻²)^−½`.
    ///
    /// ```
    /// use userprint_mitigate::AdaptiveClip;
    /// let adaptive = AdaptiveClip { target_quantile: 0.5, learning_rate: 0.2, count_noise: 5.0 };
    /// assert!((adaptive.gradient_noise(1.0) - 1.0 / 0.99f64.sqrt()).abs() < 1e-12);
    /// ```
    pub fn gradient_noise(&self, noise_multiplier: f64) -> f64 {
        if noise_multiplier == 0.0 {
            return 0.0;
        }
        (noise_multiplier.powi(-2) - (2.0 * self.count_noise).powi(-2)).powf(-0.5)
    }

    /// The clip norm of the next step.
    ///
    /// In `noised_count` each sampled unit adds one half where its norm is at most `C`, and takes off one half elsewhere, so
    /// that no unit moves it by more than one half.
    pub fn next(&self, clip_norm: f64, noised_count: f64, expected_size: f64) -> f64 {
        // Cut off at 0 and 1, noise would have a mean of its own and move the clip norm without end.
        let fraction = 0.5 + noised_count / expected_size;
        clip_norm * (-self.learning_rate * (fraction - self.target_quantile)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: AdaptiveClip = AdaptiveClip { target_quantile: 0.5, learning_rate: 0.2, count_noise: 2.0 };

    /// One unit moves the noised gradient by `1 / z_Δ` deviations and the count by `1 / (2 σ_b)`: together by `1 / z`.
    #[test]
    fn both_releases_together_are_one_of_the_multiplier() {
        for multiplier in [0.5, 1.0, 3.9] {
            let gradient = HALF.gradient_noise(multiplier);
            let together = gradient.powi(-2) + (2.0 * HALF.count_noise).powi(-2);
            assert!((together.powf(-0.5) / multiplier - 1.0).abs() < 1e-12 && gradient > multiplier);
        }
        assert_eq!(HALF.gradient_noise(0.0), 0.0);
    }

    /// Norms spread evenly up to 1: the quantile is the clip norm that is looked for.
    #[test]
    fn the_clip_norm_finds_the_quantile() {
        let n = 1000;
        for target_quantile in [0.25, 0.5, 0.9] {
            let adaptive = AdaptiveClip { target_quantile, ..HALF };
            let mut clip_norm = 0.01;
            for _ in 0..200 {
                let below = (1..=n).filter(|&k| f64::from(k) / f64::from(n) <= clip_norm).count() as f64;
                clip_norm = adaptive.next(clip_norm, below - f64::from(n) / 2.0, f64::from(n));
            }
            assert!((clip_norm - target_quantile).abs() < 0.01, "{clip_norm}, expected {target_quantile}");
        }
    }

    /// Noise that is cut off nowhere takes the clip norm nowhere else.
    #[test]
    fn noise_leaves_the_quantile_where_it_is() {
        let (adaptive, n) = (AdaptiveClip { target_quantile: 0.9, ..HALF }, 100.0);
        // Of mean 0, and of deviation 30: a third of the units.
        let noise = [30.0 * 1.5f64.sqrt(), 0.0, -30.0 * 1.5f64.sqrt()];
        let (mut clip_norm, mut sum) = (0.5f64, 0.0);
        for step in 0..3000 {
            let below = (n * clip_norm).floor().min(n);
            clip_norm = adaptive.next(clip_norm, below - n / 2.0 + noise[step % 3], n);
            sum += if step < 600 { 0.0 } else { clip_norm.ln() };
        }
        let found = (sum / 2400.0).exp();
        assert!((found - 0.9).abs() < 0.03, "{found}");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let name = |adaptive: AdaptiveClip| match adaptive.check(2.0) {
            Err(MitigateError::AdaptiveClip { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(name(AdaptiveClip { target_quantile: 1.1, ..HALF }), "target_quantile");
        for target_quantile in [0.0, 1.0, f64::NAN] {
            assert_eq!(name(AdaptiveClip { target_quantile, ..HALF }), "target_quantile");
        }
        assert_eq!(name(AdaptiveClip { learning_rate: 0.0, ..HALF }), "learning_rate");
        assert_eq!(name(AdaptiveClip { count_noise: 1.0, ..HALF }), "count_noise");
        assert_eq!(name(AdaptiveClip { count_noise: f64::INFINITY, ..HALF }), "count_noise");
        assert_eq!(HALF.check(2.0), Ok(()));
        assert_eq!(AdaptiveClip { count_noise: 0.0, ..HALF }.check(0.0), Ok(()));
    }
}
