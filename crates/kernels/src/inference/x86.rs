//! The product of two panels in vector instructions of x86-64: the one place of this crate with unsafe code.
#![allow(unsafe_code, reason = "instructions that only some processors have, and loads of whole registers")]

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_epi32,
    _mm512_loadu_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::panels::Steps;
use super::portable;
use super::product::{COLS, ROWS, Tile};

/// Numbers of a register.
const LANES: usize = 16;

/// Adds the product of two panels to a tile; false where the processor lacks the instructions for it.
pub(super) fn add_product(rows: Steps<'_, ROWS>, weights: Steps<'_, COLS>, tile: &mut Tile) -> bool {
    match (rows, weights) {
        (Steps::F32(rows), Steps::F32(weights)) if is_x86_feature_detected!("avx512f") => {
            // SAFETY: the processor has AVX-512.
            unsafe { add_f32(rows, weights, tile) };
        }
        (Steps::Bf16(rows), Steps::Bf16(weights)) if is_x86_feature_detected!("avx512bf16") => {
            // SAFETY: the processor has AVX-512 with bf16, which includes the foundation.
            unsafe { add_bf16(rows, weights, tile) };
        }
        _ if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => {
            // SAFETY: the processor has AVX2 and FMA.
            unsafe { add_avx2(rows, weights, tile) };
        }
        _ => return false,
    }
    true
}

#[target_feature(enable = "avx512f")]
fn add_f32(rows: &[[f32; ROWS]], weights: &[[f32; COLS]], tile: &mut Tile) {
    let mut sums = [[_mm512_setzero_ps(); COLS / LANES]; ROWS];
    for (rows, weights) in rows.iter().zip(weights) {
        let [first, second] = halves(weights);
        for (sums, row) in sums.iter_mut().zip(rows) {
            let row = _mm512_set1_ps(*row);
            sums[0] = _mm512_fmadd_ps(row, first, sums[0]);
            sums[1] = _mm512_fmadd_ps(row, second, sums[1]);
        }
    }
    add_to(tile, &sums);
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn add_bf16(rows: &[[u32; ROWS]], weights: &[[u32; COLS]], tile: &mut Tile) {
    let mut sums = [[_mm512_setzero_ps(); COLS / LANES]; ROWS];
    for (rows, weights) in rows.iter().zip(weights) {
        let [first, second] = pairs(weights);
        for (sums, row) in sums.iter_mut().zip(rows) {
            let row = as_pairs(_mm512_set1_epi32(*row as i32));
            sums[0] = _mm512_dpbf16_ps(sums[0], row, first);
            sums[1] = _mm512_dpbf16_ps(sums[1], row, second);
        }
    }
    add_to(tile, &sums);
}

/// The plain loops, compiled for eight numbers at a time.
#[target_feature(enable = "avx2,fma")]
fn add_avx2(rows: Steps<'_, ROWS>, weights: Steps<'_, COLS>, tile: &mut Tile) {
    portable::add_product_fused(rows, weights, tile);
}

#[inline]
#[target_feature(enable = "avx512f")]
fn halves(weights: &[f32; COLS]) -> [__m512; 2] {
    let (first, second) = weights.split_at(LANES);
    // SAFETY: each half has the sixteen numbers that a load reads, and loads need no alignment.
    unsafe { [_mm512_loadu_ps(first.as_ptr()), _mm512_loadu_ps(second.as_ptr())] }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(weights: &[u32; COLS]) -> [__m512bh; 2] {
    let (first, second) = weights.split_at(LANES);
    // SAFETY: each half has the sixteen pairs that a load reads, and loads need no alignment.
    let [first, second] =
        unsafe { [_mm512_loadu_epi32(first.as_ptr().cast()), _mm512_loadu_epi32(second.as_ptr().cast())] };
    [as_pairs(first), as_pairs(second)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn as_pairs(bits: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes without meaning of their own.
    unsafe { std::mem::transmute(bits) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_to(tile: &mut Tile, sums: &[[__m512; COLS / LANES]; ROWS]) {
    for (row, sums) in tile.iter_mut().zip(sums) {
        for (part, sum) in row.chunks_exact_mut(LANES).zip(sums) {
            // SAFETY: a part has the sixteen numbers that the load reads and the store writes.
            unsafe {
                _mm512_storeu_ps(part.as_mut_ptr(), _mm512_add_ps(_mm512_loadu_ps(part.as_ptr()), *sum))
            };
        }
    }
}
