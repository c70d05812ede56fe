//! The language-model head in tiles: token log-probabilities, and the loss with its gradients.

use std::ops::Range;

use burn::tensor::{Int, Tensor, backend::Backend};

use crate::KernelBackend;
use crate::attention::soft_capped;
use crate::backend::{unwrap, wrap};
use crate::linear::product;
use crate::tensor_ops::log_sum_exp;

/// Logits held at once, in numbers: 32 MiB in f32. Where they are kept for the units' sum, see [`crate::units`].
const TILE_LOGITS: usize = 1 << 23;

/// What turns hidden states into logits.
#[derive(Clone, Debug)]
pub struct Head<B: Backend> {
    /// `[v, d]`.
    pub weight: Tensor<B, 2>,
    /// Logits become `c tanh(logits / c)` where there is a cap `c`.
    pub soft_cap: Option<f64>,
}

impl<B: KernelBackend> Head<B> {
    /// `[n, d]` to `[n, v]`.
    fn logits(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        soft_capped(product(hidden, self.weight.clone().transpose()), self.soft_cap)
    }

    /// `−weights_i log p_i` of some rows, `[rows, 1]`, and its gradient by the logits, `[rows, v]`.
    ///
    /// `tile` is the hidden states of those rows of all.
    pub(crate) fn cross_entropy(
        &self,
        tile: &Tensor<B, 2>,
        targets: &Tensor<B, 1, Int>,
        weights: &Tensor<B, 1>,
        rows: Range<usize>,
    ) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let n = rows.len();
        let target: Tensor<B, 2, Int> = targets.clone().slice([rows.clone()]).reshape([n, 1]);
        let weights: Tensor<B, 2> = weights.clone().slice([rows]).reshape([n, 1]);
        let logits = self.logits(tile.clone());
        let slope =
            self.soft_cap.map(|cap| logits.clone().div_scalar(cap).powi_scalar(2).neg().add_scalar(1.0));
        let (losses, d_logits) = B::cross_entropy(unwrap(logits), target.into_primitive(), unwrap(weights));
        // tanh′ = 1 − tanh².
        let d_logits = match slope {
            Some(slope) => wrap::<B>(d_logits) * slope,
            None => wrap::<B>(d_logits),
        };
        (wrap(losses), d_logits)
    }

    /// Row ranges whose logits fit in a tile.
    fn tiles(&self, hidden: &Tensor<B, 2>) -> impl Iterator<Item = Range<usize>> + use<B> {
        tiles_of(hidden.dims()[0], self.tile_rows(), 1)
    }

    /// Rows whose logits fit in a tile.
    pub(crate) fn tile_rows(&self) -> usize {
        (TILE_LOGITS / self.weight.dims()[0]).max(1)
    }
}

/// The ranges of `n` rows in tiles of so many, where each group of rows is whole in one tile.
pub(crate) fn tiles_of(n: usize, tile_rows: usize, group: usize) -> impl Iterator<Item = Range<usize>> {
    let rows = (tile_rows / group).max(1) * group;
    (0..n).step_by(rows).map(move |start| start..(start + rows).min(n))
}

/// `log p` of each target under `softmax(hidden weightᵀ)`, nats.
///
/// Only a tile of the `[n, v]` logits exists at a time: some rows of them, on GPUs less than that.
///
/// # Shapes
/// `hidden` is `[n, d]`, `targets` and the result `[n]`.
pub fn token_log_probs<B: KernelBackend>(
    hidden: &Tensor<B, 2>,
    head: &Head<B>,
    targets: &Tensor<B, 1, Int>,
) -> Tensor<B, 1> {
    B::token_log_probs(hidden, head, targets)
}

pub(crate) fn tiled_log_probs<B: KernelBackend>(
    hidden: &Tensor<B, 2>,
    head: &Head<B>,
    targets: &Tensor<B, 1, Int>,
) -> Tensor<B, 1> {
    let log_probs = head.tiles(hidden).map(|rows| {
        let logits = head.logits(hidden.clone().slice([rows.clone()]));
        let targets = targets.clone().slice([rows]).unsqueeze_dim::<2>(1);
        wrap::<B>(B::log_prob(unwrap(logits), targets.into_primitive())).squeeze_dim(1)
    });
    Tensor::cat(log_probs.collect(), 0)
}

/// What [`token_moments`] finds for each row, all `[n]`.
#[derive(Clone, Debug)]
pub struct TokenMoments<B: Backend> {
    /// `log p` of the target, nats.
    pub log_prob: Tensor<B, 1>,
    /// `Σ_v p_v log p_v`, nats.
    pub mean: Tensor<B, 1>,
    /// Standard deviation of `log p_v` under `p`, nats.
    pub std_dev: Tensor<B, 1>,
    /// The most likely token; the lowest of those that tie.
    pub argmax: Tensor<B, 1, Int>,
}

