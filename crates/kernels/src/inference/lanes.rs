//! What is done to rows of numbers between products, in loops that become vector instructions.

use multiversion::multiversion;

use super::product::Tile;
use crate::norm::Centring;

/// A function of each number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PointFunction {
    /// GELU in its tanh form.
    GeluTanh,
    /// GELU with the error function.
    Gelu,
    /// `max(x, 0)`.
    Relu,
    /// `x σ(x)`.
    Silu,
    /// `c tanh(x / c)`.
    SoftCap(f32),
}

impl PointFunction {
    /// Applies it to every number of a tile.
    pub fn apply(self, tile: &mut Tile) {
        apply(self, tile.as_flattened_mut());
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn apply(function: PointFunction, values: &mut [f32]) {
    match function {
        PointFunction::GeluTanh => values.iter_mut().for_each(|x| *x *= sigmoid_of_twice_u(*x)),
        PointFunction::Gelu => values.iter_mut().for_each(|x| *x *= normal(*x)),
        // What is no number stays so.
        PointFunction::Relu => values.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x }),
        PointFunction::Silu => values.iter_mut().for_each(|x| *x *= 1.0 / (1.0 + exp(-*x))),
        PointFunction::SoftCap(cap) => values.iter_mut().for_each(|x| *x = cap * tanh(*x / cap)),
    }
}

/// Adds a row to every row of a tile: as many numbers as the row has.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn add_row(tile: &mut Tile, row: &[f32]) {
    for values in tile.iter_mut() {
        values.iter_mut().zip(row).for_each(|(value, x)| *value += x);
    }
}

/// Multiplies every number of a tile by that of another.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn multiply_by(tile: &mut Tile, other: &Tile) {
    let others = other.as_flattened();
    tile.as_flattened_mut().iter_mut().zip(others).for_each(|(value, x)| *value *= x);
}

/// Writes `x`, less its mean where it is centred, over its root mean square, scaled and shifted.
///
/// # Shapes
/// All slices are as long as the row.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn normalise_row(
    x: &[f32],
    centring: Centring,
    epsilon: f32,
    scale: &[f32],
    shift: Option<&[f32]>,
    y: &mut [f32],
) {
    let width = x.len() as f32;
    let mean = match centring {
        Centring::Mean => sum_of(x, |x| x) / width,
        Centring::None => 0.0,
    };
    let square = sum_of(x, |x| (x - mean) * (x - mean)) / width;
    let inverse = 1.0 / (square + epsilon).sqrt();
    for ((y, x), scale) in y.iter_mut().zip(x).zip(scale) {
        *y = (x - mean) * inverse * scale;
    }
    if let Some(shift) = shift {
        y.iter_mut().zip(shift).for_each(|(y, shift)| *y += shift);
    }
}

/// Turns the pairs `(i, i + half)` of a head by angles of these cosines and sines; what comes after the pairs stays.
///
/// # Shapes
/// `cos` and `sin` have one number a pair.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn turn_pairs(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, rest) = x.split_at_mut(cos.len());
    for ((a, b), (cos, sin)) in first.iter_mut().zip(rest).zip(cos.iter().zip(sin)) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

/// Replaces each number by the exponential of it less the maximum; the maximum, and the sum of what is left.
#[inline(always)]
pub(crate) fn exp_less_max(row: &mut [f32]) -> (f32, f32) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (blocks, rest) = row.as_chunks::<16>();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let max = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = exp(*x - max));
    (max, sum_of(row, |x| x))
}

/// [`exp_less_max`] for callers that are not compiled for wide vectors themselves.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn exp_row_less_max(row: &mut [f32]) -> (f32, f32) {
    exp_less_max(row)
}

/// Sum of a function of each number, in sixteen lanes: the same on every machine, and fast.
#[inline(always)]
pub(crate) fn sum_of(row: &[f32], each: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (blocks, rest) = row.as_chunks::<16>();
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, x)| *lane += each(*x));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane += each(*x));
    lanes.iter().sum()
}

