#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`roc`], [`interval`], [`bootstrap`], [`pooled`], [`permutation`], [`error`].

pub mod bootstrap;
pub mod error;
pub mod interval;
mod levels;
pub mod permutation;
pub mod pooled;
pub mod roc;

pub use bootstrap::{Bootstrap, bootstrap_auroc};
pub use error::{Side, StatsError};
pub use interval::Interval;
pub use permutation::permutation_p_value;
pub use pooled::{Stratum, pooled_auroc, pooled_interval};
pub use roc::{Roc, RocPoint};
