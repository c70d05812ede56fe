//! Examples: one text of a user.

use std::fmt;

/// The name of an example within its user, unique there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExampleId(String);

impl ExampleId {
    /// Wraps the id as the corpus spells it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id itself, for joins.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ExampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExampleId(..)")
    }
}

/// One text of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Example {
    /// Unique within the user.
    pub example_id: ExampleId,
    /// The text, never empty; it never enters a message.
    pub text: String,
    /// When and where it was written, as far as the corpus says.
    pub origin: Origin,
}

/// When and where a text was written, as far as a corpus says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Seconds since 1970 began, UTC.
    pub timestamp_s: Option<i64>,
    /// Hash of the name of its source: a forum, a mailbox, a site.
    pub source: Option<u64>,
}

impl fmt::Debug for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Example").field("text_bytes", &self.text.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text() {
        let example = Example {
            example_id: ExampleId::new("secret-id"),
            text: "secret text".into(),
            origin: Origin::default(),
        };
        let shown = format!("{example:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("11"), "{shown}");
    }
}
