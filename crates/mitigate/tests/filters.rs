//! What every filter promises, over random labels.

use std::collections::BTreeMap;

use proptest::prelude::*;
use userprint_core::{Seed, TrainSet, UserIdx};
use userprint_mitigate::{DataFilter, ExactDedup, Mitigation, StopRule, TrainingRule, UserCap};

/// A few users with a few groups of equal texts; ranks are unique within the user, as labels promise.
fn train_set() -> impl Strategy<Value = TrainSet> {
    proptest::collection::vec((0_u32..4, 0_u32..5, any::<u32>()), 0..40).prop_map(|rows| {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&at| rows[at].2);
        let mut next = BTreeMap::new();
        let mut rank = vec![0; rows.len()];
        for at in order {
            let next = next.entry(rows[at].0).or_insert(0);
            rank[at] = *next;
            *next += 1;
        }
        TrainSet {
            user: rows.iter().map(|row| UserIdx(row.0)).collect(),
            rank,
            duplicate_group: rows.iter().map(|row| row.0 * 5 + row.1).collect(),
            n_bytes: vec![100; rows.len()],
        }
    })
}

fn filters(max_examples: u32) -> Vec<Box<dyn DataFilter>> {
    vec![Box::new(UserCap { max_examples }), Box::new(ExactDedup)]
}

fn kept(train: &TrainSet, keep: &[bool]) -> TrainSet {
    let pick = |column: &[u32]| column.iter().zip(keep).filter(|(_, keep)| **keep).map(|(v, _)| *v).collect();
    let user = train.user.iter().zip(keep).filter(|(_, keep)| **keep).map(|(user, _)| *user).collect();
    TrainSet {
        user,
        rank: pick(&train.rank),
        duplicate_group: pick(&train.duplicate_group),
        n_bytes: pick(&train.n_bytes),
    }
}

fn reversed(train: &TrainSet) -> TrainSet {
    let mut reversed = train.clone();
    reversed.user.reverse();
    reversed.rank.reverse();
    reversed.duplicate_group.reverse();
    reversed.n_bytes.reverse();
    reversed
}

proptest! {
    #[test]
    fn one_answer_each_and_nothing_more_to_remove(train in train_set(), max in 0_u32..6) {
        for filter in filters(max) {
            let keep = filter.keep(&train, Seed(1));
            prop_assert_eq!(keep.len(), train.len());
            let again = filter.keep(&kept(&train, &keep), Seed(1));
            prop_assert!(again.iter().all(|keep| *keep), "{} removed more", filter.name());
        }
    }

    #[test]
    fn order_of_examples_does_not_matter(train in train_set(), max in 0_u32..6) {
        for filter in filters(max) {
            let mut keep = filter.keep(&reversed(&train), Seed(1));
            keep.reverse();
            prop_assert_eq!(keep, filter.keep(&train, Seed(1)));
        }
    }

    #[test]
    fn a_cap_keeps_as_many_as_it_may(train in train_set(), max in 0_u32..6) {
        let keep = UserCap { max_examples: max }.keep(&train, Seed(1));
        for user in 0..4 {
            let owned: Vec<usize> = (0..train.len()).filter(|at| train.user[*at] == UserIdx(user)).collect();
            let n_kept = owned.iter().filter(|at| keep[**at]).count();
            prop_assert_eq!(n_kept, owned.len().min(max as usize));
        }
        let larger = UserCap { max_examples: max + 1 }.keep(&train, Seed(1));
        prop_assert!(keep.iter().zip(&larger).all(|(keep, larger)| *larger || !*keep));
    }

    #[test]
    fn dedup_keeps_one_of_each_group(train in train_set()) {
        let left = kept(&train, &ExactDedup.keep(&train, Seed(1))).duplicate_group;
        let mut groups = train.duplicate_group.clone();
        groups.sort_unstable();
        groups.dedup();
        let mut left_sorted = left;
        left_sorted.sort_unstable();
        prop_assert_eq!(left_sorted, groups);
    }

    #[test]
    fn filters_in_turn_never_add(train in train_set(), max in 0_u32..6) {
        let training = TrainingRule::plain(8).unwrap();
        let dedup: Vec<Box<dyn DataFilter>> = vec![Box::new(ExactDedup)];
        let both: Vec<Box<dyn DataFilter>> = vec![Box::new(ExactDedup), Box::new(UserCap { max_examples: max })];
        let one = Mitigation { filters: dedup, training, stop: StopRule::Never }.keep(&train, Seed(1));
        let two = Mitigation { filters: both, training, stop: StopRule::Never }.keep(&train, Seed(1));
        prop_assert_eq!(two.len(), train.len());
        prop_assert!(one.iter().zip(&two).all(|(one, two)| *one || !*two));
    }
}

#[test]
fn a_cap_counts_what_dedup_left() {
    let train = TrainSet {
        user: vec![UserIdx(0); 3],
        rank: vec![0, 1, 2],
        duplicate_group: vec![0, 0, 1],
        n_bytes: vec![10; 3],
    };
    let keep = |filters: Vec<Box<dyn DataFilter>>| {
        Mitigation { filters, training: TrainingRule::plain(1).unwrap(), stop: StopRule::Never }
            .keep(&train, Seed(1))
    };
    let cap = UserCap { max_examples: 2 };
    assert_eq!(keep(vec![Box::new(ExactDedup), Box::new(cap)]), [true, false, true]);
    assert_eq!(keep(vec![Box::new(cap), Box::new(ExactDedup)]), [true, false, false]);
    assert_eq!(keep(vec![]), [true, true, true]);
}
