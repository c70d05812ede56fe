//! The accountant against known answers, its promises, and inputs that mean nothing.

use proptest::prelude::*;
use userprint_privacy::{Accountant, AccountingError, DpEvent, NeighboringRelation, RdpAccountant};

fn sgd(sigma: f64, q: f64, steps: u64) -> DpEvent {
    DpEvent::gaussian(sigma).poisson_sampled(q).repeated(steps)
}

#[track_caller]
fn check(event: &DpEvent, delta: f64, expected: f64, tolerance: f64) {
    let found = RdpAccountant::default().epsilon(event, delta).expect("the event has a bound");
    assert!((found - expected).abs() < tolerance, "found {found}, expected {expected}");
}

/// Opacus 1.6.0 with its default orders: noise, sampling probability, steps, delta, epsilon.
const OPACUS: [(f64, f64, u64, f64, f64); 11] = [
    (1.0, 0.01, 1000, 1e-5, 2.1013652716430564),
    (1.1, 0.004266666666666667, 14062, 1e-5, 2.5965558689607486),
    (4.0, 0.01, 10000, 1e-5, 1.0354900660362476),
    (0.8, 0.001, 5000, 1e-6, 1.5923077586416754),
    (2.0, 0.5, 20, 1e-5, 6.2284173254307245),
    (10.0, 1.0, 100, 1e-5, 4.728507067217623),
    (0.5, 0.024975609756097562, 1200, 1e-6, 40.352109384484265),
    (1.0, 0.024975609756097562, 1200, 1e-6, 6.747781956968681),
    (2.0, 0.024975609756097562, 1200, 1e-6, 2.301013406839525),
    (0.7, 0.05, 1, 1e-6, 4.043356274477227),
    (1.5, 0.04, 2250, 1e-5, 7.32911117143),
];

#[test]
fn opacus() {
    for (sigma, q, steps, delta, expected) in OPACUS {
        check(&sgd(sigma, q, steps), delta, expected, 1e-8 * expected);
    }
}

#[test]
fn tensorflow_privacy() {
    let steps = 60_000 / 150 * 15;
    check(&sgd(1.3, 150.0 / 60_000.0, steps), 1e-5, 0.7242234026, 1e-8);
}

#[test]
fn compositions_add_up() {
    let parts = DpEvent::Composed { events: vec![sgd(1.0, 0.01, 400), sgd(1.0, 0.01, 600)] };
    check(&parts, 1e-5, 2.1013652716430564, 1e-8);
    let nested = DpEvent::gaussian(1.0).poisson_sampled(0.1).poisson_sampled(0.1).repeated(1000);
    check(&nested, 1e-5, 2.1013652716430564, 1e-8);
}

#[test]
fn nothing_private_is_infinite_and_nothing_done_is_free() {
    check(&DpEvent::NonPrivate.poisson_sampled(0.0), 1e-5, 0.0, 1e-12);
    check(&DpEvent::Composed { events: vec![] }, 1e-5, 0.0, 1e-12);
    check(&DpEvent::NonPrivate.repeated(0), 1e-5, 0.0, 1e-12);
    let spoiled = DpEvent::Composed { events: vec![sgd(1.0, 0.01, 1), DpEvent::NonPrivate] };
    assert_eq!(RdpAccountant::default().epsilon(&spoiled, 1e-5), Ok(f64::INFINITY));
}

#[test]
fn values_that_mean_nothing_are_named() {
    let epsilon = |event: &DpEvent, delta| RdpAccountant::default().epsilon(event, delta).unwrap_err();
    for found in [0.0, 1.0, -0.1] {
        assert_eq!(epsilon(&DpEvent::gaussian(1.0), found), AccountingError::TargetDelta { found });
    }
    for found in [0.0, -1.0, f64::INFINITY] {
        assert_eq!(epsilon(&sgd(found, 0.1, 1), 1e-5), AccountingError::NoiseMultiplier { found });
        assert_eq!(epsilon(&DpEvent::gaussian(found), 1e-5), AccountingError::NoiseMultiplier { found });
    }
    for found in [-0.1, 1.1] {
        assert_eq!(epsilon(&sgd(1.0, found, 1), 1e-5), AccountingError::SamplingProbability { found });
    }
    assert!(matches!(epsilon(&sgd(f64::NAN, 0.1, 1), 1e-5), AccountingError::NoiseMultiplier { .. }));
    assert!(matches!(epsilon(&sgd(1.0, f64::NAN, 1), 1e-5), AccountingError::SamplingProbability { .. }));
    assert!(matches!(epsilon(&sgd(1.0, 0.1, 1), f64::NAN), AccountingError::TargetDelta { .. }));
    assert_eq!(
        epsilon(&sgd(1.0, 1.5, 1), 1e-5).to_string(),
        "the sampling probability is 1.5, expected a number from 0 to 1"
    );
}

#[test]
fn orders_are_checked() {
    assert_eq!(RdpAccountant::new(vec![]), Err(AccountingError::NoOrders));
    assert_eq!(RdpAccountant::new(vec![2.0, 1.0]), Err(AccountingError::Order { found: 1.0 }));
}

#[test]
fn no_bound_is_an_error() {
    let event = DpEvent::gaussian(1.0).repeated(2).poisson_sampled(0.1);
    let relation = NeighboringRelation::AddOrRemove;
    assert_eq!(
        RdpAccountant::default().epsilon(&event, 1e-5),
        Err(AccountingError::Unsupported { event: "several events on one Poisson sample", relation })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn more_steps_cost_and_more_noise_saves(
        sigma in 0.5_f64..8.0, q in 0.001_f64..0.9, steps in 1_u64..2_000,
    ) {
        let epsilon = |sigma, q, steps| RdpAccountant::default().epsilon(&sgd(sigma, q, steps), 1e-6).unwrap();
        let base = epsilon(sigma, q, steps);
        prop_assert!(base.is_finite() && base >= 0.0);
        prop_assert!(epsilon(sigma, q, steps + 100) >= base);
        prop_assert!(epsilon(sigma * 1.1, q, steps) <= base * (1.0 + 1e-9));
        prop_assert!(epsilon(sigma, q * 1.1, steps) >= base * (1.0 - 1e-9));
    }
}
