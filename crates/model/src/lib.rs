#![doc = include_str!("../README.md")]

mod activation;
pub mod adapter;
pub mod backend;
mod batch;
pub mod checkpoint;
mod config;
mod decoder;
mod error;
pub mod families;
#[cfg(feature = "hub")]
pub mod hub;
mod inference;
pub mod inventory;
mod layers;
mod layout;
mod local_scorer;
mod params;
mod rotary;
mod scoring_model;
mod tape;
mod tokenizer;
pub mod weights;

pub use activation::Activation;
pub use adapter::{LoraConfig, Targets};
pub use batch::Batch;
pub use config::{Keys, ModelConfig};
pub use decoder::{CausalLm, Decoder, DecoderConfig, NormConfig, Parts, Positions, Residual, Stages};
pub use error::ModelError;
pub use families::gpt_neo;
pub use inference::PackedLm;
pub use layout::Layout;
pub use local_scorer::{LocalScorer, LongTexts, ScoringOptions};
pub use params::{Params, n_parameters};
pub use rotary::{Rotary, RotaryScaling};
pub use scoring_model::{Asked, Done, ScoringModel, Sequence};
pub use tape::{Operation, Record, Tape};
pub use tokenizer::{Bos, HfTokenizer};
pub use userprint_kernels::inference::{Precision, TokenScore};
