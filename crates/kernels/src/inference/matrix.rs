//! A weight packed for products.

use rayon::prelude::*;

use super::panels::{COLS, Lines, Panels, Steps};
use super::precision::{Precision, floats_of, pair_of};

/// A weight `[n_outputs, depth]` in panels of [`COLS`] outputs.
#[derive(Debug)]
pub struct PackedMatrix {
    n_outputs: usize,
    depth: usize,
    panels: Panels,
}

impl PackedMatrix {
    /// Packs a weight, in f32 within its own memory.
    ///
    /// # Shapes
    /// `weight` is `[n_outputs, depth]`, row-major.
    ///
    /// # Panics
    /// If it has another number of values.
    pub fn new(weight: Vec<f32>, [n_outputs, depth]: [usize; 2], precision: Precision) -> Self {
        assert_eq!(weight.len(), n_outputs * depth, "values of a weight of {n_outputs} by {depth}");
        let n_steps = n_outputs.div_ceil(COLS) * Panels::n_steps(precision, depth);
        let panels = match precision {
            Precision::F32 => Panels::F32(transpose(Lines::from_words(weight, n_steps), depth)),
            Precision::Bf16 => Panels::Bf16(pairs(&weight, n_outputs, depth)),
        };
        Self { n_outputs, depth, panels }
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

    /// The weights of one output, as they are kept: a token's embedding, where the head is the embedding.
    ///
    /// # Panics
    /// If there is no such output, or `values` is longer than the depth.
    pub fn row(&self, output: usize, values: &mut [f32]) {
        let n = self.n_outputs;
        assert!(output < n && values.len() <= self.depth, "output {output} of {n}");
        let at = output % COLS;
        match self.panel(output / COLS) {
            Steps::F32(steps) => values.iter_mut().zip(steps).for_each(|(value, step)| *value = step[at]),
            Steps::Bf16(steps) => {
                for (values, step) in values.chunks_mut(2).zip(steps) {
                    let (low, high) = floats_of(step[at]);
                    values.iter_mut().zip([low, high]).for_each(|(value, x)| *value = x);
                }
            }
        }
    }

    pub(super) fn n_panels(&self) -> usize {
        self.n_outputs.div_ceil(COLS)
    }

    pub(super) fn panel(&self, panel: usize) -> Steps<'_> {
        let n_steps = Panels::n_steps(self.precision(), self.depth);
        self.panels.steps(panel * n_steps..(panel + 1) * n_steps)
    }
}

/// From rows of weights, one after the other, to steps of panels.
fn transpose(mut lines: Lines<f32>, depth: usize) -> Lines<f32> {
    let panels = lines.steps_mut().par_chunks_mut(depth.max(1));
    panels.for_each_init(Vec::new, |rows: &mut Vec<f32>, steps| {
        rows.clear();
        rows.extend_from_slice(steps.as_flattened());
        for (at, step) in steps.iter_mut().enumerate() {
            step.iter_mut().enumerate().for_each(|(output, value)| *value = rows[output * depth + at]);
        }
    });
    lines
}

fn pairs(weight: &[f32], n_outputs: usize, depth: usize) -> Lines<u32> {
    let n_steps = Panels::n_steps(Precision::Bf16, depth);
    let mut lines = Lines::zeros(n_outputs.div_ceil(COLS) * n_steps);
    let rows = weight.par_chunks((COLS * depth).max(1));
    lines.steps_mut().par_chunks_mut(n_steps.max(1)).zip(rows).for_each(|(steps, rows)| {
        for (output, row) in rows.chunks_exact(depth).enumerate() {
            for (step, pair) in steps.iter_mut().zip(row.chunks(2)) {
                step[output] = pair_of(pair[0], pair.get(1).copied().unwrap_or(0.0));
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_are_kept() {
        for (n_outputs, depth) in [(1, 1), (32, 4), (70, 7), (33, 65)] {
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
