//! The mixture is undone exactly, and Proposition 1 holds on populations that are known exactly.

use expect_test::expect;
use proptest::prelude::*;
use rand::RngExt;
use userprint_core::Seed;

use super::*;

/// A population of users who write documents of one word each, with the exact numbers of the first user.
#[derive(Debug)]
struct Population {
    share: f64,
    own: Vec<f64>,
    others: Vec<f64>,
}

impl Population {
    fn new(shares: &[f64], users: &[Vec<f64>]) -> Self {
        let normalised = |weights: &[f64]| {
            let total: f64 = weights.iter().sum();
            weights.iter().map(|weight| weight / total).collect::<Vec<_>>()
        };
        let shares = normalised(shares);
        let users: Vec<_> = users.iter().map(|weights| normalised(weights)).collect();
        let of_others = |word: usize| {
            let mixed: f64 = shares.iter().zip(&users).skip(1).map(|(share, user)| share * user[word]).sum();
            mixed / (1.0 - shares[0])
        };
        Self { share: shares[0], own: users[0].clone(), others: (0..users[0].len()).map(of_others).collect() }
    }

    /// `E_u` of a function of the user's and of the others' probability.
    fn mean(&self, of: impl Fn(f64, f64) -> f64) -> f64 {
        self.own.iter().zip(&self.others).map(|(&own, &others)| own * of(own, others)).sum()
    }

    fn log_ratio(&self, own: f64, others: f64) -> f64 {
        ((self.share * own + (1.0 - self.share) * others) / others).ln()
    }

    fn divergence(&self) -> Divergence {
        Divergence {
            kl: self.mean(|own, others| (own / others).ln()),
            log_one_plus_chi_square: Some(self.mean(|own, others| own / others).ln()),
            source: DivergenceSource::Known,
        }
    }

    fn statistic(&self) -> f64 {
        self.mean(|own, others| self.log_ratio(own, others))
    }
}

/// Five users over six words, in whole weights so that some users are nearly alike and others far apart.
fn population() -> impl Strategy<Value = Population> {
    let weights = || prop::collection::vec((1u32..2000).prop_map(f64::from), 6);
    (prop::collection::vec((1u32..500).prop_map(f64::from), 5), prop::collection::vec(weights(), 5))
        .prop_map(|(shares, users)| Population::new(&shares, &users))
}

proptest! {
    #[test]
    fn proposition_1_holds_where_all_is_known(population in population()) {
        let bounds = proposition_1(population.share, &population.divergence(), population.statistic()).unwrap();
        prop_assert!(bounds.lower < bounds.measured, "{:?}", bounds);
        prop_assert!(bounds.measured <= bounds.log_upper.unwrap() + 1e-12, "{:?}", bounds);
        prop_assert!(bounds.log_upper.unwrap() <= bounds.upper.unwrap() + 1e-12, "{:?}", bounds);
        prop_assert!(bounds.is_inside());
    }

    /// One document's ratio gives back what the user and the others make of it.
    #[test]
    fn the_mixture_is_undone(population in population(), word in 0usize..6) {
        let (own, others) = (population.own[word], population.others[word]);
        let found = divergence_from_scores(&[population.log_ratio(own, others)], population.share).unwrap();
        let expected = (own / others).ln().max(LEAST_RATIO.ln());
        prop_assert!((found.kl - expected).abs() < 1e-9 / population.share, "{} {}", found.kl, expected);
    }

    /// The bounds of the same scores contain their mean whatever they are, as long as nothing was clamped.
    #[test]
    fn bounds_of_the_same_scores_are_a_tautology(
        log_ratio in prop::collection::vec(-3.0f64..60.0, 1..20), share in 0.001f64..0.999
    ) {
        let found = divergence_from_scores(&log_ratio, share).unwrap();
        let measured = log_ratio.iter().sum::<f64>() / log_ratio.len() as f64;
        let bounds = proposition_1(share, &found, measured).unwrap();
        if found.source == (DivergenceSource::Scores { clamped_share: 0.0 }) {
            prop_assert!(bounds.is_inside(), "{:?}", bounds);
        }
    }
}

