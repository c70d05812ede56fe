//! The attacker-knowledge curve: how the attack grows with the number of examples known of each user.

use rand::Rng;
use rand::seq::SliceRandom;
use userprint_core::Seed;
use userprint_stats::{Roc, StatsError};

use crate::example_statistics::UserExamples;
use crate::result::split;
use crate::{Aggregate, AttackError, ExampleStatistics};

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
///     name: "zero".to_owned(), n_tokens: vec![1; 13],
///     user: (0..13).map(|row| UserIdx(row / 12)).collect(),
///     held_in: (0..13).map(|row| row < 12).collect(),
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
///     name: "mixed".to_owned(), n_tokens: vec![1; 8],
///     user: (0..8).map(|row| UserIdx(row / 4)).collect(),
///     held_in: (0..8).map(|row| row < 4).collect(),
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
    let mut orders: Vec<Vec<usize>> = users.iter().map(|user| (0..user.statistic.len()).collect()).collect();
    if n_examples.contains(&0) {
        return Err(AttackError::NoExamples);
    }
    if draws < 2 {
        return Err(StatsError::TooFewResamples { found: draws as usize, needed: 2 }.into());
    }
    let stream = seed.named("knowledge_curve");
    let side: Vec<bool> = users.iter().map(|user| user.held_in).collect();
    let mut aurocs = vec![Vec::with_capacity(draws as usize); n_examples.len()];
    for draw in 0..draws {
        let mut rng = stream.indexed(u64::from(draw)).rng();
        let statistics = draw_statistics(&rows.name, &users, &mut orders, aggregate, n_examples, &mut rng)?;
        for (aurocs, statistic) in aurocs.iter_mut().zip(&statistics) {
            let (held_in, held_out) = split(statistic, &side);
            aurocs.push(Roc::new(&held_in, &held_out)?.auroc());
        }
    }
    Ok(n_examples.iter().zip(&aurocs).map(|(&n, aurocs)| point(&users, n, aurocs)).collect())
}

/// One draw of each user's examples: for each number of them, the statistic of every user.
fn draw_statistics(
    name: &str,
    users: &[UserExamples],
    orders: &mut [Vec<usize>],
    aggregate: Aggregate,
    n_examples: &[u32],
    rng: &mut impl Rng,
) -> Result<Vec<Vec<f64>>, AttackError> {
    let most = n_examples.iter().copied().max().unwrap_or(0) as usize;
    let mut statistics = vec![Vec::with_capacity(users.len()); n_examples.len()];
    for (of, order) in users.iter().zip(orders) {
        let (drawn, _) = order.partial_shuffle(rng, most);
        for (statistic, &n_known) in statistics.iter_mut().zip(n_examples) {
            let known = &drawn[..drawn.len().min(n_known as usize)];
            let values: Vec<f64> = known.iter().map(|&at| of.statistic[at]).collect();
            let n_tokens: Vec<u32> = known.iter().map(|&at| of.n_tokens[at]).collect();
            let value = aggregate.apply(&values, &n_tokens).ok_or_else(|| AttackError::UndefinedForUser {
                statistic: name.to_owned(),
                aggregate,
                user_idx: of.user.0,
            })?;
            statistic.push(value);
        }
    }
    Ok(statistics)
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
