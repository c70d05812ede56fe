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

    /// The error of a build without this backend.
    pub(crate) fn missing(self) -> anyhow::Error {
        let name = self.name();
        anyhow::anyhow!(
            "this build has no backend `{name}`: build it with `--features {name}`, or take another by --backend"
        )
    }
}

/// Evaluates `$body` with `$backend` as the type of the named backend.
macro_rules! with_backend {
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
                $body
            }
            #[cfg(feature = "cuda")]
            $crate::backend::BackendName::Cuda => {
                type $backend = userprint_model::backend::Cuda;
                $body
            }
            #[allow(unreachable_patterns, reason = "a build with every backend has no other")]
            other => Err(other.missing()),
        }
    };
}
pub(crate) use with_backend;
