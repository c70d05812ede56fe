//! The operations that a backend may do faster than by tensor operations.

use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Tensor, TensorPrimitive};

use crate::attention::Mask;
use crate::norm::Centring;

/// A backend with this crate's operations: by default in tensor operations, on the processor in fused loops.
///
/// All tensors are `[rows, width]`; the public functions of this crate bring them into that shape.
/// Each operation that training differentiates has its own backward.
pub trait KernelBackend: Backend {
    /// See [`crate::gelu::gelu_new`].
    fn gelu_new(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let x = wrap::<Self>(x);
        let twice_u_over_x =
            (x.clone() * x.clone()).mul_scalar(crate::gelu::CUBIC).add_scalar(crate::gelu::LINEAR);
        unwrap(sigmoid(twice_u_over_x * x.clone()) * x)
    }

    /// Gradient by the input of [`KernelBackend::gelu_new`].
    ///
    /// With `s = σ(2u)`: `dx = dy (s + x s (1 − s) 2u′)`.
    fn gelu_new_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, dy) = (wrap::<Self>(x), wrap::<Self>(dy));
        let square = x.clone() * x.clone();
        let s = sigmoid(
            square.clone().mul_scalar(crate::gelu::CUBIC).add_scalar(crate::gelu::LINEAR) * x.clone(),
        );
        let slope = square.mul_scalar(3.0 * crate::gelu::CUBIC).add_scalar(crate::gelu::LINEAR);
        let rise = x * s.clone() * (s.clone().neg() + 1.0) * slope;
        unwrap(dy * (s + rise))
    }

    /// Softmax of each row over the keys that its query sees; row `i` is query `i mod width`.
    fn masked_softmax(scores: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        let scores = wrap::<Self>(scores);
        let [rows, t] = scores.dims();
        let hidden = mask.hidden::<Self>(t, &scores.device()).repeat_dim(0, rows / t);
        unwrap(softmax(scores.mask_fill(hidden, -1e30), 1))
    }

    /// Gradient by the scores of [`KernelBackend::masked_softmax`], from its output: `p (dp − ⟨p, dp⟩)`.
    fn softmax_backward(p: FloatTensor<Self>, dp: FloatTensor<Self>) -> FloatTensor<Self> {
        let (p, dp) = (wrap::<Self>(p), wrap::<Self>(dp));
        let along = (p.clone() * dp.clone()).sum_dim(1);
        unwrap(p * (dp - along))
    }

    /// Each row, less its mean where it is centred, over its root mean square; also the inverse roots, `[rows, 1]`.
    fn normalise(
        x: FloatTensor<Self>,
        centring: Centring,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let x = wrap::<Self>(x);
        let x = match centring {
            Centring::Mean => x.clone() - x.mean_dim(1),
            Centring::None => x,
        };
        let square = (x.clone() * x.clone()).mean_dim(1);
        let inverse = square.add_scalar(epsilon).sqrt().recip();
        (unwrap(x * inverse.clone()), unwrap(inverse))
    }

    /// Gradient by the input of [`KernelBackend::normalise`], from its outputs.
    ///
    /// `dx = inverse (dy − mean(dy) − y mean(dy y))`, without `mean(dy)` where rows are not centred.
    fn normalise_backward(
        y: FloatTensor<Self>,
        inverse: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        centring: Centring,
    ) -> FloatTensor<Self> {
        let (y, inverse, dy) = (wrap::<Self>(y), wrap::<Self>(inverse), wrap::<Self>(dy));
        let along = (dy.clone() * y.clone()).mean_dim(1);
        let dy = match centring {
            Centring::Mean => dy.clone() - dy.mean_dim(1),
            Centring::None => dy,
        };
        unwrap((dy - y * along) * inverse)
    }

    /// Rotates the first `2 half` numbers of each row, pairs `(i, i + half)`, by angles given as cosines and sines.
    ///
    /// `cos` and `sin` are `[n, half]`; row `r` turns by their row `(r / heads) mod n`.
    fn rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        let (x, cos, sin) = (wrap::<Self>(x), wrap::<Self>(cos), wrap::<Self>(sin));
        let [rows, width] = x.dims();
        let [n, half] = cos.dims();
        let x = x.reshape([rows / (n * heads), n, heads, width]);
        let (cos, sin) = (cos.reshape([1, n, 1, half]), sin.reshape([1, n, 1, half]));
        let part = |range: std::ops::Range<usize>| x.clone().slice_dim(3, range);
        let (first, second) = (part(0..half), part(half..2 * half));
        let mut parts =
            vec![first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin];
        if 2 * half < width {
            parts.push(part(2 * half..width));
        }
        unwrap(Tensor::cat(parts, 3).reshape([rows, width]))
    }

    /// `log softmax` of each row at its target, `[rows, 1]`; `targets` is `[rows, 1]`.
    fn log_prob(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        let (logits, targets) = (wrap::<Self>(logits), Tensor::from_primitive(targets));
        let chosen = logits.clone().gather(1, targets);
        unwrap(chosen - log_sum_exp(logits))
    }

    /// `−weight log softmax` of each row at its target, `[rows, 1]`, and its gradient by the logits.
    ///
    /// The gradient is `weight (p − onehot(target))`; `targets` and `weights` are `[rows, 1]`.
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (logits, weights) = (wrap::<Self>(logits), wrap::<Self>(weights));
        let targets = Tensor::from_primitive(targets);
        let chosen = logits.clone().gather(1, targets.clone());
        let log_sum = log_sum_exp(logits.clone());
        let losses = weights.clone() * (log_sum.clone() - chosen);
        let p = (logits - log_sum).exp() * weights.clone();
        let gradient = p.scatter(1, targets, weights.neg(), burn::tensor::IndexingUpdateOp::Add);
        (unwrap(losses), unwrap(gradient))
    }
}

#[cfg(feature = "wgpu")]
impl KernelBackend for burn::backend::Wgpu {}

#[cfg(feature = "cuda")]
impl KernelBackend for burn::backend::Cuda {}

pub(crate) fn wrap<B: Backend>(tensor: FloatTensor<B>) -> Tensor<B, 2> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

pub(crate) fn unwrap<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// `[rows, v]` to `[rows, 1]`.
pub(crate) fn log_sum_exp<B: Backend>(logits: Tensor<B, 2>) -> Tensor<B, 2> {
    let max = logits.clone().max_dim(1);
    (logits - max.clone()).exp().sum_dim(1).log() + max
}
