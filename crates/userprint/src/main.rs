//! The command line of userprint.
fn main() {}
