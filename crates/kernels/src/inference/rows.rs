//! Rows packed for products: the inputs of a layer.

use super::panels::{Panels, Precision, Steps};
use super::product::{ROWS, Span, Tile};

/// Rows `[n_rows, depth]` in panels of [`ROWS`]; the memory is kept from one use to the next.
#[derive(Clone, Debug)]
pub struct PackedRows {
    n_rows: usize,
    depth: usize,
    panels: Panels<ROWS>,
}

impl PackedRows {
    /// No rows yet.
    pub fn new(precision: Precision) -> Self {
        Self { n_rows: 0, depth: 0, panels: Panels::new(precision) }
    }

    /// Makes room for rows, whose numbers are to be set; what stands in places never set is not defined, but is a number.
    pub fn resize(&mut self, n_rows: usize, depth: usize) {
        (self.n_rows, self.depth) = (n_rows, depth);
        self.panels.resize(n_rows.div_ceil(ROWS) * self.n_steps());
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Numbers of a row.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Sets a whole row.
    ///
    /// # Panics
    /// If there is no such row, or it has another number of values.
    pub fn set(&mut self, row: usize, values: &[f32]) {
        assert!(row < self.n_rows && values.len() == self.depth, "row {row} of {}", self.n_rows);
        self.panels.set(row / ROWS * self.n_steps(), row % ROWS, 0, values);
    }

    /// Sets the rows and the numbers of them that a tile of a product covers.
    ///
    /// # Panics
    /// If it reaches outside.
    pub fn set_tile(&mut self, span: Span, tile: &Tile) {
        let panel = span.row / ROWS * self.n_steps();
        for (row, values) in tile.iter().enumerate().take(span.n_rows) {
            self.panels.set(panel, row, span.col, &values[..span.n_cols]);
        }
    }

    pub(super) fn n_panels(&self) -> usize {
        self.n_rows.div_ceil(ROWS)
    }

    fn n_steps(&self) -> usize {
        self.panels.precision().n_steps(self.depth)
    }

    pub(super) fn panel(&self, panel: usize) -> Steps<'_, ROWS> {
        let n_steps = self.n_steps();
        self.panels.steps(panel * n_steps..(panel + 1) * n_steps)
    }
}
