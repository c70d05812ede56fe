#![doc = include_str!("../README.md")]

mod checkpoints;
mod error;
mod gradients;
mod hook;
mod noise;
mod optimizer;
mod peers;
mod poisson;
mod private;
mod recompute;
mod schedule;
mod sequences;
mod settings;
mod trainer;
mod units;

pub use checkpoints::{Checkpoints, step_folder};
pub use error::TrainError;
pub use gradients::{Gradients, TrainBackend, gradients};
pub use hook::{CurvePoint, Hook, StepReport};
pub use noise::{NoiseKey, add_gaussian_noise};
pub use optimizer::{Optimizer, OptimizerConfig};
pub use peers::devices;
pub use poisson::PoissonSampler;
pub use recompute::{clipped_sum_recomputed, gradients_recomputed};
pub use schedule::{Schedule, learning_rate};
pub use sequences::Sequences;
pub use settings::{Packing, TrainSettings};
pub use trainer::{Randomness, Tokenized, TrainData, TrainOutcome, Validation, tokenize, train, train_on};
pub use units::{ClippedSum, UnitBatch, clipped_sum, sequence_norms};
