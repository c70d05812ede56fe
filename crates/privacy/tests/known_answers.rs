//! Accountants against other implementations and 40-digit arithmetic, from `fixtures/accounting`.

use serde::Deserialize;
use userprint_privacy::{
    Accountant, Bracket, DpEvent, PldAccountant, RdpAccountant, TradeOff, calibrate, group,
};

#[derive(Deserialize)]
struct Golden {
    orders: Vec<Orders>,
    one_step: Vec<OneStep>,
    gaussian: Vec<GaussianPoint>,
    example_sampled: Vec<ExampleSampled>,
    heterogeneous: Heterogeneous,
    group: Group,
    calibration: Vec<Calibration>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Orders {
    noise_multiplier: f64,
    sampling_probability: f64,
    orders: Vec<f64>,
    exact: Vec<f64>,
    opacus: Vec<f64>,
}

#[derive(Deserialize)]
struct OneStep {
    noise_multiplier: f64,
    sampling_probability: f64,
    examples_per_user: u32,
    epsilons: Vec<f64>,
    deltas: Vec<f64>,
}

#[derive(Deserialize)]
struct GaussianPoint {
    mu: f64,
    epsilon: f64,
    delta: f64,
}

#[derive(Deserialize)]
struct ExampleSampled {
    noise_multiplier: f64,
    sampling_probability: f64,
    examples_per_user: u32,
    steps: u64,
    delta: f64,
    google_pld: f64,
}

#[derive(Deserialize)]
struct Part {
    noise_multiplier: f64,
    sampling_probability: f64,
    steps: u64,
}

#[derive(Deserialize)]
struct Heterogeneous {
    parts: Vec<Part>,
    delta: f64,
    google_pld: f64,
    opacus_rdp: f64,
}

#[derive(Deserialize)]
struct Group {
    noise_multiplier: f64,
    sampling_probability: f64,
    steps: u64,
    group_size: u32,
    delta: f64,
    opacus_rdp: f64,
}

#[derive(Deserialize)]
struct Calibration {
    epsilon: f64,
    delta: f64,
    sampling_probability: f64,
    steps: u64,
    opacus_rdp: f64,
    google_pld: f64,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    noise_multiplier: f64,
    sampling_probability: f64,
    steps: u64,
    delta: f64,
    opacus_rdp: f64,
    google_pld: f64,
    google_pld_fine: Option<f64>,
    exact: Option<f64>,
    prv: Option<[f64; 2]>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../fixtures/accounting/golden.json"))
        .expect("the fixture is as above")
}

fn sgd(noise_multiplier: f64, sampling_probability: f64, steps: u64) -> DpEvent {
    DpEvent::gaussian(noise_multiplier).poisson_sampled(sampling_probability).repeated(steps)
}

fn bracket(event: &DpEvent, delta: f64) -> Bracket {
    PldAccountant::default().epsilon_bracket(event, delta).expect("the event has a bound")
}

#[track_caller]
fn close(what: &str, found: f64, expected: f64, relative: f64) {
    assert!(
        (found - expected).abs() <= relative * expected.abs(),
        "{what}: found {found}, expected {expected}"
    );
}

#[test]
fn renyi_divergences_have_ten_digits() {
    for row in golden().orders {
        let event = sgd(row.noise_multiplier, row.sampling_probability, 1);
        for ((order, exact), opacus) in row.orders.into_iter().zip(row.exact).zip(row.opacus) {
            let found = RdpAccountant::default().divergence(&event, order).unwrap();
            let what = format!("σ {} q {} α {order}", row.noise_multiplier, row.sampling_probability);
            close(&what, found, exact, 1e-10);
            // Opacus itself loses digits where the divergence is small: six are left at q = 1e-4 and order 1.1.
            close(
                &what,
                found,
                opacus,
                if order > 1.2 && row.sampling_probability >= 0.01 { 1e-8 } else { 1e-5 },
            );
        }
    }
}

#[test]
fn renyi_accounting_is_that_of_opacus() {
    let cases = golden().cases;
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for case in cases {
        let event = sgd(case.noise_multiplier, case.sampling_probability, case.steps);
        let found = RdpAccountant::default().epsilon(&event, case.delta).unwrap();
        close(&case.name, found, case.opacus_rdp, 1e-8);
    }
}

#[test]
fn loss_distributions_agree_and_bracket_the_truth() {
    for case in golden().cases {
        let event = sgd(case.noise_multiplier, case.sampling_probability, case.steps);
        let Bracket { optimistic, pessimistic } = bracket(&event, case.delta);
        let google = case.google_pld_fine.unwrap_or(case.google_pld);
        close(&case.name, pessimistic, google, 1e-3);
        // The other library's value is a bound too, so that the truth is below it.
        assert!(optimistic <= google * (1.0 + 1e-9), "{}: {optimistic} {google}", case.name);
        assert!(optimistic <= pessimistic, "{}: {optimistic} {pessimistic}", case.name);
        // Rounding down is coarse where nearly every step's loss crowds at the least one: .24 at worst here.
        let width = if case.sampling_probability >= 0.001 { 5e-3 } else { 0.25 };
        close(&case.name, optimistic, pessimistic, width);
        if let Some([low, high]) = case.prv {
            assert!(pessimistic >= low && optimistic <= high, "{}: {low} {high}", case.name);
        }
        if let Some(exact) = case.exact {
            close(&case.name, pessimistic, exact, 1e-13);
        }
        let renyi = RdpAccountant::default().epsilon(&event, case.delta).unwrap();
        assert!(pessimistic <= renyi * (1.0 + 1e-9), "{}: {pessimistic} {renyi}", case.name);
    }
}

#[test]
fn one_step_is_exact() {
    let accountant = PldAccountant::default();
    for row in golden().one_step {
        let event =
            DpEvent::example_sampled(row.noise_multiplier, row.sampling_probability, row.examples_per_user);
        for (epsilon, exact) in row.epsilons.into_iter().zip(row.deltas) {
            let what = format!("σ {} q {} ε {epsilon}", row.noise_multiplier, row.sampling_probability);
            let found = accountant.delta(&event, epsilon).unwrap();
            close(&what, found, exact, 1e-9);
            if exact > 1e-100 && epsilon > 0.0 {
                let Bracket { optimistic, pessimistic } = bracket(&event, exact);
                assert_eq!(optimistic, pessimistic);
                close(&what, pessimistic, epsilon, 1e-9);
            }
        }
    }
}

#[test]
fn gaussian_deltas_have_ten_digits() {
    for GaussianPoint { mu, epsilon, delta } in golden().gaussian {
        let found = PldAccountant::default().delta(&DpEvent::gaussian(1.0 / mu), epsilon).unwrap();
        let what = format!("μ {mu} ε {epsilon}");
        // Below the smallest numbers there is nothing to compare.
        if delta > 1e-290 {
            close(&what, found, delta, 1e-10);
        } else {
            assert!(found < 1e-280, "{what}: {found}");
        }
    }
}

#[test]
fn example_sampling_at_user_level() {
    let rows = golden().example_sampled;
    for row in &rows {
        let step =
            DpEvent::example_sampled(row.noise_multiplier, row.sampling_probability, row.examples_per_user);
        let Bracket { optimistic, pessimistic } = bracket(&step.repeated(row.steps), row.delta);
        let what = format!("{} examples", row.examples_per_user);
        close(&what, pessimistic, row.google_pld, 1e-4);
        close(&what, optimistic, row.google_pld, 1e-4);
    }
    // Known from the paper's own setting.
    close("G = 1", rows[0].google_pld, 2.12452, 1e-5);
    close("G = 4", rows[1].google_pld, 10.01530, 1e-5);
}

#[test]
fn user_sampling_is_a_plain_subsampled_gaussian() {
    let one_example = DpEvent::example_sampled(1.0, 0.01, 1).repeated(1_000);
    assert_eq!(bracket(&one_example, 1e-6), bracket(&sgd(1.0, 0.01, 1_000), 1e-6));
}

#[test]
fn different_steps_compose() {
    let Heterogeneous { parts, delta, google_pld, opacus_rdp } = golden().heterogeneous;
    let events = parts.iter().map(|part| sgd(part.noise_multiplier, part.sampling_probability, part.steps));
    let mut events: Vec<DpEvent> = events.collect();
    let event = DpEvent::Composed { events: events.clone() };
    close("PLD", bracket(&event, delta).pessimistic, google_pld, 1e-4);
    close("RDP", RdpAccountant::default().epsilon(&event, delta).unwrap(), opacus_rdp, 1e-8);
    events.reverse();
    let turned = bracket(&DpEvent::Composed { events }, delta);
    close("reversed", turned.pessimistic, bracket(&event, delta).pessimistic, 1e-9);
}

#[test]
fn groups_as_tensorflow_privacy_states_them() {
    let row = golden().group;
    let training = sgd(row.noise_multiplier, row.sampling_probability, row.steps);
    let found = group::epsilon(&RdpAccountant::default(), &training, row.group_size, row.delta).unwrap();
    close("group", found.epsilon, row.opacus_rdp, 1e-7);
    close("group", found.epsilon, 6.425, 1e-4);
    let sharper = bracket(&training.for_group(row.group_size).unwrap(), row.delta).pessimistic;
    assert!(sharper < 0.8 * found.epsilon, "{sharper}");
}

#[test]
fn known_answers_of_tutorials() {
    let epsilon = |event: &DpEvent, delta| RdpAccountant::default().epsilon(event, delta).unwrap();
    close("Opacus", epsilon(&sgd(1.5, 0.04, 2_250), 1e-5), 7.32911117143, 1e-11);
    close("TensorFlow Privacy", epsilon(&sgd(1.3, 150.0 / 60_000.0, 6_000), 1e-5), 0.7242234026, 1e-8);
}

#[test]
fn calibration_meets_the_target_with_the_least_noise() {
    for row in golden().calibration {
        let training = |noise| sgd(noise, row.sampling_probability, row.steps);
        let calibrated = |accountant: &dyn Accountant| {
            let noise = calibrate::noise_multiplier(accountant, &training, row.epsilon, row.delta).unwrap();
            let at = |noise| accountant.epsilon(&training(noise), row.delta).unwrap();
            assert!(at(noise) <= row.epsilon, "ε {}: {noise}", row.epsilon);
            assert!(at(noise * (1.0 - 1e-5)) > row.epsilon, "ε {}: {noise}", row.epsilon);
            noise
        };
        close("RDP", calibrated(&RdpAccountant::default()), row.opacus_rdp, 2e-6);
        close("PLD", calibrated(&PldAccountant::default()), row.google_pld, 1e-4);
    }
}

#[test]
fn the_whole_profile_of_a_gaussian_is_its_trade_off_curve() {
    let profile = PldAccountant::default().profile(&DpEvent::gaussian(1.0)).unwrap();
    let curve = TradeOff::profile(&profile);
    // Φ(Φ⁻¹(x) + 1) at .001, .05, .5 and .9.
    for (fpr, tpr) in
        [(0.001, 0.018_298_468), (0.05, 0.259_511_023), (0.5, 0.841_344_746), (0.9, 0.988_742_085)]
    {
        let found = curve.max_tpr(fpr).unwrap();
        assert!(found >= tpr - 1e-8 && found <= tpr + 1e-4, "{fpr}: {found} {tpr}");
    }
}
