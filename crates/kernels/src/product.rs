//! Products of matrices in the host's memory, read by strides: nothing is transposed, and sums grow where they lie.
#![allow(unsafe_code, reason = "the library of products takes pointers")]

use std::ops::Range;

/// Multiplications from which on the threads share a product.
const SHARED: usize = 192 * 192 * 192;

/// A matrix within a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    values: &'a [f32],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a> View<'a> {
    /// A matrix whose element `(i, j)` is at `i strides[0] + j strides[1]`.
    ///
    /// # Panics
    /// If one of them lies outside.
    pub(crate) fn new(values: &'a [f32], shape: [usize; 2], strides: [usize; 2]) -> Self {
        let [m, n] = shape;
        let last = ((m.max(1) - 1).saturating_mul(strides[0]))
            .saturating_add((n.max(1) - 1).saturating_mul(strides[1]));
        let is_inside = m == 0 || n == 0 || last < values.len();
        assert!(
            is_inside,
            "{m} by {n} numbers with strides {strides:?}, expected them within {}",
            values.len()
        );
        Self { values, shape, strides }
    }

    /// Rows one after the other.
    pub(crate) fn rows(values: &'a [f32], width: usize) -> Self {
        Self::new(values, [values.len() / width, width], [width, 1])
    }

    pub(crate) fn shape(self) -> [usize; 2] {
        self.shape
    }

    /// Some of its rows.
    pub(crate) fn slice_rows(self, rows: Range<usize>) -> Self {
        let values = &self.values[rows.start * self.strides[0]..];
        Self::new(values, [rows.len(), self.shape[1]], self.strides)
    }

    pub(crate) fn transposed(self) -> Self {
        let ([m, n], [down, across]) = (self.shape, self.strides);
        Self { values: self.values, shape: [n, m], strides: [across, down] }
    }
}

/// What becomes of the numbers that stand where a product goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Old {
    /// They are overwritten.
    Replaced,
    /// The product is added to them.
    Kept,
}

/// `out ← a b`, or `out ← out + a b`, in rows one after the other.
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn multiply(a: View<'_>, b: View<'_>, old: Old, out: &mut [f32]) {
    let ([m, k], [depth, n]) = (a.shape, b.shape);
    assert!(k == depth && out.len() == m * n, "{m} by {k} times {depth} by {n} into {}", out.len());
    let parallelism = if m * n * k >= SHARED { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    let [a_down, a_across] = a.strides.map(|stride| stride as isize);
    let [b_down, b_across] = b.strides.map(|stride| stride as isize);
    // SAFETY: a view's constructor has seen that all its elements lie in its slice, and `out` has `m n` numbers in rows
    // of `n`; it is borrowed mutably, so the factors do not overlap with it.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            old == Old::Kept,
            a.values.as_ptr(),
            a_across,
            a_down,
            b.values.as_ptr(),
            b_across,
            b_down,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check([m, k, n]: [usize; 3], old: Old) {
        let value = |i: usize| (i * 7 % 13) as f32 - 6.0;
        let a: Vec<f32> = (0..m * k).map(value).collect();
        let b: Vec<f32> = (0..n * k).map(value).collect();
        let mut out = vec![0.5; m * n];
        multiply(View::rows(&a, k), View::rows(&b, k).transposed(), old, &mut out);
        for (at, found) in out.iter().enumerate() {
            let sum: f32 = (0..k).map(|c| a[at / n * k + c] * b[at % n * k + c]).sum();
            let expected = sum + if old == Old::Kept { 0.5 } else { 0.0 };
            assert_eq!(*found, expected, "{m} by {k} by {n} at {at}");
        }
    }

    /// Whole numbers, whose sums are exact.
    #[test]
    fn products_agree_with_sums() {
        for old in [Old::Replaced, Old::Kept] {
            check([1, 1, 1], old);
            check([7, 33, 18], old);
            check([200, 200, 200], old);
        }
    }

    #[test]
    fn a_view_outside_its_slice_is_refused() {
        let view = |shape| std::panic::catch_unwind(|| View::new(&[0.0; 5], shape, [3, 1]).shape());
        assert!(view([2, 2]).is_ok());
        assert!(view([2, 3]).is_err() && view([usize::MAX, 3]).is_err());
    }
}
