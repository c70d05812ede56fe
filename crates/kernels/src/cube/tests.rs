//! The operations on a GPU, or on a processor that plays one, against the plain versions.

#![expect(clippy::print_stdout, reason = "tests say how close they came, and that they were skipped")]

mod head;
mod operations;

use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};

/// CUDA where both features are on: it takes a GPU, the other may be played by a processor.
#[cfg(feature = "cuda")]
type Gpu = burn::backend::Cuda;
#[cfg(feature = "cuda")]
use crate::device::check_cuda as check_device;

#[cfg(not(feature = "cuda"))]
type Gpu = burn::backend::Wgpu;
#[cfg(not(feature = "cuda"))]
use crate::device::check_wgpu as check_device;

/// Whether there is a device to test on; says so where there is none.
fn has_device() -> bool {
    let found = check_device();
    if let Err(error) = &found {
        println!("SKIPPED: {error}");
    }
    found.is_ok()
}

/// Numbers between `−scale` and `scale`.
fn draw(seed: u64, n: usize, scale: f32) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| scale * rng.random_range(-1.0..1.0f32)).collect()
}

fn tensor(values: &[f32], shape: [usize; 2]) -> Tensor<Gpu, 2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
}

fn f64s<const D: usize>(x: Tensor<Gpu, D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// Checks each number, and says how far the worst is off.
#[track_caller]
fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let mut worst = 0.0f64;
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let apart = (found - expected).abs();
        assert!(apart <= tolerance, "{what} {i}: {found} against {expected}");
        worst = worst.max(apart);
    }
    println!("{what}: off by {worst:.1e} at most");
}
