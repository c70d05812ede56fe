//! Rows of unequal length in two flat columns.

/// Rows of unequal length: all values in one column, row boundaries in another.
///
/// Row `i` is `values[offsets[i]..offsets[i + 1]]`; `offsets` has one entry more than there are rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Ragged<T> {
    offsets: Vec<usize>,
    values: Vec<T>,
}

impl<T> Default for Ragged<T> {
    fn default() -> Self {
        Self { offsets: vec![0], values: Vec::new() }
    }
}

impl<T> Ragged<T> {
    /// No rows yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a row.
    pub fn push(&mut self, row: impl IntoIterator<Item = T>) {
        self.values.extend(row);
        self.offsets.push(self.values.len());
    }

    /// Appends the rows of another.
    pub fn append(&mut self, other: &Self)
    where
        T: Clone,
    {
        for row in other.rows() {
            self.push(row.iter().cloned());
        }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// One row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[T] {
        &self.values[self.offsets[row]..self.offsets[row + 1]]
    }

    /// All rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[T]> {
        (0..self.n_rows()).map(|row| self.row(row))
    }

    /// All values, row after row.
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

impl<T, R: IntoIterator<Item = T>> FromIterator<R> for Ragged<T> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        let mut ragged = Self::new();
        for row in rows {
            ragged.push(row);
        }
        ragged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_rows_apart() {
        let rows = vec![vec![1, 2], vec![], vec![3]];
        let ragged: Ragged<i32> = rows.clone().into_iter().collect();
        assert_eq!(ragged.n_rows(), 3);
        assert_eq!(ragged.rows().map(<[i32]>::to_vec).collect::<Vec<_>>(), rows);
        assert_eq!(ragged.values(), [1, 2, 3]);
    }
}
