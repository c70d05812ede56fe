//! Against enumeration and scipy, and bad input.

use super::*;

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

#[test]
fn bad_input() {
    assert!(bootstrap_auroc(&[], &HELD_OUT, 10, 0).is_err());
    assert!(bootstrap_auroc(&HELD_IN, &[f64::NAN], 10, 0).is_err());
    let error = bootstrap_auroc(&HELD_IN, &HELD_OUT, 1, 0).unwrap_err();
    assert_eq!(error.to_string(), "expected at least 2 resamples, found 1");
    let tied = bootstrap_auroc(&[1.0], &[1.0], 10, 0).unwrap();
    assert_eq!((tied.mean, tied.std_dev), (0.5, 0.0));
}
