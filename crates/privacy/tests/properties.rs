//! What holds for every event: both accountants are monotone, bracketed, and refuse what means nothing.

use proptest::prelude::*;
use userprint_privacy::{
    Accountant, AccountingError, DpEvent, MuGdp, PldAccountant, RdpAccountant, TradeOff, calibrate, gdp,
    group,
};

fn sgd(noise: f64, q: f64, steps: u64) -> DpEvent {
    DpEvent::gaussian(noise).poisson_sampled(q).repeated(steps)
}

/// A coarse grid is as sound as a fine one, and quicker.
fn pld() -> PldAccountant {
    PldAccountant::new(1e-3).expect("a fine spacing")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn epsilon_is_monotone(noise in 0.5_f64..8.0, q in 0.002_f64..0.9, steps in 2_u64..1_000, log_delta in -18.0_f64..-4.0) {
        let delta = log_delta.exp();
        for accountant in [&pld() as &dyn Accountant, &RdpAccountant::default()] {
            let epsilon = |noise, q, steps, delta| accountant.epsilon(&sgd(noise, q, steps), delta).unwrap();
            let base = epsilon(noise, q, steps, delta);
            prop_assert!(base.is_finite() && base >= 0.0);
            // What the grid may add to one and not to the other.
            let slack = 1e-4 * base + 1e-9;
            prop_assert!(epsilon(noise, q, steps + steps / 2, delta) >= base - slack);
            prop_assert!(epsilon(noise * 1.1, q, steps, delta) <= base + slack);
            prop_assert!(epsilon(noise, q * 1.1, steps, delta) >= base - slack);
            prop_assert!(epsilon(noise, q, steps, 0.5 * delta) >= base - slack);
        }
    }

    #[test]
    fn brackets_are_brackets(noise in 0.5_f64..8.0, q in 0.002_f64..0.9, steps in 2_u64..1_000, log_delta in -18.0_f64..-4.0) {
        let (event, delta) = (sgd(noise, q, steps), log_delta.exp());
        let bracket = pld().epsilon_bracket(&event, delta).unwrap();
        prop_assert!(bracket.optimistic <= bracket.pessimistic);
        let finer = PldAccountant::default().epsilon_bracket(&event, delta).unwrap();
        prop_assert!(finer.optimistic <= bracket.pessimistic * (1.0 + 1e-9));
        prop_assert!(bracket.optimistic <= finer.pessimistic * (1.0 + 1e-9));
        let renyi = RdpAccountant::default().epsilon(&event, delta).unwrap();
        prop_assert!(bracket.pessimistic <= renyi * (1.0 + 1e-9));
        // Delta is asked for with a grid of its own.
        prop_assert!(pld().delta(&event, bracket.pessimistic).unwrap() <= delta * (1.0 + 0.02));
    }

    #[test]
    fn order_and_nesting_do_not_matter(noise in 0.7_f64..4.0, q in 0.01_f64..0.5, steps in 2_u64..50) {
        let (first, second) = (sgd(noise, q, steps), sgd(noise * 2.0, q * 0.5, 3 * steps));
        let both = |events: Vec<DpEvent>| pld().epsilon(&DpEvent::Composed { events }, 1e-6).unwrap();
        let one_way = both(vec![first.clone(), second.clone()]);
        prop_assert!((both(vec![second, first.clone()]) - one_way).abs() <= 1e-9 * one_way);
        let halves = both(vec![first.clone(), first]);
        let whole = pld().epsilon(&sgd(noise, q, 2 * steps), 1e-6).unwrap();
        prop_assert_eq!(halves, whole);
    }

    #[test]
    fn example_sampling_beats_group_privacy(noise in 1.0_f64..4.0, q in 0.01_f64..0.2, examples in 2_u32..5) {
        let training = sgd(noise, q, 20);
        let sharp = pld().epsilon(&training.for_group(examples).unwrap(), 1e-6).unwrap();
        let loose = group::epsilon(&pld(), &training, examples, 1e-6).unwrap().epsilon;
        prop_assert!(sharp <= loose * (1.0 + 1e-4), "{} {}", sharp, loose);
        prop_assert!(sharp >= pld().epsilon(&training, 1e-6).unwrap());
    }
}

