//! Against enumeration, scipy and leaving out each user, and bad input.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::*;
use crate::golden::{cases, check_close};
use crate::normal;

const HELD_IN: [f64; 4] = [0.0, 4.0, 6.0, 7.0];
const HELD_OUT: [f64; 4] = [1.0, 2.0, 3.0, 5.0];

/// Mean and standard deviation over all 4^8 resamples, by enumeration.
fn by_enumeration() -> (f64, f64) {
    let wins = |code: usize| -> f64 {
        let digit = |place: usize| (code >> (2 * place)) & 3;
        let mut won = 0;
        for i in 0..4 {
            for o in 4..8 {
                won += usize::from(HELD_IN[digit(i)] > HELD_OUT[digit(o)]);
            }
        }
        won as f64 / 16.0
    };
    let n = 65536.0;
    let mean = (0..65536).map(wins).sum::<f64>() / n;
    let variance = (0..65536).map(|code| (wins(code) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// 20 000 resamples: each bound is beyond 6 standard errors, chance below 1e-8.
#[test]
fn agrees_with_enumeration() {
    let (mean, std_dev) = by_enumeration();
    let bootstrap = bootstrap_auroc(&HELD_IN, &HELD_OUT, 20_000, 1).unwrap();
    assert!((mean - 11.0 / 16.0).abs() < 1e-12);
    assert!((bootstrap.mean - mean).abs() < 6.0 * std_dev / 20_000f64.sqrt());
    assert!((bootstrap.std_dev - std_dev).abs() < 6.0 * std_dev / 40_000f64.sqrt());
}

#[test]
fn threads_do_not_matter_and_the_seed_does() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bootstrap_auroc(&HELD_IN, &HELD_OUT, 101, 5)).unwrap()
    };
    assert_eq!(on(1), on(3));
    assert_ne!(on(1), bootstrap_auroc(&HELD_IN, &HELD_OUT, 101, 6).unwrap());
}

#[derive(Debug, Deserialize)]
struct Case {
    held_in: Vec<f64>,
    held_out: Vec<f64>,
    resamples: Vec<f64>,
    acceleration: f64,
    percentile_of_resamples: [f64; 2],
    bca_of_resamples: [f64; 2],
    percentile: [f64; 2],
    bca: [f64; 2],
    tpr_acceleration: Option<f64>,
}

/// On scipy's resamples: the same acceleration, bias and quantiles.
#[test]
fn agrees_with_scipy_on_its_resamples() {
    for case in cases::<Case>("bootstrap") {
        let roc = Roc::new(&case.held_in, &case.held_out).unwrap();
        let acceleration = Resamples::of_auroc(&roc, 2, 0).unwrap().acceleration.unwrap();
        assert!((acceleration - case.acceleration).abs() < 1e-12, "{acceleration} {case:?}");
        let resamples = Resamples::new(roc.auroc(), case.resamples.clone(), Ok(acceleration));
        for (found, [lower, upper]) in [
            (resamples.percentile_interval(0.1).unwrap(), case.percentile_of_resamples),
            (resamples.bca_interval(0.1).unwrap(), case.bca_of_resamples),
        ] {
            assert!((found.lower - lower).abs() < 1e-12 && (found.upper - upper).abs() < 1e-12, "{case:?}");
        }
    }
}

/// Of our 9999 resamples about as many lie beyond scipy's ends, which come of 9999 of its own, as beyond ours.
///
/// Both shares have a standard error of about .0022 at worst; 8 of these have chance below 1e-8.
#[test]
fn agrees_with_scipy_on_our_resamples() {
    for case in cases::<Case>("bootstrap") {
        let roc = Roc::new(&case.held_in, &case.held_out).unwrap();
        let resamples = Resamples::of_auroc(&roc, 9999, 4).unwrap();
        let agrees = |ours: f64, scipys: f64| {
            let (low, high) = (ours.min(scipys), ours.max(scipys));
            let between = resamples.sorted.iter().filter(|&&value| low < value && value < high).count();
            assert!(between as f64 / 9999.0 < 0.018, "{ours} and {scipys}: {case:?}");
        };
        for (ours, scipys) in [
            (resamples.percentile_interval(0.05).unwrap(), case.percentile),
            (resamples.bca_interval(0.05).unwrap(), case.bca),
        ] {
            agrees(ours.lower, scipys[0]);
            agrees(ours.upper, scipys[1]);
        }
    }
}

