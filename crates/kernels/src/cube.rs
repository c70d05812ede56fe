//! The operations on GPUs: the head as kernels of CubeCL, the others as tensor operations that Burn fuses.
//!
//! The head's logits live in registers, a tile of 64 rows by 64 tokens at a time; what reaches memory are sums,
//! a few numbers for each row. The vocabulary is shared among cubes, so that few rows still fill a device.

mod head;
mod product;
mod sums;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use burn::tensor::{DType, Int, Shape, Tensor};
use burn_cubecl::fusion::FusionCubeRuntime;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_fusion::stream::{Operation, OperationStreams};
use burn_fusion::{Fusion, FusionRuntime};
use burn_ir::{CustomOpIr, HandleContainer, OperationIr, OperationOutput, TensorIr};

use crate::KernelBackend;
use crate::backend::{unwrap, wrap};
use crate::head::{Head, TokenMoments};

impl<R: CubeRuntime, F: FloatElement, I: IntElement, BT: BoolElement> KernelBackend
    for Fusion<CubeBackend<R, F, I, BT>>
{
    fn token_log_probs(
        hidden: &Tensor<Self, 2>,
        head: &Head<Self>,
        targets: &Tensor<Self, 1, Int>,
    ) -> Tensor<Self, 1> {
        token_scores(hidden, head, targets, false).squeeze_dim(0)
    }

    fn token_moments(
        hidden: &Tensor<Self, 2>,
        head: &Head<Self>,
        targets: &Tensor<Self, 1, Int>,
    ) -> TokenMoments<Self> {
        let scores = token_scores(hidden, head, targets, true);
        let row = |i: usize| scores.clone().slice_dim(0, i..i + 1).squeeze_dim(0);
        let argmax: Tensor<Self, 1> = row(3);
        TokenMoments { log_prob: row(0), mean: row(1), std_dev: row(2), argmax: argmax.int() }
    }
}

/// Puts [`head::token_scores`] in the queue of operations that fusion keeps.
fn token_scores<R: CubeRuntime, F: FloatElement, I: IntElement, BT: BoolElement>(
    hidden: &Tensor<Fusion<CubeBackend<R, F, I, BT>>, 2>,
    head: &Head<Fusion<CubeBackend<R, F, I, BT>>>,
    targets: &Tensor<Fusion<CubeBackend<R, F, I, BT>>, 1, Int>,
    moments: bool,
) -> Tensor<Fusion<CubeBackend<R, F, I, BT>>, 2> {
    let n = hidden.dims()[0];
    let (hidden, weight) = (unwrap(hidden.clone()), unwrap(head.weight.clone()));
    let targets = targets.clone().into_primitive();
    let client = hidden.client.clone();
    let streams = OperationStreams::with_inputs([&hidden, &weight, &targets]);
    let shape = Shape::new([if moments { 4 } else { 1 }, n]);
    let scores = TensorIr::uninit(client.create_empty_handle(), shape, DType::F32);
    let tensors =
        CustomOpIr::new("token_scores", &[hidden.into_ir(), weight.into_ir(), targets.into_ir()], &[scores]);
    let scores = TokenScores::<CubeBackend<R, F, I, BT>> {
        tensors: tensors.clone(),
        soft_cap: head.soft_cap,
        moments,
        backend: PhantomData,
    };
    wrap(client.register(streams, OperationIr::Custom(tensors), scores).output())
}

/// [`head::token_scores`] in the queue.
#[derive(Debug)]
struct TokenScores<B> {
    tensors: CustomOpIr,
    soft_cap: Option<f64>,
    moments: bool,
    backend: PhantomData<B>,
}

impl<R: CubeRuntime, F: FloatElement, I: IntElement, BT: BoolElement> Operation<FusionCubeRuntime<R>>
    for TokenScores<CubeBackend<R, F, I, BT>>
{
    fn execute(&self, handles: &mut HandleContainer<<FusionCubeRuntime<R> as FusionRuntime>::FusionHandle>) {
        let ([hidden, weight, targets], [scores]) = self.tensors.as_fixed();
        let found = head::token_scores(
            handles.get_float_tensor::<CubeBackend<R, F, I, BT>>(hidden),
            handles.get_float_tensor::<CubeBackend<R, F, I, BT>>(weight),
            handles.get_int_tensor::<CubeBackend<R, F, I, BT>>(targets),
            self.soft_cap,
            self.moments,
        );
        handles.register_float_tensor::<CubeBackend<R, F, I, BT>>(&scores.id, found);
    }
}
