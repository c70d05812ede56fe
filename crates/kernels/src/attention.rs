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
/// Query head `i` reads the keys and values of head `i / (heads / kv_heads)`.
/// With a soft cap `c` the scores become `c tanh(scores / c)` before the mask.
///
/// # Shapes
/// `q` and the result are `[b, heads, t, d_head]`, `k` and `v` `[b, kv_heads, t, d_head]`.
///
/// # Reference
/// Vaswani et al., arXiv:1706.03762v7, eq. 1; Ainslie et al., arXiv:2305.13245v3, Sec. 2.2.
pub fn attention<B: KernelBackend>(
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    mask: Mask,
    soft_cap: Option<f64>,
) -> Tensor<B, 4> {
    let [b, heads, t, width] = q.dims();
    let kv_heads = k.dims()[1];
    // The queries of one group, one below the other, are multiplied with their common keys at once.
    let grouped = [b, kv_heads, heads / kv_heads * t, width];
    let scores = q.reshape(grouped).matmul(k.swap_dims(2, 3));
    let scores = soft_capped(scores.reshape([b * heads * t, t]), soft_cap);
    let p = wrap::<B>(B::masked_softmax(unwrap(scores), mask));
    p.reshape([b, kv_heads, heads / kv_heads * t, t]).matmul(v).reshape([b, heads, t, width])
}

/// `c tanh(x / c)`, or `x` where there is no cap.
pub(crate) fn soft_capped<B: Backend, const D: usize>(x: Tensor<B, D>, cap: Option<f64>) -> Tensor<B, D> {
    match cap {
        Some(cap) => x.div_scalar(cap).tanh().mul_scalar(cap),
        None => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::testing::{assert_same_gradients, inputs};
    use burn::backend::{Autodiff, Flex};
    use burn::tensor::Distribution;
    use burn::tensor::activation::softmax;

    fn by_loops(q: &[f32], k: &[f32], v: &[f32], t: usize, d: usize, mask: Mask, cap: f64) -> Vec<f64> {
        let dot = |i: usize, j: usize| -> f64 {
            let score: f64 = (0..d).map(|c| f64::from(q[i * d + c]) * f64::from(k[j * d + c])).sum();
            cap * (score / cap).tanh()
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

    /// Four query heads read two heads of keys and values; the cap of 1e9 is none.
    #[track_caller]
    fn check(mask: Mask, cap: Option<f64>) {
        let (heads, kv_heads, t, d, device) = (4, 2, 7, 4, Default::default());
        let draw = |h| Tensor::<Flex, 4>::random([1, h, t, d], Distribution::Normal(0.0, 1.0), &device);
        let (q, k, v) = (draw(heads), draw(kv_heads), draw(kv_heads));
        let host = |x: &Tensor<Flex, 4>| x.to_data().to_vec::<f32>().unwrap();
        let fast = host(&attention(q.clone(), k.clone(), v.clone(), mask, cap));
        let (q, k, v) = (host(&q), host(&k), host(&v));
        let head = |x: &[f32], h: usize| x[h * t * d..(h + 1) * t * d].to_vec();
        let slow = (0..heads).flat_map(|h| {
            let group = h / (heads / kv_heads);
            by_loops(&head(&q, h), &head(&k, group), &head(&v, group), t, d, mask, cap.unwrap_or(1e9))
        });
        for (fast, slow) in fast.iter().zip(slow) {
            assert!((f64::from(*fast) - slow).abs() < 1e-5, "{fast} against {slow}");
        }
    }

    #[test]
    fn causal_agrees_with_loops() {
        check(Mask::Causal, None);
    }

    #[test]
    fn local_agrees_with_loops() {
        check(Mask::Local { window: 3 }, None);
    }

    #[test]
    fn capped_agrees_with_loops() {
        check(Mask::Causal, Some(1.5));
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
