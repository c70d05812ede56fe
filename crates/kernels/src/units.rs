//! Gradients of units, examples or users: squared norms without the gradients themselves, and weighted sums of them.
//!
//! A unit is a run of rows: row `r` of `n` belongs to unit `r / (n / units)`.
//! Each operation that has parameters knows its input and the gradient by its output, row by row; the gradient of a
//! unit's loss by the parameters is a sum over the unit's rows, and its norm can be had from products of rows.
//!
//! # Reference
//! Goodfellow, arXiv:1510.01799 (norms from activations and output gradients); Li et al., arXiv:2110.05679v6, Sec. 4
//! (sequences: the ghost norm); Bu et al., arXiv:2210.00038v3 (sums from what the norms were made of).

use std::ops::Range;

use burn::tensor::{Bool, IndexingUpdateOp, Int, Tensor, backend::Backend};

use crate::KernelBackend;
use crate::backend::{unwrap, wrap};
use crate::head::{Head, tiles_of};
use crate::linear::product;

/// Of a product `y = x wᵀ`: `|Σ_r dy_r x_rᵀ|²` of each unit, `[units]`.
///
/// By the ghost norm `Σ_{r,s} (x_r · x_s) (dy_r · dy_s)` where a unit has few rows, else from the gradient of a unit at a
/// time: whichever multiplies less.
///
/// # Shapes
/// `x` is `[n, in]`, `dy` `[n, out]`.
pub fn product_norms<B: KernelBackend>(x: &Tensor<B, 2>, dy: &Tensor<B, 2>, units: usize) -> Tensor<B, 1> {
    let squares: Tensor<B, 2> = wrap(B::product_norms(unwrap(x.clone()), unwrap(dy.clone()), units));
    squares.squeeze_dim(1)
}

pub(crate) fn norms_of_product<B: Backend>(
    x: &Tensor<B, 2>,
    dy: &Tensor<B, 2>,
    units: usize,
) -> Tensor<B, 1> {
    let ([n, inputs], [_, outputs]) = (x.dims(), dy.dims());
    let rows = n / units;
    if is_ghost_cheaper(rows, inputs, outputs) {
        return ghost(inner_products(x, units), inner_products(dy, units));
    }
    let of_unit = |unit: usize| {
        let own = |tensor: &Tensor<B, 2>| tensor.clone().slice_dim(0, unit * rows..(unit + 1) * rows);
        let gradient = own(dy).transpose().matmul(own(x));
        (gradient.clone() * gradient).sum()
    };
    Tensor::cat((0..units).map(of_unit).collect(), 0)
}

/// Whether all products of two rows take fewer multiplications than the gradient.
pub(crate) fn is_ghost_cheaper(rows: usize, inputs: usize, outputs: usize) -> bool {
    rows * (inputs + outputs) <= inputs * outputs
}

/// Of a shift, `y = x + b`: `|Σ_r dy_r|²` of each unit, `[units]`.
///
/// With `dy ⊙ x` in the place of `dy`, that of a scale, `y = x ⊙ w`.
pub fn shift_norms<B: Backend>(dy: &Tensor<B, 2>, units: usize) -> Tensor<B, 1> {
    let sums: Tensor<B, 2> = by_unit(dy, units).sum_dim(1).squeeze_dim(1);
    (sums.clone() * sums).sum_dim(1).squeeze_dim(1)
}

/// Of rows taken from a table: `|∂|² = Σ_{r,s: id_r = id_s} dy_r · dy_s` of each unit, `[units]`.
///
/// # Shapes
/// `ids` is `[n]`, `dy` `[n, d]`.
pub fn table_norms<B: Backend>(ids: &Tensor<B, 1, Int>, dy: &Tensor<B, 2>, units: usize) -> Tensor<B, 1> {
    let rows = ids.dims()[0] / units;
    let row: Tensor<B, 3, Int> = ids.clone().reshape([units, rows, 1]);
    let column: Tensor<B, 3, Int> = ids.clone().reshape([units, 1, rows]);
    let is_same: Tensor<B, 3, Bool> = row.repeat_dim(2, rows).equal(column.repeat_dim(1, rows));
    ghost(inner_products(dy, units), is_same.float())
}

