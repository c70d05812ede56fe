#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`filter`], [`training`], [`stop`], [`mitigation`], [`error`].

pub mod error;
pub mod filter;
pub mod mitigation;
pub mod stop;
pub mod training;

pub use error::MitigateError;
pub use filter::{DataFilter, ExactDedup, UserCap};
pub use mitigation::Mitigation;
pub use stop::StopRule;
pub use training::TrainingRule;
