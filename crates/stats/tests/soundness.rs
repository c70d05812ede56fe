//! Audits of simulated mechanisms at known epsilon: bounds exceed the truth as seldom as they say, and not by far less.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy takes for code")]

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};
use userprint_stats::audit::{
    CoinFlippedCanaries, CoinFlips, GuessCounts, IndependentTrials, OneRunAudit, Training,
};

/// Mechanisms of each kind, each with coins, noise and a privacy of its own.
const N_MECHANISMS: u64 = 1000;

/// Each significance with the exceedances that a sound bound stays within, but for a chance below 1e-4 a check:
/// `Pr[Bin(1000, .05) > 77] = 9.7e-5`, `Pr[Bin(1000, .001) > 6] = 8.2e-5`. Seeds are fixed, so no run differs.
const ALLOWED: [(f64, usize); 2] = [(0.05, 77), (0.001, 6)];

/// A mechanism whose privacy is known, with what it made of some coins.
struct Release {
    epsilon: f64,
    delta: f64,
    /// Mu, if it is Gaussian.
    mu: Option<f64>,
    coins: CoinFlips,
    statistic: Vec<f64>,
    /// How many of the highest are guessed included, and of the lowest not.
    n_guessed: usize,
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    // Between 0 and 1, neither included.
    let uniform = (rng.random::<u32>() as f64 + 0.5) / 4_294_967_296.0;
    Normal::standard().inverse_cdf(uniform)
}

