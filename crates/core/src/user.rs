//! Users: who the data belongs to, the unit that is inferred.

use std::fmt;

/// The name of a user as the corpus spells it.
///
/// It often is personal data, so `Debug` prints a placeholder and nothing here implements `Display`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

impl UserId {
    /// Wraps the id as the corpus spells it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id itself: for joins and for `statistics.parquet`, never for a message.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(..)")
    }
}

/// Position of a user in a corpus' sorted list of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserIdx(pub u32);

impl UserIdx {
    /// The position as an index into a slice.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_id() {
        assert_eq!(format!("{:?}", UserId::new("ada@example.org")), "UserId(..)");
    }
}
