//! The head's kernels.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Int, Tensor};

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

    /// Checks all scores.
    #[track_caller]
    fn check(&self, tolerance: f64) {
        if !has_device() {
            return;
        }
        let argmax: Vec<usize> =
            self.check_numbers(tolerance).into_data().iter::<i64>().map(|a| a as usize).collect();
        let expected: Vec<usize> = self.log_probs().iter().map(|row| plain::moments_of(row).2).collect();
        assert_eq!(argmax, expected);
    }

    /// Checks all scores but the argmax, which it gives back.
    #[track_caller]
    fn check_numbers(&self, tolerance: f64) -> Tensor<Gpu, 1, Int> {
        let (hidden, head, targets) = self.tensors();
        let expected = self.log_probs();
        let chosen: Vec<f64> = self.targets().iter().zip(&expected).map(|(t, row)| row[*t]).collect();
        let (means, std_devs): (Vec<f64>, Vec<f64>) =
            expected.iter().map(|row| plain::moments_of(row)).map(|m| (m.0, m.1)).unzip();
        let log_probs = f64s(head::token_log_probs(&hidden, &head, &targets));
        assert_close("log p", &log_probs, &chosen, tolerance);
        let found = head::token_moments(&hidden, &head, &targets);
        assert_eq!(f64s(found.log_prob), log_probs, "with moments and without");
        assert_close("mean", &f64s(found.mean), &means, tolerance);
        assert_close("standard deviation", &f64s(found.std_dev), &std_devs, tolerance);
        found.argmax
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

/// Logits of thousands: no overflow, and what is far below the maximum counts as nothing.
///
/// A number near 4096 has a rounding of 2.4e-4 in f32 wherever it is summed, so the tolerance follows the size.
#[test]
fn large_logits_agree_with_plain() {
    let case = Case::drawn([5, 1000, 48], 400.0, None);
    let largest = case.log_probs().iter().flatten().fold(0.0f64, |a, b| a.max(b.abs()));
    assert!(largest > 4000.0, "{largest}");
    case.check(2.0 * largest * f64::from(f32::EPSILON));
}

/// The cap is reached by many logits at once, so that they tie.
#[test]
fn large_capped_logits_agree_with_plain() {
    if has_device() {
        Case::drawn([5, 1000, 48], 400.0, Some(50.0)).check_numbers(1e-4);
    }
}

/// The same row of the weight at several places: in one unit's columns, in two units', in two parts.
#[test]
fn ties_go_to_the_lowest_token() {
    if !has_device() {
        return;
    }
    let mut case = Case::drawn([70, 1000, 7], 1.0, None);
    for at in [(21, 23), (21, 40), (340, 999), (5, 998), (127, 128)] {
        case.weight = draw(9, 1000 * 7, 1.0);
        for row in [at.0, at.1] {
            // A multiple of the hidden state of the first row, far above all others.
            let best: Vec<f32> = case.hidden[..7].iter().map(|x| 16.0 * x).collect();
            case.weight[row * 7..(row + 1) * 7].copy_from_slice(&best);
        }
        let (hidden, head, targets) = case.tensors();
        let argmax = head::token_moments(&hidden, &head, &targets).argmax;
        assert_eq!(argmax.into_data().iter::<i64>().next(), Some(at.0 as i64), "{at:?}");
    }
}

/// All logits are the same, so is every probability, and the first token wins.
#[test]
fn a_uniform_distribution_has_no_spread() {
    if !has_device() {
        return;
    }
    let case = Case { hidden: vec![1.0; 7], weight: vec![0.5; 1000 * 7], d: 7, soft_cap: None };
    let (hidden, head, targets) = case.tensors();
    let found = head::token_moments(&hidden, &head, &targets);
    assert_close("log p", &f64s(found.log_prob), &[-1000.0f64.ln()], TOLERANCE);
    assert_close("mean", &f64s(found.mean), &[-1000.0f64.ln()], TOLERANCE);
    assert_close("standard deviation", &f64s(found.std_dev), &[0.0], TOLERANCE);
    assert_eq!(found.argmax.into_data().iter::<i64>().collect::<Vec<_>>(), [0]);
}

/// A weight that was transposed, and one that is a part of a wider matrix.
#[test]
fn weights_with_gaps_between_numbers_agree() {
    if !has_device() {
        return;
    }
    let case = Case::drawn([5, 33, 48], 2.0, None);
    let (hidden, mut head, targets) = case.tensors();
    let expected = f64s(head::token_log_probs(&hidden, &head, &targets));
    let columns: Vec<f32> = (0..48).flat_map(|c| case.weight.chunks(48).map(move |row| row[c])).collect();
    head.weight = tensor(&columns, [48, 33]).transpose();
    assert_eq!(f64s(head::token_log_probs(&hidden, &head, &targets)), expected);
    let wider = Tensor::cat(vec![tensor(&case.weight, [33, 48]), tensor(&case.weight, [33, 48])], 1);
    head.weight = wider.slice([0..33, 48..96]);
    assert_eq!(f64s(head::token_log_probs(&hidden, &head, &targets)), expected);
}

#[test]
fn a_target_outside_of_the_vocabulary_has_no_probability() {
    if !has_device() {
        return;
    }
    let (hidden, head, _) = Case::drawn([3, 33, 7], 1.0, None).tensors();
    let targets = Tensor::from_ints([0, 33, -1], &Default::default());
    let found = f64s(head::token_log_probs(&hidden, &head, &targets));
    assert!(found[0] < 0.0 && found[1].is_nan() && found[2].is_nan(), "{found:?}");
}

/// Products of numbers of 16 bits are exact in f32, where they are summed: no larger errors than from f32.
#[test]
fn numbers_of_16_bits_agree_with_plain() {
    if !has_device() {
        return;
    }
    let mut case = Case::drawn([70, 1000, 41], 2.0, None);
    for x in case.hidden.iter_mut().chain(&mut case.weight) {
        *x = (*x * 64.0).round() / 64.0; // as many digits as bf16 has
    }
    let (hidden, head, targets) = case.tensors();
    let expected: Vec<f64> = case.targets().iter().zip(case.log_probs()).map(|(t, row)| row[*t]).collect();
    for (dtype, float) in [(DType::F16, FloatDType::F16), (DType::BF16, FloatDType::BF16)] {
        if !Gpu::supports_dtype(&Default::default(), dtype) {
            println!("SKIPPED: the device has no {dtype:?}");
            continue;
        }
        let head = Head { weight: head.weight.clone().cast(float), soft_cap: None };
        let found = f64s(head::token_log_probs(&hidden.clone().cast(float), &head, &targets));
        assert_close(&format!("log p from {dtype:?}"), &found, &expected, TOLERANCE);
    }
}
