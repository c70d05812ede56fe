#![doc = include_str!("../README.md")]
//! Read the modules in this order: [`event`], [`accountant`], [`rdp`], [`pld`], [`calibrate`], [`group`],
//! [`gdp`], [`trade_off`], [`caps`], [`error`].

pub mod accountant;
mod bisection;
pub mod calibrate;
pub mod caps;
mod composition;
pub mod error;
pub mod event;
mod gaussian;
pub mod gdp;
mod grid;
pub mod group;
mod mixture;
mod moments;
mod normal;
pub mod pld;
pub mod rdp;
mod steps;
mod subsampled_gaussian;
pub mod trade_off;

pub use accountant::{Accountant, NeighboringRelation};
pub use caps::{ExpectedRunCap, PerUserCap};
pub use error::AccountingError;
pub use event::DpEvent;
pub use gdp::{CentralLimitMu, MuGdp, MuKind};
pub use group::GroupEpsilon;
pub use pld::{Bracket, PldAccountant, Profile};
pub use rdp::RdpAccountant;
pub use trade_off::TradeOff;
