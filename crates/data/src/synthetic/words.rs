//! Pronounceable words, all different.

const CONSONANTS: &[u8; 14] = b"bdfgklmnprstvz";
const VOWELS: &[u8; 5] = b"aeiou";
const N_SYLLABLES: u32 = 70;
/// No factor in common with the powers of 70, so multiples visit every word once.
const STEP: u64 = 1811;

/// The most words of three syllables.
pub(crate) const MAX_WORDS: u32 = N_SYLLABLES.pow(3);

/// The first `n` words: of two syllables if that is enough, else of three.
pub(crate) fn words(n: u32) -> Vec<String> {
    let n_syllables = if n <= N_SYLLABLES.pow(2) { 2 } else { 3 };
    let n_all = u64::from(N_SYLLABLES.pow(n_syllables));
    (0..u64::from(n)).map(|index| word(index * STEP % n_all, n_syllables)).collect()
}

fn word(mut number: u64, n_syllables: u32) -> String {
    let mut word = String::new();
    for _ in 0..n_syllables {
        let syllable = (number % u64::from(N_SYLLABLES)) as usize;
        word.push(char::from(CONSONANTS[syllable / VOWELS.len()]));
        word.push(char::from(VOWELS[syllable % VOWELS.len()]));
        number /= u64::from(N_SYLLABLES);
    }
    word
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_distinct() {
        for n in [1, 4900, 4901, 20_000] {
            assert_eq!(words(n).into_iter().collect::<BTreeSet<_>>().len(), n as usize);
        }
    }
}
