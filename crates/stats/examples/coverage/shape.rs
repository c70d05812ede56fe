//! Shapes of statistics to simulate, each with one parameter that the AUROC sets.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};
use userprint_stats::Roc;

/// How the statistics of either side are distributed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Normals of one variance.
    Normal,
    /// Normals, the held-in of so many times the deviation.
    Unequal(f64),
    /// Exponentials of two means.
    Exponential,
    /// Normals rounded to five levels.
    FiveLevels,
    /// Lognormals; a share `1 - AUROC` of the held-in users is like the held-out, the others vary half as much.
    Mixture,
}

/// The shapes at which the printed interval is checked.
pub(crate) const SHAPES: [(Shape, &str); 5] = [
    (Shape::Normal, "normal"),
    (Shape::Unequal(2.0), "normal, held-in of twice the deviation"),
    (Shape::Exponential, "exponential"),
    (Shape::FiveLevels, "five levels"),
    (Shape::Mixture, "lognormal mixture"),
];

impl Shape {
    /// What the AUROC asks of the shape's parameter.
    pub(crate) fn parameter(self, auroc: f64) -> f64 {
        match self {
            Self::Normal => 2f64.sqrt() * quantile(auroc),
            Self::Unequal(ratio) => (1.0 + ratio * ratio).sqrt() * quantile(auroc),
            Self::Exponential => auroc / (1.0 - auroc),
            Self::FiveLevels => shift_of_levels(auroc),
            Self::Mixture => 1.25f64.sqrt() * quantile((1.5 * auroc - 0.5) / auroc),
        }
    }

    /// One experiment of so many held-in and held-out users.
    pub(crate) fn draw(self, auroc: f64, parameter: f64, sizes: [usize; 2], rng: &mut ChaCha8Rng) -> Roc {
        let held_in: Vec<f64> = (0..sizes[0]).map(|_| self.draw_held_in(auroc, parameter, rng)).collect();
        let held_out: Vec<f64> = (0..sizes[1]).map(|_| self.draw_held_out(parameter, rng)).collect();
        Roc::new(&held_in, &held_out).expect("draws are finite")
    }

    fn draw_held_in(self, auroc: f64, parameter: f64, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Normal => parameter + normal(rng),
            Self::Unequal(ratio) => parameter + ratio * normal(rng),
            Self::Exponential => parameter * exponential(rng),
            Self::FiveLevels => level(parameter / 2.0 + normal(rng)),
            Self::Mixture if rng.random::<f64>() < 1.0 - auroc => normal(rng).exp(),
            Self::Mixture => (parameter + 0.5 * normal(rng)).exp(),
        }
    }

    fn draw_held_out(self, parameter: f64, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Normal | Self::Unequal(_) => normal(rng),
            Self::Exponential => exponential(rng),
            Self::FiveLevels => level(-parameter / 2.0 + normal(rng)),
            Self::Mixture => normal(rng).exp(),
        }
    }
}

fn quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    quantile(rng.random_range(1e-15..1.0))
}

fn exponential(rng: &mut ChaCha8Rng) -> f64 {
    -rng.random_range(1e-300f64..1.0).ln()
}

fn level(value: f64) -> f64 {
    value.round().clamp(-2.0, 2.0)
}

/// How far apart two normals are that have the AUROC once they are rounded to levels.
fn shift_of_levels(auroc: f64) -> f64 {
    let (mut low, mut high) = (0.0, 20.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if auroc_of_levels(middle) < auroc { low = middle } else { high = middle }
    }
    low
}

fn auroc_of_levels(shift: f64) -> f64 {
    let below = |cut: i32, mean: f64| match cut {
        -2 => 0.0,
        3 => 1.0,
        _ => Normal::standard().cdf(f64::from(cut) - 0.5 - mean),
    };
    let share = |level: i32, mean: f64| below(level + 1, mean) - below(level, mean);
    let won = |level: i32| below(level, -shift / 2.0) + share(level, -shift / 2.0) / 2.0;
    (-2..=2).map(|level| share(level, shift / 2.0) * won(level)).sum()
}
