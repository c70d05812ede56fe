//! The promises of the split, on random corpora.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{CorpusRow, InMemoryCorpus, Selection, train_set};
use userprint_core::{ExampleSource, Origin};

const SPLIT: UserSplit =
    UserSplit { public: 0.2, held_in: 0.5, validation: 0.1, test: 0.1, attack: 0.2, min_examples: 4 };

/// One user a count; every third text is the same.
fn rows(counts: &[usize]) -> Vec<CorpusRow> {
    let row = |user: usize, example: usize| CorpusRow {
        user_id: format!("u{user}"),
        example_id: Some(format!("e{example}")),
        text: format!("text {user} {example}"),
        origin: Origin::default(),
    };
    counts.iter().enumerate().flat_map(|(user, &n)| (0..n).map(move |example| row(user, example))).collect()
}

fn corpus(counts: &[usize]) -> InMemoryCorpus {
    InMemoryCorpus::from_rows(rows(counts)).unwrap()
}

/// Every third text of a user is the same one.
fn corpus_with_copies(counts: &[usize]) -> InMemoryCorpus {
    let mut rows = rows(counts);
    for row in &mut rows {
        if ["e0", "e3", "e6"].map(Some).contains(&row.example_id.as_deref()) {
            row.text = "same".into();
        }
    }
    InMemoryCorpus::from_rows(rows).unwrap()
}

fn n_with(partition: &Partition, membership: Membership) -> usize {
    partition.membership.iter().filter(|&&found| found == membership).count()
}

#[track_caller]
fn check_error(counts: &[usize], split: UserSplit, expect: Expect) {
    expect.assert_eq(&partition(&corpus(counts), &split, Seed(1)).unwrap_err().to_string());
}

