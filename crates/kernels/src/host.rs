//! The operations on the processor: one pass over each row, rows shared among threads.

use burn::tensor::TensorData;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use crate::KernelBackend;
use crate::attention::Mask;
use crate::norm::Centring;

/// Numbers that one task works on, so that small tensors stay on one thread.
const TASK: usize = 1 << 14;

impl KernelBackend for Flex {
    fn gelu_new(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (mut x, shape) = values(x);
        x.par_chunks_mut(TASK).for_each(|part| {
            for x in part {
                *x *= sigmoid_of_twice_u(*x);
            }
        });
        tensor(x, shape)
    }

    fn gelu_new_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, _) = values(x);
        let (mut dy, shape) = values(dy);
        dy.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(dy, x)| {
            for (dy, &x) in dy.iter_mut().zip(x) {
                let s = sigmoid_of_twice_u(x);
                let slope = crate::gelu::LINEAR as f32 + 3.0 * crate::gelu::CUBIC as f32 * x * x;
                *dy *= s + x * s * (1.0 - s) * slope;
            }
        });
        tensor(dy, shape)
    }

    fn masked_softmax(scores: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        let (mut scores, shape) = values(scores);
        let t = shape[1];
        by_rows(&mut scores, t, |row, scores| {
            let seen = mask.seen(row % t);
            scores[..seen.start].fill(0.0);
            scores[seen.end..].fill(0.0);
            let scores = &mut scores[seen];
            let sum = exp_less_max(scores).1;
            scores.iter_mut().for_each(|p| *p /= sum);
        });
        tensor(scores, shape)
    }

    fn softmax_backward(p: FloatTensor<Self>, dp: FloatTensor<Self>) -> FloatTensor<Self> {
        let (p, _) = values(p);
        let (mut dp, shape) = values(dp);
        let width = shape[1];
        by_rows(&mut dp, width, |row, dp| {
            let p = &p[row * width..(row + 1) * width];
            let along = sum_of(dp.iter().zip(p).map(|(dp, p)| dp * p));
            dp.iter_mut().zip(p).for_each(|(dp, p)| *dp = p * (*dp - along));
        });
        tensor(dp, shape)
    }

    fn normalise(
        x: FloatTensor<Self>,
        centring: Centring,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (mut x, shape) = values(x);
        let [rows, width] = [shape[0], shape[1]];
        let mut inverse = vec![0.0; rows];
        let per_task = (TASK / width).max(1);
        x.par_chunks_mut(per_task * width).zip(inverse.par_chunks_mut(per_task)).for_each(|(x, inverse)| {
            for (row, inverse) in x.chunks_exact_mut(width).zip(inverse) {
                if centring == Centring::Mean {
                    let mean = sum_of(row.iter().copied()) / width as f32;
                    row.iter_mut().for_each(|x| *x -= mean);
                }
                let square = sum_of(row.iter().map(|x| x * x)) / width as f32;
                *inverse = 1.0 / (square + epsilon as f32).sqrt();
                row.iter_mut().for_each(|x| *x *= *inverse);
            }
        });
        (tensor(x, shape), tensor(inverse, [rows, 1]))
    }

    fn normalise_backward(
        y: FloatTensor<Self>,
        inverse: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        centring: Centring,
    ) -> FloatTensor<Self> {
        let (y, _) = values(y);
        let (inverse, _) = values(inverse);
        let (mut dy, shape) = values(dy);
        let width = shape[1];
        by_rows(&mut dy, width, |row, dy| {
            let y = &y[row * width..(row + 1) * width];
            let level = match centring {
                Centring::Mean => sum_of(dy.iter().copied()) / width as f32,
                Centring::None => 0.0,
            };
            let along = sum_of(dy.iter().zip(y).map(|(dy, y)| dy * y)) / width as f32;
            dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = (*dy - level - y * along) * inverse[row]);
        });
        tensor(dy, shape)
    }

    fn rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        let (mut x, shape) = values(x);
        let (cos, [n, half]) = values(cos);
        let (sin, _) = values(sin);
        by_rows(&mut x, shape[1], |row, x| {
            let angle = (row / heads) % n * half;
            let (first, rest) = x.split_at_mut(half);
            let turned = first.iter_mut().zip(rest).zip(cos[angle..].iter().zip(&sin[angle..]));
            for ((a, b), (cos, sin)) in turned {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        });
        tensor(x, shape)
    }

    fn log_prob(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        let (mut logits, [rows, width]) = values(logits);
        let targets = indices(targets);
        let mut log_probs = vec![0.0; rows];
        let per_task = (TASK / width).max(1);
        let tasks =
            logits.par_chunks_mut(per_task * width).zip(log_probs.par_chunks_mut(per_task)).enumerate();
        tasks.for_each(|(task, (logits, log_probs))| {
            for (i, (row, log_prob)) in logits.chunks_exact_mut(width).zip(log_probs).enumerate() {
                let chosen = row[targets[task * per_task + i]];
                let (max, sum) = exp_less_max(row);
                *log_prob = chosen - max - sum.ln();
            }
        });
        tensor(log_probs, [rows, 1])
    }

    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (mut logits, [rows, width]) = values(logits);
        let (targets, (weights, _)) = (indices(targets), values(weights));
        let mut losses = vec![0.0; rows];
        let per_task = (TASK / width).max(1);
        let tasks = logits.par_chunks_mut(per_task * width).zip(losses.par_chunks_mut(per_task)).enumerate();
        tasks.for_each(|(task, (logits, losses))| {
            for (i, (row, loss)) in logits.chunks_exact_mut(width).zip(losses).enumerate() {
                let (target, weight) = (targets[task * per_task + i], weights[task * per_task + i]);
                let chosen = row[target];
                let (max, sum) = exp_less_max(row);
                *loss = weight * (sum.ln() + max - chosen);
                let scale = weight / sum;
                row.iter_mut().for_each(|p| *p *= scale);
                row[target] -= weight;
            }
        });
        (tensor(losses, [rows, 1]), tensor(logits, [rows, width]))
    }
}

