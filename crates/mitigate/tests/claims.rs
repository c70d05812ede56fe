//! What the events of rules cost, over random rules.

use proptest::prelude::*;
use userprint_mitigate::{Claim, DpSampling, TrainingRule};
use userprint_privacy::{Accountant, PldAccountant};

const DELTA: f64 = 1e-6;

fn sampling() -> impl Strategy<Value = DpSampling> {
    prop_oneof![
        Just(DpSampling::Examples),
        (1_u32..5).prop_map(|examples_per_user| DpSampling::CappedUsers { examples_per_user }),
        (1_u32..5).prop_map(|examples_per_user| DpSampling::Users { examples_per_user }),
    ]
}

/// Rate, noise multiplier and steps, where an accountant has something to count.
fn setting() -> impl Strategy<Value = (f64, f64, u64)> {
    (0.01_f64..0.6, 0.8_f64..4.0, 1_u64..100)
}

fn rule(sampling: DpSampling, rate: f64, noise: f64) -> TrainingRule {
    TrainingRule::dp_sgd(sampling, rate, 1.0, noise).expect("values in range")
}

/// On a grid ten times coarser than that of claims, which differs by less than any change below makes.
fn epsilon(sampling: DpSampling, rate: f64, noise: f64, steps: u64) -> f64 {
    let event = rule(sampling, rate, noise).dp_event(steps);
    let accountant = PldAccountant::new(1e-3).expect("a grid");
    accountant.epsilon(&event, DELTA).expect("an event that the accountant knows")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn more_noise_costs_less(sampling in sampling(), (rate, noise, steps) in setting(), more in 1.1_f64..3.0) {
        prop_assert!(epsilon(sampling, rate, noise * more, steps) < epsilon(sampling, rate, noise, steps));
    }

    #[test]
    fn more_steps_cost_more(sampling in sampling(), (rate, noise, steps) in setting(), more in 2_u64..4) {
        prop_assert!(epsilon(sampling, rate, noise, steps * more) > epsilon(sampling, rate, noise, steps));
    }

    #[test]
    fn higher_rates_cost_more(sampling in sampling(), (rate, noise, steps) in setting(), more in 1.1_f64..1.6) {
        prop_assert!(epsilon(sampling, rate * more, noise, steps) > epsilon(sampling, rate, noise, steps));
    }

    /// A user with one example is that example.
    #[test]
    fn users_capped_at_one_example_are_examples((rate, noise, steps) in setting()) {
        let claim = |sampling| {
            let claim = Claim::of(rule(sampling, rate, noise), steps, 10_000, DELTA).expect("a fine delta");
            claim.expect("there is noise").epsilon()
        };
        let capped = claim(DpSampling::CappedUsers { examples_per_user: 1 });
        prop_assert!((capped / claim(DpSampling::Examples) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_larger_cap_costs_more((rate, noise, steps) in setting(), cap in 1_u32..4) {
        let at = |cap| epsilon(DpSampling::CappedUsers { examples_per_user: cap }, rate, noise, steps);
        prop_assert!(at(cap + 1) > at(cap));
    }

    #[test]
    fn everything_is_the_largest_sample(sampling in sampling(), (rate, noise, steps) in setting()) {
        prop_assert!(epsilon(sampling, 1.0, noise, steps) > epsilon(sampling, rate, noise, steps));
    }
}
