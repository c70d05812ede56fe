//! The head in two kernels: sums over parts of the vocabulary, and their merge.

use burn::tensor::DType;
use burn_cubecl::CubeRuntime;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::calculate_cube_count_elemwise;
use cubecl::features::MmaConfig;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

use super::product::{SIDE, TILE, by_matrix_units, by_units};
use super::sums::{ROWS, Rows, Sums, fields};

/// Units that merge the sums of four rows.
const MERGERS: usize = 32;

/// Cubes that fill a device of unknown size, and those that fill a multiprocessor.
const CUBES: usize = 128;
const CUBES_PER_MULTIPROCESSOR: usize = 4;

/// Units of a plane that can drive matrix units as [`by_matrix_units`] does.
const PLANE: u32 = 32;

/// What the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    moments: bool,
    capped: bool,
    matrix_units: bool,
}

/// Sums over a part of the vocabulary, for a tile of rows.
///
/// Cube `(x, y)` owns the rows of tile `x` and walks over the tiles of the vocabulary's part `y`;
/// each unit keeps the sums of its four rows over its own columns in registers, so no logit leaves its cube.
#[cube(launch, address_type = "dynamic")]
fn sum_parts<F: Float, I: Int>(
    hidden: &Tensor<F>,
    weight: &Tensor<F>,
    targets: &Tensor<I>,
    parts: &mut Tensor<f32>,
    soft_cap: f32,
    tiles_per_part: usize,
    #[comptime] variant: Variant,
    #[define(F, I)] _types: [StorageType; 2],
) {
    let first_row = CUBE_POS_X as usize * TILE;
    let unit_row = first_row + UNIT_POS_Y as usize * ROWS;
    let v = weight.shape(0);
    let mut wanted = Vector::<u32, Const<4>>::new(0);
    #[unroll]
    for row in 0..ROWS {
        wanted[row] = u32::cast_from(targets[unit_row + row]);
    }
    let mut sums = Sums::empty();
    let mut logits = Array::<Rows>::new(ROWS);
    let first_tile = CUBE_POS_Y as usize * tiles_per_part;
    for tile in first_tile..first_tile + tiles_per_part {
        let first_column = tile * TILE;
        if first_column < v {
            if variant.matrix_units {
                by_matrix_units::<F>(hidden, weight, first_row, first_column, &mut logits);
            } else {
                by_units::<F>(hidden, weight, first_row, first_column, &mut logits);
            }
            if variant.capped {
                #[unroll]
                for column in 0..ROWS {
                    let cap = Rows::new(soft_cap);
                    logits[column] = cap * (logits[column] / cap).tanh();
                }
            }
            let column = first_column + UNIT_POS_X as usize * ROWS;
            sums.add(&logits, wanted, column, v, ROWS, variant.moments);
        }
    }
    let lane = CUBE_POS_Y as usize * SIDE + UNIT_POS_X as usize;
    sums.store(
        &mut parts.to_slice_mut(),
        unit_row / ROWS * (CUBE_COUNT_Y as usize * SIDE) + lane,
        variant.moments,
    );
}

/// The sums of four rows over the whole vocabulary, and what follows from them; a cube for each four rows.
///
/// `scores` has a row for `log p` of the targets; with moments three more, for the mean, the standard deviation and
/// the argmax. A target outside of the vocabulary has `unknown` for a log-probability: no number, which cannot be
/// written in WGSL.
#[cube(launch)]
fn merge_parts<I: Int>(
    parts: &Tensor<f32>,
    targets: &Tensor<I>,
    scores: &mut Tensor<f32>,
    lanes: usize,
    v: usize,
    unknown: f32,
    #[comptime] moments: bool,
    #[define(I)] _type: StorageType,
) {
    let first_lane = CUBE_POS * lanes;
    let mut sums = Sums::empty();
    for lane in range_stepped(UNIT_POS as usize, lanes, MERGERS) {
        sums.merge(Sums::load(&parts.to_slice(), first_lane + lane, moments), moments);
    }
    let mut shared = SharedMemory::<f32>::new(comptime!(MERGERS * fields(moments) * ROWS));
    sums.store(&mut shared.to_slice_mut(), UNIT_POS as usize, moments);
    sync_cube();
    if UNIT_POS == 0 {
        for unit in 1..MERGERS {
            sums.merge(Sums::load(&shared.to_slice(), unit, moments), moments);
        }
        let found = sums.scores();
        let n = targets.shape(0);
        #[unroll]
        for i in 0..ROWS {
            let row = CUBE_POS * ROWS + i;
            if row < n {
                let is_known = usize::cast_from(targets[row]) < v;
                scores[row] = select(is_known, found.log_prob[i], unknown);
                if moments {
                    scores[n + row] = found.mean[i];
                    scores[2 * n + row] = found.std_dev[i];
                    scores[3 * n + row] = found.argmax[i];
                }
            }
        }
    }
}

