//! The operations that a backend may do faster than by tensor operations.

use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Tensor, TensorPrimitive};

use crate::attention::Mask;

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

    /// Each row less its mean, over its deviation; also the inverse deviations, `[rows, 1]`.
    fn normalise(x: FloatTensor<Self>, epsilon: f64) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let x = wrap::<Self>(x);
        let centred = x.clone() - x.mean_dim(1);
        let variance = (centred.clone() * centred.clone()).mean_dim(1);
        let inverse = variance.add_scalar(epsilon).sqrt().recip();
        (unwrap(centred * inverse.clone()), unwrap(inverse))
    }

    /// Gradient by the input of [`KernelBackend::normalise`], from its outputs.
    ///
    /// `dx = inverse (dy − mean(dy) − y mean(dy y))`.
    fn normalise_backward(
        y: FloatTensor<Self>,
        inverse: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (y, inverse, dy) = (wrap::<Self>(y), wrap::<Self>(inverse), wrap::<Self>(dy));
        let along = (dy.clone() * y.clone()).mean_dim(1);
        let level = dy.clone().mean_dim(1);
        unwrap((dy - level - y * along) * inverse)
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
