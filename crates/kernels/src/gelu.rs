//! The tanh GELU in its sigmoid form.

use burn::tensor::Tensor;

use crate::KernelBackend;
use crate::backend::{unwrap, wrap};

/// 2 √(2/π).
pub(crate) const LINEAR: f64 = 1.595_769_121_605_730_7;
/// 2 √(2/π) · 0.044715.
pub(crate) const CUBIC: f64 = 0.071_354_816_272_600_24;

/// `gelu_new(x) = x · σ(2u)`, `u = √(2/π) (x + 0.044715 x³)`.
///
/// Equal to the tanh form, since `½ (1 + tanh u) = σ(2u)`, at less than half its cost.
///
/// # Reference
/// Hendrycks & Gimpel, arXiv:1606.08415v5, Sec. 2.
pub fn gelu_new<B: KernelBackend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    wrap(B::gelu_new(unwrap(x)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::testing::{assert_same_gradients, inputs};
    use burn::backend::{Autodiff, Flex};

    #[test]
    fn agrees_with_the_tanh_form() {
        let x: Vec<f32> = (-60..=60).map(|i| i as f32 / 10.0).collect();
        let input = Tensor::<Flex, 1>::from_floats(x.as_slice(), &Default::default()).unsqueeze();
        for (x, fast) in x.iter().zip(gelu_new(input).into_data().to_vec::<f32>().unwrap()) {
            let slow = crate::plain::gelu(f64::from(*x));
            assert!((f64::from(fast) - slow).abs() < 2e-6, "gelu({x}) = {slow}, found {fast}");
        }
    }

    #[test]
    fn gradient_agrees_with_autodiff_of_the_formula() {
        let formula = |x: Tensor<Autodiff<Flex>, 2>| {
            let cube = x.clone() * x.clone() * x.clone();
            let u = (x.clone() + cube.mul_scalar(0.044_715)).mul_scalar((2.0 / std::f64::consts::PI).sqrt());
            x * (u.tanh() + 1.0).mul_scalar(0.5)
        };
        assert_same_gradients(inputs(7, 33), gelu_new, formula);
    }
}
