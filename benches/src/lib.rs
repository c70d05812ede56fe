//! What is measured: criterion benches in `benches/`, and programs that stand beside their PyTorch peers.

use std::time::Duration;

use criterion::Criterion;
use userprint_kernels::inference::Precision;

/// Prints one line of JSON, the only output of the programs here.
#[expect(clippy::print_stdout, reason = "programs that are read by others")]
pub fn say(line: &serde_json::Value) {
    println!("{line}");
}

/// How numbers are kept, with how far a token may then be from the reference, in nats.
pub const PRECISIONS: [(Precision, f32); 2] = [(Precision::F32, 1e-4), (Precision::Bf16, 5e-2)];

/// Few samples and short: all benches together take minutes.
pub fn in_seconds() -> Criterion {
    let criterion = Criterion::default().sample_size(10);
    criterion.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1))
}

/// # Panics
/// If the numbers of a fast variant are not those of its reference.
pub fn assert_near(found: &[f32], reference: &[f32], most: f32) {
    assert_eq!(found.len(), reference.len(), "tokens found, and in the reference");
    for (at, (found, reference)) in found.iter().zip(reference).enumerate() {
        let apart = (found - reference).abs();
        assert!(apart < most, "token {at}: {found} nats, {reference} in the reference, at most {most} apart");
    }
}

/// The most memory that this process had, where the system says so.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}
