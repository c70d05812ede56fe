//! The logits of one tile: the product of some hidden states and some rows of the head's weight.

use cubecl::prelude::*;

use super::sums::{ROWS, Rows};

/// Units of a cube along each side of the tile.
pub(super) const SIDE: usize = 16;

/// Rows of a tile, and its columns: four for each unit along a side.
pub(super) const TILE: usize = SIDE * ROWS;

/// Numbers of each row that are in shared memory at a time.
const SLICE: usize = SIDE;

/// Distance of two depths of a slice, one more than needed, so that units write to different banks.
const DEPTH_STRIDE: usize = SIDE + 1;

/// A side of the matrices that matrix units multiply.
const BLOCK: usize = 16;

/// Distance of two rows of a slice for matrix units: rows start in different banks, 16 bytes aligned.
const ROW_STRIDE: usize = SLICE + 8;

/// Distance of two rows of the logits from matrix units, likewise.
const LOGIT_STRIDE: usize = TILE + 4;

/// The bytes that matrix units want what they load to be aligned to.
const ALIGNMENT: usize = 32;

/// Logits of the tile from (`first_row`, `first_column`) on, each unit its own four columns, by the units themselves.
///
/// # Shapes
/// `hidden` is `[n, d]`, `weight` `[v, d]`; what lies past `n` or `v` gives logits that mean nothing.
#[cube]
pub(super) fn by_units<F: Float>(
    hidden: &Tensor<F>,
    weight: &Tensor<F>,
    first_row: usize,
    first_column: usize,
    logits: &mut Array<Rows>,
) {
    let mut hidden_slice = SharedMemory::<Rows>::new(comptime!(SLICE * DEPTH_STRIDE));
    let mut weight_slice = SharedMemory::<Rows>::new(comptime!(SLICE * DEPTH_STRIDE));
    #[unroll]
    for column in 0..ROWS {
        logits[column] = Rows::new(0.0);
    }
    let d = hidden.shape(1);
    for first in range_stepped(0, d, SLICE) {
        sync_cube();
        let place = UNIT_POS_X as usize * DEPTH_STRIDE + UNIT_POS_Y as usize;
        hidden_slice[place] = four_rows::<F>(hidden, first_row, first, d);
        weight_slice[place] = four_rows::<F>(weight, first_column, first, d);
        sync_cube();
        #[unroll]
        for depth in 0..SLICE {
            let rows = hidden_slice[depth * DEPTH_STRIDE + UNIT_POS_Y as usize];
            let columns = weight_slice[depth * DEPTH_STRIDE + UNIT_POS_X as usize];
            #[unroll]
            for column in 0..ROWS {
                logits[column] += rows * Rows::new(columns[column]);
            }
        }
    }
}

/// Four rows of a matrix at one depth, which this unit brings to its cube; nothing past the depth `d`.
#[cube]
fn four_rows<F: Float>(matrix: &Tensor<F>, first_row: usize, first_depth: usize, d: usize) -> Rows {
    let depth = first_depth + UNIT_POS_X as usize;
    let row = first_row + UNIT_POS_Y as usize * ROWS;
    let mut rows = Rows::new(0.0);
    if depth < d {
        #[unroll]
        for i in 0..ROWS {
            rows[i] = f32::cast_from(matrix[(row + i) * matrix.stride(0) + depth]);
        }
    }
    rows
}

