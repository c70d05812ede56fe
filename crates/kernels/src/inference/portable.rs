//! The product of two panels in plain loops, which compilers turn into the vector instructions that they may use.

use super::panels::{COLS, Steps, WORDS};
use super::precision::floats_of;
use super::product::Tile;
use super::rows::{Block, RowBlocks, RowPanel};

/// Rows and outputs whose sums fit into sixteen registers of eight numbers, with room for the factors.
const BLOCK: (usize, usize) = (4, 16);

/// Adds the product of two panels to a tile.
///
/// # Panics
/// If the precisions differ.
pub(super) fn add_product(rows: RowPanel<'_>, weights: Steps<'_>, tile: &mut Tile) {
    const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));
    add_all::<FUSED>(rows, weights, tile);
}

/// The same for callers that are compiled for a fused multiply-add: without it that would be a call.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn add_product_fused(rows: RowPanel<'_>, weights: Steps<'_>, tile: &mut Tile) {
    add_all::<true>(rows, weights, tile);
}

#[inline(always)]
fn add_all<const FUSED: bool>(rows: RowPanel<'_>, weights: Steps<'_>, tile: &mut Tile) {
    for row in (0..rows.n_rows).step_by(BLOCK.0) {
        for col in (0..COLS).step_by(BLOCK.1) {
            match (rows.blocks, weights) {
                (RowBlocks::F32(rows), Steps::F32(weights)) => {
                    add_block(rows, weights, tile, (row, col), multiply_add::<FUSED>);
                }
                (RowBlocks::Bf16(rows), Steps::Bf16(weights)) => {
                    add_block(rows, weights, tile, (row, col), |row, weight, sum| {
                        let ((a, b), (c, d)) = (floats_of(row), floats_of(weight));
                        multiply_add::<FUSED>(b, d, multiply_add::<FUSED>(a, c, sum))
                    });
                }
                _ => panic!("rows and weights of different precision"),
            }
        }
    }
}

#[inline(always)]
fn add_block<T: Copy>(
    rows: &[Block<T>],
    weights: &[[T; COLS]],
    tile: &mut Tile,
    (row, col): (usize, usize),
    add: impl Fn(T, T, f32) -> f32,
) {
    let mut sums = [[0.0; BLOCK.1]; BLOCK.0];
    for (block, weights) in rows.iter().zip(weights.chunks(WORDS)) {
        for (word, weights) in weights.iter().enumerate() {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = add(block.0[row + i][word], weights[col + j], *sum);
                }
            }
        }
    }
    for (tile, sums) in tile[row..].iter_mut().zip(&sums) {
        for (tile, sum) in tile[col..].iter_mut().zip(sums) {
            *tile += sum;
        }
    }
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