/// A gradient of a table with that from rows taken of it added: `table_v + Σ_{r: id_r = v} dy_r`, `[v, d]`.
pub fn add_rows<B: Backend>(table: Tensor<B, 2>, ids: &Tensor<B, 1, Int>, dy: Tensor<B, 2>) -> Tensor<B, 2> {
    table.select_assign(0, ids.clone(), dy, IndexingUpdateOp::Add)
}

/// What the head says of units, before the backward pass.
#[derive(Clone, Debug)]
pub struct HeadUnits<B: Backend> {
    /// Weighted loss of each unit, `[units]`.
    pub losses: Tensor<B, 1>,
    /// Gradient of all losses by the hidden states, `[n, d]`.
    pub d_hidden: Tensor<B, 2>,
    /// Squared norms of the units' gradients by the head's weight, `[units]`; none where it is frozen.
    pub norms: Option<Tensor<B, 1>>,
    /// The logits' gradients at the unit's own input tokens, `[units, rows, rows]`, for a head that is the token
    /// embedding, too: both gradients are of one matrix, and their product counts in its norm.
    pub at_inputs: Option<Tensor<B, 3>>,
    /// The logits' gradients, `[n, v]`, where there is room for all of them.
    kept: Option<Tensor<B, 2>>,
}

/// Gradients of logits that are kept for the sum rather than made again, in numbers: 256 MiB in f32.
const KEPT_LOGITS: usize = 1 << 26;

/// How the head's weight is trained.
#[derive(Clone, Copy, Debug)]
pub enum HeadTraining<'a, B: Backend> {
    /// Not at all.
    Frozen,
    /// As a matrix of its own.
    Own,
    /// As the token embedding, of which these rows were taken, `[n]`.
    Tied {
        /// Input tokens.
        ids: &'a Tensor<B, 1, Int>,
    },
}

/// Losses of units with their gradients by the hidden states, in tiles of whole units.
///
/// # Shapes
/// `hidden` is `[n, d]`, `targets` and `weights` `[n]`; a weight of 0 leaves its row out.
pub fn head_units<B: KernelBackend>(
    hidden: &Tensor<B, 2>,
    head: &Head<B>,
    targets: &Tensor<B, 1, Int>,
    weights: &Tensor<B, 1>,
    units: usize,
    training: HeadTraining<'_, B>,
) -> HeadUnits<B> {
    let n = hidden.dims()[0];
    let rows = n / units;
    let (mut losses, mut d_hidden, mut norms, mut at_inputs) = (vec![], vec![], vec![], vec![]);
    let is_trained = !matches!(training, HeadTraining::Frozen);
    let is_kept = is_trained && n * head.weight.dims()[0] <= KEPT_LOGITS;
    let tile_rows = if is_kept { n } else { head.tile_rows() };
    let mut kept = None;
    for range in tiles_of(n, tile_rows, rows) {
        let own = range.len() / rows;
        let tile = hidden.clone().slice_dim(0, range.clone());
        let (of_rows, d_logits) = head.cross_entropy(&tile, targets, weights, range.clone());
        losses.push(by_unit(&of_rows, own).sum_dim(1).reshape([own]));
        d_hidden.push(product(d_logits.clone(), head.weight.clone()));
        if let HeadTraining::Tied { ids } = training {
            let columns: Tensor<B, 3, Int> = ids.clone().slice_dim(0, range).reshape([own, 1, rows]);
            let columns = columns.repeat_dim(1, rows).reshape([own * rows, rows]);
            at_inputs.push(d_logits.clone().gather(1, columns).reshape([own, rows, rows]));
        }
        if is_trained {
            norms.push(product_norms(&tile, &d_logits, own));
        }
        kept = is_kept.then_some(d_logits);
    }
    HeadUnits {
        losses: Tensor::cat(losses, 0),
        d_hidden: Tensor::cat(d_hidden, 0),
        norms: (!norms.is_empty()).then(|| Tensor::cat(norms, 0)),
        at_inputs: (!at_inputs.is_empty()).then(|| Tensor::cat(at_inputs, 0)),
        kept,
    }
}

