//! What compositions and orders mean to the Rényi accountant.

use userprint_privacy::{Accountant, AccountingError, DpEvent, NeighboringRelation, RdpAccountant};

fn sgd(sigma: f64, q: f64, steps: u64) -> DpEvent {
    DpEvent::gaussian(sigma).poisson_sampled(q).repeated(steps)
}

#[track_caller]
fn check(event: &DpEvent, delta: f64, expected: f64, tolerance: f64) {
    let found = RdpAccountant::default().epsilon(event, delta).expect("the event has a bound");
    assert!((found - expected).abs() < tolerance, "found {found}, expected {expected}");
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
