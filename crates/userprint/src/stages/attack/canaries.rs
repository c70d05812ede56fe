//! Canary users: held-in ones against held-out ones of the same tier.

use std::collections::BTreeSet;

use userprint_attack::{AttackError, UserStatistics, evaluate};
use userprint_core::UserId;
use userprint_data::Planted;

use crate::pipeline::Pipeline;
use crate::results::CanaryRow;

/// The headline attack on the canaries of each tier; `users` are those that `found` numbers.
pub(super) fn rows(
    pipeline: &Pipeline,
    users: &[UserId],
    found: &UserStatistics,
) -> anyhow::Result<Vec<CanaryRow>> {
    let prepared = pipeline.prepared()?;
    let (experiment, mut rows) = (&pipeline.experiment, Vec::new());
    for (tier_idx, tier) in experiment.raw.canaries.iter().enumerate() {
        let own = of_tier(prepared, tier_idx);
        let among = among(found, |user| own.contains(&users[user]));
        let seed = experiment.seed.named("canaries").indexed(tier_idx as u64);
        let n_held_in = among.held_in.iter().filter(|held_in| **held_in).count();
        let mut row = CanaryRow {
            kind: tier.kind,
            n_tokens: tier.n_tokens,
            n_documents: tier.n_documents,
            held_in: n_held_in,
            held_out: among.held_in.len() - n_held_in,
            auroc: None,
            auroc_interval: None,
            undefined: None,
        };
        match evaluate(&among, experiment.raw.attack.bootstrap_resamples, seed) {
            Ok(result) => {
                row.auroc = Some(result.auroc);
                row.auroc_interval = Some([result.auroc_interval.lower, result.auroc_interval.upper]);
            }
            Err(why @ (AttackError::TooFewUsers { .. } | AttackError::Stats(_))) => {
                row.undefined = Some(format!("{:#}", anyhow::Error::from(why)));
            }
            Err(error) => return Err(error.into()),
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Whether each user is a canary, by tier.
pub(super) fn flags(
    pipeline: &Pipeline,
    users: &[UserId],
    found: &UserStatistics,
) -> anyhow::Result<Vec<Vec<bool>>> {
    let prepared = pipeline.prepared()?;
    let flags = |tier_idx: usize| {
        let own = of_tier(prepared, tier_idx);
        found.user.iter().map(|user| own.contains(&users[user.index()])).collect()
    };
    Ok((0..pipeline.experiment.raw.canaries.len()).map(flags).collect())
}

/// The canaries of a tier.
fn of_tier(prepared: &Planted, tier_idx: usize) -> BTreeSet<&UserId> {
    let own = prepared.canaries.iter().filter(|canary| canary.tier == tier_idx);
    own.map(|canary| &prepared.partition.users[canary.user]).collect()
}

fn among(found: &UserStatistics, is_own: impl Fn(usize) -> bool) -> UserStatistics {
    let mut own = UserStatistics::default();
    for row in (0..found.user.len()).filter(|&row| is_own(found.user[row].index())) {
        own.user.push(found.user[row]);
        own.held_in.push(found.held_in[row]);
        own.statistic.push(found.statistic[row]);
        own.n_examples.push(found.n_examples[row]);
    }
    own
}
