#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`filter`], [`training`], [`adaptive_clip`], [`claim`], [`plan`], [`stop`], [`mitigation`], [`error`].

pub mod adaptive_clip;
pub mod claim;
pub mod error;
pub mod filter;
pub mod mitigation;
pub mod plan;
pub mod stop;
pub mod training;

pub use adaptive_clip::AdaptiveClip;
pub use claim::{Claim, Public};
pub use error::MitigateError;
pub use filter::{DataFilter, ExactDedup, UserCap};
pub use mitigation::Mitigation;
pub use plan::{BatchChoice, Length, NoiseNorms, NoisePerUnit, Plan, PlanWarning, PrivacyTarget};
pub use stop::StopRule;
pub use training::{ClipUnit, DpSampling, PrivacyUnit, TrainingRule};