/// Sum of the products of two rows, in sixteen lanes.
#[cfg(feature = "cpu")]
#[inline(always)]
pub(crate) fn sum_of_products(row: &[f32], other: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (row, other) in row.chunks(16).zip(other.chunks(16)) {
        lanes.iter_mut().zip(row.iter().zip(other)).for_each(|(lane, (x, y))| *lane += x * y);
    }
    lanes.iter().sum()
}

/// `σ(2u)` of the tanh GELU.
#[inline(always)]
pub(crate) fn sigmoid_of_twice_u(x: f32) -> f32 {
    let twice_u = x * (crate::gelu::LINEAR as f32 + crate::gelu::CUBIC as f32 * x * x);
    1.0 / (1.0 + exp(-twice_u))
}

/// Standard normal distribution function, to 2e-7.
///
/// # Reference
/// Abramowitz & Stegun, Handbook of Mathematical Functions, 7.1.26.
#[inline(always)]
fn normal(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let tail = 0.5 * series * exp(-z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

/// `eˣ` to about two units in the last place, branch-free so that loops over it use vector instructions.
///
/// `x = n ln 2 + r` with `|r| ≤ ½ ln 2`: a Taylor polynomial in `r`, and `n` added to the exponent.
/// Below −87 it is 0 or nearly so, above 88 it is the largest that fits.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding and taking off rounds to whole numbers.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.0
        + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let power = (shifted.to_bits() << 23).wrapping_add(0x3f80_0000);
    p * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::{COLS, ROWS};
    use crate::plain;

    #[test]
    fn exp_is_accurate_to_a_few_units() {
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let (fast, slow) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((fast / slow - 1.0).abs() < 4e-7, "exp({x}) = {slow}, found {fast}");
        }
    }

    #[test]
    fn exp_of_very_small_numbers_is_nearly_nothing() {
        assert!(exp(-1e30) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
    }

    #[track_caller]
    fn check(function: PointFunction, formula: impl Fn(f64) -> f64, tolerance: f64) {
        for start in (-96..96).map(|i| i as f32 / 8.0) {
            let mut tile = [[start; COLS]; ROWS];
            tile.as_flattened_mut().iter_mut().enumerate().for_each(|(i, x)| *x += i as f32 / 3072.0);
            let inputs = tile;
            function.apply(&mut tile);
            for (x, found) in inputs.as_flattened().iter().zip(tile.as_flattened()) {
                let expected = formula(f64::from(*x));
                let apart = (f64::from(*found) - expected).abs();
                assert!(
                    apart < tolerance * (1.0 + expected.abs()),
                    "{function:?} of {x}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn point_functions_agree_with_their_formulas() {
        check(PointFunction::GeluTanh, plain::gelu, 1e-6);
        check(PointFunction::Gelu, |x| x * 0.5 * statrs::function::erf::erfc(-x / 2f64.sqrt()), 1e-6);
        check(PointFunction::Relu, |x| x.max(0.0), 1e-12);
        check(PointFunction::Silu, |x| x / (1.0 + (-x).exp()), 1e-6);
        check(PointFunction::SoftCap(3.0), |x| 3.0 * (x / 3.0).tanh(), 1e-6);
    }

    #[test]
    fn rows_are_normalised() {
        let x: Vec<f32> = (0..37).map(|i| ((i * 7) % 11) as f32).collect();
        let (scale, shift) = (vec![2.0; 37], vec![0.5; 37]);
        for centring in [Centring::Mean, Centring::None] {
            let mut y = vec![0.0; 37];
            normalise_row(&x, centring, 1e-5, &scale, Some(&shift), &mut y);
            let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            let mean = if centring == Centring::Mean { wide.iter().sum::<f64>() / 37.0 } else { 0.0 };
            let square = wide.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 37.0;
            for (found, x) in y.iter().zip(wide) {
                let expected = (x - mean) / (square + 1e-5).sqrt() * 2.0 + 0.5;
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} against {expected}");
            }
        }
    }
}
