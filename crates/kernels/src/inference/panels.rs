//! Panels: `N` rows of numbers side by side, so that one step along their depth reads neighbours.

use std::ops::Range;

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

    /// Steps along a depth: numbers, or pairs of them.
    pub(super) fn n_steps(self, depth: usize) -> usize {
        match self {
            Self::F32 => depth,
            Self::Bf16 => depth.div_ceil(2),
        }
    }
}

/// Steps of panels, one panel after the other. In bf16 a step holds two numbers of each row, the first in the low half.
#[derive(Clone, Debug)]
pub(super) enum Panels<const N: usize> {
    F32(Vec<[f32; N]>),
    Bf16(Vec<[u32; N]>),
}

/// Some steps of panels.
#[derive(Clone, Copy, Debug)]
pub(super) enum Steps<'a, const N: usize> {
    F32(&'a [[f32; N]]),
    Bf16(&'a [[u32; N]]),
}

impl<const N: usize> Panels<N> {
    pub(super) fn new(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32(Vec::new()),
            Precision::Bf16 => Self::Bf16(Vec::new()),
        }
    }

    pub(super) fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::Bf16(_) => Precision::Bf16,
        }
    }

    /// As many steps as said, none of them cleared.
    pub(super) fn resize(&mut self, n_steps: usize) {
        match self {
            Self::F32(steps) => steps.resize(n_steps, [0.0; N]),
            Self::Bf16(steps) => steps.resize(n_steps, [0; N]),
        }
    }

    pub(super) fn steps(&self, range: Range<usize>) -> Steps<'_, N> {
        match self {
            Self::F32(steps) => Steps::F32(&steps[range]),
            Self::Bf16(steps) => Steps::Bf16(&steps[range]),
        }
    }

    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::F32(steps) => size_of_val(steps.as_slice()),
            Self::Bf16(steps) => size_of_val(steps.as_slice()),
        }
    }

    /// Writes numbers of one row of a panel that begins at a step; the first of them stands at `depth`, which is even.
    pub(super) fn set(&mut self, panel: usize, row: usize, depth: usize, values: &[f32]) {
        match self {
            Self::F32(steps) => {
                for (step, value) in steps[panel + depth..].iter_mut().zip(values) {
                    step[row] = *value;
                }
            }
            Self::Bf16(steps) => {
                for (step, pair) in steps[panel + depth / 2..].iter_mut().zip(values.chunks(2)) {
                    step[row] = pair_of(pair[0], pair.get(1).copied().unwrap_or(0.0));
                }
            }
        }
    }

    /// Reads one row of a panel that begins at a step.
    pub(super) fn get(&self, panel: usize, row: usize, values: &mut [f32]) {
        match self {
            Self::F32(steps) => {
                for (value, step) in values.iter_mut().zip(&steps[panel..]) {
                    *value = step[row];
                }
            }
            Self::Bf16(steps) => {
                for (values, step) in values.chunks_mut(2).zip(&steps[panel..]) {
                    let (low, high) = floats_of(step[row]);
                    values[0] = low;
                    if let Some(value) = values.get_mut(1) {
                        *value = high;
                    }
                }
            }
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
