//! Caps against areas summed strip by strip, and against small worlds where the truth is known.

use rand::{Rng, RngExt, SeedableRng};
use userprint_privacy::{DpEvent, MuGdp, PldAccountant, TradeOff};

fn mu(value: f64) -> TradeOff {
    TradeOff::gaussian(&MuGdp::exact(&DpEvent::gaussian(1.0 / value)).expect("a Gaussian"))
}

fn area(curve: &TradeOff) -> f64 {
    let n = 20_000;
    let at = |i: u32| curve.max_tpr((f64::from(i) + 0.5) / f64::from(n)).expect("a rate");
    (0..n).map(at).sum::<f64>() / f64::from(n)
}

#[test]
fn known_caps() {
    let pure = TradeOff::epsilon_delta(1.0, 0.0).unwrap();
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 5e-10, "{found} {expected}");
    close(pure.per_user_auroc_cap().value(), 0.731058579);
    close(mu(1.0).per_user_auroc_cap().value(), 0.760249939);
    close(pure.expected_run_auroc_cap().value(), 0.880797078);
    close(mu(1.0).expected_run_auroc_cap().value(), 0.841344746);
}

#[test]
fn areas_are_areas() {
    for curve in [
        TradeOff::epsilon_delta(0.3, 0.0).unwrap(),
        TradeOff::epsilon_delta(1.0, 0.1).unwrap(),
        TradeOff::epsilon_delta(4.0, 1e-5).unwrap(),
        mu(0.2),
        mu(1.0),
        mu(3.0),
    ] {
        let (found, expected) = (curve.per_user_auroc_cap().value(), area(&curve));
        assert!((found - expected).abs() < 1e-5, "{curve:?}: {found} {expected}");
    }
    let profile = PldAccountant::default().profile(&DpEvent::gaussian(1.0)).unwrap();
    let found = TradeOff::profile(&profile).per_user_auroc_cap().value();
    assert!((0.760249939..0.7604).contains(&found), "{found}");
}

/// A random mechanism on the four worlds of two users, each in or out, with outputs where users tell by a coin each
/// and a part of the output is shared; the least epsilon that it satisfies is computed from its own tables.
#[test]
fn small_worlds_stay_below_the_expected_cap() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(20_25);
    for world in 0..2_000 {
        // worlds[in_1][in_2][output], and which of the two users each output ranks higher (1, 0, or ½ for a tie).
        let outputs = 2 + world % 4;
        let mut worlds = [[vec![], vec![]], [vec![], vec![]]];
        for table in worlds.iter_mut().flatten() {
            let raw: Vec<f64> = (0..outputs).map(|_| rng.random_range(0.05..1.0)).collect();
            let sum: f64 = raw.iter().sum();
            *table = raw.iter().map(|weight| weight / sum).collect();
        }
        let ranks: Vec<f64> = (0..outputs).map(|_| 0.5 * f64::from(rng.next_u32() % 3)).collect();
        let ratio =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x / y).ln().abs()).fold(0.0, f64::max);
        let neighbors = [((0, 0), (0, 1)), ((0, 0), (1, 0)), ((1, 1), (0, 1)), ((1, 1), (1, 0))];
        let losses = neighbors.map(|((a, b), (c, d))| ratio(&worlds[a][b], &worlds[c][d]));
        let epsilon = losses.into_iter().fold(0.0, f64::max);
        let first_higher = |table: &[f64]| table.iter().zip(&ranks).map(|(p, rank)| p * rank).sum::<f64>();
        let auroc = 0.5 * (first_higher(&worlds[1][0]) + 1.0 - first_higher(&worlds[0][1]));
        let curve = TradeOff::epsilon_delta(epsilon, 0.0).unwrap();
        assert!(
            auroc <= curve.expected_run_auroc_cap_by_midpoint().value() + 1e-12,
            "{world}: {auroc} {epsilon}"
        );
        assert!(auroc <= curve.expected_run_auroc_cap().value() + 1e-12, "{world}: {auroc} {epsilon}");
        let tpr = first_higher(&worlds[1][0]);
        let fpr = first_higher(&worlds[0][0]).min(1.0);
        assert!(tpr <= curve.per_user_tpr_cap(fpr).unwrap().value() + 1e-12, "{world}");
    }
}

#[test]
fn randomised_response_reaches_the_cap_for_one_user() {
    for epsilon in [0.1_f64, 1.0, 3.0] {
        let truth = epsilon.exp() / (1.0 + epsilon.exp());
        // Ranks by the answer: true positives at `truth`, false ones at `1 − truth`, ties half.
        let auroc = truth * truth + truth * (1.0 - truth);
        let cap = TradeOff::epsilon_delta(epsilon, 0.0).unwrap().per_user_auroc_cap().value();
        assert!((auroc - cap).abs() < 1e-12, "{auroc} {cap}");
    }
}

#[test]
fn the_midpoint_is_never_looser() {
    for epsilon in [0.0, 0.1, 1.0, 5.0, 800.0] {
        for delta in [0.0, 1e-5, 0.1, 0.9, 1.0] {
            let curve = TradeOff::epsilon_delta(epsilon, delta).unwrap();
            let (two_steps, midpoint) =
                (curve.expected_run_auroc_cap().value(), curve.expected_run_auroc_cap_by_midpoint().value());
            assert!(midpoint <= two_steps + 1e-12, "{epsilon} {delta}: {midpoint} {two_steps}");
            assert!((0.5..=1.0).contains(&midpoint));
        }
    }
}
