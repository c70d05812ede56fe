//! Products of rows with a weight, tile by tile.

use super::matrix::PackedMatrix;
use super::panels::Steps;
use super::portable;
use super::rows::PackedRows;
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Rows of a tile.
///
/// Twelve rows of two vectors of sixteen numbers are 24 running sums: with the two vectors of weights and the number
/// that multiplies them they fill the 32 registers of AVX-512, and hide the delay of its multiply-add.
pub const ROWS: usize = 12;
/// Outputs of a tile.
pub const COLS: usize = 32;
/// A part of a product.
pub type Tile = [[f32; COLS]; ROWS];

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

/// `rows · matrixᵀ`: calls `each` with every tile, all rows of the first outputs first.
///
/// A panel of the weight is read once from memory and then from the second-level cache.
///
/// # Panics
/// If the depths or precisions differ.
pub fn multiply(rows: &PackedRows, matrix: &PackedMatrix, mut each: impl FnMut(Span, &mut Tile)) {
    assert_eq!(rows.depth(), matrix.depth(), "numbers of a row");
    for panel in 0..matrix.n_panels() {
        let weights = matrix.panel(panel);
        let col = panel * COLS;
        let n_cols = COLS.min(matrix.n_outputs() - col);
        for block in 0..rows.n_panels() {
            let row = block * ROWS;
            let mut tile = [[0.0; COLS]; ROWS];
            add_product(rows.panel(block), weights, &mut tile);
            each(Span { row, n_rows: ROWS.min(rows.n_rows() - row), col, n_cols }, &mut tile);
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

/// Adds the product of two panels to a tile, by the widest instructions that the processor has.
#[inline]
pub(super) fn add_product(rows: Steps<'_, ROWS>, weights: Steps<'_, COLS>, tile: &mut Tile) {
    #[cfg(target_arch = "x86_64")]
    if x86::add_product(rows, weights, tile) {
        return;
    }
    portable::add_product(rows, weights, tile);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::Precision;

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
                    for i in 0..span.n_rows {
                        let to = (span.row + i) * n + span.col;
                        product[to..to + span.n_cols].copy_from_slice(&tile[i][..span.n_cols]);
                    }
                });
                let kept = |x: f32| match precision {
                    Precision::F32 => f64::from(x),
                    Precision::Bf16 => {
                        f64::from(super::super::panels::floats_of(super::super::panels::pair_of(x, 0.0)).0)
                    }
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

    /// The plain loops and the instructions of this processor do the same.
    #[test]
    fn portable_and_fast_products_agree() {
        for precision in Precision::ALL {
            let matrix = PackedMatrix::new(values(COLS * 100, 7), [COLS, 100], precision);
            let mut rows = PackedRows::new(precision);
            rows.resize(ROWS, 100);
            values(ROWS * 100, 11).chunks(100).enumerate().for_each(|(i, row)| rows.set(i, row));
            let (mut fast, mut plain) = ([[0.5; COLS]; ROWS], [[0.5; COLS]; ROWS]);
            add_product(rows.panel(0), matrix.panel(0), &mut fast);
            portable::add_product(rows.panel(0), matrix.panel(0), &mut plain);
            for (fast, plain) in fast.as_flattened().iter().zip(plain.as_flattened()) {
                assert!((fast - plain).abs() < 1e-5, "{fast} against {plain}");
            }
        }
    }
}
