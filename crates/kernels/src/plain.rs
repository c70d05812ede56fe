//! The slow, obvious versions in f64 that judge the fast ones.

/// `log softmax(hidden weightᵀ)` at each target.
///
/// # Shapes
/// `hidden` is `[n, d]`, `weight` `[v, d]`, `targets` `[n]`, the result `[n]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn token_log_probs(hidden: &[f64], weight: &[f64], targets: &[usize], d: usize) -> Vec<f64> {
    assert_eq!(hidden.len(), targets.len() * d);
    let log_probs = hidden.chunks_exact(d).map(|row| log_softmax(&logits(row, weight)));
    log_probs.zip(targets).map(|(row, &target)| row[target]).collect()
}

/// Mean and standard deviation of log p over the vocabulary, and the argmax, for each row.
///
/// # Shapes
/// `hidden` is `[n, d]`, `weight` `[v, d]`; each of the results `[n]`.
pub fn moments(hidden: &[f64], weight: &[f64], d: usize) -> Vec<(f64, f64, usize)> {
    hidden.chunks_exact(d).map(|row| moments_of(&log_softmax(&logits(row, weight)))).collect()
}

/// Mean and standard deviation of log-probabilities under themselves, and the argmax.
pub fn moments_of(log_probs: &[f64]) -> (f64, f64, usize) {
    let mean: f64 = log_probs.iter().map(|l| l.exp() * l).sum();
    let variance: f64 = log_probs.iter().map(|l| l.exp() * (l - mean).powi(2)).sum();
    let argmax = (0..log_probs.len()).max_by(|&a, &b| log_probs[a].total_cmp(&log_probs[b])).unwrap_or(0);
    (mean, variance.sqrt(), argmax)
}

/// `x · ½ (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
pub fn gelu(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
    0.5 * x * (1.0 + inner.tanh())
}

fn logits(row: &[f64], weight: &[f64]) -> Vec<f64> {
    weight.chunks_exact(row.len()).map(|w| row.iter().zip(w).map(|(a, b)| a * b).sum()).collect()
}

/// `logits − log Σ exp(logits)`.
pub fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = logits.iter().map(|l| (l - max).exp()).sum::<f64>().ln() + max;
    logits.iter().map(|l| l - log_sum).collect()
}

/// What tests of several kernels share.
#[cfg(test)]
pub(crate) mod testing {
    use burn::backend::{Autodiff, Flex};
    use burn::tensor::{Distribution, Tensor};

    /// Random inputs, `[rows, width]`.
    pub(crate) fn inputs(rows: usize, width: usize) -> Tensor<Flex, 2> {
        Tensor::random([rows, width], Distribution::Normal(0.0, 1.5), &Default::default())
    }

    /// Checks value and gradient of one function against autodiff through another.
    #[track_caller]
    pub(crate) fn assert_same_gradients(
        x: Tensor<Flex, 2>,
        fast: impl Fn(Tensor<Autodiff<Flex>, 2>) -> Tensor<Autodiff<Flex>, 2>,
        slow: impl Fn(Tensor<Autodiff<Flex>, 2>) -> Tensor<Autodiff<Flex>, 2>,
    ) {
        let weight = Tensor::<Flex, 2>::random(x.dims(), Distribution::Normal(0.0, 1.0), &Default::default());
        let run = |f: &dyn Fn(Tensor<Autodiff<Flex>, 2>) -> Tensor<Autodiff<Flex>, 2>| {
            let x = Tensor::<Autodiff<Flex>, 2>::from_inner(x.clone()).require_grad();
            let y = f(x.clone());
            let grads = (y.clone() * Tensor::from_inner(weight.clone())).sum().backward();
            let host = |tensor: Tensor<Flex, 2>| tensor.into_data().to_vec::<f32>().unwrap();
            (host(y.inner()), host(x.grad(&grads).unwrap()))
        };
        let (fast, slow) = (run(&fast), run(&slow));
        for (what, fast, slow) in [("value", fast.0, slow.0), ("gradient", fast.1, slow.1)] {
            for (i, (fast, slow)) in fast.iter().zip(&slow).enumerate() {
                assert!((fast - slow).abs() < 1e-5 * (1.0 + slow.abs()), "{what} {i}: {fast} against {slow}");
            }
        }
    }
}