/// Scores the targets: `log p`; with moments also the mean and standard deviation of `log p` under `p`, and the argmax.
///
/// # Shapes
/// `hidden` is `[n, d]`, `weight` `[v, d]`, `targets` `[n]`, the result `[1, n]` or `[4, n]`, in f32.
pub(super) fn token_scores<R: CubeRuntime>(
    hidden: CubeTensor<R>,
    weight: CubeTensor<R>,
    targets: CubeTensor<R>,
    soft_cap: Option<f64>,
    moments: bool,
) -> CubeTensor<R> {
    assert_eq!(hidden.dtype, weight.dtype, "hidden states and the head's weight");
    let (hidden, weight, targets) = (dense_rows(hidden), dense_rows(weight), into_contiguous(targets));
    let (client, device) = (hidden.client.clone(), hidden.device.clone());
    let [n, v] = [hidden.meta.shape()[0], weight.meta.shape()[0]];
    let (row_tiles, tiles) = (n.div_ceil(TILE), v.div_ceil(TILE));
    let tiles_per_part = tiles.div_ceil(n_parts(&client, row_tiles).min(tiles));
    let n_parts = tiles.div_ceil(tiles_per_part);
    let lanes = n_parts * SIDE;
    let empty = |shape: [usize; 2]| {
        let handle = client.empty(shape[0] * shape[1] * size_of::<f32>());
        CubeTensor::new_contiguous(client.clone(), device.clone(), shape.into(), handle, DType::F32)
    };
    let parts = empty([row_tiles * SIDE * lanes, fields(moments) * ROWS]);
    let scores = empty([if moments { 4 } else { 1 }, n]);
    let types = [hidden.dtype.into(), targets.dtype.into()];
    let variant = Variant { moments, capped: soft_cap.is_some(), matrix_units: has_matrix_units(&hidden) };
    sum_parts::launch(
        &client,
        CubeCount::Static(row_tiles as u32, n_parts as u32, 1),
        CubeDim::new_2d(SIDE as u32, SIDE as u32),
        hidden.required_address_type().max(weight.required_address_type()),
        hidden.into_tensor_arg(),
        weight.into_tensor_arg(),
        targets.clone().into_tensor_arg(),
        parts.clone().into_tensor_arg(),
        soft_cap.unwrap_or(1.0) as f32,
        tiles_per_part,
        variant,
        types,
    );
    let mergers = CubeDim::new_1d(MERGERS as u32);
    merge_parts::launch(
        &client,
        calculate_cube_count_elemwise(&client, n.div_ceil(ROWS) * MERGERS, mergers),
        mergers,
        parts.into_tensor_arg(),
        targets.into_tensor_arg(),
        scores.clone().into_tensor_arg(),
        lanes,
        v,
        f32::NAN,
        moments,
        types[1],
    );
    scores
}

/// As it is where the numbers of a row lie side by side, whatever lies between rows.
fn dense_rows<R: CubeRuntime>(matrix: CubeTensor<R>) -> CubeTensor<R> {
    if matrix.meta.strides()[1] == 1 { matrix } else { into_contiguous(matrix) }
}

/// Parts of the vocabulary that give the device enough cubes, if each takes one tile of rows.
fn n_parts<R: CubeRuntime>(client: &ComputeClient<R>, row_tiles: usize) -> usize {
    let multiprocessors = client.properties().hardware.num_streaming_multiprocessors;
    let cubes = multiprocessors.map_or(CUBES, |n| n as usize * CUBES_PER_MULTIPROCESSOR);
    cubes.div_ceil(row_tiles)
}

/// Whether the device multiplies matrices of this type, sums in f32, by planes of a known size.
fn has_matrix_units<R: CubeRuntime>(hidden: &CubeTensor<R>) -> bool {
    let properties = hidden.client.properties();
    let operand = hidden.dtype.into();
    let shape = MmaConfig {
        a_type: operand,
        b_type: operand,
        cd_type: ElemType::Float(FloatKind::F32).into(),
        m: 16,
        n: 16,
        k: 16,
    };
    let planes = [properties.hardware.plane_size_min, properties.hardware.plane_size_max];
    matches!(hidden.dtype, DType::F16 | DType::BF16)
        && planes == [PLANE; 2]
        && properties.features.matmul.cmma.contains(&shape)
}
