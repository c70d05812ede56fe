//! The head's kernels.

use burn::tensor::{Int, Tensor};

use super::{Gpu, assert_close, draw, f64s, has_device, tensor};
use crate::head::{self, Head};
use crate::plain;

/// Sums in f32 over products of numbers below 2: `ε √d max|logit|` for the logits, and about as much for the sums.
const TOLERANCE: f64 = 1e-5;

struct Case {
    hidden: Vec<f32>,
    weight: Vec<f32>,
    d: usize,
    soft_cap: Option<f64>,
}

impl Case {
    fn drawn([n, v, d]: [usize; 3], scale: f32, soft_cap: Option<f64>) -> Self {
        Self { hidden: draw(7, n * d, scale), weight: draw(8, v * d, 1.0), d, soft_cap }
    }

    fn n(&self) -> usize {
        self.hidden.len() / self.d
    }

    fn v(&self) -> usize {
        self.weight.len() / self.d
    }

    /// Some of them in the last tile of the vocabulary, which is not full.
    fn targets(&self) -> Vec<usize> {
        (0..self.n()).map(|i| self.v() - 1 - (i * 7919) % self.v()).collect()
    }

    fn log_probs(&self) -> Vec<Vec<f64>> {
        let rows = self.hidden.chunks(self.d).map(|row| {
            let products = |w: &[f32]| row.iter().zip(w).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let logits: Vec<f64> = self.weight.chunks(self.d).map(products).collect();
            plain::log_softmax(&match self.soft_cap {
                Some(cap) => logits.iter().map(|logit| cap * (logit / cap).tanh()).collect(),
                None => logits,
            })
        });
        rows.collect()
    }

    fn tensors(&self) -> (Tensor<Gpu, 2>, Head<Gpu>, Tensor<Gpu, 1, Int>) {
        let head = Head { weight: tensor(&self.weight, [self.v(), self.d]), soft_cap: self.soft_cap };
        let targets: Vec<i32> = self.targets().iter().map(|target| *target as i32).collect();
        let targets = Tensor::from_ints(targets.as_slice(), &Default::default());
        (tensor(&self.hidden, [self.n(), self.d]), head, targets)
    }

    #[track_caller]
    fn check(&self, tolerance: f64) {
        if !has_device() {
            return;
        }
        let (hidden, head, targets) = self.tensors();
        let expected = self.log_probs();
        let chosen: Vec<f64> = self.targets().iter().zip(&expected).map(|(t, row)| row[*t]).collect();
        let moments: Vec<_> = expected.iter().map(|row| plain::moments_of(row)).collect();
        let log_probs = f64s(head::token_log_probs(&hidden, &head, &targets));
        assert_close("log p", &log_probs, &chosen, tolerance);
        let found = head::token_moments(&hidden, &head, &targets);
        assert_eq!(f64s(found.log_prob), log_probs, "with moments and without");
        assert_close("mean", &f64s(found.mean), &moments.iter().map(|m| m.0).collect::<Vec<_>>(), tolerance);
        let std_devs: Vec<f64> = moments.iter().map(|m| m.1).collect();
        assert_close("standard deviation", &f64s(found.std_dev), &std_devs, tolerance);
        let argmax: Vec<usize> = found.argmax.into_data().iter::<i64>().map(|a| a as usize).collect();
        assert_eq!(argmax, moments.iter().map(|m| m.2).collect::<Vec<_>>());
    }
}

#[test]
fn shapes_that_fill_no_tile_agree_with_plain() {
    for n in [1, 5, 70] {
        for v in [33, 1000] {
            for d in [7, 48] {
                for soft_cap in [None, Some(3.0)] {
                    println!("n {n}, v {v}, d {d}, soft cap {soft_cap:?}");
                    Case::drawn([n, v, d], 2.0, soft_cap).check(TOLERANCE);
                }
            }
        }
    }
}

/// Three tiles of the vocabulary for each part of it.
#[test]
fn parts_of_several_tiles_agree_with_plain() {
    Case::drawn([5, 20_011, 7], 2.0, None).check(TOLERANCE);
}
