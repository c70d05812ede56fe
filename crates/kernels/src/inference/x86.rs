//! The product of two panels in instructions of x86-64: all unsafe code of scoring on the processor.
#![allow(unsafe_code, reason = "instructions that only some processors have, and loads of whole registers")]

use std::arch::asm;
use std::arch::x86_64::{
    __cpuid_count, __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_fmadd_ps,
    _mm512_loadu_epi32, _mm512_loadu_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_storeu_ps,
};
use std::sync::LazyLock;

use super::panels::{COLS, Steps, WORDS};
use super::portable;
use super::precision::Precision;
use super::product::{ROWS, Tile};
use super::rows::{Block, RowBlocks, RowPanel};

/// What instructions the product is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Tiles of bf16, sixteen rows by sixteen outputs by sixteen pairs at once.
    Amx,
    /// Vectors of sixteen numbers.
    Avx512,
    /// The plain loops, compiled for eight numbers at a time.
    Avx2,
}

impl Kernel {
    /// All of them, the fastest first.
    pub(super) const ALL: [Self; 3] = [Self::Amx, Self::Avx512, Self::Avx2];

    /// Whether this processor and its system have the instructions for factors of this precision.
    pub(super) fn is_there(self, precision: Precision) -> bool {
        match (self, precision) {
            (Self::Amx, Precision::Bf16) => *HAS_AMX,
            (Self::Amx, Precision::F32) => false,
            (Self::Avx512, Precision::Bf16) => is_x86_feature_detected!("avx512bf16"),
            (Self::Avx512, Precision::F32) => is_x86_feature_detected!("avx512f"),
            (Self::Avx2, _) => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        }
    }

    /// Adds the product of two panels to a tile.
    ///
    /// # Panics
    /// If the processor lacks the instructions or the precisions differ; for AMX also if the depths do.
    pub(super) fn add_product(self, rows: RowPanel<'_>, weights: Steps<'_>, tile: &mut Tile) {
        let n_rows = rows.n_rows;
        match (self, rows.blocks, weights) {
            (Self::Amx, RowBlocks::Bf16(rows), Steps::Bf16(weights)) => {
                assert!(self.is_there(Precision::Bf16), "no AMX");
                add_amx(rows, weights, n_rows, tile);
            }
            (Self::Avx512, RowBlocks::F32(rows), Steps::F32(weights)) => {
                assert!(self.is_there(Precision::F32), "no AVX-512");
                // SAFETY: the processor has AVX-512.
                unsafe { add_f32(rows, weights, n_rows, tile) };
            }
            (Self::Avx512, RowBlocks::Bf16(rows), Steps::Bf16(weights)) => {
                assert!(self.is_there(Precision::Bf16), "no AVX-512 with bf16");
                // SAFETY: the processor has AVX-512 with bf16, which includes the foundation.
                unsafe { add_bf16(rows, weights, n_rows, tile) };
            }
            (Self::Avx2, ..) => {
                assert!(self.is_there(Precision::F32), "no AVX2");
                // SAFETY: the processor has AVX2 and FMA.
                unsafe { add_avx2(rows, weights, tile) };
            }
            _ => panic!("rows and weights of different precision"),
        }
    }
}

/// Rows whose sums are held at once: two vectors of outputs each, beside two of weights and one number of a row they
/// leave a few of the 32 registers free, and hide the delay of a multiply-add.
const HELD: [usize; 3] = [11, 11, 10];
const _: () = assert!(HELD[0] + HELD[1] + HELD[2] == ROWS && COLS == 2 * WORDS);

