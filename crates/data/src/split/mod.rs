//! Who trains the model and what stays unseen: the user split and its file.

mod partition_file;
mod salted_hash;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use userprint_core::{ExampleId, Membership, Ragged, Role, Seed, UserId, UserIdx};

pub(crate) use salted_hash::SaltedHash;

use crate::{Corpus, CorpusError};

/// Fractions of users and of their examples.
///
/// A fraction `f > 0` of `n` is `max(1, round(f n))`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSplit {
    /// Of all kept users: they pre-train a reference model.
    pub public: f64,
    /// Of the users that are not public: the target model is fine-tuned on them.
    pub held_in: f64,
    /// Of each user's examples: for losses along training.
    pub validation: f64,
    /// Of each user's examples: for the loss at the end.
    pub test: f64,
    /// Of each user's examples: for the attacker.
    pub attack: f64,
    /// Users with fewer examples are dropped first.
    pub min_examples: u32,
}

impl UserSplit {
    /// Checks every fraction.
    ///
    /// # Errors
    /// [`CorpusError::Setting`] names the first fraction outside its range.
    pub fn check(&self) -> Result<(), CorpusError> {
        let reserved = self.validation + self.test + self.attack;
        let below_one = "a fraction of at least 0 and below 1";
        let rules = [
            ("public", self.public, (0.0..1.0).contains(&self.public), below_one),
            (
                "held_in",
                self.held_in,
                self.held_in > 0.0 && self.held_in < 1.0,
                "a fraction above 0 and below 1",
            ),
            ("validation", self.validation, (0.0..1.0).contains(&self.validation), below_one),
            ("test", self.test, (0.0..1.0).contains(&self.test), below_one),
            ("attack", self.attack, (0.0..1.0).contains(&self.attack), below_one),
            ("validation + test + attack", reserved, reserved < 1.0, "less than 1, the rest is to train on"),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((name, found, _, expected)) => Err(CorpusError::Setting { name, found, expected }),
            None => Ok(()),
        }
    }

    /// How many users are public, held-in and held-out, of so many that are kept.
    ///
    /// # Errors
    /// [`CorpusError::TooFewUsers`].
    pub(crate) fn user_counts(&self, n_kept: usize, n_dropped: usize) -> Result<[usize; 3], CorpusError> {
        let n_public = count(self.public, n_kept);
        let n_held_in = count(self.held_in, n_kept - n_public);
        let n_held_out = n_kept - n_public - n_held_in;
        if n_held_in >= 2 && n_held_out >= 2 {
            return Ok([n_public, n_held_in, n_held_out]);
        }
        let min_examples = self.min_examples;
        Err(CorpusError::TooFewUsers { n_kept, n_dropped, min_examples, n_public, n_held_in, n_held_out })
    }

    /// Holds that so many examples leave one to train on.
    ///
    /// # Errors
    /// [`CorpusError::NoTrainExample`].
    pub(crate) fn check_rest(&self, user_idx: usize, found: usize) -> Result<(), CorpusError> {
        let n_reserved = |n_examples| self.reserved(n_examples).iter().sum::<usize>();
        let reserved = n_reserved(found);
        if reserved < found {
            return Ok(());
        }
        // The fractions sum to less than 1, so rounding is overcome at some size.
        let needed = (found + 1..10_000_000).find(|&n| n_reserved(n) < n).unwrap_or(usize::MAX);
        Err(CorpusError::NoTrainExample { user_idx, found, reserved, needed })
    }

    /// How many of a user's examples are for attack, validation and test.
    pub(crate) fn reserved(&self, n_examples: usize) -> [usize; 3] {
        [self.attack, self.validation, self.test].map(|fraction| count(fraction, n_examples))
    }
}

/// What every kept user and example is used for.
///
/// # Guarantees
/// - Each kept user has one membership, each of its examples one role or none (unused).
/// - Held-out users have no [`Role::Train`] example, public users no [`Role::Attack`] one.
/// - No training example has the text of an attack, validation or test example of the same user: such copies are
///   used for nothing.
/// - Users are sorted, examples sorted by id within the user.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// The users with enough examples, sorted.
    pub users: Vec<UserId>,
    /// One a user.
    pub membership: Vec<Membership>,
    /// One row a user.
    pub example_ids: Ragged<ExampleId>,
    /// One row a user; `None` is used for nothing.
    pub roles: Ragged<Option<Role>>,
    /// Users dropped for too few examples.
    pub n_dropped: u32,
    /// The seed of the split; ranks within a user come from it too.
    pub seed: Seed,
}

