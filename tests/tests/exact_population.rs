//! The attack on models that know their distributions exactly: no training, no estimate, only the statistic.

use userprint_attack::{
    Aggregate, LikelihoodRatio, ScoredExamples, TokenMeanLikelihoodRatio, evaluate, user_statistics,
};
use userprint_core::{Seed, TextScores, UserIdx};
use userprint_data::{Population, PopulationConfig};

const DOCUMENTS: usize = 8;

fn population(n_users: u32) -> Population {
    let config = PopulationConfig { n_users, min_tokens: 24, max_tokens: 40, ..PopulationConfig::smoke() };
    Population::new(config, Seed(1)).expect("settings in range")
}

fn documents(population: &Population, user: UserIdx) -> Vec<Vec<u32>> {
    let mut rng = Seed(2).indexed(u64::from(user.0)).rng();
    (0..DOCUMENTS).map(|_| population.sample_document(user, &mut rng)).collect()
}

/// Rows of scored documents under construction.
#[derive(Default)]
struct Rows {
    user: Vec<UserIdx>,
    held_in: Vec<bool>,
    target: TextScores,
    reference: TextScores,
}

impl Rows {
    fn push(&mut self, user: UserIdx, held_in: bool, n_tokens: usize, [target, reference]: [f64; 2]) {
        self.user.push(user);
        self.held_in.push(held_in);
        for (scores, log_likelihood) in [(&mut self.target, target), (&mut self.reference, reference)] {
            scores.log_likelihood.push(log_likelihood);
            scores.n_tokens.push(n_tokens as u32);
        }
    }

    fn finish(self) -> ScoredExamples {
        let Self { user, held_in, target, reference } = self;
        ScoredExamples::new(user, held_in, target, reference).expect("documents that their users can write")
    }
}

/// Proposition 1 of the paper: where the reference is the mixture without the user, the statistic of a user in the
/// target's mixture is positive in expectation, `log alpha + KL(D_u || D_-u) < E log(p_target / p_-u)`.
///
/// A user that the target was not trained on is not in its mixture, so for that user the mixture without it is the
/// target itself and the statistic is exactly 0: the AUROC is the share of held-in users above 0.
#[test]
fn statistics_of_held_in_users_are_positive() {
    let n_held_in = 40;
    let target = population(n_held_in);
    // Authors are drawn one by one, so the first users of the larger population are those of the smaller one.
    let everyone = population(2 * n_held_in);
    let mut rows = Rows::default();
    for user in (0..2 * n_held_in).map(UserIdx) {
        let held_in = user.0 < n_held_in;
        for tokens in documents(&everyone, user) {
            assert!(!held_in || target.log_prob(user, &tokens) == everyone.log_prob(user, &tokens));
            let in_target = target.log_prob_task(&tokens);
            let without = if held_in { target.log_prob_without(user, &tokens) } else { in_target };
            rows.push(user, held_in, tokens.len(), [in_target, without]);
        }
    }
    let users = user_statistics(&rows.finish(), &LikelihoodRatio, Aggregate::Mean).unwrap();
    let (held_in, held_out) = users.statistic.split_at(n_held_in as usize);
    assert!(held_out.iter().all(|&statistic| statistic == 0.0));
    let positive = held_in.iter().filter(|&&statistic| statistic > 0.0).count();
    let result = evaluate(&users, 100, Seed(3)).unwrap();
    assert_eq!(result.auroc, positive as f64 / f64::from(n_held_in), "no held-in statistic is exactly 0");
    assert!(result.auroc > 0.9, "{}", result.auroc);
}

/// One reference for all users, as an attacker has it: the mixture of users of neither side.
///
/// The target is the mixture of those users and the held-in ones; held-out users are in no mixture.
#[test]
fn one_reference_tells_the_sides_apart() {
    const SIDE: u32 = 30;
    let population = population(3 * SIDE);
    let side = |from: u32| (from * SIDE..(from + 1) * SIDE).map(UserIdx);
    let mut rows = Rows::default();
    for (held_in, attacked) in [(true, side(1)), (false, side(2))] {
        for user in attacked {
            for tokens in documents(&population, user) {
                let public = mixture(&population, side(0), &tokens);
                let target = mixture(&population, side(0).chain(side(1)), &tokens);
                rows.push(user, held_in, tokens.len(), [target, public]);
            }
        }
    }
    let examples = rows.finish();
    let users = user_statistics(&examples, &TokenMeanLikelihoodRatio, Aggregate::Mean).unwrap();
    let auroc = evaluate(&users, 100, Seed(3)).unwrap().auroc;
    assert!(auroc > 0.9, "{auroc}");
}

/// `log Σ_u alpha_u D_u` over some users, their shares brought to a sum of 1.
fn mixture(population: &Population, users: impl Iterator<Item = UserIdx>, tokens: &[u32]) -> f64 {
    let (mut total, mut terms) = (0.0, Vec::new());
    for user in users {
        total += population.alpha(user);
        terms.push(population.alpha(user).ln() + population.log_prob(user, tokens));
    }
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln() - total.ln()
}
