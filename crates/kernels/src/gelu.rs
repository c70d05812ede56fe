//! The tanh GELU in its sigmoid form.

use burn::tensor::{Tensor, activation::sigmoid, backend::Backend};

/// `gelu_new(x) = x · σ(2u)`, `u = √(2/π) (x + 0.044715 x³)`.
///
/// Equal to the tanh form, since `½ (1 + tanh u) = σ(2u)`, at less than half its cost.
///
/// # Reference
/// Hendrycks & Gimpel, arXiv:1606.08415v5, Sec. 2.
pub fn gelu_new<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let twice_u_over_x = (x.clone() * x.clone()).mul_scalar(CUBIC).add_scalar(LINEAR);
    sigmoid(twice_u_over_x * x.clone()) * x
}

/// 2 √(2/π).
const LINEAR: f64 = 1.595_769_121_605_730_7;
/// 2 √(2/π) · 0.044715.
const CUBIC: f64 = 0.071_354_816_272_600_24;

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;

    #[test]
    fn agrees_with_the_tanh_form() {
        let x: Vec<f32> = (-60..=60).map(|i| i as f32 / 10.0).collect();
        let fast = gelu_new(Tensor::<Flex, 1>::from_floats(x.as_slice(), &Default::default()));
        for (x, fast) in x.iter().zip(fast.into_data().to_vec::<f32>().unwrap()) {
            let slow = crate::plain::gelu(f64::from(*x));
            assert!((f64::from(fast) - slow).abs() < 2e-6, "gelu({x}) = {slow}, found {fast}");
        }
    }
}
