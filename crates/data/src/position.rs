//! Where something stands in a file.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a file, as a message names it: `corpus.csv, line 3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file, or what stands for it.
    pub file: PathBuf,
    /// What is counted: `row` or `line`.
    pub unit: &'static str,
    /// Counted from 1; the header of a CSV file is line 1.
    pub number: u64,
}

impl Position {
    /// The `number`-th row of a file that has no lines.
    pub fn row(file: &Path, number: u64) -> Self {
        Self { file: file.to_owned(), unit: "row", number }
    }

    /// The `number`-th line of a text file.
    pub fn line(file: &Path, number: u64) -> Self {
        Self { file: file.to_owned(), unit: "line", number }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} {}", self.file.display(), self.unit, self.number)
    }
}
