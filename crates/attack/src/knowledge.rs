//! The attacker-knowledge curve: how the attack grows with the number of examples known of each user.

use std::cmp::Reverse;

use rand::Rng;
use rand::seq::SliceRandom;
use userprint_core::Seed;
use userprint_stats::StatsError;

use crate::example_statistics::{UserExamples, aggregate_users};
use crate::result::roc;
use crate::{Aggregate, AttackError, ExampleStatistics, UserStatistics};

/// The AUROC of an attacker that knows some examples of each user, over random draws of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnowledgePoint {
    /// Examples known of each user; of users with fewer all are known.
    pub n_examples: u32,
    /// Mean AUROC over draws.
    pub mean: f64,
    /// Standard deviation of the AUROC over draws, with divisor `draws - 1`; not over users, so it is no error of
    /// the mean.
    pub std_dev: f64,
    /// Held-in users with fewer examples.
    pub n_held_in_short: usize,
    /// Held-out users with fewer examples.
    pub n_held_out_short: usize,
}

/// The numbers 1, 2, 5, 10, 20, 50 and so on that some user has examples for.
///
/// # Errors
/// Those of [`knowledge_curve`] about the rows.
///
/// ```
/// use userprint_attack::{ExampleStatistics, knowledge_steps};
/// use userprint_core::UserIdx;
/// let rows = ExampleStatistics {
///     name: "mine".to_owned(),
///     user: (0..13).map(|row| UserIdx(row / 12)).collect(),
///     held_in: (0..13).map(|row| row < 12).collect(),
///     n_tokens: vec![1; 13],
///     statistic: vec![0.0; 13],
/// };
/// assert_eq!(knowledge_steps(&rows)?, [1, 2, 5, 10]); // user 0 has 12
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn knowledge_steps(rows: &ExampleStatistics) -> Result<Vec<u32>, AttackError> {
    let most = rows.by_user()?.iter().map(|user| user.statistic.len()).max().unwrap_or(0);
    let steps = (0..9).flat_map(|power| [1, 2, 5].map(|first| first * 10_u32.pow(power)));
    Ok(steps.take_while(|&step| step as usize <= most).collect())
}

/// Repeats the attack on random draws of each user's examples, without replacement.
///
/// The example statistics are computed once, so a draw costs a shuffle.
/// One draw serves all of `n_examples`: its first examples, so that more knowledge means more examples and not
/// others.
/// Users with fewer examples keep all of theirs, so that every point is about the same users; how many they are is
/// in the point.
/// Where nobody has more, every draw is the same and the deviation is 0.
///
/// # Errors
/// [`AttackError::UnequalColumns`], [`AttackError::UserOnBothSides`], [`AttackError::NotFinite`];
/// [`AttackError::NoExamples`] if 0 examples are asked for; [`AttackError::UndefinedForUser`];
/// [`AttackError::Stats`] with fewer than 2 draws or an empty side.
///
/// # Reference
/// Kandpal et al., arXiv:2310.09266, Sec. 4: attacker knowledge, 100 random draws.
/// ```
/// use userprint_attack::{Aggregate, ExampleStatistics, knowledge_curve};
/// use userprint_core::{Seed, UserIdx};
/// // Two users with four examples each; only their means are apart.
/// let rows = ExampleStatistics {
///     name: "mine".to_owned(),
///     user: (0..8).map(|row| UserIdx(row / 4)).collect(),
///     held_in: (0..8).map(|row| row < 4).collect(),
///     n_tokens: vec![1; 8],
///     statistic: vec![0.0, 0.0, 9.0, 9.0, 1.0, 1.0, 1.0, 1.0],
/// };
/// let curve = knowledge_curve(&rows, Aggregate::Mean, &[1, 4], 100, Seed(7))?;
/// assert!((0.3..0.7).contains(&curve[0].mean) && curve[0].std_dev > 0.4);
/// assert_eq!((curve[1].mean, curve[1].std_dev), (1.0, 0.0));
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn knowledge_curve(
    rows: &ExampleStatistics,
    aggregate: Aggregate,
    n_examples: &[u32],
    draws: u32,
    seed: Seed,
) -> Result<Vec<KnowledgePoint>, AttackError> {
    let users = rows.by_user()?;
    if n_examples.contains(&0) {
        return Err(AttackError::NoExamples);
    }
    if draws < 2 {
        return Err(StatsError::TooFewResamples { found: draws as usize, needed: 2 }.into());
    }
    let mut aurocs = vec![Vec::with_capacity(draws as usize); n_examples.len()];
    for draw in 0..draws {
        let drawn = drawn(&users, rows, aggregate, n_examples, seed, draw)?;
        for (aurocs, users) in aurocs.iter_mut().zip(drawn) {
            aurocs.push(roc(&users)?.auroc());
        }
    }
    Ok(n_examples.iter().zip(&aurocs).map(|(&n, aurocs)| point(&users, n, aurocs)).collect())
}