#[test]
fn accelerations_agree_with_leaving_out_each_user() {
    let mut compared = 0;
    for case in cases::<Case>("bootstrap") {
        let roc = Roc::new(&case.held_in, &case.held_out).unwrap();
        let found = Resamples::of_tpr_at_fpr(&roc, 0.34, 2, 0).unwrap().acceleration;
        if case.held_out.len() <= 3 {
            continue;
        }
        match (found, case.tpr_acceleration) {
            (Ok(found), Some(expected)) => {
                assert!((found - expected).abs() < 1e-12, "{found} {expected} {case:?}");
                compared += 1;
            }
            (found, expected) => {
                assert_eq!((found, expected), (Err(StatsError::NoVariance), None), "{case:?}");
            }
        }
    }
    assert!(compared >= 30, "{compared}");
}

#[derive(Debug, Deserialize)]
struct Pair {
    held_in: Vec<bool>,
    first: Vec<f64>,
    second: Vec<f64>,
    difference: f64,
    acceleration: f64,
}

#[test]
fn paired_accelerations_agree_with_leaving_out_each_user() {
    for case in cases::<Pair>("paired") {
        let resamples = Resamples::of_paired_auroc(&case.first, &case.second, &case.held_in, 2, 0).unwrap();
        assert!((resamples.estimate() - case.difference).abs() < 1e-14, "{case:?}");
        check_close(resamples.acceleration.unwrap(), case.acceleration, 1e-10, &case);
    }
}

/// The users of one resample, written out as often as they were drawn.
fn written_out(values: &[f64], times: &[u16]) -> Vec<f64> {
    values.iter().zip(times).flat_map(|(&value, &times)| vec![value; usize::from(times)]).collect()
}

proptest! {
    #[test]
    fn counted_users_are_users_written_out(
        a in prop::collection::vec((-4i8..4).prop_map(f64::from), 1..20),
        b in prop::collection::vec((-4i8..4).prop_map(f64::from), 1..20),
        fpr in 0.0f64..=1.0,
        seed in any::<u64>(),
    ) {
        let roc = Roc::new(&a, &b).unwrap();
        let (held_in, held_out) = roc.sorted_sides();
        let compare = |times: &mut Times| {
            let drawn = |side: &[f64], other: &[f64]| {
                Roc::new(&written_out(side, &times.held_in), &written_out(other, &times.held_out)).unwrap()
            };
            let (unsorted, sorted) = (drawn(&a, &b), drawn(held_in, held_out));
            let mut differs = (Ranks::new(&a, &b).auroc(times) - unsorted.auroc()).abs();
            differs += (Ranks::of_sorted(held_in, held_out).auroc(times) - sorted.auroc()).abs();
            if let Ok(n_allowed) = roc.allowed_at_fpr(fpr) {
                let found = Detected { held_in, held_out, n_allowed }.tpr(times);
                differs += (found - sorted.tpr_at_fpr(fpr).unwrap()).abs();
            }
            differs
        };
        let differences = over_resamples([a.len(), b.len()], 4, seed, compare).unwrap();
        prop_assert!(differences.iter().all(|&difference| difference < 1e-14), "{:?}", differences);
    }

    #[test]
    fn order_and_monotone_maps_change_nothing(
        a in prop::collection::vec((-9i8..9).prop_map(f64::from), 2..20),
        b in prop::collection::vec((-9i8..9).prop_map(f64::from), 2..20),
    ) {
        let map = |x: &[f64]| x.iter().rev().map(|v| v.exp() - 1.0).collect::<Vec<_>>();
        prop_assert_eq!(bootstrap_auroc(&a, &b, 20, 3), bootstrap_auroc(&map(&a), &map(&b), 20, 3));
    }

    #[test]
    fn intervals_nest(
        a in prop::collection::vec(-9.0f64..9.0, 4..20),
        b in prop::collection::vec(-9.0f64..9.0, 4..20),
    ) {
        let resamples = Resamples::of_auroc(&Roc::new(&a, &b).unwrap(), 400, 3).unwrap();
        for interval in [Resamples::percentile_interval, Resamples::bca_interval] {
            if let (Ok(narrow), Ok(wide)) = (interval(&resamples, 0.3), interval(&resamples, 0.05)) {
                prop_assert!(wide.lower <= narrow.lower && narrow.upper <= wide.upper);
                prop_assert!(0.0 <= wide.lower && wide.upper <= 1.0);
            }
        }
    }
}