/// As [`by_units`], by matrix units: planes of 32 units, each with two blocks of 16 × 16 logits, in f32.
///
/// The matrices are in F, which is what matrix units multiply: bf16 or f16.
/// Written after CubeCL's own tests of its matrices. It has not run on a GPU yet: what CubeCL makes of it compiles
/// for sm_80 and sm_90, and agrees with the plain version where a processor plays the GPU, see `docs/gpu.md`.
#[cube]
pub(super) fn by_matrix_units<F: Float>(
    hidden: &Tensor<F>,
    weight: &Tensor<F>,
    first_row: usize,
    first_column: usize,
    logits: &mut Array<Rows>,
) {
    let mut hidden_slice = SharedMemory::<F>::new_aligned(comptime!(TILE * ROW_STRIDE), ALIGNMENT);
    let mut weight_slice = SharedMemory::<F>::new_aligned(comptime!(TILE * ROW_STRIDE), ALIGNMENT);
    let mut products = SharedMemory::<f32>::new_aligned(comptime!(TILE * LOGIT_STRIDE), ALIGNMENT);
    // Eight planes: two beside each other, four below each other.
    let plane = (UNIT_POS / PLANE_DIM) as usize;
    let (block_row, block_column) = (plane / 2 * BLOCK, plane % 2 * 2 * BLOCK);
    let left = accumulator();
    let right = accumulator();
    let d = hidden.shape(1);
    for first in range_stepped(0, d, SLICE) {
        sync_cube();
        copy_rows::<F>(hidden, first_row, first, d, &mut hidden_slice);
        copy_rows::<F>(weight, first_column, first, d, &mut weight_slice);
        sync_cube();
        let rows = block::<F>(&hidden_slice, block_row, cmma::MatrixIdent::A, cmma::MatrixLayout::RowMajor);
        let columns =
            block::<F>(&weight_slice, block_column, cmma::MatrixIdent::B, cmma::MatrixLayout::ColMajor);
        cmma::execute::<F, F, f32, f32>(&rows, &columns, &left, &left);
        let columns = block::<F>(
            &weight_slice,
            block_column + BLOCK,
            cmma::MatrixIdent::B,
            cmma::MatrixLayout::ColMajor,
        );
        cmma::execute::<F, F, f32, f32>(&rows, &columns, &right, &right);
    }
    let place = block_row * LOGIT_STRIDE + block_column;
    store_block(&left, &mut products, place);
    store_block(&right, &mut products, place + BLOCK);
    sync_cube();
    #[unroll]
    for column in 0..ROWS {
        let mut rows = Rows::new(0.0);
        #[unroll]
        for row in 0..ROWS {
            let row_place = (UNIT_POS_Y as usize * ROWS + row) * LOGIT_STRIDE;
            rows[row] = products[row_place + UNIT_POS_X as usize * ROWS + column];
        }
        logits[column] = rows;
    }
}

#[cube]
fn accumulator() -> cmma::Matrix<f32> {
    cmma::Matrix::<f32>::from_value(
        cmma::MatrixIdent::Accumulator,
        BLOCK,
        BLOCK,
        BLOCK,
        cmma::MatrixLayout::Undefined,
        0.0,
    )
}

/// The 16 rows of a slice from a row on; rows of the weight are columns of the product.
#[cube]
fn block<F: Float>(
    slice: &SharedMemory<F>,
    row: usize,
    #[comptime] ident: cmma::MatrixIdent,
    #[comptime] layout: cmma::MatrixLayout,
) -> cmma::Matrix<F> {
    let first = row * ROW_STRIDE;
    cmma::Matrix::<F>::from_slice(
        ident,
        BLOCK,
        BLOCK,
        BLOCK,
        layout,
        &slice.slice(first, first + comptime!(BLOCK * ROW_STRIDE)),
        comptime!(ROW_STRIDE as u32),
    )
}

#[cube]
fn store_block(block: &cmma::Matrix<f32>, products: &mut SharedMemory<f32>, place: usize) {
    let end = place + comptime!((BLOCK - 1) * LOGIT_STRIDE + BLOCK);
    cmma::store(
        &mut products.slice_mut(place, end),
        block,
        comptime!(LOGIT_STRIDE as u32),
        cmma::MatrixLayout::RowMajor,
    );
}

/// As [`four_rows`], into the rows of a slice.
#[cube]
fn copy_rows<F: Float>(
    matrix: &Tensor<F>,
    first_row: usize,
    first_depth: usize,
    d: usize,
    slice: &mut SharedMemory<F>,
) {
    let depth = first_depth + UNIT_POS_X as usize;
    let row = UNIT_POS_Y as usize * ROWS;
    #[unroll]
    for i in 0..ROWS {
        let mut number = F::new(0.0);
        if depth < d {
            number = matrix[(first_row + row + i) * matrix.stride(0) + depth];
        }
        slice[(row + i) * ROW_STRIDE + UNIT_POS_X as usize] = number;
    }
}
