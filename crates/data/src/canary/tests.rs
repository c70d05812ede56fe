//! Canaries: what is planted where, in whom, and who trains on it.

use userprint_core::{ExampleId, Origin};

use super::*;
use crate::{UserSplit, partition};

const SPLIT: UserSplit =
    UserSplit { public: 0.1, held_in: 0.5, validation: 0.1, test: 0.1, attack: 0.2, min_examples: 8 };

/// Where words are, each with the space before it, as byte-level tokenizers have them.
fn words(text: &str) -> Vec<[u32; 2]> {
    let mut spans = Vec::new();
    let mut start = 0;
    for (at, _) in text.char_indices().filter(|(at, c)| *at > 0 && c.is_whitespace()) {
        spans.push([start, at as u32]);
        start = at as u32;
    }
    if !text.is_empty() {
        spans.push([start, text.len() as u32]);
    }
    spans
}

fn corpus(n_users: usize) -> InMemoryCorpus {
    let mut rows = Vec::new();
    for user in 0..n_users {
        for example in 0..10 + user % 5 {
            // Every user has a text twice.
            let number = if example == 9 { 0 } else { example };
            let text: Vec<String> =
                (0..12).map(|word| format!("ü{}", (number * 31 + user * 7 + word * word) % 97)).collect();
            rows.push(CorpusRow {
                user_id: format!("user {user:03}"),
                example_id: Some(format!("{example:02}")),
                text: format!("{} o{user}x{number}", text.join(" ")),
                origin: Origin::default(),
            });
        }
    }
    rows.push(CorpusRow {
        user_id: "rare".to_owned(),
        example_id: None,
        text: ('a'..='z').map(|c| format!("rare{c}")).collect::<Vec<_>>().join(" "),
        origin: Origin::default(),
    });
    InMemoryCorpus::from_rows(rows).expect("sound rows")
}

fn setting() -> (InMemoryCorpus, Partition) {
    let corpus = corpus(200);
    let partition = partition(&corpus, &SPLIT, Seed(1)).expect("enough users");
    (corpus, partition)
}

const SUBSTRING: CanaryTier =
    CanaryTier { kind: CanaryKind::SharedSubstring, n_tokens: 3, n_users: Some(40), n_documents: None };

fn texts(corpus: &InMemoryCorpus, partition: &Partition, user: usize) -> Vec<(ExampleId, String)> {
    let at = corpus.users().binary_search(&partition.users[user]).expect("a user of the corpus");
    let examples = corpus.examples(UserIdx(at as u32)).expect("in memory");
    examples.into_iter().map(|example| (example.example_id, example.text)).collect()
}

/// The longest piece that was put into a text, given the text before.
fn inserted<'a>(before: &str, after: &'a str) -> &'a str {
    let start = before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count();
    let most = before.len() - start;
    let end = before.bytes().rev().zip(after.bytes().rev()).take_while(|(a, b)| a == b).count().min(most);
    let (mut start, mut end) = (start, after.len() - end);
    while !after.is_char_boundary(start) {
        start -= 1;
        end -= 1;
    }
    &after[start..end]
}

#[test]
fn every_document_of_a_canary_holds_the_substring_and_nothing_else_changes() {
    let (corpus, partition) = setting();
    let tiers = [SUBSTRING, CanaryTier { kind: CanaryKind::Signature, n_tokens: 2, ..SUBSTRING }];
    let planted = plant(&corpus, &partition, &tiers, &words, Seed(5)).expect("enough users");
    assert_eq!(planted.canaries.len(), 80);
    let canaries: BTreeMap<usize, Canary> =
        planted.canaries.iter().map(|canary| (canary.user, *canary)).collect();
    assert_eq!(canaries.len(), 80, "each user is drawn once");
    for user in 0..partition.users.len() {
        let before = texts(&corpus, &partition, user);
        let after = texts(&planted.corpus, &planted.partition, user);
        let Some(canary) = canaries.get(&user) else {
            assert_eq!(before, after);
            assert_eq!(partition.roles.row(user), planted.partition.roles.row(user));
            assert_eq!(partition.membership[user], planted.partition.membership[user]);
            continue;
        };
        assert_ne!(partition.membership[user], Membership::Public);
        let n_tokens = tiers[canary.tier].n_tokens;
        // The user's own windows that could have been planted, of which one is in all documents.
        let windows: BTreeSet<String> = before
            .iter()
            .flat_map(|(_, text)| {
                let words: Vec<&str> = text.split(' ').collect();
                words.windows(n_tokens).map(|words| words.join(" ")).collect::<Vec<_>>()
            })
            .collect();
        let first = inserted(&before[0].1, &after[0].1);
        let in_all = |what: &&String| after.iter().all(|(_, text)| text.contains(what.as_str()));
        let common: Vec<&String> = windows.iter().filter(in_all).collect();
        assert!(!common.is_empty(), "nothing of the user's own is in all of its documents: {first}");
        for ((_, before), (_, after)) in before.iter().zip(&after) {
            assert_eq!(words(after).len(), words(before).len() + n_tokens, "{before} | {after}");
            let what = inserted(before, after);
            assert_eq!(before.len() + what.len(), after.len());
            if tiers[canary.tier].kind == CanaryKind::Signature {
                assert!(after.starts_with(before.as_str()));
            }
        }
        // Copies stay copies.
        assert_eq!(after[0].1, after[9].1);
    }
}

