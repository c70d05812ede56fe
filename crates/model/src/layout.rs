//! How a parameter lies in a checkpoint's tensor.

/// How a parameter, `[out, in]` or `[out]` here, lies in a checkpoint's tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As here.
    Plain,
    /// `[in, out]`.
    Transposed,
    /// The `index`-th third of the outputs of a tensor `[in, 3 out]`.
    TransposedThird {
        /// 0 to 2.
        index: usize,
    },
    /// The `index`-th third of each head's outputs of a tensor `[3 out, in]`.
    HeadThird {
        /// 0 to 2.
        index: usize,
    },
}

impl Layout {
    /// Shape of the checkpoint's tensor.
    pub(crate) fn stored_shape(self, shape: &[usize]) -> Vec<usize> {
        let mut stored = shape.to_vec();
        stored[0] = self.n_stored_outputs(shape[0]);
        if self.is_transposed() {
            stored.reverse();
        }
        stored
    }

    /// Outputs of the checkpoint's tensor.
    pub(crate) fn n_stored_outputs(self, n_outputs: usize) -> usize {
        if matches!(self, Self::Plain | Self::Transposed) { n_outputs } else { 3 * n_outputs }
    }

    /// Whether a matrix has its inputs first.
    pub(crate) fn is_transposed(self) -> bool {
        matches!(self, Self::Transposed | Self::TransposedThird { .. })
    }

    /// Which output of the checkpoint's tensor one of ours is.
    pub(crate) fn stored_output(self, output: usize, n_outputs: usize, head_width: usize) -> usize {
        match self {
            Self::Plain | Self::Transposed => output,
            Self::TransposedThird { index } => index * n_outputs + output,
            Self::HeadThird { index } => {
                let (head, within) = (output / head_width, output % head_width);
                (head * 3 + index) * head_width + within
            }
        }
    }

    /// Calls `each` with the place of every number here and there.
    fn places(self, shape: &[usize], head_width: usize, mut each: impl FnMut(usize, usize)) {
        let (outputs, inputs) = (shape[0], shape.get(1).copied().unwrap_or(1));
        let stored = self.stored_shape(shape);
        let (by_output, by_input) = match self.is_transposed() && shape.len() == 2 {
            true => (1, stored[1]),
            false => (inputs, 1),
        };
        for output in 0..outputs {
            let there = self.stored_output(output, outputs, head_width) * by_output;
            for input in 0..inputs {
                each(output * inputs + input, there + input * by_input);
            }
        }
    }

    /// The parameter's numbers out of the checkpoint's.
    pub(crate) fn take(self, stored: Vec<f32>, shape: &[usize], head_width: usize) -> Vec<f32> {
        if self == Self::Plain {
            return stored;
        }
        let mut values = vec![0.0; shape.iter().product()];
        self.places(shape, head_width, |here, there| values[here] = stored[there]);
        values
    }

    /// Puts the parameter's numbers among the checkpoint's.
    pub(crate) fn put(self, values: &[f32], shape: &[usize], head_width: usize, stored: &mut [f32]) {
        self.places(shape, head_width, |here, there| stored[there] = values[here]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two outputs, three inputs; what the checkpoint holds counts up.
    #[track_caller]
    fn check(layout: Layout, stored_shape: &[usize], expected: &[f32]) {
        let shape = [2, 3];
        assert_eq!(layout.stored_shape(&shape), stored_shape);
        let stored: Vec<f32> = (0..stored_shape.iter().product::<usize>()).map(|i| i as f32).collect();
        let values = layout.take(stored.clone(), &shape, 1);
        assert_eq!(values, expected);
        let mut back = vec![-1.0; stored.len()];
        layout.put(&values, &shape, 1, &mut back);
        assert!(back.iter().zip(&stored).all(|(back, stored)| *back == -1.0 || back == stored));
        assert_eq!(back.iter().filter(|x| **x >= 0.0).count(), values.len());
    }

    #[test]
    fn transposed_swaps_rows_and_columns() {
        check(Layout::Plain, &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        check(Layout::Transposed, &[3, 2], &[0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    }

    #[test]
    fn thirds_are_side_by_side_or_by_head() {
        check(Layout::TransposedThird { index: 1 }, &[3, 6], &[2.0, 8.0, 14.0, 3.0, 9.0, 15.0]);
        check(Layout::HeadThird { index: 2 }, &[6, 3], &[6.0, 7.0, 8.0, 15.0, 16.0, 17.0]);
    }

    #[test]
    fn biases_have_thirds_too() {
        let stored = (0..12).map(|i| i as f32).collect::<Vec<_>>();
        let third = |layout: Layout| layout.take(stored.clone(), &[4], 2);
        assert_eq!(third(Layout::TransposedThird { index: 2 }), [8.0, 9.0, 10.0, 11.0]);
        assert_eq!(third(Layout::HeadThird { index: 1 }), [2.0, 3.0, 8.0, 9.0]);
    }
}
