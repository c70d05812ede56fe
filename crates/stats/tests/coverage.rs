//! Intervals cover: the printed one of an AUROC at the shapes of `examples/coverage`, those of differences and of pools.

#[path = "../examples/coverage/shape.rs"]
mod shape;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use shape::{SHAPES, Shape};
use statrs::distribution::{ContinuousCDF, Normal};
use userprint_stats::{Stratum, paired_delong, pooled_interval};

/// Asserts that of 2000 experiments at least .95 less 4 standard errors are covered.
///
/// Were the coverage .95, a false alarm would have chance below 4e-5.
#[track_caller]
fn check(shape: Shape, auroc: f64, sizes: [usize; 2]) {
    let parameter = shape.parameter(auroc);
    let covers = |experiment: &u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(2006);
        rng.set_stream(*experiment);
        shape.draw(auroc, parameter, sizes, &mut rng).auroc_interval(0.05).is_ok_and(|i| i.contains(auroc))
    };
    let covered = (0..2000).into_par_iter().filter(covers).count();
    assert!(covered >= 1861, "{covered} of 2000: {shape:?}, {sizes:?}, {auroc}");
}

/// 125 cases: chance of a false alarm below .005 in all.
#[test]
fn covers_from_20_users_up_to_auroc_9() {
    for (shape, _) in SHAPES {
        for sizes in [[20, 20], [50, 50], [200, 200], [20, 200], [200, 20]] {
            for auroc in [0.5, 0.6, 0.7, 0.8, 0.9] {
                check(shape, auroc, sizes);
            }
        }
    }
}

/// Where the result says approximate it still covers at these shapes.
#[test]
fn covers_fewer_users_and_higher_aurocs_of_these_shapes() {
    for (shape, _) in SHAPES {
        for (sizes, auroc) in
            [([5, 5], 0.5), ([5, 5], 0.9), ([10, 10], 0.98), ([20, 200], 0.98), ([200, 20], 0.98)]
        {
            check(shape, auroc, sizes);
        }
    }
}

/// At the significance of the null check, .001: of 20,000 experiments at most 40 are missed.
///
/// Were the coverage .999, more had a chance below 4e-5 a case.
#[test]
fn covers_at_a_small_significance() {
    for (shape, _) in SHAPES {
        for (sizes, auroc) in [([20, 20], 0.5), ([50, 50], 0.9), ([20, 200], 0.5)] {
            let parameter = shape.parameter(auroc);
            let misses = |experiment: &u64| {
                let mut rng = ChaCha8Rng::seed_from_u64(1945);
                rng.set_stream(*experiment);
                let roc = shape.draw(auroc, parameter, sizes, &mut rng);
                !roc.auroc_interval(0.001).is_ok_and(|interval| interval.contains(auroc))
            };
            let missed = (0..20_000).into_par_iter().filter(misses).count();
            assert!(missed <= 40, "{missed} of 20,000: {shape:?}, {sizes:?}, {auroc}");
        }
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    Normal::standard().inverse_cdf(rng.random_range(1e-15..1.0))
}

/// How much higher a held-in user is, in deviations, for an AUROC.
fn shift(auroc: f64) -> f64 {
    2f64.sqrt() * Normal::standard().inverse_cdf(auroc)
}

/// How often 2000 experiments are covered.
fn n_covered(covers: impl Fn(&mut ChaCha8Rng) -> bool + Sync) -> usize {
    let covers = |experiment: &u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(1988);
        rng.set_stream(*experiment);
        covers(&mut rng)
    };
    (0..2000).into_par_iter().filter(covers).count()
}

/// Wald's interval of a difference is approximate: at 50 a side it is held to .935, less 4 standard errors.
#[test]
fn differences_of_correlated_statistics_are_covered() {
    for (aurocs, correlation) in
        [([0.7, 0.6], 0.5f64), ([0.6, 0.6], 0.8), ([0.8, 0.75], 0.9), ([0.85, 0.6], 0.0)]
    {
        for sizes in [[50, 50], [50, 200], [200, 50]] {
            let held_in: Vec<bool> = (0..sizes[0] + sizes[1]).map(|user| user < sizes[0]).collect();
            let covered = n_covered(|rng| {
                let (mut first, mut second) = (Vec::new(), Vec::new());
                for &held_in in &held_in {
                    let (common, side) = (normal(rng), f64::from(u8::from(held_in)));
                    let mut of = |auroc: f64| {
                        let own = (1.0 - correlation).sqrt() * normal(rng);
                        side * shift(auroc) + correlation.sqrt() * common + own
                    };
                    first.push(of(aurocs[0]));
                    second.push(of(aurocs[1]));
                }
                let paired = paired_delong(&first, &second, &held_in, 0.05).expect("draws are finite");
                paired.interval.contains(aurocs[0] - aurocs[1])
            });
            assert!(covered >= 1826, "{covered} of 2000: {aurocs:?}, {correlation}, {sizes:?}");
        }
    }
}

/// Three runs that split the same users anew, whose statistics go with the user, too.
#[test]
fn pooled_runs_are_covered() {
    for (auroc, of_user) in [(0.5, 0.0), (0.7, 0.5), (0.85, 0.2)] {
        for n_users in [40, 100] {
            let covered = n_covered(|rng| {
                let users: Vec<f64> = (0..n_users).map(|_| normal(rng)).collect();
                let mut run = || {
                    let mut run = Stratum::default();
                    for (user, own) in (0..).zip(&users) {
                        let held_in = rng.random::<bool>();
                        let noise = f64::sqrt(1.0 - of_user) * normal(rng);
                        run.user.push(user);
                        run.held_in.push(held_in);
                        let side = f64::from(u8::from(held_in));
                        run.statistic.push(side * shift(auroc) + f64::sqrt(of_user) * own + noise);
                    }
                    run
                };
                let runs = [run(), run(), run()];
                pooled_interval(&runs, 200, 0.05, 3).expect("draws are finite").contains(auroc)
            });
            assert!(covered >= 1861, "{covered} of 2000: {auroc}, {of_user}, {n_users}");
        }
    }
}

/// 400 000 users a side: the standard error is below .0008.
#[test]
fn shapes_have_their_auroc() {
    for (shape, name) in SHAPES {
        for auroc in [0.5, 0.8, 0.98] {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let found = shape.draw(auroc, shape.parameter(auroc), [400_000; 2], &mut rng).auroc();
            assert!((found - auroc).abs() < 0.004, "{name} {auroc}: {found}");
        }
    }
}
