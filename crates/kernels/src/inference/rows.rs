//! Rows packed for products: the inputs of a layer.

use multiversion::multiversion;

use super::panels::{COLS, WORDS};
use super::precision::{Precision, set_pairs};
use super::product::{ROWS, Span, Tile};

// Tiles begin where blocks do.
const _: () = assert!(COLS.is_multiple_of(2 * WORDS));

/// One cache line of each row of a panel.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Block<T>(pub(super) [[T; WORDS]; ROWS]);

/// Rows `[n_rows, depth]` in panels of [`ROWS`]; the memory is kept from one use to the next.
#[derive(Debug)]
pub struct PackedRows {
    n_rows: usize,
    depth: usize,
    blocks: Blocks,
}

#[derive(Debug)]
enum Blocks {
    F32(Vec<Block<f32>>),
    Bf16(Vec<Block<u32>>),
}

/// The rows of one panel.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowPanel<'a> {
    /// Rows that are there: the others hold what was there before.
    pub(super) n_rows: usize,
    pub(super) blocks: RowBlocks<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum RowBlocks<'a> {
    F32(&'a [Block<f32>]),
    Bf16(&'a [Block<u32>]),
}

impl PackedRows {
    /// No rows yet.
    pub fn new(precision: Precision) -> Self {
        let blocks = match precision {
            Precision::F32 => Blocks::F32(Vec::new()),
            Precision::Bf16 => Blocks::Bf16(Vec::new()),
        };
        Self { n_rows: 0, depth: 0, blocks }
    }

    /// Makes room for rows, whose numbers are all to be set.
    pub fn resize(&mut self, n_rows: usize, depth: usize) {
        (self.n_rows, self.depth) = (n_rows, depth);
        let n_blocks = self.n_panels() * self.n_blocks();
        match &mut self.blocks {
            Blocks::F32(blocks) => blocks.resize(n_blocks, Block([[0.0; WORDS]; ROWS])),
            Blocks::Bf16(blocks) => blocks.resize(n_blocks, Block([[0; WORDS]; ROWS])),
        }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Numbers of a row.
    pub fn depth(&self) -> usize {
        self.depth
    }

    fn precision(&self) -> Precision {
        match self.blocks {
            Blocks::F32(_) => Precision::F32,
            Blocks::Bf16(_) => Precision::Bf16,
        }
    }

    /// Sets a whole row.
    ///
    /// # Panics
    /// If there is no such row, or it has another number of values.
    pub fn set(&mut self, row: usize, values: &[f32]) {
        assert!(row < self.n_rows && values.len() == self.depth, "row {row} of {}", self.n_rows);
        let first = row / ROWS * self.n_blocks();
        set_rows(&mut self.blocks, first, row % ROWS, std::iter::once(values));
    }

    /// Sets the rows and the numbers of them that a tile of a product covers.
    ///
    /// # Panics
    /// If it reaches outside.
    pub fn set_tile(&mut self, span: Span, tile: &Tile) {
        let (rows, depth) = (span.row + span.n_rows, span.col + span.n_cols);
        assert!(
            rows <= self.n_rows && depth <= self.depth,
            "{span:?} of {} rows of {}",
            self.n_rows,
            self.depth
        );
        let first = span.row / ROWS * self.n_blocks() + span.col / self.per_block();
        let rows = tile[..span.n_rows].iter().map(|values| &values[..span.n_cols]);
        set_rows(&mut self.blocks, first, 0, rows);
    }

    /// Numbers of a row in one block.
    fn per_block(&self) -> usize {
        WORDS * self.precision().per_word()
    }

    fn n_blocks(&self) -> usize {
        self.depth.div_ceil(self.per_block())
    }

    pub(super) fn n_panels(&self) -> usize {
        self.n_rows.div_ceil(ROWS)
    }

    /// Bytes of a panel.
    pub(super) fn panel_bytes(&self) -> usize {
        self.n_blocks() * size_of::<Block<u32>>()
    }

    pub(super) fn panel(&self, panel: usize) -> RowPanel<'_> {
        let range = panel * self.n_blocks()..(panel + 1) * self.n_blocks();
        let blocks = match &self.blocks {
            Blocks::F32(blocks) => RowBlocks::F32(&blocks[range]),
            Blocks::Bf16(blocks) => RowBlocks::Bf16(&blocks[range]),
        };
        RowPanel { n_rows: ROWS.min(self.n_rows - panel * ROWS), blocks }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn set_rows<'a, I: Iterator<Item = &'a [f32]>>(blocks: &mut Blocks, first: usize, row: usize, rows: I) {
    for (values, row) in rows.zip(row..) {
        blocks.set(first, row, values);
    }
}

impl Blocks {
    /// Writes numbers of a row from the beginning of a block on, and zeros to the end of the last.
    #[inline(always)]
    fn set(&mut self, first: usize, row: usize, values: &[f32]) {
        match self {
            Self::F32(blocks) => {
                for (block, values) in blocks[first..].iter_mut().zip(values.chunks(WORDS)) {
                    let (line, rest) = block.0[row].split_at_mut(values.len());
                    line.copy_from_slice(values);
                    rest.fill(0.0);
                }
            }
            Self::Bf16(blocks) => {
                for (block, values) in blocks[first..].iter_mut().zip(values.chunks(2 * WORDS)) {
                    if let Some(values) = values.as_array::<{ 2 * WORDS }>() {
                        set_pairs(&mut block.0[row], values);
                    } else {
                        block.0[row] = [0; WORDS];
                        set_pairs(&mut block.0[row], values);
                    }
                }
            }
        }
    }
}