/// Splits users into public, held-in and held-out, and the examples of each into roles.
///
/// Every assignment is a rank of `sha256(salt + ":" + id)`, ties broken by id: of the user id for membership,
/// of `user_id + ":" + example_id` within the user for roles. The salts are the seeds named `membership` and
/// `roles` as 16 hexadecimal digits. So the split depends on the ids and the seed alone, not on row order, and
/// another user moves at most one user over each boundary.
///
/// # Errors
/// If a fraction is out of range, there are too few users, or a user would have nothing left to train on. That
/// last rule holds for held-out users too, so that it does not depend on the draw.
///
/// # Reference
/// Kandpal et al., EMNLP 2024, Appendix D.1. The paper reserves validation and test of all data before it
/// splits users; here each user's share is reserved, so that every user has the same roles.
pub fn partition(corpus: &dyn Corpus, split: &UserSplit, seed: Seed) -> Result<Partition, CorpusError> {
    split.check()?;
    let n_users = u32::try_from(corpus.users().len()).expect("fewer than u32::MAX users");
    let kept: Vec<UserIdx> = (0..n_users)
        .map(UserIdx)
        .filter(|&user| corpus.n_examples(user) >= split.min_examples.max(1))
        .collect();
    let users: Vec<UserId> = kept.iter().map(|user| corpus.users()[user.index()].clone()).collect();
    let n_dropped = n_users as usize - kept.len();
    let membership = memberships(&users, n_dropped, split, seed)?;
    let salted = SaltedHash::new(seed, "roles");
    let mut example_ids = Ragged::new();
    let mut roles = Ragged::new();
    for (user_idx, &user) in kept.iter().enumerate() {
        let (ids, texts): (Vec<ExampleId>, Vec<String>) =
            corpus.examples(user)?.into_iter().map(|example| (example.example_id, example.text)).unzip();
        let reserved = split.reserved(ids.len());
        split.check_rest(user_idx, ids.len())?;
        let order = salted.order_examples(&users[user_idx], &ids);
        let mut of_user = example_roles(&order, reserved, membership[user_idx]);
        keep_copies_from_training(&mut of_user, &texts);
        if membership[user_idx] != Membership::HeldOut && !of_user.contains(&Some(Role::Train)) {
            let found = texts.iter().collect::<BTreeSet<_>>().len();
            split.check_rest(user_idx, found.min(reserved.iter().sum()))?;
        }
        roles.push(of_user);
        example_ids.push(ids);
    }
    let n_dropped = u32::try_from(n_dropped).expect("not more than there are users");
    Ok(Partition { users, membership, example_ids, roles, n_dropped, seed })
}

fn memberships(
    users: &[UserId],
    n_dropped: usize,
    split: &UserSplit,
    seed: Seed,
) -> Result<Vec<Membership>, CorpusError> {
    let n_kept = users.len();
    let [n_public, n_held_in, _] = split.user_counts(n_kept, n_dropped)?;
    let mut membership = vec![Membership::HeldOut; n_kept];
    for (rank, user_idx) in SaltedHash::new(seed, "membership").order_users(users).into_iter().enumerate() {
        if rank < n_public {
            membership[user_idx] = Membership::Public;
        } else if rank < n_public + n_held_in {
            membership[user_idx] = Membership::HeldIn;
        }
    }
    Ok(membership)
}

fn example_roles(order: &[usize], reserved: [usize; 3], membership: Membership) -> Vec<Option<Role>> {
    let [n_attack, n_validation, n_test] = reserved;
    let mut roles = vec![None; order.len()];
    for (rank, &example) in order.iter().enumerate() {
        let role = if rank < n_attack {
            Role::Attack
        } else if rank < n_attack + n_validation {
            Role::Validation
        } else if rank < n_attack + n_validation + n_test {
            Role::Test
        } else {
            Role::Train
        };
        roles[example] = match (membership, role) {
            (Membership::HeldOut, Role::Train) => None,
            (Membership::Public, Role::Attack) => Some(Role::Train),
            _ => Some(role),
        };
    }
    roles
}

/// Takes the role of training examples that are copies of an attack, validation or test example.
fn keep_copies_from_training(roles: &mut [Option<Role>], texts: &[String]) {
    let is_reserved = |role: &Option<Role>| role.is_some_and(|role| role != Role::Train);
    let reserved =
        roles.iter().zip(texts).filter(|(role, _)| is_reserved(role)).map(|(_, text)| text.as_str());
    let reserved: BTreeSet<&str> = reserved.collect();
    for (role, text) in roles.iter_mut().zip(texts) {
        if *role == Some(Role::Train) && reserved.contains(text.as_str()) {
            *role = None;
        }
    }
}

fn count(fraction: f64, n: usize) -> usize {
    if fraction > 0.0 { ((fraction * n as f64).round() as usize).max(1).min(n) } else { 0 }
}
