//! Words: what texts are compared by.

/// The words of a text, lower-cased: runs of letters and digits.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Hashes of the words of a text, in order.
pub(crate) fn word_hashes(text: &str) -> Vec<u64> {
    words(text).map(|word| hash(word.bytes())).collect()
}

/// Hashes of all runs of `n` words, in order; a shorter text is one run, one without words none.
pub(crate) fn shingles(text: &str, n: usize) -> Vec<u64> {
    let words = word_hashes(text);
    if words.is_empty() {
        return Vec::new();
    }
    let run = |words: &[u64]| hash(words.iter().flat_map(|word| word.to_le_bytes()));
    words.windows(n.min(words.len())).map(run).collect()
}

/// FNV-1a of 64 bits: the same everywhere and always, as sums are taken in the order of hashes.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
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

    /// Published values of FNV-1a, by Fowler, Noll and Vo.
    #[test]
    fn hashes_are_fixed() {
        assert_eq!(hash("".bytes()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(word_hashes("A foobar"), [0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8]);
    }
}
