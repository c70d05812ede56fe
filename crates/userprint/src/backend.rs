//! Where models run: chosen by name, then a type.

use serde::{Deserialize, Serialize};

/// A backend that a build may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BackendName {
    /// The processor.
    #[default]
    Cpu,
    /// Any GPU with a WebGPU driver.
    Wgpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl BackendName {
    /// The name in files and on the command line; also the feature to build with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        }
    }

    /// Whether a device of this backend can be used.
    ///
    /// # Errors
    /// What is missing: the driver, or the device.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    pub(crate) fn check(self) -> anyhow::Result<()> {
        let checked = match self {
            #[cfg(feature = "wgpu")]
            Self::Wgpu => userprint_kernels::device::check_wgpu(),
            #[cfg(feature = "cuda")]
            Self::Cuda => userprint_kernels::device::check_cuda(),
            _ => Ok(()),
        };
        checked.map_err(|error| anyhow::Error::new(error).context(format!("backend `{}`", self.name())))
    }

    /// The error of a build without this backend.
    pub(crate) fn missing(self) -> anyhow::Error {
        let name = self.name();
        anyhow::anyhow!(
            "this build has no backend `{name}`: build it with `--features {name}`, or take another by --backend"
        )
    }
}

/// Evaluates `$body` with `$backend` as the type of the named backend; with a precision, that of its tensors.
macro_rules! with_backend {
    ($name:expr, $precision:expr, $backend:ident => $body:expr) => {
        match ($name, $precision) {
            #[cfg(feature = "cuda")]
            ($crate::backend::BackendName::Cuda, userprint_model::Precision::Bf16) => {
                type $backend = userprint_model::backend::CudaBf16;
                $crate::backend::BackendName::Cuda.check()?;
                $body
            }
            ($crate::backend::BackendName::Wgpu, userprint_model::Precision::Bf16) => {
                Err(anyhow::anyhow!("backend `wgpu` has no bf16: take f32, or another backend"))
            }
            (name, _) => $crate::backend::with_backend!(name, $backend => $body),
        }
    };
    ($name:expr, $backend:ident => $body:expr) => {
        match $name {
            #[cfg(feature = "cpu")]
            $crate::backend::BackendName::Cpu => {
                type $backend = userprint_model::backend::Cpu;
                $body
            }
            #[cfg(feature = "wgpu")]
            $crate::backend::BackendName::Wgpu => {
                type $backend = userprint_model::backend::Wgpu;
                $crate::backend::BackendName::Wgpu.check()?;
                $body
            }
            #[cfg(feature = "cuda")]
            $crate::backend::BackendName::Cuda => {
                type $backend = userprint_model::backend::Cuda;
                $crate::backend::BackendName::Cuda.check()?;
                $body
            }
            #[allow(unreachable_patterns, reason = "a build with every backend has no other")]
            other => Err(other.missing()),
        }
    };
}
pub(crate) use with_backend;