#[target_feature(enable = "avx512f")]
fn add_f32(rows: &[Block<f32>], weights: &[[f32; COLS]], n_rows: usize, tile: &mut Tile) {
    add_f32_rows::<{ HELD[0] }>(rows, weights, 0, tile);
    if n_rows > HELD[0] {
        add_f32_rows::<{ HELD[1] }>(rows, weights, HELD[0], tile);
    }
    if n_rows > HELD[0] + HELD[1] {
        add_f32_rows::<{ HELD[2] }>(rows, weights, HELD[0] + HELD[1], tile);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_f32_rows<const N: usize>(rows: &[Block<f32>], weights: &[[f32; COLS]], first: usize, tile: &mut Tile) {
    let mut sums = [[_mm512_setzero_ps(); COLS / WORDS]; N];
    for (block, weights) in rows.iter().zip(weights.chunks(WORDS)) {
        let rows: &[[f32; WORDS]; N] = block.0[first..].first_chunk().expect("rows of a panel");
        for (word, weights) in weights.iter().enumerate() {
            let [left, right] = halves(weights);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let row = _mm512_set1_ps(row[word]);
                sums[0] = _mm512_fmadd_ps(row, left, sums[0]);
                sums[1] = _mm512_fmadd_ps(row, right, sums[1]);
            }
        }
    }
    add_to(&mut tile[first..], &sums);
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn add_bf16(rows: &[Block<u32>], weights: &[[u32; COLS]], n_rows: usize, tile: &mut Tile) {
    add_bf16_rows::<{ HELD[0] }>(rows, weights, 0, tile);
    if n_rows > HELD[0] {
        add_bf16_rows::<{ HELD[1] }>(rows, weights, HELD[0], tile);
    }
    if n_rows > HELD[0] + HELD[1] {
        add_bf16_rows::<{ HELD[2] }>(rows, weights, HELD[0] + HELD[1], tile);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn add_bf16_rows<const N: usize>(
    rows: &[Block<u32>],
    weights: &[[u32; COLS]],
    first: usize,
    tile: &mut Tile,
) {
    let mut sums = [[_mm512_setzero_ps(); COLS / WORDS]; N];
    for (block, weights) in rows.iter().zip(weights.chunks(WORDS)) {
        let rows: &[[u32; WORDS]; N] = block.0[first..].first_chunk().expect("rows of a panel");
        for (word, weights) in weights.iter().enumerate() {
            let [left, right] = pairs(weights);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let row = as_pairs(_mm512_set1_epi32(row[word] as i32));
                sums[0] = _mm512_dpbf16_ps(sums[0], row, left);
                sums[1] = _mm512_dpbf16_ps(sums[1], row, right);
            }
        }
    }
    add_to(&mut tile[first..], &sums);
}

#[target_feature(enable = "avx2,fma")]
fn add_avx2(rows: RowPanel<'_>, weights: Steps<'_>, tile: &mut Tile) {
    portable::add_product_fused(rows, weights, tile);
}

#[inline]
#[target_feature(enable = "avx512f")]
fn halves(weights: &[f32; COLS]) -> [__m512; 2] {
    let (left, right) = weights.split_at(WORDS);
    // SAFETY: each half has the sixteen numbers that a load reads, and loads need no alignment.
    unsafe { [_mm512_loadu_ps(left.as_ptr()), _mm512_loadu_ps(right.as_ptr())] }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(weights: &[u32; COLS]) -> [__m512bh; 2] {
    let (left, right) = weights.split_at(WORDS);
    // SAFETY: each half has the sixteen pairs that a load reads, and loads need no alignment.
    let [left, right] =
        unsafe { [_mm512_loadu_epi32(left.as_ptr().cast()), _mm512_loadu_epi32(right.as_ptr().cast())] };
    [as_pairs(left), as_pairs(right)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn as_pairs(bits: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes without meaning of their own.
    unsafe { std::mem::transmute(bits) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_to(tile: &mut [[f32; COLS]], sums: &[[__m512; COLS / WORDS]]) {
    for (row, sums) in tile.iter_mut().zip(sums) {
        for (part, sum) in row.chunks_exact_mut(WORDS).zip(sums) {
            // SAFETY: a part has the sixteen numbers that the load reads and the store writes.
            unsafe {
                _mm512_storeu_ps(part.as_mut_ptr(), _mm512_add_ps(_mm512_loadu_ps(part.as_ptr()), *sum))
            };
        }
    }
}

/// Whether there are tiles of bf16 and the system saves them; Linux wants to be asked once for each process.
static HAS_AMX: LazyLock<bool> = LazyLock::new(|| {
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    let is_there = __cpuid_count(7, 0).edx & BF16_AND_TILES == BF16_AND_TILES;
    cfg!(target_os = "linux") && is_there && is_granted()
});

/// Asks Linux for the state of tiles.
///
/// # Reference
/// Documentation/arch/x86/xstate.rst of Linux: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`.
fn is_granted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let mut answer = ARCH_PRCTL;
    // SAFETY: the call changes no memory of this process; the registers that the system overwrites are said.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// Shapes of the eight tile registers: all of sixteen rows of 64 bytes.
#[repr(C, align(64))]
struct TileShapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    n_rows: [u8; 16],
}

static TILE_SHAPES: TileShapes = TileShapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    n_rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Four tiles of sums, two of rows, two of weights; with sixteen rows or fewer only the upper half.
fn add_amx(rows: &[Block<u32>], weights: &[[u32; COLS]], n_rows: usize, tile: &mut Tile) {
    assert_eq!(weights.len(), rows.len() * WORDS, "steps of weights");
    if rows.is_empty() {
        return;
    }
    if n_rows > ROWS / 2 { add_amx_whole(rows, weights, tile) } else { add_amx_half(rows, weights, tile) }
}

fn add_amx_whole(rows: &[Block<u32>], weights: &[[u32; COLS]], tile: &mut Tile) {
    // SAFETY: the caller has seen that there are tiles. Each of the `rows.len()` turns reads one block of rows, 32
    // lines of 64 bytes, and sixteen steps of weights of 128 bytes, which the caller has counted; the tile of sums is
    // 32 lines of 128 bytes. The tile registers are said to be overwritten and are released at the end.
    unsafe {
        asm!(
            "ldtilecfg [{shapes}]",
            "tileloadd tmm0, [{tile} + {wide}]",
            "tileloadd tmm1, [{tile} + {wide} + 64]",
            "tileloadd tmm2, [{tile} + {wide} + 2048]",
            "tileloadd tmm3, [{tile} + {wide} + 2112]",
            "2:",
            "tileloadd tmm6, [{weights} + {wide}]",
            "tileloadd tmm4, [{rows} + {narrow}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {wide} + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{rows} + {narrow} + 1024]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {rows}, 2048",
            "add {weights}, 2048",
            "dec {turns}",
            "jnz 2b",
            "tilestored [{tile} + {wide}], tmm0",
            "tilestored [{tile} + {wide} + 64], tmm1",
            "tilestored [{tile} + {wide} + 2048], tmm2",
            "tilestored [{tile} + {wide} + 2112], tmm3",
            "tilerelease",
            shapes = in(reg) &raw const TILE_SHAPES,
            tile = in(reg) tile.as_mut_ptr(),
            rows = inout(reg) rows.as_ptr() => _,
            weights = inout(reg) weights.as_ptr() => _,
            turns = inout(reg) rows.len() => _,
            wide = in(reg) size_of::<[u32; COLS]>(),
            narrow = in(reg) size_of::<[u32; WORDS]>(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

fn add_amx_half(rows: &[Block<u32>], weights: &[[u32; COLS]], tile: &mut Tile) {
    // SAFETY: as for a whole tile, of which this reads and writes the upper half.
    unsafe {
        asm!(
            "ldtilecfg [{shapes}]",
            "tileloadd tmm0, [{tile} + {wide}]",
            "tileloadd tmm1, [{tile} + {wide} + 64]",
            "2:",
            "tileloadd tmm4, [{rows} + {narrow}]",
            "tileloadd tmm6, [{weights} + {wide}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {wide} + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {rows}, 2048",
            "add {weights}, 2048",
            "dec {turns}",
            "jnz 2b",
            "tilestored [{tile} + {wide}], tmm0",
            "tilestored [{tile} + {wide} + 64], tmm1",
            "tilerelease",
            shapes = in(reg) &raw const TILE_SHAPES,
            tile = in(reg) tile.as_mut_ptr(),
            rows = inout(reg) rows.as_ptr() => _,
            weights = inout(reg) weights.as_ptr() => _,
            turns = inout(reg) rows.len() => _,
            wide = in(reg) size_of::<[u32; COLS]>(),
            narrow = in(reg) size_of::<[u32; WORDS]>(),
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
