//! The head's loss and gradients on the processor: one tile of logits, overwritten by its gradient, for all rows.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

use crate::inference::exp_less_max;
use crate::product::{Old, View, multiply};

/// A head and what its loss is taken of.
#[derive(Clone, Copy)]
pub(super) struct Problem<'a> {
    /// `[n, d]`
    pub(super) hidden: View<'a>,
    /// `[v, d]`
    pub(super) weight: View<'a>,
    pub(super) soft_cap: Option<f32>,
    pub(super) targets: &'a [usize],
    pub(super) weights: &'a [f32],
}

/// A loss and its gradients by the hidden states and, where it was asked for, by the weight.
pub(super) struct Found {
    pub(super) loss: f32,
    pub(super) d_hidden: Vec<f32>,
    pub(super) d_weight: Option<Vec<f32>>,
}

/// See [`crate::head::head_loss`]; the logits of at most so many rows exist at a time.
pub(super) fn loss(problem: Problem<'_>, most_rows: usize, frozen: bool) -> Found {
    let ([n, d], [v, _]) = (problem.hidden.shape(), problem.weight.shape());
    let n_tiles = n.div_ceil(most_rows).max(1);
    let rows = n.div_ceil(n_tiles).max(1); // tiles of one size: each packs the whole weight
    let mut logits = vec![0.0; rows.min(n) * v];
    let mut d_hidden = vec![0.0; n * d];
    let mut d_weight = (!frozen).then(|| vec![0.0; v * d]);
    let mut loss = 0.0;
    for (first, d_hidden) in (0..n).step_by(rows).zip(d_hidden.chunks_mut(rows * d)) {
        let tile = first..(first + rows).min(n);
        let hidden = problem.hidden.slice_rows(tile.clone());
        let logits = &mut logits[..tile.len() * v];
        multiply(hidden, problem.weight.transposed(), Old::Replaced, logits);
        loss += to_gradient(problem, tile, logits);
        let logits = View::rows(logits, v);
        multiply(logits, problem.weight, Old::Replaced, d_hidden);
        if let Some(d_weight) = &mut d_weight {
            // Reading fresh memory before it is written costs two faults a page.
            let old = if first == 0 { Old::Replaced } else { Old::Kept };
            multiply(logits.transposed(), hidden, old, d_weight);
        }
    }
    Found { loss, d_hidden, d_weight }
}

/// Replaces logits of some rows by the gradient of their losses; the sum of the losses.
fn to_gradient(problem: Problem<'_>, tile: Range<usize>, logits: &mut [f32]) -> f32 {
    let (targets, weights) = (&problem.targets[tile.clone()], &problem.weights[tile]);
    let rows = logits.par_chunks_exact_mut(problem.weight.shape()[0]).zip(targets).zip(weights);
    let losses: Vec<f32> =
        rows.map(|((row, target), weight)| loss_of_row(row, *target, *weight, problem.soft_cap)).collect();
    losses.iter().sum()
}

/// `−weight log softmax(row)` at a target; the row becomes its gradient by the logits before the cap.
fn loss_of_row(row: &mut [f32], target: usize, weight: f32, soft_cap: Option<f32>) -> f32 {
    match soft_cap {
        None => row_to_gradient(row, target, weight),
        Some(cap) => {
            // tanh′ = 1 − tanh².
            let shares: Vec<f32> = row.iter().map(|x| (x / cap).tanh()).collect();
            row.iter_mut().zip(&shares).for_each(|(x, share)| *x = cap * share);
            let loss = row_to_gradient(row, target, weight);
            row.iter_mut().zip(&shares).for_each(|(x, share)| *x *= 1.0 - share * share);
            loss
        }
    }
}

/// `−weight log softmax(row)` at a target; the row becomes the gradient, `weight (p − onehot(target))`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(super) fn row_to_gradient(row: &mut [f32], target: usize, weight: f32) -> f32 {
    let chosen = row[target];
    let (max, sum) = exp_less_max(row);
    let scale = weight / sum;
    row.iter_mut().for_each(|p| *p *= scale);
    row[target] -= weight;
    weight * (sum.ln() + max - chosen)
}
