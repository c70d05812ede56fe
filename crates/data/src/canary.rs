//! Canary users: users of the corpus with something planted in each of their documents.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use sha2::{Digest, Sha256};
use userprint_core::{Example, Membership, Role, Seed, UserIdx};

use crate::{Corpus, CorpusError, CorpusRow, InMemoryCorpus, Partition};

/// What is planted, and where in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CanaryKind {
    /// A substring of one of the user's documents, at a random place of each (Algorithm 1).
    SharedSubstring,
    /// Words that one document of the corpus has, at a random place of each; no two canaries get the same.
    RareWords,
    /// A substring as of [`Self::SharedSubstring`], on a line of its own at the end of each.
    Signature,
}

/// Canary users of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryTier {
    /// What is planted.
    pub kind: CanaryKind,
    /// Its length in tokens; of rare words, how many.
    pub n_tokens: usize,
    /// How many users; all that are left where it is not said.
    pub n_users: Option<usize>,
    /// Documents to train on of each; all that it has where it is not said.
    pub n_documents: Option<usize>,
}

/// A canary user, of the partition that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Position in [`Partition::users`].
    pub user: usize,
    /// Position of its tier.
    pub tier: usize,
    /// What its coin said.
    pub membership: Membership,
}

/// A corpus with canary users.
#[derive(Clone, Debug)]
pub struct Planted {
    /// The corpus, in which canaries are users as others.
    pub corpus: InMemoryCorpus,
    /// Who trains the model.
    pub partition: Partition,
    /// The canaries, by user.
    pub canaries: Vec<Canary>,
}

/// Where the tokens of a text begin and end, in bytes.
pub type Spans<'a> = &'a dyn Fn(&str) -> Vec<[u32; 2]>;

/// Makes users into canaries, tier by tier, drawn without replacement among those that are not public.
///
/// A user is fit for a tier that has so many documents which are neither reserved nor copies of what is, and for a substring
/// also a document of so many tokens. Something is planted in every one of its documents, those of the attacker too; copies of a text stay copies. Each
/// canary is then held in or held out by a fair coin of its own, whatever the user was before.
/// `spans` says where tokens are; planted text begins and ends where one does.
///
/// # Errors
/// [`CorpusError::TooFewCanaries`] where a tier finds fewer users than it says, or none.
///
/// # Reference
/// Kandpal et al., EMNLP 2024, Algorithm 1; the coins are ours, so that canaries of one kind have negatives of that kind.
pub fn plant(
    corpus: &InMemoryCorpus,
    partition: &Partition,
    tiers: &[CanaryTier],
    spans: Spans<'_>,
    seed: Seed,
) -> Result<Planted, CorpusError> {
    let texts = Texts::new(corpus, partition)?;
    let mut pool: Vec<usize> =
        (0..partition.users.len()).filter(|&user| partition.membership[user] != Membership::Public).collect();
    pool.shuffle(&mut seed.named("pool").rng());
    let mut rare = RareWords::new(corpus, tiers, seed)?;
    let mut planted: BTreeMap<usize, (Canary, Vec<String>)> = BTreeMap::new();
    for (tier_idx, tier) in tiers.iter().enumerate() {
        let (mut n_found, wanted) = (0, tier.n_users.unwrap_or(usize::MAX));
        let mut left = Vec::new();
        for user in pool {
            let own = &texts.0[user];
            let seed = seed.indexed(user as u64);
            let is_fit = n_found < wanted
                && n_trainable(partition.roles.row(user), own) >= tier.n_documents.unwrap_or(1).max(1);
            let what = is_fit.then(|| tier.planted(own, &mut rare, spans, seed)).flatten();
            let Some(what) = what else {
                left.push(user);
                continue;
            };
            n_found += 1;
            let is_held_in = seed.named("coin").rng().random_bool(0.5);
            let membership = if is_held_in { Membership::HeldIn } else { Membership::HeldOut };
            let canary = Canary { user, tier: tier_idx, membership };
            let texts = own.iter().map(|example| tier.insert(&example.text, &what, spans, seed)).collect();
            planted.insert(user, (canary, texts));
        }
        if n_found == 0 || tier.n_users.is_some_and(|wanted| n_found < wanted) {
            let expected = tier.n_users.unwrap_or(1);
            return Err(CorpusError::TooFewCanaries { tier: tier_idx + 1, found: n_found, expected });
        }
        pool = left;
    }
    let (corpus, partition) = texts.with(partition, &planted, tiers)?;
    Ok(Planted { corpus, partition, canaries: planted.into_values().map(|(canary, _)| canary).collect() })
}

