//! Folds: whole users dealt into parts, each side alike.

use rand::seq::SliceRandom;
use userprint_core::Seed;
use userprint_stats::Side;

use crate::AttackError;

/// The fold of each user, with as many users of a side in each fold as in any other, give or take one.
///
/// The held-out users are dealt on where the held-in ones end, so that folds are of equal size, too.
pub(crate) fn stratified_folds(
    held_in: &[bool],
    n_folds: usize,
    seed: Seed,
) -> Result<Vec<usize>, AttackError> {
    if n_folds < 2 {
        return Err(AttackError::TooFewFolds { found: n_folds });
    }
    let mut fold_of = vec![0; held_in.len()];
    let mut n_dealt = 0;
    for (side, wanted) in [(Side::HeldIn, true), (Side::HeldOut, false)] {
        let mut users: Vec<usize> = (0..held_in.len()).filter(|&user| held_in[user] == wanted).collect();
        if users.len() < n_folds {
            return Err(AttackError::TooFewUsers { side, found: users.len(), needed: n_folds });
        }
        users.shuffle(&mut seed.named(if wanted { "held_in" } else { "held_out" }).rng());
        for user in users {
            fold_of[user] = n_dealt % n_folds;
            n_dealt += 1;
        }
    }
    Ok(fold_of)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sides_and_folds_are_balanced(n_in in 2usize..40, n_out in 2usize..40, n_folds in 2usize..6, seed: u64) {
            let held_in: Vec<bool> = (0..n_in + n_out).map(|user| user < n_in).collect();
            let folds = stratified_folds(&held_in, n_folds, Seed(seed));
            if n_in.min(n_out) < n_folds {
                prop_assert!(folds.is_err());
                return Ok(());
            }
            let folds = folds.unwrap();
            let spread = |keep: &dyn Fn(usize) -> bool| {
                let size = |fold| (0..folds.len()).filter(|&user| folds[user] == fold && keep(user)).count();
                let sizes: Vec<usize> = (0..n_folds).map(size).collect();
                sizes.iter().max().unwrap() - sizes.iter().min().unwrap()
            };
            for spread in [spread(&|user| held_in[user]), spread(&|user| !held_in[user]), spread(&|_| true)] {
                prop_assert!(spread <= 1);
            }
        }
    }

    #[test]
    fn bad_input() {
        let error =
            |held_in: &[bool], n_folds| stratified_folds(held_in, n_folds, Seed(1)).unwrap_err().to_string();
        assert_eq!(error(&[true, false], 1), "users cannot be held out in 1 folds, expected at least 2");
        assert_eq!(error(&[true, false, false], 2), "there are 1 held-in users, expected at least 2");
        assert_eq!(error(&[true, true], 2), "there are 0 held-out users, expected at least 2");
    }
}
