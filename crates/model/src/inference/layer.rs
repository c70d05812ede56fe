//! Linear layers and norms with packed weights.

use std::sync::Arc;

use userprint_kernels::inference::{
    PackedMatrix, PackedRows, Precision, Span, Tile, add_row, multiply, multiply_add, normalise_row,
};
use userprint_kernels::norm::Centring;

use crate::DecoderConfig;
use crate::adapter::Factors;
use crate::decoder::Make;

/// Makes packed parameters at their paths.
pub(super) struct Maker<'a, 'm, E> {
    pub(super) config: &'a DecoderConfig,
    pub(super) precision: Precision,
    pub(super) make: Make<'m, E>,
}

impl<E> Maker<'_, '_, E> {
    pub(super) fn param(&mut self, path: &str, shape: &[usize]) -> Result<Vec<f32>, E> {
        (self.make)(path, shape)
    }

    pub(super) fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<PackedMatrix, E> {
        Ok(PackedMatrix::new(self.param(&format!("{name}.weight"), &shape)?, shape, self.precision))
    }

    pub(super) fn linear(
        &mut self,
        name: &str,
        shape: [usize; 2],
        has_bias: bool,
    ) -> Result<PackedLinear, E> {
        let weight = Arc::new(self.matrix(name, shape)?);
        let bias = has_bias.then(|| self.param(&format!("{name}.bias"), &shape[..1])).transpose()?;
        Ok(PackedLinear { weight, bias, adapter: None })
    }

    pub(super) fn norm(&mut self, name: &str, width: usize) -> Result<PackedNorm, E> {
        let norm = self.config.norm;
        let mut scale = self.param(&format!("{name}.weight"), &[width])?;
        scale.iter_mut().for_each(|scale| *scale += norm.offset as f32);
        let has_shift = norm.centring == Centring::Mean;
        let shift = has_shift.then(|| self.param(&format!("{name}.bias"), &[width])).transpose()?;
        Ok(PackedNorm { centring: norm.centring, epsilon: norm.epsilon as f32, scale, shift })
    }
}

/// A weight with or without bias and adapter.
#[derive(Clone)]
pub(super) struct PackedLinear {
    weight: Arc<PackedMatrix>,
    bias: Option<Vec<f32>>,
    adapter: Option<PackedAdapter>,
}

/// A low-rank change of a weight.
#[derive(Clone)]
struct PackedAdapter {
    /// `[r, in]`, times the change's factor.
    a: Arc<PackedMatrix>,
    /// `[out, r]`
    b: Arc<PackedMatrix>,
}

impl PackedLinear {
    /// `[out, in]`
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.weight.n_outputs(), self.weight.depth()]
    }

    pub(super) fn adapt(&mut self, factors: &Factors, precision: Precision) {
        let [outputs, inputs] = self.shape();
        let scaled = factors.a.iter().map(|a| a * factors.scale as f32).collect();
        self.adapter = Some(PackedAdapter {
            a: Arc::new(PackedMatrix::new(scaled, [factors.rank, inputs], precision)),
            b: Arc::new(PackedMatrix::new(factors.b.clone(), [outputs, factors.rank], precision)),
        });
    }

    /// The inputs of an adapter's second factor; `low` holds them.
    pub(super) fn prepare<'a>(&'a self, rows: &PackedRows, low: &'a mut PackedRows) -> Option<Change<'a>> {
        let adapter = self.adapter.as_ref()?;
        low.resize(rows.n_rows(), adapter.a.n_outputs());
        multiply(rows, &adapter.a, |span, tile| low.set_tile(span, tile));
        Some(Change { low, b: &adapter.b })
    }

    /// Calls `each` with every tile of the outputs.
    pub(super) fn forward(
        &self,
        rows: &PackedRows,
        low: &mut PackedRows,
        mut each: impl FnMut(Span, &mut Tile),
    ) {
        let change = self.prepare(rows, low);
        multiply(rows, &self.weight, |span, tile| {
            self.finish(change.as_ref(), span, tile);
            each(span, tile);
        });
    }

    /// A tile of the outputs that stands where another layer's does.
    pub(super) fn tile(&self, rows: &PackedRows, change: Option<&Change<'_>>, span: Span) -> Tile {
        let mut tile = Tile::default();
        multiply_add(rows, &self.weight, span, &mut tile);
        self.finish(change, span, &mut tile);
        tile
    }

    fn finish(&self, change: Option<&Change<'_>>, span: Span, tile: &mut Tile) {
        if let Some(change) = change {
            multiply_add(change.low, change.b, span, tile);
        }
        if let Some(bias) = &self.bias {
            add_row(tile, &bias[span.col..span.col + span.n_cols]);
        }
    }

    /// Writes the outputs as rows.
    pub(super) fn write(&self, rows: &PackedRows, low: &mut PackedRows, to: &mut [f32]) {
        let width = self.weight.n_outputs();
        self.forward(rows, low, |span, tile| {
            for (i, values) in tile.iter().enumerate().take(span.n_rows) {
                to[(span.row + i) * width + span.col..][..span.n_cols]
                    .copy_from_slice(&values[..span.n_cols]);
            }
        });
    }

    /// Adds the outputs to rows.
    pub(super) fn add(&self, rows: &PackedRows, low: &mut PackedRows, to: &mut [f32]) {
        let width = self.weight.n_outputs();
        self.forward(rows, low, |span, tile| {
            for (i, values) in tile.iter().enumerate().take(span.n_rows) {
                let to = &mut to[(span.row + i) * width + span.col..][..span.n_cols];
                to.iter_mut().zip(values).for_each(|(to, value)| *to += value);
            }
        });
    }
}

/// What an adapter adds to the tiles of one product.
pub(super) struct Change<'a> {
    low: &'a PackedRows,
    b: &'a PackedMatrix,
}

/// A norm with its scale, and its shift where it has one.
#[derive(Clone)]
pub(super) struct PackedNorm {
    centring: Centring,
    epsilon: f32,
    scale: Vec<f32>,
    shift: Option<Vec<f32>>,
}

impl PackedNorm {
    /// Writes a row normalised.
    pub(super) fn apply(&self, x: &[f32], y: &mut Vec<f32>) {
        y.resize(x.len(), 0.0);
        normalise_row(x, self.centring, self.epsilon, &self.scale, self.shift.as_deref(), y);
    }

    /// Normalises rows into packed ones.
    pub(super) fn pack(&self, x: &[f32], rows: &mut PackedRows, row: &mut Vec<f32>) {
        let width = self.scale.len();
        rows.resize(x.len() / width, width);
        for (i, x) in x.chunks_exact(width).enumerate() {
            self.apply(x, row);
            rows.set(i, row);
        }
    }
}
