//! What stands between the two layers of an MLP.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};
use userprint_kernels::{KernelBackend, gelu::gelu_new};

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU in its tanh form.
    GeluTanh,
    /// GELU with the error function.
    Gelu,
    /// `max(x, 0)`.
    Relu,
    /// `x σ(x)`.
    Silu,
}

impl Activation {
    /// The names that configs use, and what they mean.
    pub(crate) const NAMES: [(&str, Self); 7] = [
        ("gelu_new", Self::GeluTanh),
        ("gelu_pytorch_tanh", Self::GeluTanh),
        ("gelu_fast", Self::GeluTanh),
        ("gelu", Self::Gelu),
        ("relu", Self::Relu),
        ("silu", Self::Silu),
        ("swish", Self::Silu),
    ];

    /// The function of each number.
    pub(crate) fn apply<B: KernelBackend>(self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::GeluTanh => gelu_new(x),
            Self::Gelu => {
                let normal = x.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0);
                x * normal.mul_scalar(0.5)
            }
            Self::Relu => relu(x),
            Self::Silu => sigmoid(x.clone()) * x,
        }
    }
}
