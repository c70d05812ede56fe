//! How factors are kept.

/// How the factors of a product are kept; sums are in f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// Floats with 8 bits of mantissa, rounded to the nearest, ties to even.
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// The name on the command line and in score tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Numbers that stand in 32 bits.
    pub(super) fn per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
        }
    }
}

/// Two numbers rounded to bf16, the first in the low half.
#[inline(always)]
pub(super) fn pair_of(low: f32, high: f32) -> u32 {
    round(low) >> 16 | round(high) & 0xffff_0000
}

/// The upper half of the nearest bf16; what is not a number stays so.
#[inline(always)]
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() { bits | 0x0040_0000 } else { bits.wrapping_add(0x7fff + (bits >> 16 & 1)) }
}

/// The two numbers of a pair.
#[inline(always)]
pub(super) fn floats_of(pair: u32) -> (f32, f32) {
    (f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000))
}

/// Writes numbers as pairs; a last one that stands alone is paired with 0.
#[inline(always)]
pub(super) fn set_pairs(pairs: &mut [u32], values: &[f32]) {
    let (whole, rest) = values.as_chunks::<2>();
    let (front, back) = pairs.split_at_mut(whole.len());
    for (pair, [low, high]) in front.iter_mut().zip(whole) {
        *pair = pair_of(*low, *high);
    }
    if let (Some(pair), [alone]) = (back.first_mut(), rest) {
        *pair = pair_of(*alone, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_ties_to_even() {
        for (x, rounded) in [
            (1.0, 1.0),
            (1.0 + 2f32.powi(-8), 1.0),
            (1.0 + 3.0 * 2f32.powi(-8), 1.0 + 2f32.powi(-6)),
            (-1.0 - 2f32.powi(-8) - 2f32.powi(-20), -1.0 - 2f32.powi(-7)),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            assert_eq!(floats_of(pair_of(x, 0.0)), (rounded, 0.0), "{x}");
            assert_eq!(floats_of(pair_of(0.0, x)), (0.0, rounded), "{x}");
        }
        assert!(floats_of(pair_of(f32::NAN, 0.0)).0.is_nan());
    }
}
