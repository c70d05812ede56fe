//! Rotary positions: pairs of numbers turned by an angle that grows with the position.

use burn::tensor::{Tensor, backend::Backend};

use crate::KernelBackend;
use crate::backend::{unwrap, wrap};

/// Cosines and sines of the angles of each position.
#[derive(Clone, Debug)]
pub struct Rotations<B: Backend> {
    /// `[n, half]`, with `n` the positions of one sequence, or those of all sequences of a batch.
    pub cos: Tensor<B, 2>,
    /// As `cos`.
    pub sin: Tensor<B, 2>,
}

impl<B: KernelBackend> Rotations<B> {
    /// Turns the first `2 half` numbers of each head, pairs `(i, i + half)`; the others stay.
    ///
    /// # Shapes
    /// `x` and the result are `[b · t · heads, d_head]`, heads varying fastest.
    ///
    /// # Reference
    /// Su et al., arXiv:2104.09864v5, eq. 34, in the order of pairs that checkpoints of transformers have.
    pub fn turn(&self, x: Tensor<B, 2>, heads: usize) -> Tensor<B, 2> {
        wrap(B::rotate(unwrap(x), unwrap(self.cos.clone()), unwrap(self.sin.clone()), heads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::testing::{assert_same_gradients, inputs};
    use burn::backend::{Autodiff, Flex};

    type Tracked = Autodiff<Flex>;

    fn rotations(n: usize, half: usize) -> Rotations<Tracked> {
        let angles: Tensor<Tracked, 2> = Tensor::from_inner(inputs(n, half));
        Rotations { cos: angles.clone().cos(), sin: angles.sin() }
    }

    /// Two heads, two sequences of three positions; two of the six numbers stay.
    #[test]
    fn value_and_gradient_agree_with_autodiff_of_the_formula() {
        let (t, heads, half) = (3, 2, 2);
        let rotations = rotations(t, half);
        let formula = |x: Tensor<Tracked, 2>| {
            let column = |i: usize| x.clone().slice([0..12, i..i + 1]);
            let angle = |table: &Tensor<Tracked, 2>, i: usize| {
                let rows = (0..12).map(|r| (r / heads) % t);
                Tensor::cat(rows.map(|p| table.clone().slice([p..p + 1, i..i + 1])).collect(), 0)
            };
            let turned = |i: usize| {
                let (a, b) = (column(i), column(i + half));
                let (cos, sin) = (angle(&rotations.cos, i), angle(&rotations.sin, i));
                (a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos + a * sin)
            };
            let ((a0, b0), (a1, b1)) = (turned(0), turned(1));
            Tensor::cat(vec![a0, a1, b0, b1, column(4), column(5)], 1)
        };
        assert_same_gradients(inputs(12, 6), |x| rotations.turn(x, heads), formula);
    }
}
