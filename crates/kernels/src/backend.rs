//! The operations that a backend may do faster than by tensor operations.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor, TensorPrimitive};

use crate::attention::Mask;
use crate::head::{self, Head, HeadLoss, TokenMoments};
use crate::norm::Centring;
use crate::tap::Tap;
use crate::{tensor_ops, units};

/// A backend with this crate's operations: by default in tensor operations, on the processor in fused loops.
///
/// On GPUs the head is a kernel of its own. All primitives are `[rows, width]`; the public functions of this crate
/// bring tensors into that shape.
/// Each operation that training differentiates has its own backward.
pub trait KernelBackend: Backend {
    /// The product of two matrices, either of which may be the transpose of one that is stored.
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }

    /// See [`crate::linear::linear`]; the bias is `[1, out]`.
    ///
    /// Gradients by `x` and `weight` are products: `dy weight` and `dyᵀ x`.
    fn affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        unwrap(tensor_ops::linear(wrap::<Self>(x), wrap(weight), bias.map(wrap)))
    }

    /// See [`crate::units::product_norms`]; `[units, 1]`.
    fn product_norms(x: FloatTensor<Self>, dy: FloatTensor<Self>, units: usize) -> FloatTensor<Self> {
        unwrap(units::norms_of_product(&wrap::<Self>(x), &wrap(dy), units))
    }

    /// See [`crate::gelu::gelu_new`].
    fn gelu_new(x: FloatTensor<Self>) -> FloatTensor<Self> {
        unwrap(tensor_ops::gelu_new(wrap::<Self>(x)))
    }

    /// Gradient by the input of [`KernelBackend::gelu_new`].
    ///
    /// With `s = σ(2u)`: `dx = dy (s + x s (1 − s) 2u′)`.
    fn gelu_new_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        unwrap(tensor_ops::gelu_new_backward(wrap::<Self>(x), wrap(dy)))
    }

    /// Softmax of each row over the keys that its query sees; row `i` is query `i mod width`.
    fn masked_softmax(scores: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        unwrap(tensor_ops::masked_softmax(wrap::<Self>(scores), mask))
    }

    /// Gradient by the scores of [`KernelBackend::masked_softmax`], from its output: `p (dp − ⟨p, dp⟩)`.
    fn softmax_backward(p: FloatTensor<Self>, dp: FloatTensor<Self>) -> FloatTensor<Self> {
        unwrap(tensor_ops::softmax_backward(wrap::<Self>(p), wrap(dp)))
    }

    /// Each row, less its mean where it is centred, over its root mean square; also the inverse roots, `[rows, 1]`.
    fn normalise(
        x: FloatTensor<Self>,
        centring: Centring,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (y, inverse) = tensor_ops::normalise(wrap::<Self>(x), centring, epsilon);
        (unwrap(y), unwrap(inverse))
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
        unwrap(tensor_ops::normalise_backward(wrap::<Self>(y), wrap(inverse), wrap(dy), centring))
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
        unwrap(tensor_ops::rotate(wrap::<Self>(x), wrap(cos), wrap(sin), heads))
    }

    /// `log softmax` of each row at its target, `[rows, 1]`; `targets` is `[rows, 1]`.
    fn log_prob(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        unwrap(tensor_ops::log_prob(wrap::<Self>(logits), Tensor::from_primitive(targets)))
    }

    /// `−weight log softmax` of each row at its target, `[rows, 1]`, and its gradient by the logits.
    ///
    /// The gradient is `weight (p − onehot(target))`; `targets` and `weights` are `[rows, 1]`.
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let targets = Tensor::from_primitive(targets);
        let (losses, gradient) = tensor_ops::cross_entropy(wrap::<Self>(logits), targets, wrap(weights));
        (unwrap(losses), unwrap(gradient))
    }

    /// See [`crate::tap::tapped`].
    fn tapped(x: FloatTensor<Self>, _: &Tap) -> FloatTensor<Self> {
        x
    }

    /// See [`head::head_loss`].
    fn head_loss(
        hidden: &Tensor<Self, 2>,
        head: &Head<Self>,
        targets: &Tensor<Self, 1, Int>,
        weights: &Tensor<Self, 1>,
        frozen: bool,
    ) -> HeadLoss<Self> {
        head::tiled_loss(hidden, head, targets, weights, frozen)
    }

    /// See [`head::token_log_probs`].
    fn token_log_probs(
        hidden: &Tensor<Self, 2>,
        head: &Head<Self>,
        targets: &Tensor<Self, 1, Int>,
    ) -> Tensor<Self, 1> {
        head::tiled_log_probs(hidden, head, targets)
    }

    /// See [`head::token_moments`].
    fn token_moments(
        hidden: &Tensor<Self, 2>,
        head: &Head<Self>,
        targets: &Tensor<Self, 1, Int>,
    ) -> TokenMoments<Self> {
        head::tiled_moments(hidden, head, targets)
    }
}

pub(crate) fn wrap<B: Backend>(tensor: FloatTensor<B>) -> Tensor<B, 2> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

pub(crate) fn unwrap<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}
