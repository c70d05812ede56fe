//! Causal attention, global or within a local window.

use burn::tensor::{Bool, Tensor, activation::softmax, backend::Backend};

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
    /// Whether position `query` sees position `key`.
    pub fn sees(self, query: usize, key: usize) -> bool {
        key <= query
            && match self {
                Self::Causal => true,
                Self::Local { window } => query - key < window,
            }
    }

    /// `[t, t]`, true where a position must *not* look.
    pub fn hidden<B: Backend>(self, t: usize, device: &B::Device) -> Tensor<B, 2, Bool> {
        let hidden: Vec<bool> = (0..t * t).map(|i| !self.sees(i / t, i % t)).collect();
        Tensor::from_data(burn::tensor::TensorData::new(hidden, [t, t]), device)
    }
}

/// `softmax(q kᵀ + mask) v`, with no scaling: scale `q` beforehand where the family does.
///
/// # Shapes
/// `q`, `k`, `v` and the result are `[b, heads, t, d_head]`; `hidden` is `[t, t]`, true where not to look.
///
/// # Reference
/// Vaswani et al., arXiv:1706.03762v7, eq. 1.
pub fn attention<B: Backend>(
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    hidden: &Tensor<B, 2, Bool>,
) -> Tensor<B, 4> {
    let scores = q.matmul(k.swap_dims(2, 3));
    let shape = scores.dims();
    let hidden = hidden.clone().unsqueeze::<4>().expand(shape);
    softmax(scores.mask_fill(hidden, -1e30), 3).matmul(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;
    use burn::tensor::Distribution;

    fn by_loops(q: &[f32], k: &[f32], v: &[f32], t: usize, d: usize, mask: Mask) -> Vec<f64> {
        let dot = |i: usize, j: usize| -> f64 {
            (0..d).map(|c| f64::from(q[i * d + c]) * f64::from(k[j * d + c])).sum()
        };
        let mut out = Vec::new();
        for i in 0..t {
            let seen: Vec<usize> = (0..t).filter(|&j| mask.sees(i, j)).collect();
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
        let fast = host(&attention(q, k, v, &mask.hidden(t, &device)));
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
        let mask = Mask::Local { window: 2 };
        assert_eq!([0, 1, 2, 3].map(|key| mask.sees(2, key)), [false, true, true, false]);
    }
}
