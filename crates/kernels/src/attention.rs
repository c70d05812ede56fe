//! Causal attention, global or within a local window.

use std::ops::Range;

use burn::tensor::{Bool, Tensor, backend::Backend};

use crate::KernelBackend;
use crate::backend::{unwrap, wrap};

/// Which earlier positions a position sees; it always sees itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All of them.
    Causal,
    /// The last `window` ones, itself included.
    Local {
        /// Number of positions seen.
        window: usize,
    },
}

impl Mask {
    /// The keys that a query sees.
    pub fn seen(self, query: usize) -> Range<usize> {
        let first = match self {
            Self::Causal => 0,
            Self::Local { window } => (query + 1).saturating_sub(window),
        };
        first..query + 1
    }

    /// `[t, t]`, true where a query must *not* look.
    pub fn hidden<B: Backend>(self, t: usize, device: &B::Device) -> Tensor<B, 2, Bool> {
        let hidden: Vec<bool> = (0..t * t).map(|i| !self.seen(i / t).contains(&(i % t))).collect();
        Tensor::from_data(burn::tensor::TensorData::new(hidden, [t, t]), device)
    }
}

/// `softmax(q kᵀ) v` over the keys that the mask lets each query see; scale `q` beforehand where the family does.
///
/// # Shapes
/// `q`, `k`, `v` and the result are `[b, heads, t, d_head]`.
///
/// # Reference
/// Vaswani et al., arXiv:1706.03762v7, eq. 1.
pub fn attention<B: KernelBackend>(
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    mask: Mask,
) -> Tensor<B, 4> {
    let scores = q.matmul(k.swap_dims(2, 3));
    let [b, heads, t, _] = scores.dims();
    let p = wrap::<B>(B::masked_softmax(unwrap(scores.reshape([b * heads * t, t])), mask));
    p.reshape([b, heads, t, t]).matmul(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::testing::{assert_same_gradients, inputs};
    use burn::backend::{Autodiff, Flex};
    use burn::tensor::Distribution;
    use burn::tensor::activation::softmax;

    fn by_loops(q: &[f32], k: &[f32], v: &[f32], t: usize, d: usize, mask: Mask) -> Vec<f64> {
        let dot = |i: usize, j: usize| -> f64 {
            (0..d).map(|c| f64::from(q[i * d + c]) * f64::from(k[j * d + c])).sum()
        };
        let mut out = Vec::new();
        for i in 0..t {
            let seen: Vec<usize> = mask.seen(i).collect();
            let weights: Vec<f64> = seen.iter().map(|&j| dot(i, j).exp()).collect();
            let total: f64 = weights.iter().sum();
            for c in 0..d {
                out.push(seen.iter().zip(&weights).map(|(&j, w)| w / total * f64::from(v[j * d + c])).sum());
            }
        }
        out
    }

    #[track_caller]
    fn check(mask: Mask) {
        let (t, d, device) = (7, 4, Default::default());
        let draw = || Tensor::<Flex, 4>::random([1, 1, t, d], Distribution::Normal(0.0, 1.0), &device);
        let (q, k, v) = (draw(), draw(), draw());
        let host = |x: &Tensor<Flex, 4>| x.to_data().to_vec::<f32>().unwrap();
        let slow = by_loops(&host(&q), &host(&k), &host(&v), t, d, mask);
        let fast = host(&attention(q, k, v, mask));
        for (fast, slow) in fast.iter().zip(slow) {
            assert!((f64::from(*fast) - slow).abs() < 1e-5, "{fast} against {slow}");
        }
    }

    #[test]
    fn causal_agrees_with_loops() {
        check(Mask::Causal);
    }

    #[test]
    fn local_agrees_with_loops() {
        check(Mask::Local { window: 3 });
    }

    #[test]
    fn window_counts_itself() {
        assert_eq!(Mask::Local { window: 2 }.seen(2), 1..3);
        assert_eq!(Mask::Local { window: 2 }.seen(0), 0..1);
        assert_eq!(Mask::Causal.seen(2), 0..3);
    }

    #[test]
    fn softmax_and_its_gradient_agree_with_autodiff_of_the_formula() {
        for mask in [Mask::Causal, Mask::Local { window: 4 }] {
            let formula = |scores: Tensor<Autodiff<Flex>, 2>| {
                let hidden = mask.hidden(9, &Default::default()).repeat_dim(0, 3);
                softmax(scores.mask_fill(hidden, f32::NEG_INFINITY), 1)
            };
            let fused =
                |scores| wrap(<Autodiff<Flex> as KernelBackend>::masked_softmax(unwrap(scores), mask));
            assert_same_gradients(inputs(27, 9), fused, formula);
        }
    }
}
