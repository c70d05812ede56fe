//! Contrasts against DeLong's test, and their error rates on drawn users.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Roc, paired_delong, pooled_auroc};

const N: u32 = 40;

fn labels() -> Vec<bool> {
    (0..N).map(|user| user % 2 == 0).collect()
}

/// Values of users: a trait of their own, what the attack sees beyond it, and noise.
fn draw(rng: &mut ChaCha8Rng, traits: &[f64], shift: f64) -> Vec<f64> {
    let normal = |rng: &mut ChaCha8Rng| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    let held_in = labels();
    (0..N as usize).map(|user| traits[user] + normal(rng) + if held_in[user] { shift } else { 0.0 }).collect()
}

fn run(statistic: Vec<f64>) -> Stratum {
    Stratum { user: (0..N).collect(), held_in: labels(), statistic }
}

fn term(factor: f64, strata: Vec<Stratum>) -> Term {
    Term { factor, strata }
}

#[test]
fn two_attacks_in_one_run_are_delongs() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..20 {
        let traits = vec![0.0; N as usize];
        let [a, b] = [0.8, 0.2].map(|shift| draw(&mut rng, &traits, shift));
        let expected = paired_delong(&a, &b, &labels(), 0.05).expect("there is variance");
        let found =
            contrast(&[term(1.0, vec![run(a.clone())]), term(-1.0, vec![run(b)])], 0.0).expect("as above");
        assert!((found.estimate - expected.difference).abs() < 1e-12);
        let interval = found.interval(0.05).expect("a significance");
        assert!((interval.lower - expected.interval.lower).abs() < 1e-12);
        let two_sided = 2.0 * found.above(0.0).min(found.below(0.0));
        assert!((two_sided - expected.p_value).abs() < 1e-12);
        let roc = Roc::from_labels(&a, &labels()).expect("two sides");
        let alone = contrast(&[term(1.0, vec![run(a)])], -0.5).expect("there is variance");
        assert!((alone.standard_error.powi(2) - roc.delong_variance().expect("two a side")).abs() < 1e-12);
        assert!((alone.estimate - (roc.auroc() - 0.5)).abs() < 1e-12);
    }
}

#[test]
fn runs_are_weighted_as_pooled() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let traits = vec![0.0; N as usize];
    let long = run(draw(&mut rng, &traits, 0.5));
    let short = Stratum {
        user: (0..10).collect(),
        held_in: labels()[..10].to_vec(),
        statistic: draw(&mut rng, &traits, 0.5)[..10].to_vec(),
    };
    let strata = vec![long, short];
    let pooled = pooled_auroc(&strata).expect("two sides");
    let found = contrast(&[term(1.0, strata)], 0.0).expect("there is variance");
    assert!((found.estimate - pooled).abs() < 1e-12);
    assert_eq!(found.n_users, N as usize);
}

#[test]
fn the_same_twice_has_no_variance() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let own = run(draw(&mut rng, &vec![0.0; N as usize], 0.5));
    let terms = [term(1.0, vec![own.clone()]), term(-1.0, vec![own])];
    assert_eq!(contrast(&terms, 0.0), Err(StatsError::NoVariance));
    // Sums over several runs do not cancel to the last bit.
    for _ in 0..50 {
        let runs: Vec<Stratum> =
            [0.1, 0.4, 0.9].map(|shift| run(draw(&mut rng, &vec![0.0; N as usize], shift))).to_vec();
        let terms = [term(1.0, runs.clone()), term(-1.0, runs)];
        assert_eq!(contrast(&terms, 0.0), Err(StatsError::NoVariance));
    }
}

/// Users keep their traits over runs: errors that took rows for independent would be far too small.
#[test]
fn tests_over_several_runs_hold_their_level() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let n_trials = 2000;
    let (mut n_alone, mut n_paired) = (0, 0);
    for _ in 0..n_trials {
        let traits: Vec<f64> = (0..N).map(|_| 3.0 * (rng.random::<f64>() - 0.5)).collect();
        let mut runs = |shift| (0..3).map(|_| run(draw(&mut rng, &traits, shift))).collect::<Vec<_>>();
        let alone = contrast(&[term(1.0, runs(0.0))], -0.5).expect("there is variance");
        n_alone += u32::from(alone.above(0.0) < 0.05);
        let paired = [term(1.0, runs(0.5)), term(-1.0, runs(0.5))];
        n_paired += u32::from(contrast(&paired, 0.0).expect("there is variance").above(0.0) < 0.05);
    }
    // Of 2,000 at 5 %, 100 are expected; 2.6 standard deviations are 25, and few users cost a little.
    for n in [n_alone, n_paired] {
        assert!((60..=145).contains(&n), "{n} of {n_trials}");
    }
}

#[test]
fn equivalence_and_how_many_users_it_takes() {
    let found = Contrast { estimate: 0.01, standard_error: 0.02, n_users: 100 };
    assert!((found.within(0.05) - crate::normal::upper_tail(2.0)).abs() < 1e-12);
    assert!(found.within(0.005) > 0.5);
    // (2.326 + .842)^2 x .04 x 100.
    assert_eq!(found.users_for(0.01, 0.01, 0.8), Ok(Some(4015)));
    assert_eq!(found.users_for(0.0, 0.01, 0.8), Ok(None));
}
