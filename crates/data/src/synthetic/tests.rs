//! The distributions are what they say, and the paper's propositions hold for them.

use userprint_core::{Seed, Tokenize, UserIdx, WhitespaceTokenizer};

use super::*;
use crate::Corpus;

/// Small enough to write down every document: 4 words, at most 4 tokens.
fn miniature() -> Population {
    let config = PopulationConfig {
        n_users: 3,
        n_topics: 2,
        n_words: 4,
        min_tokens: 1,
        max_tokens: 4,
        n_habit_words: 2,
        habit_probability: 0.3,
        n_phrases: 3,
        phrase_tokens: 2,
        phrase_probability: 0.4,
        total_documents: 30,
        min_documents: 2,
        ..PopulationConfig::smoke()
    };
    Population::new(config, Seed(5)).unwrap()
}

/// Every document of the miniature.
fn documents() -> Vec<Vec<u32>> {
    let mut all: Vec<Vec<u32>> = vec![vec![]];
    let mut first = 0;
    for _ in 0..4 {
        let end = all.len();
        for i in first..end {
            (0..4).for_each(|token| all.push([&*all[i], &[token]].concat()));
        }
        first = end;
    }
    all.split_off(1)
}

fn users(population: &Population) -> impl Iterator<Item = UserIdx> {
    (0..population.config().n_users).map(UserIdx)
}

fn kl(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
}

fn mix(weight: f64, p: &[f64], q: &[f64]) -> Vec<f64> {
    p.iter().zip(q).map(|(p, q)| weight * p + (1.0 - weight) * q).collect()
}

#[test]
fn every_distribution_sums_to_one() {
    let population = miniature();
    let sum = |log_prob: &dyn Fn(&[u32]) -> f64| {
        documents().iter().map(|tokens| log_prob(tokens).exp()).sum::<f64>()
    };
    let check = |sum: f64| assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    check(sum(&|tokens| population.log_prob_task(tokens)));
    for user in users(&population) {
        check(sum(&|tokens| population.log_prob(user, tokens)));
        check(sum(&|tokens| population.log_prob_without(user, tokens)));
    }
    check(users(&population).map(|user| population.alpha(user)).sum());
}

#[test]
fn what_cannot_be_written_has_probability_zero() {
    let population = miniature();
    for tokens in [&[][..], &[0, 1, 2, 3, 0], &[4]] {
        assert_eq!(population.log_prob(UserIdx(0), tokens), f64::NEG_INFINITY);
        assert_eq!(population.log_prob_task(tokens), f64::NEG_INFINITY);
    }
}

/// Chi-square over 340 documents, the rare ones pooled. Its Wilson-Hilferty z exceeds 5 with
/// probability below 1e-6 a user if the sampler is right.
#[test]
fn sampler_agrees_with_log_prob() {
    let population = miniature();
    let n = 100_000;
    for user in users(&population) {
        let mut counts = std::collections::BTreeMap::<Vec<u32>, f64>::new();
        let mut rng = Seed(11).indexed(u64::from(user.0)).rng();
        (0..n).for_each(|_| *counts.entry(population.sample_document(user, &mut rng)).or_default() += 1.0);
        let (mut chi2, mut cells, mut rare) = (0.0, 0.0, [0.0; 2]);
        for tokens in documents() {
            let expected = f64::from(n) * population.log_prob(user, &tokens).exp();
            let found = counts.get(&tokens).copied().unwrap_or(0.0);
            if expected < 10.0 {
                rare = [rare[0] + expected, rare[1] + found];
            } else {
                chi2 += (found - expected).powi(2) / expected;
                cells += 1.0;
            }
        }
        if rare[0] > 10.0 {
            chi2 += (rare[1] - rare[0]).powi(2) / rare[0];
            cells += 1.0;
        }
        let df: f64 = cells - 1.0;
        let scale = 2.0 / (9.0 * df);
        let z = ((chi2 / df).cbrt() - (1.0 - scale)) / scale.sqrt();
        assert!(df > 50.0 && z.abs() < 5.0, "user {}: chi-square {chi2} with {df} degrees, z {z}", user.0);
    }
}

