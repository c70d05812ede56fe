//! The operations that Burn makes kernels of, which run here on a GPU for the first time.

use burn::tensor::{Int, Tensor};

use super::{Gpu, assert_close, draw, f64s, has_device, tensor};
use crate::KernelBackend;
use crate::attention::Mask;
use crate::backend::{unwrap, wrap};
use crate::norm::Centring;
use crate::plain;

/// A few roundings in f32 of numbers below 10.
const TOLERANCE: f64 = 1e-5;

const EPSILON: f64 = 1e-5;

/// An input and the gradient of what comes of it.
struct Case {
    x: Vec<f32>,
    dy: Vec<f32>,
    shape: [usize; 2],
}

impl Case {
    fn drawn(rows: usize, width: usize) -> Self {
        Self { x: draw(1, rows * width, 3.0), dy: draw(2, rows * width, 1.0), shape: [rows, width] }
    }

    fn x(&self) -> Tensor<Gpu, 2> {
        tensor(&self.x, self.shape)
    }

    fn dy(&self) -> Tensor<Gpu, 2> {
        tensor(&self.dy, self.shape)
    }

    /// A function of each row and its number, for all rows.
    fn by_rows(&self, f: impl Fn(usize, &[f64]) -> Vec<f64>) -> Vec<f64> {
        let x: Vec<f64> = self.x.iter().map(|x| f64::from(*x)).collect();
        x.chunks(self.shape[1]).enumerate().flat_map(|(i, row)| f(i, row)).collect()
    }

    /// The gradient by the input, by central differences.
    fn gradient(&self, f: impl Fn(usize, &[f64]) -> Vec<f64>) -> Vec<f64> {
        let width = self.shape[1];
        self.by_rows(|row, x| {
            let along = |x: &[f64]| -> f64 {
                f(row, x).iter().zip(&self.dy[row * width..]).map(|(y, dy)| y * f64::from(*dy)).sum()
            };
            let slope = |i: usize| {
                let moved = |step: f64| {
                    let mut x = x.to_vec();
                    x[i] += step;
                    along(&x)
                };
                (moved(1e-5) - moved(-1e-5)) / 2e-5
            };
            (0..width).map(slope).collect()
        })
    }
}

#[test]
fn gelu_agrees_with_plain() {
    if !has_device() {
        return;
    }
    let case = Case::drawn(7, 33);
    let gelu = |_, row: &[f64]| row.iter().map(|x| plain::gelu(*x)).collect();
    let found = wrap::<Gpu>(Gpu::gelu_new(unwrap(case.x())));
    assert_close("gelu", &f64s(found), &case.by_rows(gelu), TOLERANCE);
    let found = wrap::<Gpu>(Gpu::gelu_new_backward(unwrap(case.x()), unwrap(case.dy())));
    assert_close("gelu's gradient", &f64s(found), &case.gradient(gelu), TOLERANCE);
}

/// Three heads of nine queries each.
#[test]
fn attention_softmax_agrees_with_plain() {
    if !has_device() {
        return;
    }
    let case = Case::drawn(27, 9);
    for mask in [Mask::Causal, Mask::Local { window: 4 }] {
        let softmax = |row: usize, scores: &[f64]| {
            let seen = mask.seen(row % 9);
            let mut p = vec![0.0; 9];
            p[seen.clone()].copy_from_slice(&plain::log_softmax(&scores[seen.clone()]));
            p[seen].iter_mut().for_each(|p| *p = p.exp());
            p
        };
        let found = Gpu::masked_softmax(unwrap(case.x()), mask);
        assert_close("softmax", &f64s(wrap::<Gpu>(found.clone())), &case.by_rows(softmax), TOLERANCE);
        let found = wrap::<Gpu>(Gpu::softmax_backward(found, unwrap(case.dy())));
        assert_close("softmax's gradient", &f64s(found), &case.gradient(softmax), TOLERANCE);
    }
}

