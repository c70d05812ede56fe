//! The operations in tensor operations: what GPUs run, and what the fused loops are held against.

use std::ops::Range;

use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{IndexingUpdateOp, Int, Tensor, backend::Backend};

use crate::attention::Mask;
use crate::gelu::{CUBIC, LINEAR};
use crate::norm::Centring;

pub(crate) fn linear<B: Backend>(
    x: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 2>>,
) -> Tensor<B, 2> {
    let product = x.matmul(weight.transpose());
    match bias {
        Some(bias) => product + bias,
        None => product,
    }
}

pub(crate) fn gelu_new<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    let twice_u_over_x = (x.clone() * x.clone()).mul_scalar(CUBIC).add_scalar(LINEAR);
    sigmoid(twice_u_over_x * x.clone()) * x
}

pub(crate) fn gelu_new_backward<B: Backend>(x: Tensor<B, 2>, dy: Tensor<B, 2>) -> Tensor<B, 2> {
    let square = x.clone() * x.clone();
    let s = sigmoid(square.clone().mul_scalar(CUBIC).add_scalar(LINEAR) * x.clone());
    let slope = square.mul_scalar(3.0 * CUBIC).add_scalar(LINEAR);
    let rise = x * s.clone() * (s.clone().neg() + 1.0) * slope;
    dy * (s + rise)
}

pub(crate) fn masked_softmax<B: Backend>(scores: Tensor<B, 2>, mask: Mask) -> Tensor<B, 2> {
    let [rows, t] = scores.dims();
    let hidden = mask.hidden::<B>(t, &scores.device()).repeat_dim(0, rows / t);
    softmax(scores.mask_fill(hidden, -1e30), 1)
}

pub(crate) fn softmax_backward<B: Backend>(p: Tensor<B, 2>, dp: Tensor<B, 2>) -> Tensor<B, 2> {
    let along = (p.clone() * dp.clone()).sum_dim(1);
    p * (dp - along)
}

pub(crate) fn normalise<B: Backend>(
    x: Tensor<B, 2>,
    centring: Centring,
    epsilon: f64,
) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let x = centred(x, centring);
    let square = (x.clone() * x.clone()).mean_dim(1);
    let inverse = square.add_scalar(epsilon).sqrt().recip();
    (x * inverse.clone(), inverse)
}

pub(crate) fn normalise_backward<B: Backend>(
    y: Tensor<B, 2>,
    inverse: Tensor<B, 2>,
    dy: Tensor<B, 2>,
    centring: Centring,
) -> Tensor<B, 2> {
    let along = (dy.clone() * y.clone()).mean_dim(1);
    (centred(dy, centring) - y * along) * inverse
}

fn centred<B: Backend>(x: Tensor<B, 2>, centring: Centring) -> Tensor<B, 2> {
    match centring {
        Centring::Mean => x.clone() - x.mean_dim(1),
        Centring::None => x,
    }
}

pub(crate) fn rotate<B: Backend>(
    x: Tensor<B, 2>,
    cos: Tensor<B, 2>,
    sin: Tensor<B, 2>,
    heads: usize,
) -> Tensor<B, 2> {
    let [rows, width] = x.dims();
    let [n, half] = cos.dims();
    let x = x.reshape([rows / (n * heads), n, heads, width]);
    let (cos, sin) = (cos.reshape([1, n, 1, half]), sin.reshape([1, n, 1, half]));
    let part = |range: Range<usize>| x.clone().slice_dim(3, range);
    let (first, second) = (part(0..half), part(half..2 * half));
    let mut parts =
        vec![first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin];
    if 2 * half < width {
        parts.push(part(2 * half..width));
    }
    Tensor::cat(parts, 3).reshape([rows, width])
}

pub(crate) fn log_prob<B: Backend>(logits: Tensor<B, 2>, targets: Tensor<B, 2, Int>) -> Tensor<B, 2> {
    let chosen = logits.clone().gather(1, targets);
    chosen - log_sum_exp(logits)
}

pub(crate) fn cross_entropy<B: Backend>(
    logits: Tensor<B, 2>,
    targets: Tensor<B, 2, Int>,
    weights: Tensor<B, 2>,
) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let chosen = logits.clone().gather(1, targets.clone());
    let log_sum = log_sum_exp(logits.clone());
    let losses = weights.clone() * (log_sum.clone() - chosen);
    let p = (logits - log_sum).exp() * weights.clone();
    (losses, p.scatter(1, targets, weights.neg(), IndexingUpdateOp::Add))
}

