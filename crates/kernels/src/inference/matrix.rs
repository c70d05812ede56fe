//! A weight packed for products.

use rayon::prelude::*;

use super::panels::{Panels, Precision, Steps};
use super::product::COLS;

/// A weight `[n_outputs, depth]` in panels of [`COLS`] outputs.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    n_outputs: usize,
    depth: usize,
    panels: Panels<COLS>,
}

impl PackedMatrix {
    /// Packs a weight, in f32 within its own memory.
    ///
    /// # Shapes
    /// `weight` is `[n_outputs, depth]`, row-major.
    ///
    /// # Panics
    /// If it has another number of values.
    pub fn new(mut weight: Vec<f32>, [n_outputs, depth]: [usize; 2], precision: Precision) -> Self {
        assert_eq!(weight.len(), n_outputs * depth, "values of a weight of {n_outputs} by {depth}");
        let n_values = n_outputs.next_multiple_of(COLS) * depth;
        if precision == Precision::Bf16 {
            let panels = Panels::Bf16(pairs(&weight, n_outputs, depth));
            return Self { n_outputs, depth, panels };
        }
        weight.reserve_exact(n_values - weight.len());
        weight.resize(n_values, 0.0);
        weight.par_chunks_mut((COLS * depth).max(1)).for_each_init(Vec::new, |rows: &mut Vec<f32>, panel| {
            rows.clear();
            rows.extend_from_slice(panel);
            for (at, value) in panel.iter_mut().enumerate() {
                *value = rows[at % COLS * depth + at / COLS];
            }
        });
        weight.shrink_to_fit();
        let panels = Panels::F32(bytemuck::allocation::cast_vec(weight));
        Self { n_outputs, depth, panels }
    }

    /// Packs rows that stand in another matrix: `n_outputs` of them, `stride` apart, into memory already had.
    ///
    /// Outputs beyond the last in its panel are not cleared.
    pub(super) fn refill(&mut self, rows: &[f32], stride: usize, [n_outputs, depth]: [usize; 2]) {
        (self.n_outputs, self.depth) = (n_outputs, depth);
        let n_steps = self.n_steps();
        self.panels.resize(self.n_panels() * n_steps);
        for output in 0..n_outputs {
            let row = &rows[output * stride..output * stride + depth];
            self.panels.set(output / COLS * n_steps, output % COLS, 0, row);
        }
    }

    /// Number of outputs.
    pub fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    /// Number of inputs.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How its values are kept.
    pub fn precision(&self) -> Precision {
        self.panels.precision()
    }

    /// Memory that it takes.
    pub fn n_bytes(&self) -> usize {
        self.panels.n_bytes()
    }

    /// The weights of one output, as they are kept: a token's embedding, where the head is the embedding.
    ///
    /// # Panics
    /// If there is no such output, or `values` is longer than the depth.
    pub fn row(&self, output: usize, values: &mut [f32]) {
        assert!(
            output < self.n_outputs && values.len() <= self.depth,
            "output {output} of {}",
            self.n_outputs
        );
        self.panels.get(output / COLS * self.n_steps(), output % COLS, values);
    }

    pub(super) fn n_panels(&self) -> usize {
        self.n_outputs.div_ceil(COLS)
    }

    pub(super) fn n_steps(&self) -> usize {
        self.precision().n_steps(self.depth)
    }

    pub(super) fn panel(&self, panel: usize) -> Steps<'_, COLS> {
        let n_steps = self.n_steps();
        self.panels.steps(panel * n_steps..(panel + 1) * n_steps)
    }
}

fn pairs(weight: &[f32], n_outputs: usize, depth: usize) -> Vec<[u32; COLS]> {
    let n_steps = Precision::Bf16.n_steps(depth);
    let mut steps = vec![[0u32; COLS]; n_outputs.div_ceil(COLS) * n_steps];
    let rows = weight.par_chunks((COLS * depth).max(1));
    steps.par_chunks_mut(n_steps.max(1)).zip(rows).for_each(|(steps, rows)| {
        for (output, row) in rows.chunks_exact(depth).enumerate() {
            for (step, pair) in steps.iter_mut().zip(row.chunks(2)) {
                step[output] = super::panels::pair_of(pair[0], pair.get(1).copied().unwrap_or(0.0));
            }
        }
    });
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_are_kept() {
        for (n_outputs, depth) in [(1, 1), (32, 4), (70, 7)] {
            let value = |output: usize, input: usize| (output * 7 + input) as f32 / 128.0;
            let weight = |_| (0..n_outputs * depth).map(|i| value(i / depth, i % depth)).collect();
            for precision in Precision::ALL {
                let packed = PackedMatrix::new(weight(()), [n_outputs, depth], precision);
                let mut row = vec![0.0; depth];
                for output in 0..n_outputs {
                    packed.row(output, &mut row);
                    for (input, found) in row.iter().enumerate() {
                        let expected = value(output, input);
                        let most = if precision == Precision::F32 { 0.0 } else { expected / 256.0 };
                        assert!((found - expected).abs() <= most, "{found} against {expected}");
                    }
                }
            }
        }
    }
}
