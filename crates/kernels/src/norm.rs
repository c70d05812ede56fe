//! Layer norm without its scale and shift.

use burn::tensor::Tensor;

use crate::KernelBackend;
use crate::backend::{unwrap, wrap};

/// `(x − mean) / √(variance + ε)` of each row.
///
/// # Reference
/// Ba et al., arXiv:1607.06450v1, eq. 4.
pub fn normalise<B: KernelBackend>(x: Tensor<B, 2>, epsilon: f64) -> Tensor<B, 2> {
    wrap(B::normalise(unwrap(x), epsilon).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::testing::{assert_same_gradients, inputs};
    use burn::backend::{Autodiff, Flex};

    #[test]
    fn value_and_gradient_agree_with_autodiff_of_the_formula() {
        let formula = |x: Tensor<Autodiff<Flex>, 2>| {
            let centred = x.clone() - x.mean_dim(1);
            let variance = (centred.clone() * centred.clone()).mean_dim(1);
            centred / (variance + 1e-5).sqrt()
        };
        assert_same_gradients(inputs(5, 37), |x| normalise(x, 1e-5), formula);
    }
}
