//! Squared norms of the gradients of products on the processor: unit by unit, in parts that stay in the cache.

use std::ops::Range;

use rayon::prelude::*;

use crate::inference::sum_of_products;
use crate::product::{Old, View, multiply};
use crate::units::is_ghost_cheaper;

/// Rows of a block of products of rows.
const ROWS: usize = 64;

/// Numbers of a block of a gradient.
const GRADIENT: usize = 1 << 18;

/// A part of a unit's squared norm.
#[derive(Clone)]
enum Part {
    /// Products of the rows of one block with those of another.
    Rows(Range<usize>, Range<usize>),
    /// The gradient of some outputs.
    Outputs(Range<usize>),
}

/// See [`crate::units::product_norms`].
pub(super) fn of_product(x: View<'_>, dy: View<'_>, units: usize) -> Vec<f32> {
    let parts = parts(x.shape()[0] / units, x.shape()[1], dy.shape()[1]);
    let rows = x.shape()[0] / units;
    let tasks: Vec<_> = (0..units).flat_map(|unit| parts.iter().map(move |part| (unit, part))).collect();
    let squares = tasks.par_iter().map(|(unit, part)| {
        let own = unit * rows..(unit + 1) * rows;
        f64::from(square(x.slice_rows(own.clone()), dy.slice_rows(own), part))
    });
    let squares: Vec<f64> = squares.collect();
    squares.chunks(parts.len()).map(|of_unit| of_unit.iter().sum::<f64>() as f32).collect()
}

/// What is cheaper: all products of two rows, by pairs of blocks with no pair twice; or the gradient.
fn parts(rows: usize, inputs: usize, outputs: usize) -> Vec<Part> {
    if !is_ghost_cheaper(rows, inputs, outputs) {
        return blocks(outputs, (GRADIENT / inputs).max(1)).map(Part::Outputs).collect();
    }
    let up_to =
        |block: Range<usize>| blocks(block.end, ROWS).map(move |other| Part::Rows(block.clone(), other));
    blocks(rows, ROWS).flat_map(up_to).collect()
}

fn blocks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |first| first..(first + size).min(n))
}

fn square(x: View<'_>, dy: View<'_>, part: &Part) -> f32 {
    match part {
        Part::Rows(a, b) => {
            let both = if a == b { 1.0 } else { 2.0 };
            both * sum_of_products(&row_products(x, a, b), &row_products(dy, a, b))
        }
        Part::Outputs(outputs) => {
            let dy = dy.transposed().slice_rows(outputs.clone());
            let mut gradient = vec![0.0; outputs.len() * x.shape()[1]];
            multiply(dy, x, Old::Replaced, &mut gradient);
            sum_of_products(&gradient, &gradient)
        }
    }
}

fn row_products(of: View<'_>, a: &Range<usize>, b: &Range<usize>) -> Vec<f32> {
    let mut products = vec![0.0; a.len() * b.len()];
    multiply(of.slice_rows(a.clone()), of.slice_rows(b.clone()).transposed(), Old::Replaced, &mut products);
    products
}