#[test]
fn norms_agree_with_plain() {
    if !has_device() {
        return;
    }
    let case = Case::drawn(6, 37);
    for centring in [Centring::Mean, Centring::None] {
        let mean = |row: &[f64]| match centring {
            Centring::Mean => row.iter().sum::<f64>() / 37.0,
            Centring::None => 0.0,
        };
        let inverse = |_, row: &[f64]| {
            let square = row.iter().map(|x| (x - mean(row)).powi(2)).sum::<f64>() / 37.0;
            vec![1.0 / (square + EPSILON).sqrt()]
        };
        let norm = |i, row: &[f64]| row.iter().map(|x| (x - mean(row)) * inverse(i, row)[0]).collect();
        let (y, roots) = Gpu::normalise(unwrap(case.x()), centring, EPSILON);
        assert_close("norm", &f64s(wrap::<Gpu>(y.clone())), &case.by_rows(norm), TOLERANCE);
        assert_close("inverse", &f64s(wrap::<Gpu>(roots.clone())), &case.by_rows(inverse), TOLERANCE);
        let found = wrap::<Gpu>(Gpu::normalise_backward(y, roots, unwrap(case.dy()), centring));
        assert_close("norm's gradient", &f64s(found), &case.gradient(norm), TOLERANCE);
    }
}

/// Two sequences of four positions, three heads of eight numbers of which six turn; one table for both, or one each.
#[test]
fn rotations_agree_with_plain() {
    if !has_device() {
        return;
    }
    let (heads, half) = (3, 3);
    let case = Case::drawn(24, 8);
    for n in [4, 8] {
        let angles = draw(3, n * half, 3.0);
        let turned = |row: usize, x: &[f64]| {
            let mut y = x.to_vec();
            for i in 0..half {
                let (sin, cos) = f64::from(angles[(row / heads) % n * half + i]).sin_cos();
                (y[i], y[i + half]) = (x[i] * cos - x[i + half] * sin, x[i + half] * cos + x[i] * sin);
            }
            y
        };
        let angles = tensor(&angles, [n, half]);
        let (cos, sin) = (unwrap(angles.clone().cos()), unwrap(angles.sin()));
        let found = wrap::<Gpu>(Gpu::rotate(unwrap(case.x()), cos, sin, heads));
        assert_close("rotation", &f64s(found), &case.by_rows(turned), TOLERANCE);
    }
}

#[test]
fn cross_entropy_agrees_with_plain() {
    if !has_device() {
        return;
    }
    let case = Case::drawn(5, 50);
    let targets = [0, 49, 7, 7, 23];
    let weights = draw(4, 5, 1.0);
    let log_prob = |row: usize, logits: &[f64]| vec![plain::log_softmax(logits)[targets[row]]];
    let expected = case.by_rows(log_prob);
    let at = Tensor::<Gpu, 1, Int>::from_ints(targets.map(|t| t as i32), &Default::default()).reshape([5, 1]);
    let found = wrap::<Gpu>(Gpu::log_prob(unwrap(case.x()), at.clone().into_primitive()));
    assert_close("log p", &f64s(found), &expected, TOLERANCE);

    let weight = |row: usize| f64::from(weights[row]);
    let (losses, gradient) =
        Gpu::cross_entropy(unwrap(case.x()), at.into_primitive(), unwrap(tensor(&weights, [5, 1])));
    let expected: Vec<f64> = expected.iter().enumerate().map(|(row, log_p)| -weight(row) * log_p).collect();
    assert_close("losses", &f64s(wrap::<Gpu>(losses)), &expected, TOLERANCE);
    let expected = case.by_rows(|row, logits| {
        let log_p = plain::log_softmax(logits).into_iter().enumerate();
        log_p.map(|(i, l)| weight(row) * (l.exp() - f64::from(u8::from(i == targets[row])))).collect()
    });
    assert_close("the losses' gradient", &f64s(wrap::<Gpu>(gradient)), &expected, TOLERANCE);
}
