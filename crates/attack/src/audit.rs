//! Auditing one run: a lower bound on epsilon from canary users that coins included.

use std::collections::BTreeSet;

use userprint_stats::audit::{
    AuditBounds, CoinFlippedCanaries, CoinFlips, GuessCounts, OneRunAudit, PrivacyClaim, Verdict,
};

use crate::{AttackError, UserStatistics};

/// What must be fixed before the statistics are seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditPlan {
    /// How many users are guessed included, and not; all others abstain.
    pub guesses: GuessCounts,
    /// The delta at which epsilon is bounded, at least that of the claim.
    pub delta: f64,
    /// The user-level guarantee that the training claims, if any.
    pub claim: Option<PrivacyClaim>,
}

/// What one run certifies of the privacy of its users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UserAudit {
    /// Canary users, guesses and right guesses.
    pub guessed: OneRunAudit,
    /// Lower bounds on epsilon at .05 and at .001.
    pub bounds: AuditBounds,
    /// What they say of the claim, if there is one.
    pub verdict: Option<Verdict>,
}

/// Guesses which canary users were included and bounds epsilon from how many guesses are right.
///
/// The unit is the *user*: each coin includes all of a user's training examples or none, and the statistic is that of
/// fresh examples, which no training saw.
/// Users without a coin are trained on as ever and are none of `users`.
/// `coins` says that inclusion was by independent fair coins, one a user in the order of `users`.
/// A split into two fixed halves is no such thing and certifies nothing: whatever told the halves apart
/// beforehand, time or source, would be taken for a leak.
///
/// # Errors
/// [`AttackError::UnequalColumns`]; [`AttackError::UserRepeated`], since a user has one coin;
/// [`AttackError::CoinContradicted`] where a user was not trained on as its coin says; [`AttackError::Stats`] with what
/// is wrong with statistics, counts, delta or claim.
///
/// # Reference
/// Steinke, Nasr & Jagielski, arXiv:2305.08846, Theorem 5.2.
/// ```
/// use userprint_attack::{AuditPlan, UserStatistics, audit_users};
/// use userprint_core::UserIdx;
/// use userprint_stats::audit::{CoinFlips, GuessCounts, PrivacyClaim, Verdict};
/// let coins = CoinFlips::toss(1000, 7)?;
/// let users = UserStatistics {
///     user: (0..1000).map(UserIdx).collect(),
///     held_in: coins.heads().to_vec(),
///     statistic: coins.heads().iter().map(|&heads| f64::from(heads)).collect(),
///     n_examples: vec![5; 1000],
/// };
/// let plan = AuditPlan {
///     guesses: GuessCounts { n_in: 300, n_out: 300 },
///     delta: 1e-5,
///     claim: Some(PrivacyClaim::new(2.0, 1e-5)?),
/// };
/// let audit = audit_users(&users, &coins, &plan)?;
/// assert_eq!(format!("{:.3}", audit.bounds.warn().epsilon), "5.270");
/// assert_eq!(audit.verdict, Some(Verdict::Fail));
/// # Ok::<(), userprint_attack::AttackError>(())
/// ```
pub fn audit_users(
    users: &UserStatistics,
    coins: &CoinFlips,
    plan: &AuditPlan,
) -> Result<UserAudit, AttackError> {
    check_coins(users, coins)?;
    let guessed = CoinFlippedCanaries::new(coins, &users.statistic)?.guess(plan.guesses)?;
    let bounds = AuditBounds::at_both(|significance| guessed.epsilon_lower_bound(plan.delta, significance))?;
    let verdict = plan.claim.map(|claim| bounds.verdict(claim)).transpose()?;
    Ok(UserAudit { guessed, bounds, verdict })
}