/// As [`token_log_probs`], with the moments of `log p` over the vocabulary and the argmax.
///
/// # Reference
/// The moments are those of Min-K%++, arXiv:2404.02936v4, eq. 3.
pub fn token_moments<B: KernelBackend>(
    hidden: &Tensor<B, 2>,
    head: &Head<B>,
    targets: &Tensor<B, 1, Int>,
) -> TokenMoments<B> {
    B::token_moments(hidden, head, targets)
}

pub(crate) fn tiled_moments<B: KernelBackend>(
    hidden: &Tensor<B, 2>,
    head: &Head<B>,
    targets: &Tensor<B, 1, Int>,
) -> TokenMoments<B> {
    let (mut log_prob, mut mean, mut std_dev, mut argmax) = (vec![], vec![], vec![], vec![]);
    for rows in head.tiles(hidden) {
        let logits = head.logits(hidden.clone().slice([rows.clone()]));
        let log_p = logits.clone() - log_sum_exp(logits);
        let p = log_p.clone().exp();
        let tile_mean = (p.clone() * log_p.clone()).sum_dim(1);
        let variance = (p * (log_p.clone() - tile_mean.clone()).powi_scalar(2)).sum_dim(1);
        let chosen = log_p.clone().gather(1, targets.clone().slice([rows]).unsqueeze_dim(1));
        log_prob.push(chosen.squeeze_dim(1));
        mean.push(tile_mean.squeeze_dim(1));
        std_dev.push(variance.sqrt().squeeze_dim(1));
        argmax.push(log_p.argmax(1).squeeze_dim(1));
    }
    TokenMoments {
        log_prob: Tensor::cat(log_prob, 0),
        mean: Tensor::cat(mean, 0),
        std_dev: Tensor::cat(std_dev, 0),
        argmax: Tensor::cat(argmax, 0),
    }
}

/// The weighted loss of a head and its gradients.
#[derive(Clone, Debug)]
pub struct HeadLoss<B: Backend> {
    /// `−Σ_i weights_i log p_i`, `[1]`.
    pub loss: Tensor<B, 1>,
    /// Its gradient by the hidden states, `[n, d]`.
    pub d_hidden: Tensor<B, 2>,
    /// Its gradient by the head's weight, `[v, d]`; none where it was not asked for.
    pub d_weight: Option<Tensor<B, 2>>,
}

/// `−Σ_i weights_i log p_i` with its gradients, in tiles and without autodiff.
///
/// With `p = softmax(logits)`, the logits' gradient is `weights_i (p − onehot(target_i))`;
/// the others follow from it by the chain rule, tile by tile.
/// A frozen head needs no gradient by its weight: a third of the work less.
///
/// # Shapes
/// `hidden` is `[n, d]`, `targets` and `weights` `[n]`.
pub fn head_loss<B: KernelBackend>(
    hidden: &Tensor<B, 2>,
    head: &Head<B>,
    targets: &Tensor<B, 1, Int>,
    weights: &Tensor<B, 1>,
    frozen: bool,
) -> HeadLoss<B> {
    B::head_loss(hidden, head, targets, weights, frozen)
}

