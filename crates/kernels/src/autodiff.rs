//! The operations under autodiff: one node each, with the backward that the inner backend has.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, binary, unary};
use burn::tensor::ops::FloatTensor;

use crate::KernelBackend;
use crate::attention::Mask;
use crate::backend::wrap;
use crate::norm::Centring;
use crate::tap::Tap;

#[derive(Debug)]
struct Linear;

/// Without a bias. The state is what each of the two gradients takes: the input where the weight's is asked for, and
/// the weight where the input's is.
impl<B: KernelBackend> Backward<B, 2> for Linear {
    type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, weight) = ops.state;
        binary::<B, _, _>(
            ops.parents,
            ops.node,
            grads,
            |dy| B::product(dy, weight.expect("kept for the input's gradient")),
            |dy| B::product(B::float_transpose(dy), x.expect("kept for the weight's gradient")),
        );
    }
}

/// With a bias.
impl<B: KernelBackend> Backward<B, 3> for Linear {
    type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, weight) = ops.state;
        let [of_x, of_weight, of_bias] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        if let (Some(node), Some(weight)) = (of_x, weight) {
            grads.register::<B>(node.id, B::product(dy.clone(), weight));
        }
        if let (Some(node), Some(x)) = (of_weight, x) {
            grads.register::<B>(node.id, B::product(B::float_transpose(dy.clone()), x));
        }
        if let Some(node) = of_bias {
            grads.register::<B>(node.id, B::float_sum_dim(dy, 0));
        }
    }
}

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
    type State = (FloatTensor<B>, FloatTensor<B>, Centring);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (y, inverse, centring) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| B::normalise_backward(y, inverse, dy, centring));
    }
}

#[derive(Debug)]
struct Rotate;

impl<B: KernelBackend> Backward<B, 1> for Rotate {
    type State = (FloatTensor<B>, FloatTensor<B>, usize);

    /// The gradient turns back.
    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (cos, sin, heads) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| B::rotate(dy, cos, B::float_neg(sin), heads));
    }
}

#[derive(Debug)]
struct Tapped;

impl<B: KernelBackend> Backward<B, 1> for Tapped {
    type State = Tap;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let tap = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| {
            tap.keep(wrap::<B>(dy.clone()));
            dy
        });
    }
}

impl<B: KernelBackend, C: CheckpointStrategy> KernelBackend for Autodiff<B, C> {
    fn tapped(x: FloatTensor<Self>, tap: &Tap) -> FloatTensor<Self> {
        match Backward::<B, 1>::prepare::<C>(Tapped, [x.node.clone()]).compute_bound().stateful() {
            OpsKind::Tracked(ops) => ops.finish(tap.clone(), x.primitive),
            OpsKind::UnTracked(ops) => ops.finish(x.primitive),
        }
    }

    fn affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        let state = (
            weight.is_tracked().then(|| x.primitive.clone()),
            x.is_tracked().then(|| weight.primitive.clone()),
        );
        let nodes = [x.node, weight.node];
        let Some(bias) = bias else {
            let y = B::affine(x.primitive, weight.primitive, None);
            return match Backward::<B, 2>::prepare::<C>(Linear, nodes).compute_bound().stateful() {
                OpsKind::Tracked(ops) => ops.finish(state, y),
                OpsKind::UnTracked(ops) => ops.finish(y),
            };
        };
        let [x_node, weight_node] = nodes;
        let nodes = [x_node, weight_node, bias.node];
        let y = B::affine(x.primitive, weight.primitive, Some(bias.primitive));
        match Backward::<B, 3>::prepare::<C>(Linear, nodes).compute_bound().stateful() {
            OpsKind::Tracked(ops) => ops.finish(state, y),
            OpsKind::UnTracked(ops) => ops.finish(y),
        }
    }

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

    /// The inverse roots carry no gradient.
    fn normalise(
        x: FloatTensor<Self>,
        centring: Centring,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let ops = Backward::<B, 1>::prepare::<C>(Normalise, [x.node.clone()]).compute_bound().stateful();
        let (y, inverse) = B::normalise(x.primitive, centring, epsilon);
        let out = match ops {
            OpsKind::Tracked(ops) => ops.finish((y.clone(), inverse.clone(), centring), y),
            OpsKind::UnTracked(ops) => ops.finish(y),
        };
        (out, <Self as burn::tensor::backend::AutodiffBackend>::from_inner(inverse))
    }

    /// Cosines and sines carry no gradient.
    fn rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        let ops = Backward::<B, 1>::prepare::<C>(Rotate, [x.node.clone()]).compute_bound().stateful();
        let (cos, sin) = (cos.primitive, sin.primitive);
        let y = B::rotate(x.primitive, cos.clone(), sin.clone(), heads);
        match ops {
            OpsKind::Tracked(ops) => ops.finish((cos, sin, heads), y),
            OpsKind::UnTracked(ops) => ops.finish(y),
        }
    }
}
