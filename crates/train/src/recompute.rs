//! Activation checkpointing: backward passes that keep the input of each block alone and compute the rest again.

use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use userprint_kernels::units::HeadUnits;
use userprint_model::{Batch, CausalLm, Tape};

use crate::gradients::{ByPath, Loss, Rows, add, carried_back, collect};
use crate::units::{HeadPass, Recorded, Squares, factors, frozen};
use crate::{ClippedSum, Gradients, TrainBackend, UnitBatch};

type Inner<B> = Tensor<<B as AutodiffBackend>::InnerBackend, 2>;

/// [`gradients`](crate::gradients()) in less memory: activations of one block at a time, for one more forward pass.
///
/// # Reference
/// Chen et al., arXiv:1604.06174v2, with a segment a block.
pub fn gradients_recomputed<B: TrainBackend>(lm: &CausalLm<B>, batch: &Batch<B>) -> Gradients<B> {
    weighted(lm, batch, &Rows::mean(batch))
}

/// [`clipped_sum`](crate::clipped_sum) in less memory: norms in one pass, and the sum as the gradient of the losses times
/// their factors in another.
///
/// The weights must record gradients, as for [`gradients`](crate::gradients()).
pub fn clipped_sum_recomputed<B: TrainBackend>(
    lm: &CausalLm<B>,
    batch: &UnitBatch<B>,
    clip_norm: f64,
) -> ClippedSum<B> {
    let (losses_nats, norms) = losses_and_norms(lm, batch);
    let rows = batch.rows(&factors(&norms, clip_norm));
    let by_path = weighted(lm, batch.batch(), &rows).by_path;
    ClippedSum { losses_nats, norms, by_path }
}

/// Inputs of each block and of the last norm.
fn inputs<B: TrainBackend>(lm: &CausalLm<B>, batch: &Batch<B>) -> Vec<Inner<B>> {
    let (lm, batch) = (lm.without_gradients(), batch.without_gradients());
    let stages = lm.stages(&batch, None);
    let mut inputs = vec![stages.embedded()];
    for (block, _) in lm.config.layers.iter().enumerate() {
        let x = inputs[block].clone();
        inputs.push(stages.block(block, x));
    }
    inputs
}

/// The loss of these rows and its gradients.
fn weighted<B: TrainBackend>(lm: &CausalLm<B>, batch: &Batch<B>, rows: &Rows<B>) -> Gradients<B> {
    let stages = lm.stages(batch, None);
    let mut inputs = inputs(lm, batch);
    let mut by_path = ByPath::<B>::new();
    let mut back = |y: Tensor<B, 2>, dy: Inner<B>, x: &Tensor<B, 2>| {
        let mut grads = collect(lm, carried_back(y, dy), &mut by_path);
        x.grad_remove(&mut grads).expect("the output depends on the input")
    };
    let x = Tensor::from_inner(inputs.pop().expect("the input of the last norm")).require_grad();
    let hidden = stages.normed(x.clone());
    let Loss { loss_nats, d_hidden, d_weight } = rows.loss(lm, &hidden);
    let mut dx = back(hidden, d_hidden, &x);
    for (block, input) in inputs.into_iter().enumerate().rev() {
        let x = Tensor::from_inner(input).require_grad();
        dx = back(stages.block(block, x.clone()), dx, &x);
    }
    if !lm.is_adapted() {
        collect(lm, carried_back(stages.embedded(), dx), &mut by_path);
    }
    add::<B>(&mut by_path, d_weight);
    Gradients { loss_nats, by_path }
}

/// Losses and norms of the units, block by block.
fn losses_and_norms<B: TrainBackend>(lm: &CausalLm<B>, batch: &UnitBatch<B>) -> (Vec<f64>, Vec<f64>) {
    let (lm, units) = (frozen(lm), batch.n_units());
    let mut squares = Squares::new(units);
    let mut back = |y: Tensor<B, 2>, dy: Inner<B>, x: &Tensor<B, 2>, tape: Tape<B>| {
        let dx = x.grad_remove(&mut carried_back(y, dy)).expect("the output depends on the input");
        Recorded::all(tape).iter().for_each(|operation| squares.add(operation.norms(units)));
        dx
    };
    let mut inputs = inputs(&lm, batch.batch());
    let x = Tensor::from_inner(inputs.pop().expect("the input of the last norm")).require_grad();
    let tape = Tape::new(lm.is_adapted());
    let hidden = lm.stages(batch.batch(), Some(&tape)).normed(x.clone());
    let pass = HeadPass::new(&lm, batch, hidden.clone().inner());
    let HeadUnits { losses, d_hidden, norms, at_inputs, .. } = pass.head_units();
    let mut dx = back(hidden, d_hidden, &x, tape);
    for (block, input) in inputs.into_iter().enumerate().rev() {
        let x = Tensor::from_inner(input).require_grad();
        let tape = Tape::new(lm.is_adapted());
        let y = lm.stages(batch.batch(), Some(&tape)).block(block, x.clone());
        dx = back(y, dx, &x, tape);
    }
    squares.add(norms);
    if !lm.is_adapted() {
        squares.add(pass.embedding_norms(&lm, &dx, at_inputs));
    }
    (losses.into_data().iter::<f64>().collect(), squares.norms())
}