#[test]
fn places_and_coins_are_fair() {
    let (corpus, partition) = setting();
    let tier = CanaryTier { n_users: None, ..SUBSTRING };
    let (mut n_held_in, mut n_canaries, mut places) = (0, 0, [0_u32; 14]);
    for seed in 0..10 {
        let planted = plant(&corpus, &partition, &[tier], &words, Seed(seed)).expect("enough users");
        n_canaries += planted.canaries.len();
        n_held_in += planted.canaries.iter().filter(|canary| canary.membership == Membership::HeldIn).count();
        for canary in &planted.canaries {
            let (before, after) =
                (texts(&corpus, &partition, canary.user), texts(&planted.corpus, &partition, canary.user));
            for ((_, before), (_, after)) in before.iter().zip(&after) {
                let same = before.split(' ').zip(after.split(' ')).take_while(|(a, b)| a == b).count();
                places[same.min(13)] += 1;
            }
        }
    }
    assert_eq!(n_canaries, 1800, "all that are not public");
    // 1,800 fair coins lie within 4 standard deviations of one half but for 6 in 100,000.
    assert!((n_held_in as f64 - 900.0).abs() < 4.0 * 450.0_f64.sqrt(), "{n_held_in}");
    // 14 places, uniform; where the substring begins like what follows, a place reads as a later one.
    let mean = f64::from(places.iter().sum::<u32>()) / 14.0;
    assert!(places.iter().all(|&n| (f64::from(n) / mean - 1.0).abs() < 0.25), "{places:?}");
}

#[test]
fn roles_follow_the_coin_and_the_tier() {
    let (corpus, partition) = setting();
    let tier = CanaryTier { n_users: Some(60), n_documents: Some(3), ..SUBSTRING };
    let planted = plant(&corpus, &partition, &[tier], &words, Seed(2)).expect("enough users");
    for canary in &planted.canaries {
        let (before, after) = (partition.roles.row(canary.user), planted.partition.roles.row(canary.user));
        assert!(before.iter().zip(after).all(|(a, b)| !is_reserved(*a) || a == b));
        let n_trained = after.iter().filter(|role| **role == Some(Role::Train)).count();
        assert_eq!(n_trained, if canary.membership == Membership::HeldIn { 3 } else { 0 });
        assert_eq!(planted.partition.membership[canary.user], canary.membership);
        let own = texts(&planted.corpus, &partition, canary.user);
        let of = |wanted: fn(Option<Role>) -> bool| -> BTreeSet<&String> {
            after.iter().zip(&own).filter(|(role, _)| wanted(**role)).map(|(_, (_, text))| text).collect()
        };
        assert!(of(is_reserved).is_disjoint(&of(|role| role == Some(Role::Train))));
    }
}

#[test]
fn rare_words_are_of_one_document() {
    let (corpus, partition) = setting();
    // Twenty-six words are in one document alone, so that six users get four of them.
    let tier = CanaryTier { kind: CanaryKind::RareWords, n_tokens: 4, n_users: Some(6), n_documents: None };
    let planted = plant(&corpus, &partition, &[tier], &words, Seed(2)).expect("enough words");
    let rare = |text: &str| -> BTreeSet<String> {
        text.split(' ').filter(|word| word.starts_with("rare")).map(str::to_owned).collect()
    };
    let mut seen = BTreeSet::new();
    for canary in &planted.canaries {
        let after = texts(&planted.corpus, &partition, canary.user);
        let own = rare(&after[0].1);
        assert_eq!(own.len(), 4);
        assert!(after.iter().all(|(_, text)| rare(text) == own));
        assert!(own.into_iter().all(|word| seen.insert(word)), "two canaries have a word");
    }
    let many = CanaryTier { n_users: Some(7), ..tier };
    assert!(plant(&corpus, &partition, &[many], &words, Seed(2)).is_err());
}

#[test]
fn a_tier_without_users_is_an_error() {
    let (corpus, partition) = setting();
    let too_long = CanaryTier { n_tokens: 14, ..SUBSTRING };
    let error = plant(&corpus, &partition, &[SUBSTRING, too_long], &words, Seed(2)).unwrap_err();
    assert!(error.to_string().starts_with("0 users are fit for canary tier 2, expected 40"), "{error}");
    let many = CanaryTier { n_users: Some(181), ..SUBSTRING };
    assert!(plant(&corpus, &partition, &[many], &words, Seed(2)).is_err());
    let again = |seed| plant(&corpus, &partition, &[SUBSTRING], &words, Seed(seed)).expect("enough users");
    assert_eq!(again(3).corpus, again(3).corpus);
    assert_ne!(again(3).corpus, again(4).corpus);
}

#[test]
fn who_could_not_be_trained_on_is_no_canary() {
    let (corpus, mut partition) = setting();
    // Of half of the users everything is reserved.
    let n_users = partition.users.len();
    let mut roles = userprint_core::Ragged::new();
    for user in 0..n_users {
        let own = partition.roles.row(user).to_vec();
        roles.push(own.iter().map(|role| if user % 2 == 0 { Some(Role::Test) } else { *role }));
    }
    partition.roles = roles;
    let tier = CanaryTier { n_users: None, ..SUBSTRING };
    let planted = plant(&corpus, &partition, &[tier], &words, Seed(2)).expect("enough users");
    assert!(planted.canaries.iter().all(|canary| canary.user % 2 == 1));
    for canary in planted.canaries.iter().filter(|canary| canary.membership == Membership::HeldIn) {
        assert!(planted.partition.roles.row(canary.user).contains(&Some(Role::Train)));
    }
}
