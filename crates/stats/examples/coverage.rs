//! How often intervals of an AUROC contain it: simulated experiments at several shapes, sizes and AUROCs.
//!
//! `cargo run --release -p userprint-stats --example coverage`; it prints `docs/results/coverage.md`'s tables.
#![allow(clippy::print_stdout, reason = "a program for people")]

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use userprint_stats::{Interval, Resamples, Roc};

const EXPERIMENTS: u64 = 2000;
const RESAMPLES: u32 = 400;
const AUROCS: [f64; 6] = [0.5, 0.6, 0.7, 0.8, 0.9, 0.98];
const SIZES: [(usize, usize); 7] = [(5, 5), (10, 10), (20, 20), (50, 50), (200, 200), (20, 200), (200, 20)];
const METHODS: [&str; 8] =
    ["printed", "Newcombe", "DeLong", "logit DeLong", "logit t", "wider n,l", "percentile", "BCa"];

#[derive(Clone, Copy, Debug)]
enum Shape {
    Normal,
    UnequalVariance,
    Exponential,
    FiveLevels,
    Mixture,
}

const SHAPES: [(Shape, &str); 5] = [
    (Shape::Normal, "normal"),
    (Shape::UnequalVariance, "normal, held-in of deviation 2"),
    (Shape::Exponential, "exponential"),
    (Shape::FiveLevels, "five levels"),
    (Shape::Mixture, "lognormal mixture"),
];

fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

fn draw_normal(rng: &mut ChaCha8Rng) -> f64 {
    normal_quantile(rng.random_range(1e-15..1.0))
}

impl Shape {
    /// What the AUROC asks of the shape's one free parameter.
    fn parameter(self, auroc: f64) -> f64 {
        match self {
            Self::Normal => 2f64.sqrt() * normal_quantile(auroc),
            Self::UnequalVariance => 5f64.sqrt() * normal_quantile(auroc),
            Self::Exponential => auroc / (1.0 - auroc),
            Self::FiveLevels => {
                let (mut low, mut high) = (0.0, 20.0);
                for _ in 0..200 {
                    let middle = f64::midpoint(low, high);
                    if levels_auroc(middle) < auroc { low = middle } else { high = middle }
                }
                low
            }
            // A share 1 - auroc of held-in users is like the held-out.
            Self::Mixture => 1.25f64.sqrt() * normal_quantile((1.5 * auroc - 0.5) / auroc),
        }
    }

    fn draw(self, auroc: f64, parameter: f64, sizes: (usize, usize), rng: &mut ChaCha8Rng) -> Roc {
        let mut held_in = || match self {
            Self::Normal => parameter + draw_normal(rng),
            Self::UnequalVariance => parameter + 2.0 * draw_normal(rng),
            Self::Exponential => -parameter * rng.random_range(1e-300f64..1.0).ln(),
            Self::FiveLevels => level(parameter / 2.0 + draw_normal(rng)),
            Self::Mixture if rng.random::<f64>() < 1.0 - auroc => draw_normal(rng).exp(),
            Self::Mixture => (parameter + 0.5 * draw_normal(rng)).exp(),
        };
        let held_in: Vec<f64> = (0..sizes.0).map(|_| held_in()).collect();
        let mut held_out = || match self {
            Self::Normal | Self::UnequalVariance => draw_normal(rng),
            Self::Exponential => -rng.random_range(1e-300f64..1.0).ln(),
            Self::FiveLevels => level(-parameter / 2.0 + draw_normal(rng)),
            Self::Mixture => draw_normal(rng).exp(),
        };
        let held_out: Vec<f64> = (0..sizes.1).map(|_| held_out()).collect();
        Roc::new(&held_in, &held_out).expect("draws are finite")
    }
}

fn level(value: f64) -> f64 {
    value.round().clamp(-2.0, 2.0)
}

/// The AUROC of two normals `shift` apart that are rounded to five levels in the middle.
fn levels_auroc(shift: f64) -> f64 {
    let cdf = |cut: f64, mean: f64| if cut > 2.0 { 1.0 } else { Normal::standard().cdf(cut - mean) };
    (-2..=2)
        .map(|level| {
            let (low, high) =
                (if level == -2 { -1e9 } else { f64::from(level) - 0.5 }, f64::from(level) + 0.5);
            let share = cdf(high, shift / 2.0) - cdf(low, shift / 2.0);
            share * f64::midpoint(cdf(low, -shift / 2.0), cdf(high, -shift / 2.0))
        })
        .sum()
}

fn wider(a: Interval, b: Interval) -> Interval {
    Interval { lower: a.lower.min(b.lower), upper: a.upper.max(b.upper) }
}

/// The intervals of one experiment, in the order of [`METHODS`]; none where a method cannot say.
fn intervals(roc: &Roc, sizes: (usize, usize), seed: u64) -> [Option<Interval>; METHODS.len()] {
    let auroc = roc.auroc();
    let variance = roc.delong_variance().expect("at least 2 a side");
    let around = |reach: f64| Interval { lower: auroc - reach, upper: auroc + reach };
    let newcombe = roc.newcombe_interval(0.05).ok();
    let logit = roc.logit_delong_interval(0.05).ok();
    let freedom = (sizes.0.min(sizes.1) - 1) as f64;
    let t = StudentsT::new(0.0, 1.0, freedom).expect("positive").inverse_cdf(0.975);
    let level = 2.0 * Normal::standard().sf(t);
    let resamples = Resamples::of_auroc(roc, RESAMPLES, seed).expect("enough resamples");
    [
        roc.auroc_interval(0.05).ok(),
        newcombe,
        Some(around(1.959_963_984_540_054 * variance.sqrt())),
        logit,
        roc.logit_delong_interval(level).ok(),
        newcombe.map(|n| logit.map_or(n, |l| wider(n, l))),
        resamples.percentile_interval(0.05).ok(),
        resamples.bca_interval(0.05).ok(),
    ]
}

/// Share of experiments in which each method's interval contains the AUROC, and its mean width.
fn simulate(shape: Shape, auroc: f64, sizes: (usize, usize), seed: u64) -> [(f64, f64); METHODS.len()] {
    let parameter = shape.parameter(auroc);
    let of_experiment = |experiment: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(experiment);
        let roc = shape.draw(auroc, parameter, sizes, &mut rng);
        intervals(&roc, sizes, experiment).map(|interval| {
            interval.map_or((0.0, 0.0), |i| (f64::from(u8::from(i.contains(auroc))), i.upper - i.lower))
        })
    };
    let add = |a: [(f64, f64); METHODS.len()], b: [(f64, f64); METHODS.len()]| {
        std::array::from_fn(|i| (a[i].0 + b[i].0, a[i].1 + b[i].1))
    };
    let zero = [(0.0, 0.0); METHODS.len()];
    let sum = (0..EXPERIMENTS).into_par_iter().map(of_experiment).reduce(|| zero, add);
    sum.map(|(covered, width)| (covered / EXPERIMENTS as f64, width / EXPERIMENTS as f64))
}

fn main() {
    for (shape, name) in SHAPES {
        println!("\n## {name}\n");
        println!("| held-in | held-out | AUROC | {} |", METHODS.join(" | "));
        println!("|{}", "---|".repeat(METHODS.len() + 3));
        for sizes in SIZES {
            for auroc in AUROCS {
                let cells = simulate(shape, auroc, sizes, 2026)
                    .map(|(covered, width)| format!("{covered:.3} ({width:.2})"));
                println!("| {} | {} | {auroc} | {} |", sizes.0, sizes.1, cells.join(" | "));
            }
        }
    }
}
