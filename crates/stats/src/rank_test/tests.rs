//! Against scipy, against counting all orders, and bad input.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::*;
use crate::Side;
use crate::golden::{alternative, cases, check_close};

#[derive(Debug, Deserialize)]
struct Case {
    held_in: Vec<f64>,
    held_out: Vec<f64>,
    #[serde(deserialize_with = "alternative")]
    alternative: Alternative,
    is_exact: bool,
    auroc: f64,
    p_value: f64,
}

#[test]
fn agrees_with_scipy() {
    for case in cases::<Case>("rank_tests") {
        let found = mann_whitney(&case.held_in, &case.held_out, case.alternative).unwrap();
        assert!((found.auroc - case.auroc).abs() < 1e-14, "{case:?}");
        check_close(found.p_value, case.p_value, 1e-11, &case);
        assert_eq!(found.is_exact, case.is_exact, "{case:?}");
    }
}

/// All ways to choose which of `n + m` ranks are held-in, by bits.
fn upper_tail_by_orders(n: usize, m: usize, least_won: usize) -> f64 {
    let won = |held_in: u32| {
        (0..n + m)
            .filter(|i| held_in >> i & 1 == 1)
            .map(|i| (!held_in & ((1 << i) - 1)).count_ones())
            .sum::<u32>()
    };
    let orders: Vec<u32> = (0..1 << (n + m)).filter(|o: &u32| o.count_ones() as usize == n).collect();
    orders.iter().filter(|&&o| won(o) as usize >= least_won).count() as f64 / orders.len() as f64
}

#[test]
fn agrees_with_all_orders() {
    for (n, m) in [(1, 1), (1, 6), (3, 4), (5, 5), (6, 3)] {
        let orders = orders_by_wins(n, m).unwrap();
        let all = orders.iter().sum::<u128>() as f64;
        for won in 0..=n * m {
            let tail = orders[won..].iter().sum::<u128>() as f64 / all;
            assert!((tail - upper_tail_by_orders(n, m, won)).abs() < 1e-15, "{won} of {n} x {m}");
        }
    }
}

/// The largest counts that fit: they sum to the binomial coefficient, and mirror.
#[test]
fn large_counts_do_not_overflow() {
    let orders = orders_by_wins(63, 63).unwrap();
    assert_eq!(orders.iter().sum::<u128>(), 6_034_934_435_761_406_706_427_864_636_568_328_000);
    assert!(orders.iter().eq(orders.iter().rev()));
    assert!(orders[..=orders.len() / 2].is_sorted(), "the counts rise up to the middle");
    assert!(orders_by_wins(70, 70).is_none() && orders_by_wins(1000, 1000).is_none());
    assert_eq!(orders_by_wins(1, 1_000_000).unwrap().len(), 1_000_001);
}

proptest! {
    #[test]
    fn swapping_sides_swaps_tails(
        a in prop::collection::vec((-9i8..9).prop_map(f64::from), 1..12),
        b in prop::collection::vec((-9i8..9).prop_map(f64::from), 1..12),
    ) {
        let test = |x: &[f64], y: &[f64], alternative| mann_whitney(x, y, alternative).unwrap();
        let (greater, less) = (test(&a, &b, Alternative::Greater), test(&b, &a, Alternative::Less));
        prop_assert!((greater.p_value - less.p_value).abs() < 1e-12);
        prop_assert!((greater.auroc + less.auroc - 1.0).abs() < 1e-12);
        let both = test(&a, &b, Alternative::TwoSided).p_value;
        prop_assert!(0.0 < both && both <= 1.0 && both <= 2.0 * greater.p_value * (1.0 + 1e-12));
    }
}

/// 4000 experiments a shape: beyond 5 standard errors has chance below 3e-7 at each of 12.
///
/// With ties the p-value is a normal approximation, which with the continuity correction errs to the safe side here.
#[test]
fn p_values_are_super_uniform_under_the_null() {
    let mut rng = ChaCha8Rng::seed_from_u64(1947);
    for (n, m, levels) in [(5, 6, 1e9), (30, 30, 1e9), (12, 15, 5.0), (100, 90, 1e9)] {
        let mut at_most = [0u32; 3];
        for _ in 0..4000 {
            let mut draw =
                |n: usize| -> Vec<f64> { (0..n).map(|_| (rng.random::<f64>() * levels).floor()).collect() };
            let p_value = mann_whitney(&draw(n), &draw(m), Alternative::Greater).unwrap().p_value;
            for (s, count) in [0.01, 0.05, 0.2].into_iter().zip(&mut at_most) {
                *count += u32::from(p_value <= s);
            }
        }
        for (s, count) in [0.01, 0.05, 0.2f64].into_iter().zip(at_most) {
            let most = s + 5.0 * (s * (1.0 - s) / 4000.0).sqrt();
            assert!(f64::from(count) / 4000.0 <= most, "{count} of 4000 at {s}, {n} and {m}");
        }
    }
}

#[test]
fn bad_input() {
    let error = mann_whitney(&[], &[1.0], Alternative::Less).unwrap_err();
    assert_eq!(error, StatsError::EmptySide { side: Side::HeldIn });
    assert!(mann_whitney(&[1.0], &[f64::NAN], Alternative::Less).is_err());
    let tied = mann_whitney(&[1.0; 3], &[1.0; 4], Alternative::TwoSided).unwrap();
    assert_eq!((tied.auroc, tied.p_value, tied.is_exact), (0.5, 1.0, true));
}
