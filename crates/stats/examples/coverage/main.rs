//! How often intervals of an AUROC contain it: simulated experiments at several shapes, sizes and AUROCs.
//!
//! `cargo run --release -p userprint-stats --example coverage` prints the tables of `docs/results/coverage.md`.
#![allow(clippy::print_stdout, reason = "a program for people")]

mod shape;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use userprint_stats::{Interval, Resamples, Roc, StatsError};

use shape::{SHAPES, Shape};

const EXPERIMENTS: u64 = 10_000;
const RESAMPLES: u32 = 400;
const AUROCS: [f64; 6] = [0.5, 0.6, 0.7, 0.8, 0.9, 0.98];
const SIZES: [[usize; 2]; 7] = [[5, 5], [10, 10], [20, 20], [50, 50], [200, 200], [20, 200], [200, 20]];

/// The methods compared, and each one's 95 % interval; a method that cannot say does not cover.
type Method = (&'static str, fn(&Roc, u64) -> Result<Interval, StatsError>);
const METHODS: [Method; 6] = [
    ("printed", |roc, _| roc.auroc_interval(0.05)),
    ("Newcombe", |roc, _| roc.newcombe_interval(0.05)),
    ("DeLong", |roc, _| wald(roc)),
    ("logit DeLong", |roc, _| roc.logit_delong_interval(0.05)),
    ("percentile", |roc, seed| Resamples::of_auroc(roc, RESAMPLES, seed)?.percentile_interval(0.05)),
    ("BCa", |roc, seed| Resamples::of_auroc(roc, RESAMPLES, seed)?.bca_interval(0.05)),
];

fn wald(roc: &Roc) -> Result<Interval, StatsError> {
    let (auroc, reach) = (roc.auroc(), 1.959_963_984_540_054 * roc.delong_variance()?.sqrt());
    Ok(Interval { lower: auroc - reach, upper: auroc + reach })
}

/// How often an interval was given and covered, and the sum of widths.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    covered: u64,
    width: f64,
}

fn tally(roc: &Roc, auroc: f64, seed: u64) -> [Tally; METHODS.len()] {
    METHODS.map(|(_, interval)| match interval(roc, seed) {
        Ok(interval) => {
            Tally { covered: interval.contains(auroc).into(), width: interval.upper - interval.lower }
        }
        Err(_) => Tally::default(),
    })
}

fn add(a: [Tally; METHODS.len()], b: [Tally; METHODS.len()]) -> [Tally; METHODS.len()] {
    std::array::from_fn(|i| Tally { covered: a[i].covered + b[i].covered, width: a[i].width + b[i].width })
}

fn simulate(shape: Shape, auroc: f64, sizes: [usize; 2]) -> [Tally; METHODS.len()] {
    let parameter = shape.parameter(auroc);
    let experiment = |experiment: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(2026);
        rng.set_stream(experiment);
        tally(&shape.draw(auroc, parameter, sizes, &mut rng), auroc, experiment)
    };
    let zero = [Tally::default(); METHODS.len()];
    (0..EXPERIMENTS).into_par_iter().map(experiment).reduce(|| zero, add)
}

fn print_table(shape: Shape, name: &str, sizes: &[[usize; 2]]) {
    println!("\n## {name}\n");
    println!("| held-in | held-out | AUROC | {} |", METHODS.map(|method| method.0).join(" | "));
    println!("|{}", "---|".repeat(METHODS.len() + 3));
    for &[n, m] in sizes {
        for auroc in AUROCS {
            let cells = simulate(shape, auroc, [n, m]).map(|tally| {
                let share = |sum: f64| sum / EXPERIMENTS as f64;
                format!("{:.3} ({:.3})", share(tally.covered as f64), share(tally.width))
            });
            println!("| {n} | {m} | {auroc} | {} |", cells.join(" | "));
        }
    }
}

fn main() {
    for (shape, name) in SHAPES {
        print_table(shape, name, &SIZES);
    }
    print_table(
        Shape::Unequal(4.0),
        "normal, held-in of four times the deviation",
        &[[20, 20], [20, 200], [30, 1000]],
    );
}
