//! Shadow splits: the same corpus and roles, with who is held in drawn anew.

use std::num::NonZeroU32;

use userprint_core::{Membership, Ragged, Seed, UserId};

use crate::canary::{Texts, roles_as};
use crate::split::SaltedHash;
use crate::{CorpusError, InMemoryCorpus, Partition};

/// The partition with as many held-in users, drawn anew among those that are not public.
///
/// What is reserved stays reserved, so that every shadow is attacked with the same documents. Draws `2k - 1` and `2k` are
/// each other's complement, as far as there are as many held-in as held-out users: each user is then held in once in
/// two shadows. The draw depends on the ids and the seed alone.
///
/// # Errors
/// [`CorpusError::OtherCorpus`] where the partition is of another corpus.
///
/// # Reference
/// Shadow models of Carlini et al., arXiv:2112.03570, for users: Kandpal et al., EMNLP 2024, Appendix B.
pub fn shadow(
    corpus: &InMemoryCorpus,
    partition: &Partition,
    draw: NonZeroU32,
    seed: Seed,
) -> Result<Partition, CorpusError> {
    let pool: Vec<usize> =
        (0..partition.users.len()).filter(|&user| partition.membership[user] != Membership::Public).collect();
    let ids: Vec<UserId> = pool.iter().map(|&user| partition.users[user].clone()).collect();
    let pair = (draw.get() - 1) / 2;
    let mut order = SaltedHash::new(seed.indexed(u64::from(pair)), "shadow").order_users(&ids);
    if draw.get().is_multiple_of(2) {
        order.reverse();
    }
    let n_held_in = partition.membership.iter().filter(|own| **own == Membership::HeldIn).count();
    let mut changed = Partition { roles: Ragged::new(), ..partition.clone() };
    for (rank, at) in order.into_iter().enumerate() {
        changed.membership[pool[at]] =
            if rank < n_held_in { Membership::HeldIn } else { Membership::HeldOut };
    }
    for (user, examples) in Texts::new(corpus, partition)?.0.iter().enumerate() {
        let roles = partition.roles.row(user);
        match changed.membership[user] {
            Membership::Public => changed.roles.push(roles.iter().copied()),
            membership => changed.roles.push(roles_as(membership, roles, examples, None)),
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use userprint_core::Role;

    use super::*;
    use crate::copies::tests::small_split;

    #[test]
    fn two_draws_are_complements_and_attack_documents_stay() {
        let (corpus, before) = small_split();
        let draw = |n: u32| {
            let n = NonZeroU32::new(n).expect("above 0");
            shadow(&corpus, &before, n, Seed(2)).expect("the same corpus")
        };
        let shadows: Vec<Partition> = (1..=4).map(draw).collect();
        assert_eq!(shadows[0], draw(1));
        assert_ne!(shadows[0].membership, shadows[2].membership, "pairs are drawn apart");
        let count = |partition: &Partition, user: usize, role: Role| {
            partition.roles.row(user).iter().filter(|own| **own == Some(role)).count()
        };
        for (first, second) in [(&shadows[0], &shadows[1]), (&shadows[2], &shadows[3])] {
            for user in 0..before.users.len() {
                let pair = [first, second].map(|shadow| shadow.membership[user]);
                let expect = match before.membership[user] {
                    Membership::Public => [Membership::Public; 2],
                    _ if pair[0] == Membership::HeldIn => [Membership::HeldIn, Membership::HeldOut],
                    _ => [Membership::HeldOut, Membership::HeldIn],
                };
                assert_eq!(pair, expect);
                for shadow in [first, second] {
                    let attack = |partition: &Partition| -> Vec<bool> {
                        partition.roles.row(user).iter().map(|role| *role == Some(Role::Attack)).collect()
                    };
                    assert_eq!(attack(shadow), attack(&before));
                    let n_train = match shadow.membership[user] {
                        Membership::Public => 18,
                        Membership::HeldIn => 14,
                        Membership::HeldOut => 0,
                    };
                    assert_eq!(count(shadow, user, Role::Train), n_train);
                }
            }
        }
    }
}
