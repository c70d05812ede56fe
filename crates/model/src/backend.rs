//! The devices that models run on.

use burn::tensor::backend::Backend;

/// The processor, through Burn's Flex.
#[cfg(feature = "cpu")]
pub type Cpu = burn::backend::Flex;

/// Any GPU with a WebGPU driver.
#[cfg(feature = "wgpu")]
pub type Wgpu = burn::backend::Wgpu;

/// An NVIDIA GPU.
#[cfg(feature = "cuda")]
pub type Cuda = burn::backend::Cuda;

/// An NVIDIA GPU, with tensors in bf16.
#[cfg(feature = "cuda")]
pub type CudaBf16 = burn::backend::Cuda<burn::tensor::bf16>;

pub use userprint_kernels::KernelBackend;

/// Whether tensors live in the host's memory, so that plain loops over them are the fast path.
pub fn is_host<B: Backend>() -> bool {
    #[cfg(feature = "cpu")]
    if std::any::TypeId::of::<B>() == std::any::TypeId::of::<Cpu>() {
        return true;
    }
    false
}
