//! Accountants: from events to epsilon.

use std::fmt::Debug;

use crate::{AccountingError, DpEvent};

/// Which two data sets a guarantee compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeighboringRelation {
    /// One unit more or less.
    AddOrRemove,
    /// One unit exchanged for another.
    Replace,
    /// One unit's contribution set to zero; the number of units is public.
    ZeroOut,
}

/// Bounds the privacy loss of an event.
///
/// # Guarantees
/// - A returned epsilon is an upper bound at `target_delta` under [`Accountant::relation`], at least 0.
/// - An event that is not private gives infinity: true, and it spoils any composition that it is part of.
/// - An event that the accountant cannot bound is an error, never a guess.
/// - The same event and delta give the same number.
pub trait Accountant: Debug {
    /// Which two data sets the bound compares.
    fn relation(&self) -> NeighboringRelation;

    /// The least epsilon that the accountant can prove at this delta.
    ///
    /// # Errors
    /// [`AccountingError`] for values out of range, and for events that the accountant cannot bound.
    fn epsilon(&self, event: &DpEvent, target_delta: f64) -> Result<f64, AccountingError>;
}