#[test]
fn nothing_is_free_and_no_privacy_is_infinite() {
    let epsilon = |event: &DpEvent| PldAccountant::default().epsilon(event, 1e-6).unwrap();
    for idle in [
        sgd(1.0, 0.0, 10),
        sgd(1.0, 0.1, 0),
        DpEvent::Composed { events: vec![] },
        DpEvent::NonPrivate.poisson_sampled(0.0),
        DpEvent::NonPrivate.repeated(0),
        DpEvent::example_sampled(1.0, 0.1, 0).repeated(5),
    ] {
        assert_eq!(epsilon(&idle), 0.0, "{idle:?}");
    }
    assert_eq!(epsilon(&DpEvent::NonPrivate.repeated(3)), f64::INFINITY);
    assert_eq!(epsilon(&sgd(2.0, 1.0, 16)), epsilon(&DpEvent::gaussian(0.5)));
    let spoiled = DpEvent::Composed { events: vec![sgd(1.0, 0.1, 10), DpEvent::NonPrivate] };
    assert_eq!(epsilon(&spoiled), f64::INFINITY);
}

#[test]
fn huge_counts_are_bounded_from_above() {
    let rdp = RdpAccountant::default();
    let mut last = 0.0;
    for steps in [1_000_000, 1_000_000_000, u64::MAX] {
        let event = sgd(1.0, 0.01, steps);
        let bracket = PldAccountant::default().epsilon_bracket(&event, 1e-6).unwrap();
        assert!(bracket.pessimistic > last && bracket.optimistic <= bracket.pessimistic);
        assert!(bracket.pessimistic <= rdp.epsilon(&event, 1e-6).unwrap());
        last = bracket.pessimistic;
    }
}

#[test]
fn values_that_mean_nothing_are_named() {
    let mixture = |sensitivities: &[f64], probabilities: &[f64]| DpEvent::MixtureOfGaussians {
        noise_multiplier: 1.0,
        sensitivities: sensitivities.to_vec(),
        probabilities: probabilities.to_vec(),
    };
    let (rdp, pld) = (RdpAccountant::default(), PldAccountant::default());
    for accountant in [&rdp as &dyn Accountant, &pld] {
        let error = |event: &DpEvent, delta| accountant.epsilon(event, delta).unwrap_err();
        for found in [0.0, 1.0, -0.1, f64::INFINITY] {
            assert_eq!(error(&sgd(1.0, 0.1, 2), found), AccountingError::TargetDelta { found });
        }
        assert!(matches!(error(&sgd(1.0, 0.1, 2), f64::NAN), AccountingError::TargetDelta { .. }));
        for found in [0.0, -1.0, f64::INFINITY] {
            assert_eq!(error(&sgd(found, 0.1, u64::MAX), 1e-5), AccountingError::NoiseMultiplier { found });
        }
        for found in [-0.1, 1.1, f64::INFINITY] {
            assert_eq!(error(&sgd(1.0, found, 2), 1e-5), AccountingError::SamplingProbability { found });
        }
        assert_eq!(
            error(&mixture(&[], &[]), 1e-5),
            AccountingError::MixtureLength { sensitivities: 0, probabilities: 0 }
        );
        assert_eq!(
            error(&mixture(&[0.0, 1.0], &[1.0]), 1e-5),
            AccountingError::MixtureLength { sensitivities: 2, probabilities: 1 }
        );
        assert_eq!(
            error(&mixture(&[0.0, 1.0], &[0.5, 0.4]), 1e-5),
            AccountingError::ProbabilitySum { found: 0.9 }
        );
        assert_eq!(
            error(&mixture(&[0.0, -1.0], &[0.5, 0.5]), 1e-5),
            AccountingError::Sensitivity { index: 1, found: -1.0 }
        );
        assert_eq!(
            error(&mixture(&[0.0, 1.0], &[1.5, -0.5]), 1e-5),
            AccountingError::MixtureProbability { index: 0, found: 1.5 }
        );
        let several = DpEvent::gaussian(1.0).repeated(2).poisson_sampled(0.1);
        assert!(matches!(error(&several, 1e-5), AccountingError::Unsupported { .. }));
        for found in [-0.1, 1.5] {
            let outside = DpEvent::example_sampled(1.0, found, 4);
            assert_eq!(error(&outside, 1e-5), AccountingError::SamplingProbability { found });
            let nested = DpEvent::gaussian(1.0).poisson_sampled(0.25).poisson_sampled(found);
            assert_eq!(nested.for_group(2), Err(AccountingError::SamplingProbability { found }));
        }
    }
    for found in [0.0, -1.0, 2.0, f64::INFINITY] {
        assert_eq!(PldAccountant::new(found), Err(AccountingError::Discretization { found }));
    }
    assert_eq!(pld.delta(&sgd(1.0, 0.1, 2), -1.0), Err(AccountingError::Epsilon { found: -1.0 }));
    assert_eq!(TradeOff::epsilon_delta(1.0, 2.0), Err(AccountingError::Delta { found: 2.0 }));
    let curve = TradeOff::epsilon_delta(1.0, 0.0).unwrap();
    assert_eq!(curve.max_tpr(1.5), Err(AccountingError::Rate { found: 1.5 }));
    assert_eq!(
        group::epsilon(&pld, &sgd(1.0, 0.1, 2), 0, 1e-5),
        Err(AccountingError::GroupSize { found: 0 })
    );
    assert!(matches!(MuGdp::exact(&sgd(1.0, 0.1, 2)), Err(AccountingError::Unsupported { .. })));
}