/// Proposition 1 before taking expectations: with `r = D_u / D_-u`,
/// `log alpha + log r < log(p_target / p_reference) <= alpha (r - 1)`.
#[test]
fn proposition_1_holds_for_each_document() {
    let population = Population::new(PopulationConfig::smoke(), Seed(1)).unwrap();
    let mut rng = Seed(2).rng();
    for user in users(&population).step_by(10) {
        for writer in [user, UserIdx((user.0 + 7) % 150)] {
            let tokens = population.sample_document(writer, &mut rng);
            let log_r = population.log_prob(user, &tokens) - population.log_prob_without(user, &tokens);
            let statistic = population.log_prob_task(&tokens) - population.log_prob_without(user, &tokens);
            let alpha = population.alpha(user);
            // Where r is huge the lower bound is met to the last bit, so rounding is allowed for.
            assert!(alpha.ln() + log_r < statistic + 1e-9, "{log_r} {statistic}");
            assert!(statistic <= alpha * log_r.exp_m1() + 1e-9, "{log_r} {statistic}");
        }
    }
}

/// Proposition 1: `log alpha + KL(D_u || D_-u) < E log(p_target / p_reference) <= alpha chi2(D_u || D_-u)`.
#[test]
fn proposition_1_holds_for_each_user() {
    let population = miniature();
    for user in users(&population) {
        let table = |log_prob: &dyn Fn(&[u32]) -> f64| {
            documents().iter().map(|d| log_prob(d).exp()).collect::<Vec<_>>()
        };
        let own = table(&|tokens| population.log_prob(user, tokens));
        let others = table(&|tokens| population.log_prob_without(user, tokens));
        let task = table(&|tokens| population.log_prob_task(tokens));
        let exposure: f64 = (0..own.len()).map(|i| own[i] * (task[i] / others[i]).ln()).sum();
        let chi2: f64 = own.iter().zip(&others).map(|(p, q)| p * p / q).sum::<f64>() - 1.0;
        let alpha = population.alpha(user);
        assert!(alpha.ln() + kl(&own, &others) < exposure, "user {}", user.0);
        assert!(exposure <= alpha * chi2, "user {}", user.0);
        assert!(exposure > 0.0);
    }
}

/// Proposition 2: mislabelling users can only lower the divergence, as long as labels are right at least as
/// often as chance would have it (`lambda + mu >= 1`); below that the two users have swapped names.
#[test]
fn proposition_2_holds_by_enumeration() {
    let population = miniature();
    let table =
        |user| documents().iter().map(|tokens| population.log_prob(user, tokens).exp()).collect::<Vec<_>>();
    let (p, q) = (table(UserIdx(0)), table(UserIdx(1)));
    for lambda in (0..=10).map(|tenth| f64::from(tenth) / 10.0) {
        for mu in (0..=10).map(|tenth| f64::from(tenth) / 10.0) {
            let mixed = kl(&mix(lambda, &p, &q), &mix(mu, &q, &p));
            let bound = if lambda + mu >= 1.0 { kl(&p, &q) } else { kl(&q, &p) };
            assert!(mixed <= bound + 1e-12, "lambda {lambda}, mu {mu}: {mixed} above {bound}");
        }
    }
}

#[test]
fn smoke_corpus_is_what_the_settings_say() {
    let config = PopulationConfig::smoke();
    let population = Population::new(config, Seed(1)).unwrap();
    let corpus = population.sample_corpus(Seed(2));
    assert_eq!(corpus, population.sample_corpus(Seed(2)));
    assert_ne!(corpus.fingerprint(), population.sample_corpus(Seed(3)).fingerprint());
    assert_eq!((corpus.users()[0].as_str(), corpus.users()[149].as_str()), ("user-0001", "user-0150"));
    let tokenizer = WhitespaceTokenizer::new(population.words());
    let mut shares: Vec<f64> = users(&population).map(|user| population.alpha(user)).collect();
    shares.sort_by(f64::total_cmp);
    assert!(shares[149] > 10.0 * shares[75], "a heavy tail");
    for user in users(&population) {
        assert_eq!(corpus.n_examples(user), population.n_documents(user));
        assert!(corpus.n_examples(user) >= config.min_documents);
        let example = corpus.examples(user).unwrap().remove(0);
        let n_tokens = tokenizer.encode(&[&example.text]).unwrap().ids.row(0).len() as u32;
        assert!((config.min_tokens..=config.max_tokens).contains(&n_tokens));
    }
}

#[test]
fn a_bad_setting_is_named() {
    let config = PopulationConfig { phrase_probability: 1.0, ..PopulationConfig::smoke() };
    let error = Population::new(config, Seed(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "setting `phrase_probability` is 1, expected a number of at least 0 and below 1"
    );
}