pub(crate) fn tiled_loss<B: KernelBackend>(
    hidden: &Tensor<B, 2>,
    head: &Head<B>,
    targets: &Tensor<B, 1, Int>,
    weights: &Tensor<B, 1>,
    frozen: bool,
) -> HeadLoss<B> {
    let mut loss = Tensor::zeros([1], &hidden.device());
    let mut d_hidden = Vec::new();
    let mut d_weight: Option<Tensor<B, 2>> = None;
    for rows in head.tiles(hidden) {
        let tile = hidden.clone().slice_dim(0, rows.clone());
        let (losses, d_logits) = head.cross_entropy(&tile, targets, weights, rows);
        loss = loss + losses.sum();
        d_hidden.push(product(d_logits.clone(), head.weight.clone()));
        if !frozen {
            let tile_d_weight = product(d_logits.transpose(), tile);
            d_weight = Some(match d_weight {
                Some(sum) => sum + tile_d_weight,
                None => tile_d_weight,
            });
        }
    }
    HeadLoss { loss, d_hidden: Tensor::cat(d_hidden, 0), d_weight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain;
    use burn::backend::{Autodiff, Flex};
    use burn::tensor::Distribution;

    struct Case {
        hidden: Tensor<Flex, 2>,
        head: Head<Flex>,
        targets: Tensor<Flex, 1, Int>,
    }

    fn case(n: usize, d: usize, v: usize) -> Case {
        let device = Default::default();
        let targets: Vec<i32> = (0..n).map(|i| ((i * 7919) % v) as i32).collect();
        Case {
            hidden: Tensor::random([n, d], Distribution::Normal(0.0, 2.0), &device),
            head: Head {
                weight: Tensor::random([v, d], Distribution::Normal(0.0, 1.0), &device),
                soft_cap: None,
            },
            targets: Tensor::from_ints(targets.as_slice(), &device),
        }
    }

    fn f64s<const D: usize>(x: &Tensor<Flex, D>) -> Vec<f64> {
        x.to_data().iter::<f64>().collect()
    }

    fn targets(case: &Case) -> Vec<usize> {
        case.targets.to_data().iter::<i64>().map(|t| t as usize).collect()
    }

    #[track_caller]
    fn assert_close(fast: &[f64], slow: &[f64], tolerance: f64) {
        assert_eq!(fast.len(), slow.len());
        for (i, (fast, slow)) in fast.iter().zip(slow).enumerate() {
            assert!((fast - slow).abs() <= tolerance * (1.0 + slow.abs()), "{i}: {fast} against {slow}");
        }
    }

    #[test]
    fn log_probs_agree_with_plain_across_tiles() {
        let case = case(300, 8, 50_257); // two tiles
        let fast = f64s(&token_log_probs(&case.hidden, &case.head, &case.targets));
        let slow = plain::token_log_probs(&f64s(&case.hidden), &f64s(&case.head.weight), &targets(&case), 8);
        assert_close(&fast, &slow, 1e-5);
    }

    #[test]
    fn moments_agree_with_plain() {
        let case = case(40, 8, 97);
        let fast = token_moments(&case.hidden, &case.head, &case.targets);
        let slow = plain::moments(&f64s(&case.hidden), &f64s(&case.head.weight), 8);
        assert_close(&f64s(&fast.mean), &slow.iter().map(|m| m.0).collect::<Vec<_>>(), 1e-5);
        assert_close(&f64s(&fast.std_dev), &slow.iter().map(|m| m.1).collect::<Vec<_>>(), 1e-4);
        let argmax: Vec<usize> = fast.argmax.to_data().iter::<i64>().map(|a| a as usize).collect();
        assert_eq!(argmax, slow.iter().map(|m| m.2).collect::<Vec<_>>());
        let log_prob = token_log_probs(&case.hidden, &case.head, &case.targets);
        assert_close(&f64s(&fast.log_prob), &f64s(&log_prob), 1e-5);
    }

    #[track_caller]
    fn check_gradients(soft_cap: Option<f64>) {
        let mut case = case(300, 8, 30_011); // two tiles
        case.head.soft_cap = soft_cap;
        let weights = Tensor::<Flex, 1>::random([300], Distribution::Uniform(0.0, 1.0), &Default::default());
        let fast = head_loss(&case.hidden, &case.head, &case.targets, &weights, false);
        let by_operations = tiled_loss(&case.hidden, &case.head, &case.targets, &weights, false);

        let hidden = Tensor::<Autodiff<Flex>, 2>::from_inner(case.hidden.clone()).require_grad();
        let weight = Tensor::<Autodiff<Flex>, 2>::from_inner(case.head.weight.clone()).require_grad();
        let targets = Tensor::<Autodiff<Flex>, 1, Int>::from_inner(case.targets.clone()).unsqueeze_dim(1);
        let head = Head { weight: weight.clone(), soft_cap };
        let log_p = burn::tensor::activation::log_softmax(head.logits(hidden.clone()), 1);
        let loss =
            (log_p.gather(1, targets).squeeze_dim(1) * Tensor::from_inner(weights.clone())).sum().neg();
        let grads = loss.backward();

        for found in [&fast, &by_operations] {
            assert_close(&f64s(&found.loss), &f64s(&loss.clone().inner()), 1e-5);
            assert_close(&f64s(&found.d_hidden), &f64s(&hidden.grad(&grads).unwrap()), 1e-5);
            let d_weight = found.d_weight.as_ref().unwrap();
            assert_close(&f64s(d_weight), &f64s(&weight.grad(&grads).unwrap()), 1e-5);
        }
        let frozen = head_loss(&case.hidden, &case.head, &case.targets, &weights, true);
        assert!(frozen.d_weight.is_none());
        assert_eq!(f64s(&frozen.d_hidden), f64s(&fast.d_hidden));
    }

    #[test]
    fn gradients_agree_with_autodiff() {
        check_gradients(None);
    }

    #[test]
    fn gradients_of_capped_logits_agree_with_autodiff() {
        check_gradients(Some(3.0));
    }
}