#[test]
fn counts_are_the_rounded_fractions() {
    let counts: Vec<usize> = (0..21).map(|user| if user == 20 { 3 } else { 10 }).collect();
    let partition = partition(&corpus(&counts), &SPLIT, Seed(1)).unwrap();
    assert_eq!((partition.users.len(), partition.n_dropped), (20, 1));
    let memberships = Membership::ALL.iter().map(|&membership| n_with(&partition, membership));
    assert_eq!(memberships.collect::<Vec<_>>(), [4, 8, 8]);
    for (roles, membership) in partition.roles.rows().zip(&partition.membership) {
        let n = |role| roles.iter().filter(|&&found| found == role).count();
        let found = [Role::Attack, Role::Validation, Role::Test, Role::Train].map(|role| n(Some(role)));
        let expected = match membership {
            Membership::Public => [0, 1, 1, 8],
            Membership::HeldIn => [2, 1, 1, 6],
            Membership::HeldOut => [2, 1, 1, 0],
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn copies_of_reserved_texts_are_not_trained_on() {
    let corpus = corpus_with_copies(&[9; 30]);
    let partition = partition(&corpus, &SPLIT, Seed(5)).unwrap();
    let mut n_kept_out = 0;
    for (user, roles) in partition.roles.rows().enumerate() {
        let examples = corpus.examples(UserIdx(user as u32)).unwrap();
        let with = |wanted: &dyn Fn(Role) -> bool| -> Vec<&str> {
            let rows = roles.iter().zip(&examples).filter(|(role, _)| role.is_some_and(wanted));
            rows.map(|(_, example)| example.text.as_str()).collect()
        };
        let (train, reserved) = (with(&|role| role == Role::Train), with(&|role| role != Role::Train));
        assert!(train.iter().all(|text| !reserved.contains(text)));
        let is_trained = partition.membership[user] != Membership::HeldOut;
        n_kept_out += if is_trained { roles.iter().filter(|role| role.is_none()).count() } else { 0 };
    }
    assert!(n_kept_out > 0, "the corpus has copies");
}

#[test]
fn the_first_rank_is_the_least_salted_hash() {
    // sha256("<salt>:u0"), … computed by this formula are what a SQL plan has to repeat.
    let users: Vec<UserId> = (0..4).map(|user| UserId::new(format!("u{user}"))).collect();
    let salt = format!("{:016x}", Seed(1).named("membership").0);
    let hash = |user: &UserId| -> Vec<u8> {
        use sha2::Digest;
        sha2::Sha256::digest(format!("{salt}:{}", user.as_str())).to_vec()
    };
    let order = SaltedHash::new(Seed(1), "membership").order_users(&users);
    assert!(order.windows(2).all(|pair| hash(&users[pair[0]]) < hash(&users[pair[1]])));
}

#[test]
fn errors_say_what_to_do() {
    check_error(
        &[9, 9, 9, 2],
        SPLIT,
        expect![
            "3 users have at least 4 examples (1 have fewer): 1 public, 1 held-in and 1 held-out, expected at least 2 of both held-in and held-out; lower `min_examples` or the `public` fraction, or bring `held_in` nearer to one half"
        ],
    );
    check_error(
        &[9, 9, 9, 9, 4],
        UserSplit { validation: 0.4, ..SPLIT },
        expect![
            "user 4 has 4 examples and the fractions reserve 4 of them, expected at least one left to train on; raise `min_examples` to 5 or lower `validation`, `test` or `attack`"
        ],
    );
    check_error(
        &[9; 9],
        UserSplit { held_in: 1.0, ..SPLIT },
        expect!["setting `held_in` is 1, expected a fraction above 0 and below 1"],
    );
    check_error(
        &[9; 9],
        UserSplit { test: f64::NAN, ..SPLIT },
        expect!["setting `test` is NaN, expected a fraction of at least 0 and below 1"],
    );
    check_error(
        &[9; 9],
        UserSplit { test: 0.8, ..SPLIT },
        expect!["setting `validation + test + attack` is 1.1, expected less than 1, the rest is to train on"],
    );
}

#[test]
fn file_round_trip_with_equal_bytes() {
    let folder = TempDir::new().unwrap();
    let [first, second] = ["a.parquet", "b.parquet"].map(|name| folder.path().join(name));
    let partition = partition(&corpus(&[9; 12]), &SPLIT, Seed(3)).unwrap();
    partition.write_parquet(&first).unwrap();
    partition.write_parquet(&second).unwrap();
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
    assert_eq!(Partition::read_parquet(&first).unwrap(), partition);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing partial is left");
    let error = partition.write_parquet(&folder.path().join("no/folder.parquet")).unwrap_err();
    assert!(matches!(error, CorpusError::NotWritten { .. }), "{error}");
}

#[test]
fn a_file_that_trains_on_held_out_users_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.parquet");
    let mut partition = partition(&corpus(&[9; 12]), &SPLIT, Seed(3)).unwrap();
    partition.membership.fill(Membership::HeldOut);
    partition.write_parquet(&path).unwrap();
    let error = Partition::read_parquet(&path).unwrap_err();
    assert!(error.to_string().contains("a held-out user to train on"), "{error}");
}

#[test]
fn another_corpus_is_refused() {
    let partition = partition(&corpus(&[9; 12]), &SPLIT, Seed(3)).unwrap();
    let other = corpus(&[8; 12]);
    let error = Selection::new(&other, &partition, Membership::HeldIn, Role::Train).unwrap_err();
    assert!(matches!(error, CorpusError::OtherCorpus { found: 8, expected: 9, .. }), "{error}");
}

#[test]
fn train_set_labels_what_the_selection_iterates() {
    let corpus = corpus_with_copies(&[9; 12]);
    let partition = partition(&corpus, &SPLIT, Seed(3)).unwrap();
    let mut selection = Selection::new(&corpus, &partition, Membership::HeldIn, Role::Train).unwrap();
    let train = train_set(&corpus, &partition, Membership::HeldIn).unwrap();
    assert_eq!(train.len(), selection.n_examples_total());
    let mut row = 0;
    for user in (0..selection.users().len() as u32).map(UserIdx) {
        let texts = selection.texts(user).unwrap();
        assert_eq!(texts.len(), selection.n_examples(user) as usize);
        let mut ranks: Vec<u32> = train.rank[row..row + texts.len()].to_vec();
        ranks.sort_unstable();
        assert_eq!(ranks, (0..texts.len() as u32).collect::<Vec<_>>());
        for (i, text) in texts.iter().enumerate() {
            assert_eq!((train.user[row + i], train.n_bytes[row + i]), (user, text.len() as u32));
            for (j, other) in texts.iter().enumerate() {
                let same_group = train.duplicate_group[row + i] == train.duplicate_group[row + j];
                assert_eq!(same_group, text == other);
            }
        }
        row += texts.len();
    }
    let mut seen = vec![];
    train.duplicate_group.iter().for_each(|group| {
        if !seen.contains(group) {
            seen.push(*group)
        }
    });
    assert!(seen.is_sorted(), "groups are numbered by first appearance");

    let keep: Vec<bool> =
        train.user.iter().zip(&train.rank).map(|(user, rank)| user.0 != 1 && *rank < 2).collect();
    let before = selection.clone();
    selection.retain(&keep);
    assert_eq!(selection.users().len(), before.users().len() - 1);
    assert_eq!(selection.n_examples_total(), 2 * selection.users().len());
    assert!(
        selection
            .texts(UserIdx(1))
            .unwrap()
            .iter()
            .all(|text| before.texts(UserIdx(2)).unwrap().contains(text))
    );
}

proptest! {
    #[test]
    fn covers_and_never_trains_on_held_out(counts in prop::collection::vec(4_usize..30, 5..30), seed: u64) {
        let corpus = corpus(&counts);
        let partition = partition(&corpus, &SPLIT, Seed(seed)).unwrap();
        prop_assert_eq!(partition.users.len(), counts.len());
        prop_assert!(partition.users.is_sorted());
        for (user, membership) in partition.membership.iter().enumerate() {
            let (ids, roles) = (partition.example_ids.row(user), partition.roles.row(user));
            prop_assert_eq!(ids.len(), roles.len());
            prop_assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
            match membership {
                Membership::HeldOut => prop_assert!(!roles.contains(&Some(Role::Train))),
                Membership::HeldIn => prop_assert!(roles.contains(&Some(Role::Train)) && !roles.contains(&None)),
                Membership::Public => prop_assert!(!roles.contains(&Some(Role::Attack)) && !roles.contains(&None)),
            }
        }
        let n_selected: usize = Membership::ALL.iter()
            .flat_map(|&membership| Role::ALL.iter().map(move |&role| (membership, role)))
            .map(|(membership, role)| Selection::new(&corpus, &partition, membership, role).unwrap().n_examples_total())
            .sum();
        prop_assert_eq!(n_selected, partition.roles.values().iter().flatten().count());
    }

    #[test]
    fn row_order_does_not_matter(counts in prop::collection::vec(4_usize..12, 5..12), seed: u64, turn in 0_usize..40) {
        let mut turned = rows(&counts);
        let turn = turn % turned.len();
        turned.rotate_left(turn);
        turned[turn..].reverse();
        let turned = InMemoryCorpus::from_rows(turned).unwrap();
        let split = |corpus: &InMemoryCorpus| partition(corpus, &SPLIT, Seed(seed)).unwrap();
        prop_assert_eq!(split(&turned), split(&corpus(&counts)));
        prop_assert_eq!(turned.fingerprint(), corpus(&counts).fingerprint());
    }

    #[test]
    fn one_more_user_moves_one_user_a_boundary(n in 5_usize..40, seed: u64) {
        let [fewer, more] = [n, n + 1].map(|n| partition(&corpus(&vec![7; n]), &SPLIT, Seed(seed)).unwrap());
        let mut moved = vec![];
        for (user, id) in fewer.users.iter().enumerate() {
            let other = more.users.binary_search(id).unwrap();
            let (before, after) = (fewer.membership[user], more.membership[other]);
            if before == after {
                prop_assert_eq!(fewer.roles.row(user), more.roles.row(other));
            } else {
                let mut boundary = [before, after];
                boundary.sort();
                moved.push(boundary);
            }
        }
        moved.sort();
        let n_moved = moved.len();
        moved.dedup();
        prop_assert_eq!(moved.len(), n_moved, "more than one over a boundary");
        prop_assert!(!moved.contains(&[Membership::Public, Membership::HeldOut]));
    }
}
