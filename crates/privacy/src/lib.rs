#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`event`], [`accountant`], [`rdp`], [`error`].

pub mod accountant;
pub mod error;
pub mod event;
pub mod rdp;
mod subsampled_gaussian;

pub use accountant::{Accountant, NeighboringRelation};
pub use error::AccountingError;
pub use event::DpEvent;
pub use rdp::RdpAccountant;