/// Whether each user has one coin, and was trained on if that shows heads.
fn check_coins(users: &UserStatistics, coins: &CoinFlips) -> Result<(), AttackError> {
    let expected = coins.heads().len();
    for (column, found) in [("user", users.user.len()), ("held_in", users.held_in.len())] {
        if found != expected {
            return Err(AttackError::UnequalColumns { column, found, expected });
        }
    }
    let mut seen = BTreeSet::new();
    for (row, user) in users.user.iter().enumerate() {
        if !seen.insert(user) {
            return Err(AttackError::UserRepeated { row, user_idx: user.0 });
        }
        if users.held_in[row] != coins.heads()[row] {
            return Err(AttackError::CoinContradicted { row, user_idx: user.0 });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use userprint_core::UserIdx;

    use super::*;

    const PLAN: AuditPlan =
        AuditPlan { guesses: GuessCounts { n_in: 100, n_out: 100 }, delta: 1e-5, claim: None };

    fn users(coins: &CoinFlips, statistic: impl Fn(usize, bool) -> f64) -> UserStatistics {
        let heads = coins.heads();
        UserStatistics {
            user: (0..heads.len() as u32).map(UserIdx).collect(),
            held_in: heads.to_vec(),
            statistic: heads.iter().enumerate().map(|(row, &heads)| statistic(row, heads)).collect(),
            n_examples: vec![1; heads.len()],
        }
    }

    #[test]
    fn users_that_show_nothing_are_consistent_with_any_claim() {
        let coins = CoinFlips::toss(1000, 3).unwrap();
        let claim = Some(PrivacyClaim::new(0.0, 0.0).unwrap());
        // A statistic of the position alone: at .001 one seed in a thousand would fail.
        let audit = audit_users(
            &users(&coins, |row, _| (row * 7919 % 1000) as f64),
            &coins,
            &AuditPlan { claim, ..PLAN },
        )
        .unwrap();
        assert_eq!((audit.guessed.n_canaries(), audit.guessed.n_guesses()), (1000, 200));
        assert_eq!(audit.bounds.fail().epsilon, 0.0);
        assert_ne!(audit.verdict, Some(Verdict::Fail));
    }

    #[test]
    fn without_a_claim_there_is_no_verdict() {
        let coins = CoinFlips::toss(1000, 3).unwrap();
        let audit = audit_users(&users(&coins, |_, heads| f64::from(heads)), &coins, &PLAN).unwrap();
        assert_eq!(audit.guessed.n_correct(), 200);
        assert!(audit.bounds.warn().epsilon > audit.bounds.fail().epsilon && audit.verdict.is_none());
    }

    #[track_caller]
    fn check_error(users: &UserStatistics, coins: &CoinFlips, plan: &AuditPlan, expected: &str) {
        assert_eq!(audit_users(users, coins, plan).unwrap_err().to_string(), expected);
    }

    #[test]
    fn bad_input_is_refused() {
        let coins = CoinFlips::toss(1000, 3).unwrap();
        let good = users(&coins, |_, heads| f64::from(heads));
        let other = CoinFlips::toss(1000, 4).unwrap();
        let row = (0..1000).find(|&row| other.heads()[row] != coins.heads()[row]).unwrap();
        let contradicted = format!("row {row} has user {row} on the other side than its coin");
        check_error(&good, &other, &PLAN, &contradicted);
        let mut twice = good.clone();
        twice.user[9] = UserIdx(2);
        check_error(&twice, &coins, &PLAN, "row 9 repeats user 2");
        let few = CoinFlips::toss(999, 3).unwrap();
        check_error(&good, &few, &PLAN, "column `user` has 1000 entries, expected 999");
        let claim = Some(PrivacyClaim::new(1.0, 1e-3).unwrap());
        let nan = users(&coins, |row, _| if row == 5 { f64::NAN } else { 0.0 });
        let too_many = GuessCounts { n_in: 600, n_out: 600 };
        for (users, plan) in [
            (&good, AuditPlan { claim, ..PLAN }),
            (&nan, PLAN),
            (&good, AuditPlan { guesses: too_many, ..PLAN }),
            (&good, AuditPlan { delta: 1.0, ..PLAN }),
        ] {
            assert!(matches!(audit_users(users, &coins, &plan), Err(AttackError::Stats(_))));
        }
    }
}