/// Documents of a user that are neither reserved nor copies of what is.
fn n_trainable(roles: &[Option<Role>], examples: &[Example]) -> usize {
    let roles = roles_as(Membership::HeldIn, roles, examples, None);
    roles.iter().filter(|role| **role == Some(Role::Train)).count()
}

fn is_reserved(role: Option<Role>) -> bool {
    role.is_some_and(|role| role != Role::Train)
}

impl CanaryTier {
    /// What is planted in the documents of a user, if it has it.
    fn planted(&self, own: &[Example], rare: &mut RareWords, spans: Spans<'_>, seed: Seed) -> Option<String> {
        let mut rng = seed.named("substring").rng();
        if self.kind == CanaryKind::RareWords {
            return rare.take(self.n_tokens);
        }
        // A document is drawn among those that are long enough, so that no user is lost to a short one.
        let windows = |text: &str| -> Vec<[usize; 2]> {
            let spans = spans(text);
            let ends = spans
                .windows(self.n_tokens.max(1))
                .map(|own| [own[0][0] as usize, own[own.len() - 1][1] as usize]);
            let is_whole = |[start, end]: &[usize; 2]| {
                text.is_char_boundary(*start)
                    && text.is_char_boundary(*end)
                    && !text[*start..*end].trim().is_empty()
            };
            ends.filter(is_whole).collect()
        };
        let fit: Vec<(&str, Vec<[usize; 2]>)> = own
            .iter()
            .map(|example| (example.text.as_str(), windows(&example.text)))
            .filter(|(_, windows)| !windows.is_empty())
            .collect();
        let (text, windows) = fit.choose(&mut rng)?;
        let [start, end] = *windows.choose(&mut rng)?;
        Some(text[start..end].to_owned())
    }

    /// A document with what is planted in it.
    ///
    /// The place depends on the text, so that copies stay copies.
    fn insert(&self, text: &str, what: &str, spans: Spans<'_>, seed: Seed) -> String {
        if self.kind == CanaryKind::Signature {
            return format!("{}\n{}", text.trim_end(), what.trim());
        }
        let digest = Sha256::digest(text);
        let of_text = u64::from_le_bytes(std::array::from_fn(|i| digest[i]));
        let starts = spans(text).into_iter().map(|[start, _]| start as usize).chain([text.len()]);
        let places: Vec<usize> = starts.filter(|&place| text.is_char_boundary(place)).collect();
        let place = places.choose(&mut seed.named("places").indexed(of_text).rng()).copied().unwrap_or(0);
        let (before, after) = text.split_at(place);
        let gap = |left: &str, right: &str| match (left.chars().next_back(), right.chars().next()) {
            (Some(left), Some(right)) if !left.is_whitespace() && !right.is_whitespace() => " ",
            _ => "",
        };
        format!("{before}{}{what}{}{after}", gap(before, what), gap(what, after))
    }
}

/// Words that one document of the corpus has.
struct RareWords(Vec<String>);

