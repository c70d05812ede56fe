#![doc = include_str!("../README.md")]

pub mod adam;
pub mod attention;
mod autodiff;
mod backend;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub mod device;
pub mod gelu;
pub mod head;
#[cfg(feature = "cpu")]
mod host;
pub mod inference;
pub mod linear;
pub mod norm;
pub mod plain;
#[cfg(feature = "cpu")]
mod product;
pub mod rotary;
pub mod tap;
mod tensor_ops;
pub mod units;

pub use backend::KernelBackend;
