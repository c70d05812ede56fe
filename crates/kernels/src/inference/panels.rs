//! Panels: outputs side by side, so that one step along their depth reads neighbours.

use super::precision::Precision;

/// Outputs of a panel.
pub const COLS: usize = 32;
/// Words of 32 bits in a cache line and in a register of AVX-512.
pub(super) const WORDS: usize = 16;

/// Steps of panels, one panel after the other. In bf16 a step holds a pair of numbers of each output.
#[derive(Debug)]
pub(super) enum Panels {
    F32(Lines<f32>),
    Bf16(Lines<u32>),
}

/// Some steps of panels.
#[derive(Clone, Copy, Debug)]
pub(super) enum Steps<'a> {
    F32(&'a [[f32; COLS]]),
    Bf16(&'a [[u32; COLS]]),
}

impl Steps<'_> {
    pub(super) fn precision(self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::Bf16(_) => Precision::Bf16,
        }
    }
}

impl Panels {
    pub(super) fn new(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32(Lines::default()),
            Precision::Bf16 => Self::Bf16(Lines::default()),
        }
    }

    /// Makes room for at least as many steps; what stands in them is not defined.
    pub(super) fn reserve(&mut self, n_steps: usize) {
        match self {
            Self::F32(lines) => lines.reserve(n_steps),
            Self::Bf16(lines) => lines.reserve(n_steps),
        }
    }

    /// Steps of a panel of this depth. In bf16 they are whole lines of the rows, as tiles are loaded.
    pub(super) fn n_steps(precision: Precision, depth: usize) -> usize {
        match precision {
            Precision::F32 => depth,
            Precision::Bf16 => depth.div_ceil(2 * WORDS) * WORDS,
        }
    }

    pub(super) fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::Bf16(_) => Precision::Bf16,
        }
    }

    pub(super) fn steps(&self, range: std::ops::Range<usize>) -> Steps<'_> {
        match self {
            Self::F32(lines) => Steps::F32(&lines.steps()[range]),
            Self::Bf16(lines) => Steps::Bf16(&lines.steps()[range]),
        }
    }
}

/// Steps that begin with a cache line, so that no load of a register touches two.
#[derive(Debug, Default)]
pub(super) struct Lines<T> {
    words: Vec<T>,
    start: usize,
}

impl<T: Copy + Default> Lines<T> {
    pub(super) fn zeros(n_steps: usize) -> Self {
        Self::from_words(Vec::new(), n_steps)
    }

    /// These words at the front of as many steps, within their own memory if it has the room.
    pub(super) fn from_words(mut words: Vec<T>, n_steps: usize) -> Self {
        let n_words = words.len();
        let needed = n_steps * COLS + WORDS;
        words.reserve_exact(needed.saturating_sub(n_words));
        words.resize(needed, T::default());
        let start = words.as_ptr().align_offset(WORDS * size_of::<T>()).min(WORDS);
        words.copy_within(..n_words, start);
        words.truncate(start + n_steps * COLS);
        Self { words, start }
    }

    /// Makes room for at least as many steps; what stands in them is not defined.
    pub(super) fn reserve(&mut self, n_steps: usize) {
        if self.words.len() < self.start + n_steps * COLS {
            *self = Self::zeros(n_steps);
        }
    }

    pub(super) fn steps(&self) -> &[[T; COLS]] {
        self.words[self.start..].as_chunks().0
    }

    pub(super) fn steps_mut(&mut self) -> &mut [[T; COLS]] {
        self.words[self.start..].as_chunks_mut().0
    }
}
