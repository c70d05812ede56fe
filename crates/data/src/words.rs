//! Words: what texts are compared by.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The words of a text, lower-cased: runs of letters and digits.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Hashes of the words of a text, in order.
pub(crate) fn word_hashes(text: &str) -> Vec<u64> {
    words(text).map(|word| hash(&word)).collect()
}

/// Hashes of all runs of `n` words, in order; a shorter text is one run, one without words none.
pub(crate) fn shingles(text: &str, n: usize) -> Vec<u64> {
    let words = word_hashes(text);
    if words.is_empty() { Vec::new() } else { words.windows(n.min(words.len())).map(hash).collect() }
}

/// Equal values have equal hashes within one run; nothing else may depend on them.
fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shingles_ignore_case_and_marks() {
        assert_eq!(words("Don't, PANIC 42!").collect::<Vec<_>>(), ["don", "t", "panic", "42"]);
        assert_eq!(shingles("a b c d", 3), shingles("A, b; c... D", 3));
        assert_eq!(
            [shingles("a b c d", 3).len(), shingles("a b", 3).len(), shingles("?", 3).len()],
            [2, 1, 0]
        );
        assert_ne!(shingles("a b", 3), shingles("ab", 3));
    }
}
