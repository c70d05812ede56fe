//! One way through the layers: which rows are whose, and the memory for what stands between.

use std::ops::Range;

use userprint_kernels::inference::{Attention, Heads, PackedRows, Precision};

use crate::scoring_model::Sequence;
use crate::{DecoderConfig, Positions};

/// What the blocks of one pass share.
pub(super) struct Pass<'a> {
    pub(super) config: &'a DecoderConfig,
    pub(super) heads: Heads,
    /// Rows of each sequence.
    pub(super) spans: Vec<Range<usize>>,
    pub(super) n_rows: usize,
    /// Cosines and sines of each row's position, `[n_rows, half]`; none where positions are learned.
    pub(super) turns: Option<Turns>,
}

/// Cosines and sines of rotary positions.
pub(super) struct Turns {
    pub(super) half: usize,
    pub(super) cos: Vec<f32>,
    pub(super) sin: Vec<f32>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(config: &'a DecoderConfig, sequences: &[Sequence<'_>]) -> Self {
        let mut n_rows = 0;
        let spans = sequences.iter().map(|sequence| {
            let start = n_rows;
            n_rows += sequence.ids.len() - 1;
            start..n_rows
        });
        let spans: Vec<Range<usize>> = spans.collect();
        let turns = match &config.positions {
            Positions::Rotary(rotary) => {
                let mut turns = Turns { half: rotary.width / 2, cos: Vec::new(), sin: Vec::new() };
                for sequence in sequences {
                    let (cos, sin) = rotary.table(sequence.ids.len(), sequence.ids.len() - 1);
                    turns.cos.extend(cos);
                    turns.sin.extend(sin);
                }
                Some(turns)
            }
            Positions::Learned { .. } => None,
        };
        let heads = Heads {
            n_heads: config.n_heads,
            n_kv_heads: config.n_kv_heads,
            width: config.head_width,
            scale: config.attention_scale as f32,
            soft_cap: config.attention_soft_cap.map(|cap| cap as f32),
        };
        Self { config, heads, spans, n_rows, turns }
    }
}

/// Memory that a pass works in and the next one takes over.
pub(super) struct Scratch {
    /// The stream, `[n_rows, d]`.
    pub(super) x: Vec<f32>,
    pub(super) q: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
    /// What attention makes of them.
    pub(super) mixed: Vec<f32>,
    pub(super) attention: Attention,
    /// Inputs of a product.
    pub(super) rows: PackedRows,
    /// Inside the MLP.
    pub(super) inside: PackedRows,
    /// Between the factors of an adapter.
    pub(super) low: PackedRows,
    pub(super) gate_low: PackedRows,
    /// Outputs that a norm follows.
    pub(super) y: Vec<f32>,
    /// One row.
    pub(super) row: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(precision: Precision) -> Self {
        let rows = || PackedRows::new(precision);
        Self {
            x: Vec::new(),
            q: Vec::new(),
            k: Vec::new(),
            v: Vec::new(),
            mixed: Vec::new(),
            attention: Attention::new(precision),
            rows: rows(),
            inside: rows(),
            low: rows(),
            gate_low: rows(),
            y: Vec::new(),
            row: Vec::new(),
        }
    }
}