/// The numbers of a `[rows, width]` tensor; no copy where nobody else holds them.
fn values(tensor: FlexTensor) -> (Vec<f32>, [usize; 2]) {
    let data = tensor.into_data();
    let shape = [data.shape[0], data.shape[1]];
    (data.convert::<f32>().into_vec().expect("converted to f32 just above"), shape)
}

fn indices(tensor: FlexTensor) -> Vec<usize> {
    tensor.into_data().iter::<i64>().map(|index| index as usize).collect()
}

fn tensor(values: Vec<f32>, shape: [usize; 2]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Calls `each` with the number and the numbers of every row.
fn by_rows(values: &mut [f32], width: usize, each: impl Fn(usize, &mut [f32]) + Sync) {
    let per_task = (TASK / width).max(1);
    values.par_chunks_mut(per_task * width).enumerate().for_each(|(task, part)| {
        for (i, row) in part.chunks_exact_mut(width).enumerate() {
            each(task * per_task + i, row);
        }
    });
}

/// Replaces each number by the exponential of it less the maximum; the maximum, and the sum of what is left.
fn exp_less_max(row: &mut [f32]) -> (f32, f32) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (blocks, rest) = row.as_chunks::<16>();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let max = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = exp(*x - max));
    (max, sum_of(row.iter().copied()))
}

/// Sum in sixteen lanes: the same on every machine, and fast.
fn sum_of(values: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (i, value) in values.enumerate() {
        lanes[i % 16] += value;
    }
    lanes.iter().sum()
}

/// `σ(2u)` of the tanh GELU.
#[inline]
fn sigmoid_of_twice_u(x: f32) -> f32 {
    let twice_u = x * (crate::gelu::LINEAR as f32 + crate::gelu::CUBIC as f32 * x * x);
    1.0 / (1.0 + exp(-twice_u))
}

/// `eˣ` to about two units in the last place, branch-free so that loops over it use vector instructions.
///
/// `x = n ln 2 + r` with `|r| ≤ ½ ln 2`: a Taylor polynomial in `r`, and `n` added to the exponent.
/// Below −87 it is 0 or nearly so, above 88 it is the largest that fits.
#[inline]
fn exp(x: f32) -> f32 {
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
    }
}
