//! The order of ids by a salted hash: random, yet the same wherever it is computed.

use sha2::{Digest, Sha256};
use userprint_core::{ExampleId, Seed, UserId};

/// Orders ids by `sha256(salt + ":" + id)`, ties by id.
#[derive(Debug)]
pub(crate) struct SaltedHash {
    salt: String,
}

impl SaltedHash {
    /// The salt is the named seed as 16 hexadecimal digits.
    pub(crate) fn new(seed: Seed, name: &str) -> Self {
        Self { salt: format!("{:016x}", seed.named(name).0) }
    }

    /// Positions of the users, first rank first.
    pub(crate) fn order_users(&self, users: &[UserId]) -> Vec<usize> {
        self.order(users.iter().map(|user| user.as_str().to_owned()).collect())
    }

    /// Positions of a user's examples, first rank first.
    pub(crate) fn order_examples(&self, user: &UserId, ids: &[ExampleId]) -> Vec<usize> {
        self.order(ids.iter().map(|id| format!("{}:{}", user.as_str(), id.as_str())).collect())
    }

    fn order(&self, ids: Vec<String>) -> Vec<usize> {
        let mut ranked: Vec<([u8; 32], String, usize)> = ids
            .into_iter()
            .enumerate()
            .map(|(position, id)| (Sha256::digest(format!("{}:{id}", self.salt)).into(), id, position))
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, _, position)| position).collect()
    }
}
