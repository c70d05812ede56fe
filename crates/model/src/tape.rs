//! The tape: what a forward pass keeps for gradients of single examples or users.

use std::cell::RefCell;

use burn::module::ParamId;
use burn::tensor::{Tensor, backend::Backend};
use userprint_kernels::KernelBackend;
use userprint_kernels::tap::{Tap, tapped};

/// What each operation with trained parameters had as input, and where the gradient by its output will be.
///
/// The parameters themselves record no gradients: those of all examples together are never made.
#[derive(Debug)]
pub struct Tape<B: Backend> {
    only_adapters: bool,
    records: RefCell<Vec<Record<B>>>,
    embedded: Tap,
}

/// One operation of a pass.
#[derive(Clone, Debug)]
pub struct Record<B: Backend> {
    /// What it does.
    pub operation: Operation,
    /// Its input, `[n, in]`; of a scale what it multiplies.
    pub input: Tensor<B, 2>,
    /// The gradient by its output, `[n, out]`, once the backward pass has been.
    pub tap: Tap,
}

/// An operation and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `y = x wᵀ + b`.
    Product {
        /// `[out, in]`
        weight: ParamId,
        /// `[out]`
        bias: Option<ParamId>,
    },
    /// `y = x ⊙ w + b`.
    Scale {
        /// `[d]`
        weight: ParamId,
        /// `[d]`
        bias: Option<ParamId>,
    },
}

impl<B: Backend> Tape<B> {
    /// A tape of all parameters, or of those of adapters alone.
    pub fn new(only_adapters: bool) -> Self {
        Self { only_adapters, records: RefCell::default(), embedded: Tap::default() }
    }

    /// The operations in the order of the pass.
    pub fn into_records(self) -> Vec<Record<B>> {
        self.records.into_inner()
    }

    /// Where the gradient by the embedded tokens will be, `[n, d]`, before the first block.
    pub fn embedded(&self) -> &Tap {
        &self.embedded
    }

    /// An operation's output with its record.
    fn record(&self, operation: Operation, x: &Tensor<B, 2>, y: Tensor<B, 2>) -> Tensor<B, 2>
    where
        B: KernelBackend,
    {
        let tap = Tap::default();
        self.records.borrow_mut().push(Record { operation, input: x.clone(), tap: tap.clone() });
        tapped(y, &tap)
    }
}

impl<B: KernelBackend> Tape<B> {
    /// The output of an operation of the model itself, with a record where that is trained.
    pub(crate) fn of_base(&self, operation: Operation, x: &Tensor<B, 2>, y: Tensor<B, 2>) -> Tensor<B, 2> {
        if self.only_adapters { y } else { self.record(operation, x, y) }
    }

    /// The output of a factor of an adapter, with its record.
    pub(crate) fn of_adapter(&self, operation: Operation, x: &Tensor<B, 2>, y: Tensor<B, 2>) -> Tensor<B, 2> {
        self.record(operation, x, y)
    }

    /// The embedded tokens, from which gradients go back to all that follows.
    pub(crate) fn root(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        tapped(x.require_grad(), &self.embedded)
    }
}
