//! Columns: named slices of numbers, checked.

use crate::StatsError;

/// Refuses an empty column and values that are not finite.
pub(crate) fn check_column(name: &'static str, values: &[f64]) -> Result<(), StatsError> {
    if values.is_empty() {
        return Err(StatsError::EmptyColumn { name });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(row) => Err(StatsError::NotFiniteInColumn { name, row, value: values[row] }),
        None => Ok(()),
    }
}

/// Refuses columns of different length.
pub(crate) fn check_length(name: &'static str, found: usize, expected: usize) -> Result<(), StatsError> {
    if found == expected { Ok(()) } else { Err(StatsError::ColumnLength { name, found, expected }) }
}
