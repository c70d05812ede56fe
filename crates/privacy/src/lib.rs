#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`event`], [`accountant`], [`rdp`], [`pld`], [`calibrate`], [`error`].

pub mod accountant;
pub mod calibrate;
mod composition;
pub mod error;
pub mod event;
mod gaussian;
mod grid;
mod mixture;
mod moments;
pub mod pld;
pub mod rdp;
mod steps;
mod subsampled_gaussian;

pub use accountant::{Accountant, NeighboringRelation};
pub use error::AccountingError;
pub use event::DpEvent;
pub use pld::{Bracket, PldAccountant};
pub use rdp::RdpAccountant;
