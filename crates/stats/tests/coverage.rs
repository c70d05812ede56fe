//! The printed AUROC interval covers at the shapes of `examples/coverage`.

#[path = "../examples/coverage/shape.rs"]
mod shape;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use shape::{SHAPES, Shape};

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
