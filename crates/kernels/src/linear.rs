//! A linear layer.

use burn::tensor::Tensor;

use crate::KernelBackend;
use crate::backend::{unwrap, wrap};

/// `x weightᵀ`, and the bias added to each row where there is one.
///
/// # Shapes
/// `x` is `[n, in]`, `weight` `[out, in]`, `bias` `[out]`, the result `[n, out]`.
pub fn linear<B: KernelBackend>(
    x: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 1>>,
) -> Tensor<B, 2> {
    let bias = bias.map(|bias| unwrap(bias.unsqueeze::<2>()));
    wrap(B::affine(unwrap(x), unwrap(weight), bias))
}

/// The product of two matrices, either of which may be the transpose of one that is stored.
pub fn product<B: KernelBackend>(a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 2> {
    wrap(B::product(unwrap(a), unwrap(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::testing::{assert_same_gradients, inputs};
    use burn::backend::{Autodiff, Flex};

    type Recorded = Tensor<Autodiff<Flex>, 2>;
    type Bias = Option<Tensor<Autodiff<Flex>, 1>>;
    type Layer = fn(Recorded, Recorded, Bias) -> Recorded;

    fn by_operations(x: Recorded, weight: Recorded, bias: Bias) -> Recorded {
        let product = x.matmul(weight.transpose());
        match bias {
            Some(bias) => product + bias.unsqueeze(),
            None => product,
        }
    }

    /// Value and gradient by each of the arguments, the others held fast.
    #[test]
    fn value_and_gradients_agree_with_autodiff_of_the_formula() {
        let fixed = || Recorded::from_inner(inputs(6, 6));
        let bias_of = |rows: Recorded| rows.slice_dim(0, 0..1).squeeze_dim::<1>(0);
        for bias in [None, Some(bias_of(fixed()))] {
            let other = fixed();
            let by_input = |f: Layer| {
                let (weight, bias) = (other.clone(), bias.clone());
                move |x| f(x, weight.clone(), bias.clone())
            };
            assert_same_gradients(inputs(6, 6), by_input(linear), by_input(by_operations));
            let by_weight = |f: Layer| {
                let (x, bias) = (other.clone(), bias.clone());
                move |weight| f(x.clone(), weight, bias.clone())
            };
            assert_same_gradients(inputs(6, 6), by_weight(linear), by_weight(by_operations));
        }
        let (x, weight) = (fixed(), fixed());
        let by_bias = |f: Layer| {
            let (x, weight) = (x.clone(), weight.clone());
            move |rows| f(x.clone(), weight.clone(), Some(bias_of(rows)))
        };
        assert_same_gradients(inputs(6, 6), by_bias(linear), by_bias(by_operations));
    }
}
