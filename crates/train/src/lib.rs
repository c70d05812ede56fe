#![doc = include_str!("../README.md")]

mod checkpoints;
mod error;
mod gradients;
mod hook;
mod optimizer;
mod schedule;
mod sequences;
mod settings;
mod trainer;
mod units;

pub use checkpoints::Checkpoints;
pub use error::TrainError;
pub use gradients::{Gradients, TrainBackend, gradients};
pub use hook::{CurvePoint, Hook, StepReport};
pub use optimizer::Optimizer;
pub use schedule::learning_rate;
pub use sequences::Sequences;
pub use settings::{Packing, TrainSettings};
pub use trainer::{TrainData, TrainOutcome, Validation, tokenize, train};
pub use units::{ClippedSum, UnitBatch, clipped_sum};
