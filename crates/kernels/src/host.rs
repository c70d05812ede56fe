//! The operations on the processor: one pass over each row, rows shared among threads.

use burn::tensor::TensorData;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn_flex::{Flex, FlexTensor};
use multiversion::multiversion;
use rayon::prelude::*;

use crate::KernelBackend;
use crate::attention::Mask;
use crate::inference::{
    PointFunction, apply, exp_less_max, exp_row_less_max, sigmoid_of_twice_u, sum_of, sum_of_products,
    turn_pairs,
};
use crate::norm::Centring;

/// Numbers that one task works on, so that small tensors stay on one thread.
const TASK: usize = 1 << 14;

impl KernelBackend for Flex {
    fn gelu_new(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (mut x, shape) = values(x);
        x.par_chunks_mut(TASK).for_each(|part| apply(PointFunction::GeluTanh, part));
        tensor(x, shape)
    }

    fn gelu_new_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, _) = values(x);
        let (mut dy, shape) = values(dy);
        dy.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(dy, x)| multiply_by_slope(dy, x));
        tensor(dy, shape)
    }

    fn masked_softmax(scores: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        let (mut scores, shape) = values(scores);
        let t = shape[1];
        by_rows(
            &mut scores,
            t,
            #[inline(always)]
            |row, scores| {
                let seen = mask.seen(row % t);
                scores[..seen.start].fill(0.0);
                scores[seen.end..].fill(0.0);
                let scores = &mut scores[seen];
                let sum = exp_less_max(scores).1;
                scores.iter_mut().for_each(|p| *p /= sum);
            },
        );
        tensor(scores, shape)
    }

    fn softmax_backward(p: FloatTensor<Self>, dp: FloatTensor<Self>) -> FloatTensor<Self> {
        let (p, _) = values(p);
        let (mut dp, shape) = values(dp);
        let width = shape[1];
        by_rows(
            &mut dp,
            width,
            #[inline(always)]
            |row, dp| {
                let p = &p[row * width..(row + 1) * width];
                let along = sum_of_products(dp, p);
                dp.iter_mut().zip(p).for_each(|(dp, p)| *dp = p * (*dp - along));
            },
        );
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
        let tasks = x.par_chunks_mut(per_task * width).zip(inverse.par_chunks_mut(per_task));
        tasks.for_each(|(x, inverse)| normalise_rows(x, inverse, centring, epsilon as f32));
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
        by_rows(
            &mut dy,
            width,
            #[inline(always)]
            |row, dy| {
                let y = &y[row * width..(row + 1) * width];
                let level = match centring {
                    Centring::Mean => sum_of(dy, |x| x) / width as f32,
                    Centring::None => 0.0,
                };
                let along = sum_of_products(dy, y) / width as f32;
                dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = (*dy - level - y * along) * inverse[row]);
            },
        );
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
            let angles = (row / heads) % n * half..((row / heads) % n + 1) * half;
            turn_pairs(x, &cos[angles.clone()], &sin[angles]);
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
                let (max, sum) = exp_row_less_max(row);
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
                let (max, sum) = exp_row_less_max(row);
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

/// Calls `each` with the number and the numbers of every row, compiled for the processor's widest vectors.
fn by_rows(values: &mut [f32], width: usize, each: impl Fn(usize, &mut [f32]) + Sync) {
    let per_task = (TASK / width).max(1);
    values.par_chunks_mut(per_task * width).enumerate().for_each(|(task, part)| {
        each_row(part, width, task * per_task, &each);
    });
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn each_row<F: Fn(usize, &mut [f32])>(rows: &mut [f32], width: usize, first: usize, each: &F) {
    for (i, row) in rows.chunks_exact_mut(width).enumerate() {
        each(first + i, row);
    }
}

/// Multiplies by the slope of GELU in its tanh form.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn multiply_by_slope(dy: &mut [f32], x: &[f32]) {
    for (dy, &x) in dy.iter_mut().zip(x) {
        let s = sigmoid_of_twice_u(x);
        let slope = crate::gelu::LINEAR as f32 + 3.0 * crate::gelu::CUBIC as f32 * x * x;
        *dy *= s + x * s * (1.0 - s) * slope;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn normalise_rows(x: &mut [f32], inverse: &mut [f32], centring: Centring, epsilon: f32) {
    let width = x.len() / inverse.len();
    for (row, inverse) in x.chunks_exact_mut(width).zip(inverse) {
        if centring == Centring::Mean {
            let mean = sum_of(row, |x| x) / width as f32;
            row.iter_mut().for_each(|x| *x -= mean);
        }
        let square = sum_of(row, |x| x * x) / width as f32;
        *inverse = 1.0 / (square + epsilon).sqrt();
        row.iter_mut().for_each(|x| *x *= *inverse);
    }
}