/// The mixture undone in 80 digits, made by `fixtures/generate/user_level.py`.
///
/// Near the least ratio that is kept, `r - 1 + alpha` is a thousandth of its terms: 1e-16 grows to 1e-13.
#[test]
fn agrees_with_many_digits() {
    let golden = include_str!("../../../../../fixtures/user_level/golden.json");
    let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
    for case in golden["divergence"].as_array().unwrap() {
        let number = |name: &str| case[name].as_f64().unwrap();
        let log_ratio = case["log_ratio"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
        let log_ratio: Vec<f64> = log_ratio.collect();
        let found = divergence_from_scores(&log_ratio, number("share")).unwrap();
        assert_eq!(found.source, DivergenceSource::Scores { clamped_share: 0.0 });
        let log_one_plus = found.log_one_plus_chi_square.unwrap();
        for (found, name) in [(found.kl, "kl"), (log_one_plus, "log_one_plus_chi_square")] {
            let expected = number(name);
            assert!((found - expected).abs() < 1e-12 * expected.abs().max(1.0), "{name} {found} {expected}");
        }
    }
}

/// 20 000 documents of a user: the estimates are near the truth.
///
/// Five standard errors, computed from the exact second moments: a false alarm with chance below 2e-6.
#[test]
fn estimates_from_documents_are_near_the_truth() {
    let population = Population::new(
        &[1.0, 4.0, 5.0],
        &[vec![6.0, 1.0, 1.0, 2.0], vec![1.0, 5.0, 2.0, 2.0], vec![2.0, 2.0, 4.0, 2.0]],
    );
    let mut rng = Seed(31).rng();
    let log_ratio: Vec<f64> = (0..20_000)
        .map(|_| {
            let mut left: f64 = rng.random();
            let word = population.own.iter().position(|own| {
                left -= own;
                left < 0.0
            });
            let word = word.unwrap_or(3);
            population.log_ratio(population.own[word], population.others[word])
        })
        .collect();
    let (found, truth) =
        (divergence_from_scores(&log_ratio, population.share).unwrap(), population.divergence());
    let error = |of: &dyn Fn(f64) -> f64, mean: f64| {
        5.0 * (population.mean(|own, others| (of(own / others) - mean).powi(2)) / 20_000.0).sqrt()
    };
    assert!((found.kl - truth.kl).abs() < error(&f64::ln, truth.kl), "{found:?} {truth:?}");
    let (found, truth) = (found.chi_square().unwrap(), truth.chi_square().unwrap());
    assert!((found - truth).abs() < error(&|ratio| ratio, 1.0 + truth), "{found} {truth}");
}

/// The claim beside the floor: it raises KL by at most itself, here for a user who writes what nobody else does not.
#[test]
fn the_floor_costs_at_most_itself() {
    for rare in [1e-9, 1e-5, 1e-3, 0.1] {
        let population =
            Population::new(&[0.5, 0.5], &[vec![rare * 1e-4, 1.0 - rare * 1e-4], vec![rare, 1.0 - rare]]);
        let raised = population.mean(|own, others| (own / others).max(LEAST_RATIO).ln());
        let kl = population.divergence().kl;
        assert!(raised >= kl && raised - kl <= LEAST_RATIO, "{rare} {raised} {kl}");
    }
}

#[test]
fn what_no_mixture_allows_is_counted() {
    let found = divergence_from_scores(&[-2.0, 0.0, 0.0, 0.0], 0.5).unwrap();
    assert_eq!(found.source, DivergenceSource::Scores { clamped_share: 0.25 });
    assert!((found.kl - LEAST_RATIO.ln() / 4.0).abs() < 1e-12);
}

/// A ratio of densities of .0005 is raised to .001, and one of .002 is kept.
#[test]
fn the_floor_is_where_it_is_said_to_be() {
    let of_density = |density: f64| divergence_from_scores(&[(0.5 * density + 0.5).ln()], 0.5).unwrap();
    assert!((of_density(0.002).kl - 0.002_f64.ln()).abs() < 1e-9);
    assert_eq!(of_density(0.002).source, DivergenceSource::Scores { clamped_share: 0.0 });
    assert_eq!(of_density(0.0005).kl, LEAST_RATIO.ln());
    assert_eq!(of_density(0.0005).source, DivergenceSource::Scores { clamped_share: 1.0 });
}

/// A document of thousands of tokens: the ratio exceeds any double, its logarithm does not.
#[test]
fn long_documents_do_not_overflow() {
    let found = divergence_from_scores(&[5000.0, 4000.0], 0.01).unwrap();
    assert!((found.kl - (4500.0 - 0.01_f64.ln())).abs() < 1e-9);
    assert_eq!(found.chi_square(), None);
    let bounds = proposition_1(0.01, &found, 4500.0).unwrap();
    assert_eq!(bounds.upper, None);
    assert!((bounds.log_upper.unwrap() - (5000.0 - 2.0_f64.ln())).abs() < 1e-9);
    assert!(bounds.is_inside());
}

#[test]
fn bad_input() {
    for share in [0.0, 1.0, -0.5, f64::NAN] {
        let error = divergence_from_scores(&[0.0], share).unwrap_err();
        assert!(matches!(error, AttackError::ShareOutOfRange { .. }), "{error}");
        let divergence = divergence_from_scores(&[0.0], 0.5).unwrap();
        assert!(proposition_1(share, &divergence, 0.0).is_err());
    }
    assert_eq!(divergence_from_scores(&[], 0.5), Err(AttackError::NoExamples));
    let error = divergence_from_scores(&[0.0, f64::INFINITY], 0.5).unwrap_err();
    expect!["row 1 of column `log_ratio` is inf, expected a finite number"].assert_eq(&error.to_string());
    let known = Divergence { kl: f64::NAN, log_one_plus_chi_square: None, source: DivergenceSource::Known };
    let error = proposition_1(0.5, &known, 0.0).unwrap_err();
    expect!["row 0 of column `kl` is NaN, expected a finite number"].assert_eq(&error.to_string());
}
