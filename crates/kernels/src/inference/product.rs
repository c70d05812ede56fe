//! Products of rows with a weight, tile by tile.

use super::matrix::PackedMatrix;
use super::panels::COLS;
use super::panels::Steps;
use super::portable;
use super::rows::{PackedRows, RowPanel};
#[cfg(target_arch = "x86_64")]
use super::x86::Kernel;

/// Rows of a tile: two tile registers of AMX, three times what the registers of AVX-512 hold the sums of.
pub const ROWS: usize = 32;
/// A part of a product.
pub type Tile = [[f32; COLS]; ROWS];

/// Bytes of packed rows that go through a weight together: they stay in the second-level cache.
const GROUP_BYTES: usize = 768 << 10;

/// Where a tile stands in its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First row, a multiple of [`ROWS`].
    pub row: usize,
    /// Rows that are there: fewer than [`ROWS`] at the end.
    pub n_rows: usize,
    /// First output, a multiple of [`COLS`].
    pub col: usize,
    /// Outputs that are there: fewer than [`COLS`] at the end.
    pub n_cols: usize,
}

/// `rows · matrixᵀ`: calls `each` with every tile, in an order of its own.
///
/// Rows and outputs beyond the last hold numbers without meaning.
///
/// # Panics
/// If the depths or precisions differ.
pub fn multiply(rows: &PackedRows, matrix: &PackedMatrix, mut each: impl FnMut(Span, &mut Tile)) {
    assert_eq!(rows.depth(), matrix.depth(), "numbers of a row");
    let group = (GROUP_BYTES / rows.panel_bytes().max(1)).max(1);
    for first in (0..rows.n_panels()).step_by(group) {
        for panel in 0..matrix.n_panels() {
            let weights = matrix.panel(panel);
            let col = panel * COLS;
            let n_cols = COLS.min(matrix.n_outputs() - col);
            for block in first..(first + group).min(rows.n_panels()) {
                let mut tile = [[0.0; COLS]; ROWS];
                let rows = rows.panel(block);
                add_product(rows, weights, &mut tile);
                each(Span { row: block * ROWS, n_rows: rows.n_rows, col, n_cols }, &mut tile);
            }
        }
    }
}

/// Adds the part of `rows · matrixᵀ` that a tile covers to it.
///
/// # Panics
/// If depths or precisions differ, or the tile is outside.
pub fn multiply_add(rows: &PackedRows, matrix: &PackedMatrix, span: Span, tile: &mut Tile) {
    assert_eq!(rows.depth(), matrix.depth(), "numbers of a row");
    add_product(rows.panel(span.row / ROWS), matrix.panel(span.col / COLS), tile);
}

/// Adds the product of two panels to a tile, by the fastest instructions that the processor has.
#[inline]
pub(super) fn add_product(rows: RowPanel<'_>, weights: Steps<'_>, tile: &mut Tile) {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = Kernel::ALL.into_iter().find(|kernel| kernel.is_there(weights.precision())) {
        kernel.add_product(rows, weights, tile);
        return;
    }
    portable::add_product(rows, weights, tile);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::Precision;
    use crate::inference::precision::{floats_of, pair_of};

    pub(super) fn values(n: usize, factor: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * factor + 3) % 61) as f32 / 30.0 - 1.0).collect()
    }

    /// Sums of exact products, in f64 of the factors as they are kept.
    #[test]
    fn products_agree_with_sums() {
        for (m, n, k) in [(1, 1, 1), (12, 32, 8), (13, 33, 7), (40, 70, 129)] {
            let (a, b) = (values(m * k, 7), values(n * k, 11));
            for precision in Precision::ALL {
                let matrix = PackedMatrix::new(b.clone(), [n, k], precision);
                let mut rows = PackedRows::new(precision);
                rows.resize(m, k);
                a.chunks(k).enumerate().for_each(|(i, row)| rows.set(i, row));
                let mut product = vec![f32::NAN; m * n];
                multiply(&rows, &matrix, |span, tile| {
                    multiply_add(&rows, &matrix, span, tile);
                    for (i, values) in tile.iter().enumerate().take(span.n_rows) {
                        let to = (span.row + i) * n + span.col;
                        product[to..to + span.n_cols].copy_from_slice(&values[..span.n_cols]);
                    }
                });
                let kept = |x: f32| match precision {
                    Precision::F32 => f64::from(x),
                    Precision::Bf16 => f64::from(floats_of(pair_of(x, 0.0)).0),
                };
                for (at, found) in product.iter().enumerate() {
                    let (i, j) = (at / n, at % n);
                    let sum: f64 = (0..k).map(|c| kept(a[i * k + c]) * kept(b[j * k + c])).sum();
                    assert!(
                        (f64::from(*found) - 2.0 * sum).abs() < 1e-5 * k as f64,
                        "{found} against {}",
                        2.0 * sum
                    );
                }
            }
        }
    }

    /// The plain loops and every kind of instructions that this processor has do the same.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn portable_and_fast_products_agree() {
        for (precision, n_rows, depth) in [
            (Precision::F32, 1, 1),
            (Precision::F32, 32, 100),
            (Precision::F32, 17, 16),
            (Precision::Bf16, 1, 1),
            (Precision::Bf16, 32, 100),
            (Precision::Bf16, 16, 64),
            (Precision::Bf16, 29, 33),
        ] {
            let matrix = PackedMatrix::new(values(COLS * depth, 7), [COLS, depth], precision);
            let mut rows = PackedRows::new(precision);
            rows.resize(n_rows, depth);
            values(n_rows * depth, 11).chunks(depth).enumerate().for_each(|(i, row)| rows.set(i, row));
            let mut plain = [[0.5; COLS]; ROWS];
            portable::add_product(rows.panel(0), matrix.panel(0), &mut plain);
            for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_there(precision)) {
                let mut fast = [[0.5; COLS]; ROWS];
                kernel.add_product(rows.panel(0), matrix.panel(0), &mut fast);
                for (fast, plain) in fast.iter().zip(&plain).take(n_rows) {
                    for (fast, plain) in fast.iter().zip(plain) {
                        assert!((fast - plain).abs() < 1e-5, "{kernel:?}: {fast} against {plain}");
                    }
                }
            }
        }
    }
}