/// The attack of each user in the first draw of [`knowledge_curve`], one for each of `n_examples`.
///
/// # Errors
/// Those of [`knowledge_curve`] about rows and examples.
pub fn with_knowledge_of(
    rows: &ExampleStatistics,
    aggregate: Aggregate,
    n_examples: &[u32],
    seed: Seed,
) -> Result<Vec<UserStatistics>, AttackError> {
    if n_examples.contains(&0) {
        return Err(AttackError::NoExamples);
    }
    drawn(&rows.by_user()?, rows, aggregate, n_examples, seed, 0)
}

/// One draw of examples, cut shorter for each of `n_examples`.
fn drawn(
    users: &[UserExamples],
    rows: &ExampleStatistics,
    aggregate: Aggregate,
    n_examples: &[u32],
    seed: Seed,
    draw: u32,
) -> Result<Vec<UserStatistics>, AttackError> {
    let most = n_examples.iter().max().map_or(0, |&n| n as usize);
    let mut rng = seed.named("knowledge_curve").indexed(u64::from(draw)).rng();
    let mut drawn: Vec<UserExamples> = users.iter().map(|user| sampled(user, most, &mut rng)).collect();
    // From the most down: a draw is cut shorter from number to number.
    let mut order: Vec<usize> = (0..n_examples.len()).collect();
    order.sort_by_key(|&at| Reverse(n_examples[at]));
    let mut found = vec![UserStatistics::default(); n_examples.len()];
    for at in order {
        for user in &mut drawn {
            user.statistic.truncate(n_examples[at] as usize);
            user.n_tokens.truncate(n_examples[at] as usize);
        }
        found[at] = aggregate_users(&drawn, &rows.name, aggregate)?;
    }
    Ok(found)
}

/// Some of a user's examples in random order, or all where there are fewer.
fn sampled(user: &UserExamples, n_examples: usize, rng: &mut impl Rng) -> UserExamples {
    let mut order: Vec<usize> = (0..user.statistic.len()).collect();
    let (chosen, _) = order.partial_shuffle(rng, n_examples);
    UserExamples {
        n_tokens: chosen.iter().map(|&at| user.n_tokens[at]).collect(),
        statistic: chosen.iter().map(|&at| user.statistic[at]).collect(),
        ..*user
    }
}

fn point(users: &[UserExamples], n_examples: u32, aurocs: &[f64]) -> KnowledgePoint {
    let mean = aurocs.iter().sum::<f64>() / aurocs.len() as f64;
    let squares: f64 = aurocs.iter().map(|auroc| (auroc - mean).powi(2)).sum();
    let n_short = |held_in: bool| {
        let short =
            |user: &&UserExamples| user.held_in == held_in && user.statistic.len() < n_examples as usize;
        users.iter().filter(short).count()
    };
    KnowledgePoint {
        n_examples,
        mean,
        std_dev: (squares / (aurocs.len() - 1) as f64).sqrt(),
        n_held_in_short: n_short(true),
        n_held_out_short: n_short(false),
    }
}

#[cfg(test)]
mod tests;
