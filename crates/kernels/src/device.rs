//! Whether a GPU is there, asked before Burn asks: Burn panics where there is none.

/// Why a backend has no GPU to run on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The graphics API's loader is not there, or no driver behind it.
    #[cfg(feature = "wgpu")]
    #[error(
        "no driver of {api} was found, expected one: install the {api} package of the GPU's driver and \
         {api}'s loader, or take `--backend cpu`"
    )]
    NoGraphicsDriver {
        /// The graphics API that Burn takes on this system.
        api: &'static str,
    },
    /// A driver is there, and has no device.
    #[cfg(feature = "wgpu")]
    #[error(
        "a driver of {api} was found, but no device, expected at least one ({reason}): check that the GPU is \
         visible to this process and that its own driver is installed, or take `--backend cpu`"
    )]
    NoGraphicsDevice {
        /// The graphics API that Burn takes on this system.
        api: &'static str,
        /// What the driver said.
        reason: String,
    },
    /// The library of NVIDIA's driver cannot be loaded.
    #[cfg(feature = "cuda")]
    #[error("libcuda.so is not there: install NVIDIA's driver, or take `--backend cpu`")]
    NoCudaDriver,
    /// NVIDIA's driver is there, and has no device.
    #[cfg(feature = "cuda")]
    #[error(
        "NVIDIA's driver was found, but no device, expected at least one: check what `nvidia-smi` and \
         `CUDA_VISIBLE_DEVICES` say, or take `--backend cpu`"
    )]
    NoCudaDevice,
    /// NVIDIA's driver is there, and does not start.
    #[cfg(feature = "cuda")]
    #[error(
        "NVIDIA's driver was found, but does not start ({reason}): check what `nvidia-smi` says, or take \
         `--backend cpu`"
    )]
    CudaDriverFails {
        /// What the driver said.
        reason: String,
    },
    /// Driver and device are there, and the library that compiles kernels is not.
    #[cfg(feature = "cuda")]
    #[error(
        "libnvrtc.so is not there, which compiles kernels: install NVIDIA's CUDA toolkit, or take `--backend cpu`"
    )]
    NoCudaCompiler,
}

/// Whether Burn's `Wgpu` finds a device: asks as Burn does, for the same graphics API and with the same wishes.
///
/// # Errors
/// [`DeviceError::NoGraphicsDriver`] and [`DeviceError::NoGraphicsDevice`].
#[cfg(feature = "wgpu")]
pub fn check_wgpu() -> Result<(), DeviceError> {
    use burn::backend::wgpu::graphics::{AutoGraphicsApi, GraphicsApi};
    request_adapter(AutoGraphicsApi::backend())
}

#[cfg(feature = "wgpu")]
fn request_adapter(backend: wgpu::Backend) -> Result<(), DeviceError> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: backend.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    let api = backend.to_str();
    match cubecl::future::block_on(instance.request_adapter(&options)) {
        Ok(_) => Ok(()),
        // An API is active if its loader could be loaded and found a driver.
        Err(wgpu::RequestAdapterError::NotFound { active_backends, .. }) if active_backends.is_empty() => {
            Err(DeviceError::NoGraphicsDriver { api })
        }
        Err(error) => Err(DeviceError::NoGraphicsDevice { api, reason: error.to_string() }),
    }
}

/// Whether Burn's `Cuda` finds NVIDIA's driver, a device, and the compiler of its kernels.
///
/// # Errors
/// [`DeviceError::NoCudaDriver`], [`DeviceError::CudaDriverFails`], [`DeviceError::NoCudaDevice`] and
/// [`DeviceError::NoCudaCompiler`].
#[cfg(feature = "cuda")]
pub fn check_cuda() -> Result<(), DeviceError> {
    use cudarc::driver::{result, sys};
    let (driver, compiler) = cuda_libraries();
    if !driver {
        return Err(DeviceError::NoCudaDriver);
    }
    match result::init().and_then(|()| result::device::get_count()) {
        Ok(1..) if compiler => Ok(()),
        Ok(1..) => Err(DeviceError::NoCudaCompiler),
        Ok(_) => Err(DeviceError::NoCudaDevice),
        Err(error) if error.0 == sys::CUresult::CUDA_ERROR_NO_DEVICE => Err(DeviceError::NoCudaDevice),
        Err(error) => Err(DeviceError::CudaDriverFails { reason: format!("{:?}", error.0) }),
    }
}

/// Whether the libraries of the driver and of its compiler can be loaded.
#[cfg(feature = "cuda")]
#[expect(
    unsafe_code,
    reason = "loading a library runs its code, so the driver's interface calls the question unsafe"
)]
fn cuda_libraries() -> (bool, bool) {
    // SAFETY: loading runs the libraries' initialisers. They are NVIDIA's own, found where the system looks for
    // libraries, and the same two that Burn loads by the same names as soon as the backend is used.
    unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Burn takes Vulkan or Metal here; on Linux, Direct3D has no driver whatever else is installed.
    #[cfg(all(feature = "wgpu", target_os = "linux"))]
    #[test]
    fn an_api_without_driver_is_told_from_one_without_device() {
        let error = request_adapter(wgpu::Backend::Dx12).unwrap_err();
        assert_eq!(error, DeviceError::NoGraphicsDriver { api: "dx12" });
        assert!(error.to_string().contains("install the dx12 package"), "{error}");
    }

    /// With a driver the question must have an answer; without, the answer must say that there is none.
    #[cfg(feature = "cuda")]
    #[test]
    #[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
    fn cuda_without_driver_is_an_error_and_no_panic() {
        if cuda_libraries().0 {
            println!("SKIPPED: NVIDIA's driver is there, so that its absence cannot be tested");
            return;
        }
        let error = check_cuda().unwrap_err();
        assert_eq!(error, DeviceError::NoCudaDriver);
        assert!(error.to_string().starts_with("libcuda.so is not there: install NVIDIA's driver"), "{error}");
    }
}