impl<B: KernelBackend> HeadUnits<B> {
    /// The sum of the units' gradients by the head's weight, `[v, d]`, each row times a factor.
    ///
    /// From the logits' gradients where they were kept; else logits are computed again, which costs a product more and no
    /// memory.
    ///
    /// # Shapes
    /// `hidden`, `targets` and `weights` as for [`head_units`], `factors` `[n, 1]`.
    pub fn sum(
        self,
        hidden: &Tensor<B, 2>,
        head: &Head<B>,
        targets: &Tensor<B, 1, Int>,
        weights: &Tensor<B, 1>,
        factors: Tensor<B, 2>,
    ) -> Tensor<B, 2> {
        let scaled = hidden.clone() * factors;
        if let Some(d_logits) = self.kept {
            return product(d_logits.transpose(), scaled);
        }
        let n = hidden.dims()[0];
        let of_tile = |rows: Range<usize>| {
            let tile = hidden.clone().slice_dim(0, rows.clone());
            let (_, d_logits) = head.cross_entropy(&tile, targets, weights, rows.clone());
            product(d_logits.transpose(), scaled.clone().slice_dim(0, rows))
        };
        let sum = tiles_of(n, head.tile_rows(), 1).map(of_tile).reduce(|sum, tile| sum + tile);
        sum.unwrap_or_else(|| Tensor::zeros(head.weight.dims(), &hidden.device()))
    }
}

/// Twice the product of a unit's two gradients of one matrix: as head, and as embedding, `[units]`.
///
/// `2 Σ_{r,s} dlogits[r, id_s] (h_r · de_s)`, with `at_inputs` the first factor, `h` the hidden states and `de` the
/// gradients by the embedded tokens, both `[n, d]`.
pub fn tied_products<B: Backend>(
    at_inputs: Tensor<B, 3>,
    hidden: &Tensor<B, 2>,
    de: &Tensor<B, 2>,
) -> Tensor<B, 1> {
    let units = at_inputs.dims()[0];
    let products = by_unit(hidden, units).matmul(by_unit(de, units).swap_dims(1, 2));
    ghost(at_inputs, products).mul_scalar(2.0)
}

/// `[n, d]` to `[units, n / units, d]`.
fn by_unit<B: Backend>(rows: &Tensor<B, 2>, units: usize) -> Tensor<B, 3> {
    let [n, d] = rows.dims();
    rows.clone().reshape([units, n / units, d])
}

/// All products of two rows of a unit, `[units, rows, rows]`.
fn inner_products<B: Backend>(rows: &Tensor<B, 2>, units: usize) -> Tensor<B, 3> {
    let rows = by_unit(rows, units);
    rows.clone().matmul(rows.swap_dims(1, 2))
}

