//! Draws by name, and made-up words.

pub(super) const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
pub(super) const VOWELS: &[u8; 5] = b"aeiou";

/// Random numbers that depend on a name alone.
pub(super) struct Draw(blake3::OutputReader);

impl Draw {
    pub(super) fn named(name: &str) -> Self {
        Self(blake3::Hasher::new().update(name.as_bytes()).finalize_xof())
    }

    /// A number below `n`; nearly even for a small one.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes) as usize % n
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

/// One of 6,400 words of two syllables; those up to 80 begin with the same.
pub(super) fn word(index: usize) -> String {
    let letter = |letters: &[u8], index: usize| char::from(letters[index % letters.len()]);
    let syllable = |index: usize| [letter(CONSONANTS, index / 5), letter(VOWELS, index)];
    [syllable(index / 80), syllable(index)].into_iter().flatten().collect()
}

/// What a user writes: words that all have, and as often words that are more the user's own.
pub(super) fn text(user: usize, document: usize, n_words: usize) -> String {
    let mut draw = Draw::named(&format!("text {document} of {user}"));
    let mut text = String::new();
    for at in 0..n_words {
        let index = match draw.below(2) {
            0 => draw.below(400),
            _ => 400 + 60 * user + draw.below(60),
        };
        let end = if at % 12 == 11 { "." } else { "" };
        text += &format!("{}{}{end}", if at == 0 { "" } else { " " }, word(index));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_differ_and_texts_are_the_same_again() {
        let words: BTreeSet<String> = (0..6400).map(word).collect();
        assert_eq!((words.len(), word(0).as_str(), word(81).as_str()), (6400, "baba", "bebe"));
        assert_eq!(text(1, 2, 30), text(1, 2, 30));
        assert!(text(1, 2, 30) != text(1, 3, 30));
        assert_eq!(text(3, 0, 25).split(' ').count(), 25);
    }
}
