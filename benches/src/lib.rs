//! What is measured: criterion benches in `benches/`, and programs, two of which print the fields of their PyTorch peers.

/// Prints one line of JSON, the only output of the programs here.
#[expect(clippy::print_stdout, reason = "programs that are read by others")]
pub fn say(line: &serde_json::Value) {
    println!("{line}");
}