impl RareWords {
    fn new(corpus: &InMemoryCorpus, tiers: &[CanaryTier], seed: Seed) -> Result<Self, CorpusError> {
        if tiers.iter().all(|tier| tier.kind != CanaryKind::RareWords) {
            return Ok(Self(Vec::new()));
        }
        let mut n_documents: BTreeMap<String, u32> = BTreeMap::new();
        for user in 0..corpus.users().len() {
            for example in corpus.examples(UserIdx(user as u32))? {
                let words: BTreeSet<&str> = example.text.split_whitespace().collect();
                for word in words.into_iter().filter(|word| word.chars().all(char::is_alphabetic)) {
                    *n_documents.entry(word.to_owned()).or_default() += 1;
                }
            }
        }
        let rare = n_documents.into_iter().filter(|(_, n)| *n == 1);
        let mut rare: Vec<String> = rare.map(|(word, _)| word).collect();
        rare.shuffle(&mut seed.named("rare words").rng());
        Ok(Self(rare))
    }

    /// So many of those that nobody has got, if there are as many.
    fn take(&mut self, n: usize) -> Option<String> {
        let left = self.0.len().checked_sub(n)?;
        (n > 0).then(|| self.0.split_off(left).join(" "))
    }
}

/// Examples of the users of a partition.
pub(crate) struct Texts(pub(crate) Vec<Vec<Example>>);

impl Texts {
    pub(crate) fn new(corpus: &InMemoryCorpus, partition: &Partition) -> Result<Self, CorpusError> {
        let of_user = |(user_idx, user)| {
            let found = corpus.users().binary_search(user).ok();
            let examples =
                found.map(|user| corpus.examples(UserIdx(user as u32))).transpose()?.unwrap_or_default();
            let expected = partition.example_ids.row(user_idx).len();
            match examples.len() == expected {
                true => Ok(examples),
                false => Err(CorpusError::OtherCorpus { user_idx, found: examples.len(), expected }),
            }
        };
        partition.users.iter().enumerate().map(of_user).collect::<Result<_, _>>().map(Self)
    }

    /// The corpus of the partition's users and the partition, with the canaries in the place of the users that they were.
    fn with(
        self,
        partition: &Partition,
        planted: &BTreeMap<usize, (Canary, Vec<String>)>,
        tiers: &[CanaryTier],
    ) -> Result<(InMemoryCorpus, Partition), CorpusError> {
        let mut changed = Partition { roles: userprint_core::Ragged::new(), ..partition.clone() };
        let mut rows = Vec::new();
        for (user, mut examples) in self.0.into_iter().enumerate() {
            let mut roles = partition.roles.row(user).to_vec();
            if let Some((canary, texts)) = planted.get(&user) {
                for (example, text) in examples.iter_mut().zip(texts) {
                    example.text.clone_from(text);
                }
                changed.membership[user] = canary.membership;
                roles = roles_as(canary.membership, &roles, &examples, tiers[canary.tier].n_documents);
            }
            changed.roles.push(roles);
            rows.extend(examples.into_iter().map(|example| CorpusRow {
                user_id: partition.users[user].as_str().to_owned(),
                example_id: Some(example.example_id.as_str().to_owned()),
                text: example.text,
                origin: example.origin,
            }));
        }
        Ok((InMemoryCorpus::from_rows(rows)?, changed))
    }
}

/// Roles of a user whose membership is another now: what was reserved stays so, of the rest a held-in user trains on at most
/// so many.
pub(crate) fn roles_as(
    membership: Membership,
    roles: &[Option<Role>],
    examples: &[Example],
    n_documents: Option<usize>,
) -> Vec<Option<Role>> {
    let both = || roles.iter().zip(examples);
    let reserved: BTreeSet<&str> =
        both().filter(|(role, _)| is_reserved(**role)).map(|(_, example)| example.text.as_str()).collect();
    let mut n_left = if membership == Membership::HeldIn { n_documents.unwrap_or(usize::MAX) } else { 0 };
    both()
        .map(|(role, example)| {
            if is_reserved(*role) {
                return *role;
            }
            let trains = n_left > 0 && !reserved.contains(example.text.as_str());
            n_left -= usize::from(trains);
            trains.then_some(Role::Train)
        })
        .collect()
}
