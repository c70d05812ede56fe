//! A check that was made, or the reason why it was not.

use std::fmt;

/// A check that was made, or what was missing for it; never silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked<T> {
    /// What the check found.
    Done(T),
    /// What the check would have needed.
    Not(Missing),
}

impl<T> Checked<T> {
    /// What the check found, if it was made.
    ///
    /// ```
    /// use userprint_attack::validity::{Checked, Missing};
    /// assert_eq!(Checked::Done(3).done(), Some(&3));
    /// assert_eq!(Checked::<u32>::Not(Missing::Timestamps).done(), None);
    /// ```
    pub fn done(&self) -> Option<&T> {
        match self {
            Self::Done(found) => Some(found),
            Self::Not(_) => None,
        }
    }
}

/// What a check would have needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The texts of the training examples.
    TrainingTexts,
    /// When the examples were written.
    Timestamps,
    /// When the examples of one of the sides were written.
    TimestampsOfOneSide,
    /// Where the examples come from.
    Sources,
    /// A second source.
    SecondSource,
    /// Two users of one source.
    SourceOfTwo,
    /// Users enough that some outcome of the test would void.
    Users,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TrainingTexts => "the training examples are not at hand",
            Self::Timestamps => "the corpus has no timestamps",
            Self::TimestampsOfOneSide => "one of the sides has no timestamps",
            Self::Sources => "the corpus does not say where its examples come from",
            Self::SecondSource => "all examples come from one source",
            Self::SourceOfTwo => "no source has two users",
            Self::Users => "there are too few users for any outcome to void",
        })
    }
}
