//! Layer norm and root-mean-square norm, without scale and shift.

use burn::tensor::Tensor;

use crate::KernelBackend;
use crate::backend::{unwrap, wrap};

/// What a norm takes off each row before it divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Centring {
    /// Its mean: layer norm.
    Mean,
    /// Nothing: root-mean-square norm.
    None,
}

/// `x / √(mean(x²) + ε)` of each row, less its mean first where `centring` says so.
///
/// # Reference
/// Ba et al., arXiv:1607.06450v1, eq. 4; Zhang & Sennrich, arXiv:1910.07467v1, eq. 4.
pub fn normalise<B: KernelBackend>(x: Tensor<B, 2>, centring: Centring, epsilon: f64) -> Tensor<B, 2> {
    wrap(B::normalise(unwrap(x), centring, epsilon).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::testing::{assert_same_gradients, inputs};
    use burn::backend::{Autodiff, Flex};

    #[test]
    fn value_and_gradient_agree_with_autodiff_of_the_formula() {
        for centring in [Centring::Mean, Centring::None] {
            let formula = |x: Tensor<Autodiff<Flex>, 2>| {
                let x = match centring {
                    Centring::Mean => x.clone() - x.mean_dim(1),
                    Centring::None => x,
                };
                let square = (x.clone() * x.clone()).mean_dim(1);
                x / (square + 1e-5).sqrt()
            };
            assert_same_gradients(inputs(5, 37), |x| normalise(x, centring, 1e-5), formula);
        }
    }
}
