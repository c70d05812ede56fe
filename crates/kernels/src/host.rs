//! The operations on the processor: one pass over each row, rows shared among threads.

mod head;
mod norms;

use std::borrow::Cow;

use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};
use multiversion::multiversion;
use rayon::prelude::*;

use crate::KernelBackend;
use crate::attention::Mask;
use crate::backend::{unwrap, wrap};
use crate::head::{Head, HeadLoss};
use crate::inference::{
    PointFunction, apply, exp_less_max, exp_row_less_max, sigmoid_of_twice_u, sum_of, sum_of_products,
    turn_pairs,
};
use crate::norm::Centring;
use crate::product::{Old, View, multiply};

/// Numbers that one task works on, so that small tensors stay on one thread.
const TASK: usize = 1 << 14;

impl KernelBackend for Flex {
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let (a, b) = (view(&a), view(&b));
        let [m, n] = [a.shape()[0], b.shape()[1]];
        let mut product = vec![0.0; m * n];
        multiply(a, b, Old::Replaced, &mut product);
        tensor(product, [m, n])
    }

    fn affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        let (x, weight) = (view(&x), view(&weight).transposed());
        let [n, width] = [x.shape()[0], weight.shape()[1]];
        let mut y = vec![0.0; n * width];
        let old = match bias {
            Some(bias) => {
                let bias = floats(&bias);
                by_rows(&mut y, width, |_, row| row.copy_from_slice(&bias));
                Old::Kept
            }
            None => Old::Replaced,
        };
        multiply(x, weight, old, &mut y);
        tensor(y, [n, width])
    }

    fn product_norms(x: FloatTensor<Self>, dy: FloatTensor<Self>, units: usize) -> FloatTensor<Self> {
        tensor(norms::of_product(view(&x), view(&dy), units), [units, 1])
    }

    fn gelu_new(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (mut x, shape) = values(x);
        x.par_chunks_mut(TASK).for_each(|part| apply(PointFunction::GeluTanh, part));
        tensor(x, shape)
    }

    fn gelu_new_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        let x = floats(&x);
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
        let p = floats(&p);
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
        let (y, inverse) = (floats(&y), floats(&inverse));
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

    fn head_loss(
        hidden: &Tensor<Self, 2>,
        head: &Head<Self>,
        targets: &Tensor<Self, 1, Int>,
        weights: &Tensor<Self, 1>,
        frozen: bool,
    ) -> HeadLoss<Self> {
        let (n_rows, device) = (head.tile_rows(), hidden.device());
        let (hidden, weight) = (unwrap(hidden.clone()), unwrap(head.weight.clone()));
        let weights = unwrap(weights.clone());
        let problem = head::Problem {
            hidden: view(&hidden),
            weight: view(&weight),
            soft_cap: head.soft_cap.map(|cap| cap as f32),
            targets: &indices(targets.clone().into_primitive()),
            weights: &floats(&weights),
        };
        let ([n, d], [v, _]) = (problem.hidden.shape(), problem.weight.shape());
        let found = head::loss(problem, n_rows, frozen);
        HeadLoss {
            loss: Tensor::from_floats([found.loss], &device),
            d_hidden: wrap::<Self>(tensor(found.d_hidden, [n, d])),
            d_weight: found.d_weight.map(|d_weight| wrap::<Self>(tensor(d_weight, [v, d]))),
        }
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
                *loss = head::row_to_gradient(row, target, weight);
            }
        });
        (tensor(losses, [rows, 1]), tensor(logits, [rows, width]))
    }
}

/// The numbers of a `[rows, width]` tensor, to change; no copy where nobody else holds them.
fn values(tensor: FlexTensor) -> (Vec<f32>, [usize; 2]) {
    let shape = shape(&tensor);
    if !tensor.is_unique() {
        return (floats(&tensor).into_owned(), shape);
    }
    (tensor.into_data().into_vec().expect("tensors on the processor are in f32"), shape)
}

/// The numbers of a tensor, to read; no copy where they lie one after the other.
fn floats(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(tensor.to_contiguous().storage().to_vec()),
    }
}

fn shape(tensor: &FlexTensor) -> [usize; 2] {
    tensor.layout().shape().dims()
}

/// A `[rows, width]` tensor as it lies in memory.
fn view(tensor: &FlexTensor) -> View<'_> {
    let layout = tensor.layout();
    let stride = |axis: usize| usize::try_from(layout.strides()[axis]).expect("no axis is reversed");
    View::new(&tensor.storage()[layout.start_offset()..], shape(tensor), [stride(0), stride(1)])
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
