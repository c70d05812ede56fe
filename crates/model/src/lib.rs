#![doc = include_str!("../README.md")]

pub mod backend;
mod batch;
pub mod checkpoint;
mod decoder;
mod error;
pub mod gpt_neo;
mod local_scorer;
mod params;
mod tokenizer;

pub use batch::Batch;
pub use decoder::{CausalLm, Decoder, DecoderConfig};
pub use error::ModelError;
pub use local_scorer::{LocalScorer, ScoringOptions};
pub use params::{Params, n_parameters};
pub use tokenizer::{Bos, HfTokenizer};