/// `[rows, v]` to `[rows, 1]`.
pub(crate) fn log_sum_exp<B: Backend>(logits: Tensor<B, 2>) -> Tensor<B, 2> {
    let max = logits.clone().max_dim(1);
    (logits - max.clone()).exp().sum_dim(1).log() + max
}

/// The fused loops of the processor against the tensor operations, both on the processor.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelBackend;
    use crate::backend::{unwrap, wrap};
    use crate::plain::testing::inputs;
    use burn::backend::Flex;
    use burn::tensor::ops::FloatTensor;

    #[track_caller]
    fn assert_same(fused: FloatTensor<Flex>, slow: Tensor<Flex, 2>) {
        let host = |tensor: Tensor<Flex, 2>| tensor.into_data().to_vec::<f32>().unwrap();
        let (fused, slow) = (host(wrap::<Flex>(fused)), host(slow));
        assert_eq!(fused.len(), slow.len());
        for (i, (fused, slow)) in fused.iter().zip(&slow).enumerate() {
            assert!((fused - slow).abs() < 1e-5 * (1.0 + slow.abs()), "{i}: {fused} against {slow}");
        }
    }

    fn raw(x: &Tensor<Flex, 2>) -> FloatTensor<Flex> {
        unwrap(x.clone())
    }

    #[test]
    fn products_agree() {
        let (x, weight, bias) = (inputs(7, 33), inputs(5, 33), inputs(1, 5));
        let transpose = weight.clone().transpose();
        assert_same(Flex::product(raw(&x), raw(&transpose)), x.clone().matmul(transpose.clone()));
        let part = x.clone().slice([2..5, 1..20]);
        assert_same(
            Flex::product(raw(&transpose), raw(&part.clone().transpose().slice_dim(0, 0..5))),
            transpose.matmul(part.transpose().slice_dim(0, 0..5)),
        );
        for bias in [None, Some(bias)] {
            let fused = <Flex as KernelBackend>::affine(raw(&x), raw(&weight), bias.as_ref().map(raw));
            assert_same(fused, linear(x.clone(), weight.clone(), bias));
        }
    }

    #[test]
    fn gelu_agrees() {
        let (x, dy) = (inputs(7, 33), inputs(7, 33));
        assert_same(<Flex as KernelBackend>::gelu_new(raw(&x)), gelu_new(x.clone()));
        assert_same(Flex::gelu_new_backward(raw(&x), raw(&dy)), gelu_new_backward(x, dy));
    }

    #[test]
    fn softmax_agrees() {
        for mask in [Mask::Causal, Mask::Local { window: 4 }] {
            let (scores, dp) = (inputs(27, 9), inputs(27, 9));
            let p = masked_softmax(scores.clone(), mask);
            assert_same(Flex::masked_softmax(raw(&scores), mask), p.clone());
            assert_same(
                <Flex as KernelBackend>::softmax_backward(raw(&p), raw(&dp)),
                softmax_backward(p, dp),
            );
        }
    }

    #[test]
    fn norms_agree() {
        for centring in [Centring::Mean, Centring::None] {
            let (x, dy) = (inputs(6, 37), inputs(6, 37));
            let (y, inverse) = normalise(x.clone(), centring, 1e-5);
            let fused = Flex::normalise(raw(&x), centring, 1e-5);
            assert_same(fused.0, y.clone());
            assert_same(fused.1, inverse.clone());
            let fused = Flex::normalise_backward(raw(&y), raw(&inverse), raw(&dy), centring);
            assert_same(fused, normalise_backward(y, inverse, dy, centring));
        }
    }

    /// Two sequences of four positions, three heads of eight numbers of which six turn; one table for both, or one each.
    #[test]
    fn rotations_agree() {
        for n in [4, 8] {
            let (x, angles) = (inputs(24, 8), inputs(n, 3));
            let (cos, sin) = (angles.clone().cos(), angles.sin());
            assert_same(Flex::rotate(raw(&x), raw(&cos), raw(&sin), 3), rotate(x, cos, sin, 3));
        }
    }

    #[test]
    fn heads_agree() {
        let (logits, weights) = (inputs(5, 50), inputs(5, 1));
        let targets = Tensor::<Flex, 2, Int>::from_ints([[0], [49], [7], [7], [23]], &Default::default());
        let primitive = || targets.clone().into_primitive();
        assert_same(Flex::log_prob(raw(&logits), primitive()), log_prob(logits.clone(), targets.clone()));
        let fused = Flex::cross_entropy(raw(&logits), primitive(), raw(&weights));
        let slow = cross_entropy(logits, targets.clone(), weights);
        assert_same(fused.0, slow.0);
        assert_same(fused.1, slow.1);
    }
}