/// Noise so small that `e^ε` and its tails are beyond the numbers: one step has a closed form to compare with.
#[test]
fn hardly_any_noise_is_hardly_any_privacy() {
    let epsilon = |event: &DpEvent| PldAccountant::default().epsilon(event, 1e-6).unwrap();
    // By mpmath, 40 digits.
    for (noise, q, exact) in [(0.02, 0.5, 1_478.919_537_663_267), (0.1, 0.5, 94.599_515_337_826_26)] {
        let found = epsilon(&sgd(noise, q, 1));
        assert!((found / exact - 1.0).abs() < 1e-11, "{noise}: {found}, expected {exact}");
    }
    let mut last = 0.0;
    for noise in [0.1, 0.02, 1e-3, 1e-8, 1e-16, 1e-17] {
        for steps in [1, 2, 9] {
            let found = epsilon(&sgd(noise, 0.5, steps));
            assert!(found >= 0.99 * last, "{noise}, {steps} steps: {found} after {last}");
        }
        last = epsilon(&sgd(noise, 0.5, 1));
    }
    let error =
        calibrate::noise_multiplier(&PldAccountant::default(), &|noise| sgd(noise, 0.5, 1), 1_000.0, 1e-6);
    let noise = error.unwrap();
    assert!((0.02..0.03).contains(&noise), "{noise}");
}

#[test]
fn a_profile_is_no_claim_beyond_its_end() {
    let mu = |event: &DpEvent, least_delta| {
        MuGdp::from_profile(&PldAccountant::default().profile(event).unwrap(), least_delta)
    };
    assert!(matches!(mu(&DpEvent::NonPrivate, 1e-6), Err(AccountingError::ProfileEnds { ends_at: 1.0, .. })));
    assert!(mu(&sgd(1.0, 0.01, 1_000), 1e-6).is_ok());
    assert!(matches!(mu(&sgd(1.0, 0.01, 1_000), 1e-20), Err(AccountingError::ProfileEnds { .. })));
}

#[test]
fn calibration_says_where_no_noise_will_do() {
    let accountant = PldAccountant::default();
    let error = calibrate::noise_multiplier(&accountant, &|_| DpEvent::NonPrivate, 1.0, 1e-5).unwrap_err();
    assert!(matches!(error, AccountingError::OutOfReach { target_epsilon: 1.0, found: f64::INFINITY, .. }));
    let idle = |noise| DpEvent::gaussian(noise).poisson_sampled(0.0);
    let error = calibrate::noise_multiplier(&accountant, &idle, 1.0, 1e-5).unwrap_err();
    assert!(matches!(error, AccountingError::AnyNoise { .. }));
    let nan = calibrate::noise_multiplier(&accountant, &DpEvent::gaussian, f64::NAN, 1e-5).unwrap_err();
    assert!(matches!(nan, AccountingError::Epsilon { .. }));
}

#[test]
fn mu_from_a_profile_dominates_and_the_central_limit_does_not() {
    let event = sgd(1.0, 0.01, 1_000);
    let profile = PldAccountant::default().profile(&event).unwrap();
    let mu = MuGdp::from_profile(&profile, 1e-6).unwrap();
    let of_mu = |epsilon| PldAccountant::default().delta(&DpEvent::gaussian(1.0 / mu.mu()), epsilon).unwrap();
    for &(epsilon, delta) in profile.points().iter().filter(|(_, delta)| *delta >= 1e-6) {
        assert!(of_mu(epsilon) >= delta, "{epsilon}");
    }
    assert!(gdp::central_limit_mu(&event).unwrap().approximate < mu.mu());
    // A Gaussian's own profile gives its own mu back.
    let gaussian = PldAccountant::default().profile(&DpEvent::gaussian(2.0)).unwrap();
    let again = MuGdp::from_profile(&gaussian, 1e-9).unwrap().mu();
    assert!((0.5..0.5 * 1.01).contains(&again), "{again}");
}