/// The delta at epsilon of a mu-Gaussian mechanism, and its inverse by bisection: the definition.
fn gaussian_epsilon(mu: f64, delta: f64) -> f64 {
    let phi = |x: f64| Normal::standard().cdf(x);
    let delta_at =
        |epsilon: f64| phi(mu / 2.0 - epsilon / mu) - epsilon.exp() * phi(-mu / 2.0 - epsilon / mu);
    let (mut low, mut high) = (0.0, 100.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if delta_at(middle) > delta {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The bit, or its opposite with odds `e^epsilon` to 1; the sign says which, the size breaks ties.
fn randomised_response(bit: bool, epsilon: f64, rng: &mut ChaCha8Rng) -> f64 {
    let truthful = rng.random::<f64>() < 1.0 / (1.0 + (-epsilon).exp());
    let size = 1.0 + rng.random::<f64>();
    if bit == truthful { size } else { -size }
}

fn heads(coins: &CoinFlips) -> impl Iterator<Item = f64> {
    coins.heads().iter().map(|&heads| f64::from(heads))
}

/// Each user answers by itself.
fn responses(rng: &mut ChaCha8Rng) -> Release {
    let (epsilon, coins) = (4.0 * rng.random::<f64>(), CoinFlips::toss(400, rng.random()).unwrap());
    let statistic = coins.heads().iter().map(|&bit| randomised_response(bit, epsilon, rng)).collect();
    Release { epsilon, delta: 0.0, mu: None, coins, statistic, n_guessed: 100 }
}

/// Each user answers by itself, or with probability delta says the truth and that it does.
fn leaky_responses(rng: &mut ChaCha8Rng) -> Release {
    let (delta, released) = (1e-4, responses(rng));
    let leak = |(bit, answer): (f64, &f64)| {
        if rng.random::<f64>() < delta { 10.0 * (bit - 0.5) } else { *answer }
    };
    let statistic = heads(&released.coins).zip(&released.statistic).map(leak).collect();
    Release { delta, statistic, ..released }
}

/// A sum of users' contributions, each along a direction of its own, and noise in each.
fn gaussian_directions(rng: &mut ChaCha8Rng) -> Release {
    let (mu, coins, delta) =
        (3.0 * rng.random::<f64>() + 0.1, CoinFlips::toss(400, rng.random()).unwrap(), 1e-5);
    let statistic = heads(&coins).map(|bit| bit + normal(rng) / mu).collect();
    Release { epsilon: gaussian_epsilon(mu, delta), delta, mu: Some(mu), coins, statistic, n_guessed: 20 }
}

/// The same with Laplace's noise.
fn laplace_directions(rng: &mut ChaCha8Rng) -> Release {
    let (epsilon, coins) = (4.0 * rng.random::<f64>() + 0.1, CoinFlips::toss(400, rng.random()).unwrap());
    let mut exponential = || -(1.0 - rng.random::<f64>()).ln();
    let statistic = heads(&coins).map(|bit| bit + (exponential() - exponential()) / epsilon).collect();
    Release { epsilon, delta: 0.0, mu: None, coins, statistic, n_guessed: 100 }
}

/// All users share one coin that with probability delta shows everything; otherwise each answers by itself.
///
/// All are guessed: only then is what the coin shows enough for a bound, at this delta.
fn shared_coin(rng: &mut ChaCha8Rng) -> Release {
    let (delta, released) = (0.01, Release { n_guessed: 200, ..responses(rng) });
    if rng.random::<f64>() < delta {
        let statistic = heads(&released.coins).collect();
        return Release { delta, statistic, ..released };
    }
    Release { delta, ..released }
}

/// Users share the noise of a sum by eights: each may add half of what the one before may.
///
/// The attack takes off what it decided for the users before.
fn shared_draws(rng: &mut ChaCha8Rng) -> Release {
    let (mu, delta) = (4.0 * rng.random::<f64>() + 0.1, 1e-5);
    let coins = CoinFlips::toss(400, rng.random()).unwrap();
    let weights = [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015_625, 0.007_812_5];
    let mut statistic = Vec::new();
    for eight in coins.heads().chunks(8) {
        let sum: f64 = eight.iter().zip(weights).map(|(&bit, weight)| f64::from(bit) * weight).sum();
        let mut rest = sum + normal(rng) / mu;
        for weight in weights {
            statistic.push(rest - weight);
            rest -= if rest > weight { weight } else { 0.0 };
        }
    }
    Release { epsilon: gaussian_epsilon(mu, delta), delta, mu: Some(mu), coins, statistic, n_guessed: 20 }
}

fn audit(release: &Release) -> OneRunAudit {
    let canaries = CoinFlippedCanaries::new(&release.coins, &release.statistic).unwrap();
    canaries.guess(GuessCounts { n_in: release.n_guessed, n_out: release.n_guessed }).unwrap()
}

fn releases(release: fn(&mut ChaCha8Rng) -> Release) -> impl Iterator<Item = Release> {
    (0..N_MECHANISMS).map(move |seed| release(&mut ChaCha8Rng::seed_from_u64(seed)))
}

/// How many bounds exceed the truth, and what share of the truth the bounds reach, summed.
fn exceedances(bounds: impl Iterator<Item = (f64, f64)>) -> (usize, f64) {
    let (mut n_above, mut bound_sum, mut truth_sum) = (0, 0.0, 0.0);
    for (bound, truth) in bounds {
        n_above += usize::from(bound > truth);
        bound_sum += bound;
        truth_sum += truth;
    }
    (n_above, bound_sum / truth_sum)
}

/// Bounds at both significances stay within what is allowed; at .05 they reach a share of the truth, so that 0
/// everywhere would not pass.
#[track_caller]
fn check_bounds<I: Iterator<Item = (f64, f64)>>(bounds_at: impl Fn(f64) -> I, least_share: f64) {
    for (significance, allowed) in ALLOWED {
        let (n_above, share) = exceedances(bounds_at(significance));
        assert!(n_above <= allowed, "{n_above} bounds at {significance} exceed the truth");
        assert!(significance < 0.05 || share >= least_share, "a share of {share}");
    }
}

#[track_caller]
fn check_one_run(release: fn(&mut ChaCha8Rng) -> Release, least_share: f64) {
    let bound = |released: &Release, significance| {
        audit(released).epsilon_lower_bound(released.delta, significance).unwrap().epsilon
    };
    let bounds_at = |significance| {
        releases(release).map(move |released| (bound(&released, significance), released.epsilon))
    };
    check_bounds(bounds_at, least_share);
}

#[track_caller]
fn check_mu(release: fn(&mut ChaCha8Rng) -> Release, least_share: f64) {
    let bounds_at = |significance| {
        releases(release).map(move |released| {
            (audit(&released).mu_lower_bound(significance).unwrap().mu, released.mu.unwrap())
        })
    };
    check_bounds(bounds_at, least_share);
}

#[test]
fn responses_are_bounded() {
    check_one_run(responses, 0.75);
    let counts = [20, 60, 100, 150].map(|n| GuessCounts { n_in: n, n_out: n });
    let bounds_at = |significance| {
        releases(responses).map(move |released| {
            let canaries = CoinFlippedCanaries::new(&released.coins, &released.statistic).unwrap();
            let bound = canaries.epsilon_lower_bound(&counts, released.delta, significance).unwrap();
            (bound.epsilon, released.epsilon)
        })
    };
    check_bounds(bounds_at, 0.75);
}

#[test]
fn leaky_responses_are_bounded() {
    check_one_run(leaky_responses, 0.5);
}

#[test]
fn gaussian_directions_are_bounded() {
    check_one_run(gaussian_directions, 0.15);
    check_mu(gaussian_directions, 0.3);
}

#[test]
fn laplace_directions_are_bounded() {
    check_one_run(laplace_directions, 0.7);
}

#[test]
fn a_shared_coin_is_bounded() {
    check_one_run(shared_coin, 0.05);
    let n_above = |delta: f64, significance: f64| {
        let bounds = releases(shared_coin).map(|released| {
            (audit(&released).epsilon_lower_bound(delta, significance).unwrap().epsilon, released.epsilon)
        });
        exceedances(bounds).0
    };
    // The ten runs or so that show everything are among those that the significance allows for.
    assert!(n_above(0.01, 0.05) > 0);
    // Where delta is left out they exceed the truth at any significance.
    assert!(n_above(0.0, 1e-6) > 0);
}

#[test]
fn shared_draws_are_bounded() {
    check_one_run(shared_draws, 0.05);
    check_mu(shared_draws, 0.1);
}

/// A target's statistic in 200 trainings with it and 200 without.
fn trainings(rng: &mut ChaCha8Rng, statistic: impl Fn(bool, &mut ChaCha8Rng) -> f64) -> IndependentTrials {
    let trainings: Vec<Training> = (0..400)
        .map(|index| {
            let includes_target = index % 2 == 0;
            Training { run: index, includes_target, statistic: statistic(includes_target, rng) }
        })
        .collect();
    IndependentTrials::new(&trainings).unwrap()
}

#[track_caller]
fn check_trainings(
    audit: fn(&mut ChaCha8Rng) -> (IndependentTrials, f64, f64),
    thresholds: &[f64],
    least_share: f64,
) {
    let bounds_at = |significance| {
        (0..N_MECHANISMS).map(move |seed| {
            let (trials, epsilon, delta) = audit(&mut ChaCha8Rng::seed_from_u64(seed));
            (trials.epsilon_lower_bound(thresholds, delta, significance).unwrap().epsilon, epsilon)
        })
    };
    check_bounds(bounds_at, least_share);
}

#[test]
fn trainings_are_bounded() {
    let responses = |rng: &mut ChaCha8Rng| {
        let epsilon = 4.0 * rng.random::<f64>();
        (trainings(rng, |bit, rng| randomised_response(bit, epsilon, rng)), epsilon, 0.0)
    };
    check_trainings(responses, &[0.0], 0.5);
    let gaussian = |rng: &mut ChaCha8Rng| {
        let mu = 3.0 * rng.random::<f64>() + 0.1;
        let trials = trainings(rng, |bit, rng| f64::from(bit) + normal(rng) / mu);
        (trials, gaussian_epsilon(mu, 1e-5), 1e-5)
    };
    check_trainings(gaussian, &[0.5], 0.1);
    check_trainings(gaussian, &[-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0], 0.1);
}

/// Nothing is trained on, but with probability delta all coins are shown: `(0, delta)`-differentially private.
fn all_or_nothing(delta: f64, rng: &mut ChaCha8Rng) -> Release {
    let coins = CoinFlips::toss(400, rng.random()).unwrap();
    let shown = f64::from(rng.random::<f64>() < delta);
    let statistic = heads(&coins).map(|bit| bit * shown + rng.random::<f64>()).collect();
    Release { epsilon: 0.0, delta, mu: None, coins, statistic, n_guessed: 200 }
}

/// Why the types keep the users of one training from being trials: if they are passed off as trainings, a bound at
/// significance .001 is wrong in a tenth of the runs.
#[test]
fn users_of_one_training_are_no_trials() {
    let (n_above, _) = exceedances(releases(|rng| all_or_nothing(0.1, rng)).map(|released| {
        let users = released.coins.heads().iter().zip(&released.statistic);
        let users_as_trainings: Vec<Training> = (0..)
            .zip(users)
            .map(|(run, (&includes_target, &statistic))| Training { run, includes_target, statistic })
            .collect();
        let trials = IndependentTrials::new(&users_as_trainings).unwrap();
        (trials.epsilon_lower_bound(&[1.0], released.delta, 0.001).unwrap().epsilon, 0.0)
    }));
    assert!(n_above > 60, "{n_above}");
    // The right bound shows some of the runs that show everything, and no more than its significance allows.
    for (significance, allowed) in ALLOWED {
        let bounds = releases(|rng| all_or_nothing(0.01, rng)).map(|released| {
            (audit(&released).epsilon_lower_bound(released.delta, significance).unwrap().epsilon, 0.0)
        });
        let (n_above, _) = exceedances(bounds);
        assert!(n_above <= allowed && (significance < 0.05 || n_above > 0), "{n_above} at {significance}");
    }
}

/// Users in the order of their age, the older half included: their age alone, without any model, guesses every one.
#[test]
fn a_fixed_split_certifies_nothing() {
    let age: Vec<f64> = (0..400).map(f64::from).collect();
    let bound = |coins: &CoinFlips| {
        let canaries = CoinFlippedCanaries::new(coins, &age).unwrap();
        let audit = canaries.guess(GuessCounts { n_in: 100, n_out: 100 }).unwrap();
        audit.epsilon_lower_bound(0.0, 0.001).unwrap().epsilon
    };
    let split = CoinFlips::recorded(age.iter().map(|&age| age >= 200.0).collect()).unwrap();
    assert!(bound(&split) > 3.0);
    let (n_above, _) =
        exceedances((0..N_MECHANISMS).map(|seed| (bound(&CoinFlips::toss(400, seed).unwrap()), 0.0)));
    assert!(n_above <= 6, "{n_above}");
}

/// All 1,000 users answer and all are guessed: the mean over 100 runs reaches this share of the true epsilon.
#[test]
fn bounds_are_sharp() {
    for (epsilon, least_share) in [(0.5, 0.75), (1.0, 0.85), (2.0, 0.9), (4.0, 0.9)] {
        let (_, share) = exceedances((0..100).map(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let n_correct = (0..1000).filter(|_| randomised_response(true, epsilon, &mut rng) > 0.0).count();
            let audit = OneRunAudit::new(1000, 1000, n_correct as u64).unwrap();
            (audit.epsilon_lower_bound(0.0, 0.05).unwrap().epsilon, epsilon)
        }));
        assert!(share >= least_share && share < 1.0, "a share of {share} at {epsilon}");
    }
}
