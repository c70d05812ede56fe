//! The operations under autodiff: one node each, with the backward that the inner backend has.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::tensor::ops::FloatTensor;

use crate::KernelBackend;
use crate::attention::Mask;

#[derive(Debug)]
struct Gelu;

impl<B: KernelBackend> Backward<B, 1> for Gelu {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |dy| B::gelu_new_backward(ops.state, dy));
    }
}

#[derive(Debug)]
struct Softmax;

impl<B: KernelBackend> Backward<B, 1> for Softmax {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |dp| B::softmax_backward(ops.state, dp));
    }
}

#[derive(Debug)]
struct Normalise;

impl<B: KernelBackend> Backward<B, 1> for Normalise {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (y, inverse) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| B::normalise_backward(y, inverse, dy));
    }
}

impl<B: KernelBackend, C: CheckpointStrategy> KernelBackend for Autodiff<B, C> {
    fn gelu_new(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match Backward::<B, 1>::prepare::<C>(Gelu, [x.node.clone()]).compute_bound().stateful() {
            OpsKind::Tracked(ops) => ops.finish(x.primitive.clone(), B::gelu_new(x.primitive)),
            OpsKind::UnTracked(ops) => ops.finish(B::gelu_new(x.primitive)),
        }
    }

    fn masked_softmax(scores: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        let ops = Backward::<B, 1>::prepare::<C>(Softmax, [scores.node.clone()]).compute_bound().stateful();
        let p = B::masked_softmax(scores.primitive, mask);
        match ops {
            OpsKind::Tracked(ops) => ops.finish(p.clone(), p),
            OpsKind::UnTracked(ops) => ops.finish(p),
        }
    }

    /// The inverse deviations carry no gradient.
    fn normalise(x: FloatTensor<Self>, epsilon: f64) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let ops = Backward::<B, 1>::prepare::<C>(Normalise, [x.node.clone()]).compute_bound().stateful();
        let (y, inverse) = B::normalise(x.primitive, epsilon);
        let out = match ops {
            OpsKind::Tracked(ops) => ops.finish((y.clone(), inverse.clone()), y),
            OpsKind::UnTracked(ops) => ops.finish(y),
        };
        (out, <Self as burn::tensor::backend::AutodiffBackend>::from_inner(inverse))
    }
}