/// `Σ_{r,s} a_rs b_rs` of each unit.
fn ghost<B: Backend>(a: Tensor<B, 3>, b: Tensor<B, 3>) -> Tensor<B, 1> {
    let units = a.dims()[0];
    (a * b).sum_dim(2).sum_dim(1).reshape([units])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::testing::inputs;
    use burn::backend::Flex;

    fn host<const D: usize>(tensor: Tensor<Flex, D>) -> Vec<f64> {
        tensor.into_data().iter::<f64>().collect()
    }

    #[track_caller]
    fn assert_close(found: Tensor<Flex, 1>, expected: &[f64]) {
        let found = host(found);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-5 * expected.abs(), "{found}, expected {expected}");
        }
    }

    /// The gradient of each unit written out, by the definition.
    fn by_loops(x: &[f64], dy: &[f64], [n, inputs, outputs]: [usize; 3], units: usize) -> Vec<f64> {
        let rows = n / units;
        let entry = |unit: usize, o: usize, i: usize| -> f64 {
            (unit * rows..(unit + 1) * rows).map(|r| dy[r * outputs + o] * x[r * inputs + i]).sum()
        };
        let square = |unit: usize| {
            (0..outputs)
                .flat_map(|o| (0..inputs).map(move |i| (o, i)))
                .map(|(o, i)| entry(unit, o, i).powi(2))
                .sum()
        };
        (0..units).map(square).collect()
    }

    /// Few rows a unit, and many; of each also more than fit in one part.
    #[test]
    fn norms_of_products() {
        let small = [(12, 7, 9, 4), (12, 7, 9, 12), (24, 3, 2, 2), (5, 6, 4, 1)];
        for (n, inputs_, outputs, units) in small.into_iter().chain([(140, 150, 150, 2), (190, 2048, 200, 1)])
        {
            let (x, dy) = (inputs(n, inputs_), inputs(n, outputs));
            let expected = by_loops(&host(x.clone()), &host(dy.clone()), [n, inputs_, outputs], units);
            assert_close(product_norms(&x, &dy, units), &expected);
            assert_close(norms_of_product(&x, &dy, units), &expected);
        }
    }

    #[test]
    fn norms_of_shifts() {
        let dy = inputs(12, 5);
        let ones = vec![1.0; 12];
        assert_close(shift_norms(&dy, 3), &by_loops(&ones, &host(dy.clone()), [12, 1, 5], 3));
    }

    /// The sum from gradients of logits that were kept, and from logits that are computed again.
    #[test]
    fn sums_of_a_head() {
        let (hidden, weight) = (inputs(12, 5), inputs(30, 5));
        let head = Head { weight, soft_cap: Some(2.0) };
        let targets: Vec<i32> = (0..12).map(|row| row * 7 % 30).collect();
        let targets = Tensor::<Flex, 1, Int>::from_ints(targets.as_slice(), &Default::default());
        let (weights, factors) = (inputs(12, 1).abs().reshape([12]), inputs(12, 1));
        let sum = |forget: bool| {
            let mut found = head_units(&hidden, &head, &targets, &weights, 4, HeadTraining::Own);
            assert!(found.kept.is_some());
            if forget {
                found.kept = None;
            }
            host(found.sum(&hidden, &head, &targets, &weights, factors.clone()))
        };
        // Weights times factors are weights, too.
        let scaled = weights.clone() * factors.clone().reshape([12]);
        let expected = crate::head::head_loss(&hidden, &head, &targets, &scaled, false).d_weight.unwrap();
        for found in [sum(false), sum(true)] {
            for (found, expected) in found.iter().zip(host(expected.clone())) {
                assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
            }
        }
    }

    /// One-hot rows in the place of the inputs of a product.
    #[test]
    fn norms_and_sums_of_tables() {
        let ids = [3usize, 0, 3, 3, 1, 0, 0, 2];
        let dy = inputs(8, 5);
        let one_hot: Vec<f64> =
            ids.iter().flat_map(|&id| (0..4).map(move |v| f64::from(u8::from(v == id)))).collect();
        let tensor: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let tensor = Tensor::<Flex, 1, Int>::from_ints(tensor.as_slice(), &Default::default());
        for units in [1, 2, 4] {
            let expected = by_loops(&one_hot, &host(dy.clone()), [8, 4, 5], units);
            assert_close(table_norms(&tensor, &dy, units), &expected);
        }
        let table = inputs(4, 5);
        let (sum, dy, table) = (host(add_rows(table.clone(), &tensor, dy.clone())), host(dy), host(table));
        for (place, found) in sum.iter().enumerate() {
            let rows = ids.iter().enumerate().filter(|row| *row.1 == place / 5);
            let expected = table[place] + rows.map(|(r, _)| dy[r * 5 + place % 5]).sum::<f64>();
            assert!((found - expected).abs() < 1e-6);
        }
    }
}
