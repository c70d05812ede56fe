#![doc = include_str!("../README.md")]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod in_memory;
mod scorer;
pub mod store;
mod table;

pub use error::ScoreError;
pub use in_memory::InMemoryScorer;
pub use scorer::{Scorer, ScorerId};
pub use table::{Reading, ScoreTable, zlib_bytes};
