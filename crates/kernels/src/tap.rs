//! Taps: the gradient by an operation's output, kept as the backward pass comes by.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Tensor, backend::Backend};

use crate::KernelBackend;
use crate::backend::{unwrap, wrap};

/// Where the gradient by a tensor goes once it is known; clones are one place.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl Tap {
    pub(crate) fn keep<B: Backend>(&self, gradient: Tensor<B, 2>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(gradient));
    }

    /// The gradient, on the backend below autodiff; none before a backward pass, and none a second time.
    pub fn take<B: Backend>(&self) -> Option<Tensor<B, 2>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        kept.downcast().ok().map(|gradient| *gradient)
    }
}

/// The tensor itself; under autodiff its gradient is kept in the tap on its way back.
pub fn tapped<B: KernelBackend>(x: Tensor<B, 2>, tap: &Tap) -> Tensor<B, 2> {
    wrap(B::tapped(unwrap(x), tap))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::testing::inputs;
    use burn::backend::{Autodiff, Flex};

    #[test]
    fn the_gradient_is_kept_and_goes_on() {
        let leaf = Tensor::<Autodiff<Flex>, 2>::from_inner(inputs(3, 4)).require_grad();
        let tap = Tap::default();
        let through = tapped(leaf.clone().mul_scalar(2.0), &tap);
        let gradients = (through.clone() * through.clone()).sum().backward();
        let kept = tap.take::<Flex>().expect("a backward pass has been");
        // d Σ y² = 2 y, and twice that by the leaf.
        let host = |tensor: Tensor<Flex, 2>| tensor.into_data().to_vec::<f32>().unwrap();
        assert_eq!(host(kept.clone()), host(through.inner().mul_scalar(2.0)));
        assert_eq!(host(leaf.grad(&gradients).unwrap()), host(kept.mul_scalar(2.0)));
        assert!(tap.take::<Flex>().is_none());
    }

    #[test]
    fn without_autodiff_nothing_is_kept() {
        let tap = Tap::default();
        let x = inputs(2, 2);
        assert_eq!(tapped(x.clone(), &tap).into_data(), x.into_data());
        assert!(tap.take::<Flex>().is_none());
    }
}
