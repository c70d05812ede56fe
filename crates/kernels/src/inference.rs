//! What a forward pass on the processor is made of: packed weights, their products with rows, attention, the head.
//!
//! No tensor and no gradient: weights lie in panels as the innermost loop reads them, in f32 or bf16,
//! and what follows a product is done to each tile of it while that is still in the first-level cache.
//! Every sum is in f32, and a row's numbers do not depend on the rows beside it.

mod attention;
mod head;
mod lanes;
mod matrix;
mod panels;
mod portable;
mod precision;
mod product;
mod rows;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use attention::{Attention, Heads};
pub use head::{TokenScore, VocabularyHead};
pub use lanes::{PointFunction, add_row, multiply_by, normalise_row, turn_pairs};
#[cfg(feature = "cpu")]
pub(crate) use lanes::{apply, exp_less_max, exp_row_less_max, sigmoid_of_twice_u, sum_of, sum_of_products};
pub use matrix::PackedMatrix;
pub use panels::COLS;
pub use precision::Precision;
pub use product::{ROWS, Span, Tile, multiply, multiply_add};
pub use rows::PackedRows;