/// Two statistics of one order have no difference in any resample; their resamples are those of one draw.
#[test]
fn pairs_are_drawn_together() {
    let first: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 40)).collect();
    let second: Vec<f64> = first.iter().map(|v| v.exp().ln_1p()).collect();
    let held_in: Vec<bool> = (0..40).map(|i| i % 2 == 0).collect();
    let resamples = Resamples::of_paired_auroc(&first, &second, &held_in, 50, 1).unwrap();
    assert_eq!((resamples.sorted[0], resamples.sorted[49]), (0.0, 0.0));
    assert_eq!(resamples.percentile_interval(0.05), Err(StatsError::NoVariance));
}

/// 400 experiments of 50 users a side with 400 resamples at AUROC .8, shared noise .7 between two statistics.
///
/// Coverage of these is about .94; below .89 has chance below 1e-4.
#[test]
fn differences_are_covered() {
    let mut rng = ChaCha8Rng::seed_from_u64(1993);
    let shift = 2f64.sqrt() * normal::quantile(0.8);
    let covers = |rng: &mut ChaCha8Rng, seed: u64| {
        let mut draw = || normal::quantile(rng.random_range(1e-12..1.0));
        let held_in: Vec<bool> = (0..100).map(|i| i < 50).collect();
        let (first, second): (Vec<f64>, Vec<f64>) = held_in
            .iter()
            .map(|&held_in| {
                let (shared, mean) = (0.7f64.sqrt() * draw(), if held_in { shift } else { 0.0 });
                (mean + shared + 0.3f64.sqrt() * draw(), mean + shared + 0.3f64.sqrt() * draw())
            })
            .unzip();
        let resamples = Resamples::of_paired_auroc(&first, &second, &held_in, 400, seed).unwrap();
        [resamples.percentile_interval(0.05).unwrap(), resamples.bca_interval(0.05).unwrap()]
            .map(|interval| usize::from(interval.contains(0.0)))
    };
    let covered = (0..400).map(|seed| covers(&mut rng, seed)).fold([0, 0], |a, b| [a[0] + b[0], a[1] + b[1]]);
    assert!(covered.iter().all(|&covered| (356..=397).contains(&covered)), "{covered:?} of 400");
}

#[test]
fn bad_input() {
    assert!(bootstrap_auroc(&[], &HELD_OUT, 10, 0).is_err());
    assert!(bootstrap_auroc(&HELD_IN, &[f64::NAN], 10, 0).is_err());
    let error = bootstrap_auroc(&HELD_IN, &HELD_OUT, 1, 0).unwrap_err();
    assert_eq!(error.to_string(), "expected at least 2 resamples, found 1");
    let tied = bootstrap_auroc(&[1.0], &[1.0], 10, 0).unwrap();
    assert_eq!((tied.mean, tied.std_dev), (0.5, 0.0));
    let roc = Roc::new(&HELD_IN, &HELD_OUT).unwrap();
    assert!(matches!(Resamples::of_tpr_at_fpr(&roc, 0.1, 10, 0), Err(StatsError::FprBelowResolution { .. })));
    let resamples = Resamples::of_auroc(&roc, 39, 0).unwrap();
    let error = resamples.percentile_interval(0.05).unwrap_err();
    assert_eq!(error, StatsError::TooFewResamples { found: 39, needed: 40 });
    assert!(resamples.bca_interval(f64::NAN).is_err());
    assert!(Resamples::of_paired_auroc(&[1.0], &[1.0], &[], 10, 0).is_err());
    assert!(Resamples::of_paired_auroc(&[1.0, 2.0], &[1.0, 2.0], &[true, true], 10, 0).is_err());
    let one_sided = Resamples::new(0.5, vec![0.6; 50].into_iter().chain([0.7]).collect(), Ok(0.0));
    let error = StatsError::OneSidedResamples { below: 0.0, resamples: 51 };
    assert_eq!(one_sided.bca_interval(0.05), Err(error));
    assert_eq!(
        Resamples::new(0.5, vec![0.4, 0.6, 0.5, 0.4], Err(StatsError::NoVariance)).bca_interval(0.6),
        Err(StatsError::NoVariance)
    );
}
