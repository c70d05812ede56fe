//! A block with packed weights.

use userprint_kernels::attention::Mask;
use userprint_kernels::inference::{PackedRows, PointFunction, multiply_by, turn_pairs};

use super::PASS_TOKENS;
use super::layer::{Maker, PackedLinear, PackedNorm};
use super::pass::{Pass, Scratch, Turns};
use crate::{Activation, Residual};

/// One block: attention and an MLP, each after a norm and added to the stream.
#[derive(Clone)]
pub(super) struct PackedBlock {
    ln_1: PackedNorm,
    q_proj: PackedLinear,
    k_proj: PackedLinear,
    v_proj: PackedLinear,
    q_norm: Option<PackedNorm>,
    k_norm: Option<PackedNorm>,
    out_proj: PackedLinear,
    post_1: Option<PackedNorm>,
    ln_2: PackedNorm,
    gate_proj: Option<PackedLinear>,
    up_proj: PackedLinear,
    down_proj: PackedLinear,
    post_2: Option<PackedNorm>,
}

impl PackedBlock {
    pub(super) fn make<E>(maker: &mut Maker<'_, '_, E>, name: &str) -> Result<Self, E> {
        let config = maker.config;
        let (d, inside, parts) = (config.width, config.mlp_width, config.parts);
        let queries = config.n_heads * config.head_width;
        let keys = config.n_kv_heads * config.head_width;
        let path = |part: &str| format!("{name}.{part}");
        let norm = |maker: &mut Maker<'_, '_, E>, is_there: bool, part: &str, width| {
            is_there.then(|| maker.norm(&path(part), width)).transpose()
        };
        Ok(Self {
            ln_1: maker.norm(&path("ln_1"), d)?,
            q_proj: maker.linear(&path("attn.q_proj"), [queries, d], parts.q_k_v_bias)?,
            k_proj: maker.linear(&path("attn.k_proj"), [keys, d], parts.q_k_v_bias)?,
            v_proj: maker.linear(&path("attn.v_proj"), [keys, d], parts.q_k_v_bias)?,
            q_norm: norm(maker, parts.q_k_norm, "attn.q_norm", config.head_width)?,
            k_norm: norm(maker, parts.q_k_norm, "attn.k_norm", config.head_width)?,
            out_proj: maker.linear(&path("attn.out_proj"), [d, queries], parts.out_bias)?,
            post_1: norm(maker, parts.post_norms, "post_1", d)?,
            ln_2: maker.norm(&path("ln_2"), d)?,
            gate_proj: match parts.gate {
                true => Some(maker.linear(&path("mlp.gate_proj"), [inside, d], parts.mlp_bias)?),
                false => None,
            },
            up_proj: maker.linear(&path("mlp.up_proj"), [inside, d], parts.mlp_bias)?,
            down_proj: maker.linear(&path("mlp.down_proj"), [d, inside], parts.mlp_bias)?,
            post_2: norm(maker, parts.post_norms, "post_2", d)?,
        })
    }

    /// The linear layers by path within the block, in the order of [`crate::layers::Block::linears`].
    pub(super) fn linears_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut PackedLinear)> {
        let linears = [
            ("attn.q_proj", Some(&mut self.q_proj)),
            ("attn.k_proj", Some(&mut self.k_proj)),
            ("attn.v_proj", Some(&mut self.v_proj)),
            ("attn.out_proj", Some(&mut self.out_proj)),
            ("mlp.gate_proj", self.gate_proj.as_mut()),
            ("mlp.up_proj", Some(&mut self.up_proj)),
            ("mlp.down_proj", Some(&mut self.down_proj)),
        ];
        linears.into_iter().filter_map(|(name, linear)| Some((name, linear?)))
    }

    /// Takes the stream through the block.
    pub(super) fn forward(&self, pass: &Pass<'_>, mask: Mask, scratch: &mut Scratch) {
        self.attend(pass, mask, scratch);
        let d = pass.config.width;
        let wide = pass.heads.n_heads * pass.heads.width;
        for first in (0..pass.n_rows).step_by(PASS_TOKENS) {
            let rows = first..(first + PASS_TOKENS).min(pass.n_rows);
            let Scratch { x, mixed, rows: inputs, inside, low, gate_low, y, row, .. } = scratch;
            let x = &mut x[rows.start * d..rows.end * d];
            if pass.config.residual == Residual::Parallel {
                // The MLP reads the stream from before attention.
                self.ln_2.pack(x, inputs, row);
                self.open_mlp(pass.config.activation, inputs, inside, low, gate_low);
            }
            inputs.resize(rows.len(), wide);
            for (i, values) in mixed[rows.start * wide..rows.end * wide].chunks_exact(wide).enumerate() {
                inputs.set(i, values);
            }
            add_after(&self.out_proj, self.post_1.as_ref(), inputs, low, x, y, row);
            if pass.config.residual == Residual::Sequential {
                self.ln_2.pack(x, inputs, row);
                self.open_mlp(pass.config.activation, inputs, inside, low, gate_low);
            }
            add_after(&self.down_proj, self.post_2.as_ref(), inside, low, x, y, row);
        }
    }

    /// Queries, keys and values of all rows, and what attention makes of them.
    fn attend(&self, pass: &Pass<'_>, mask: Mask, scratch: &mut Scratch) {
        let (n, d, heads) = (pass.n_rows, pass.config.width, &pass.heads);
        let [wide, narrow] = [heads.n_heads, heads.n_kv_heads].map(|heads_of| heads_of * heads.width);
        let Scratch { x, q, k, v, mixed, attention, rows: inputs, low, row, .. } = scratch;
        for (buffer, width) in [(&mut *q, wide), (&mut *k, narrow), (&mut *v, narrow), (&mut *mixed, wide)] {
            buffer.resize(n * width, 0.0);
        }
        for first in (0..n).step_by(PASS_TOKENS) {
            let rows = first..(first + PASS_TOKENS).min(n);
            self.ln_1.pack(&x[rows.start * d..rows.end * d], inputs, row);
            self.q_proj.write(inputs, low, &mut q[rows.start * wide..rows.end * wide]);
            self.k_proj.write(inputs, low, &mut k[rows.start * narrow..rows.end * narrow]);
            self.v_proj.write(inputs, low, &mut v[rows.start * narrow..rows.end * narrow]);
        }
        place(q, heads.n_heads, heads.width, self.q_norm.as_ref(), pass.turns.as_ref(), row);
        place(k, heads.n_kv_heads, heads.width, self.k_norm.as_ref(), pass.turns.as_ref(), row);
        for span in &pass.spans {
            let part = |width: usize| span.start * width..span.end * width;
            let (q, k, v) = (&q[part(wide)], &k[part(narrow)], &v[part(narrow)]);
            attention.attend(heads, mask, [q, k, v], &mut mixed[part(wide)]);
        }
    }

    /// The inside of the MLP, as inputs of its last layer.
    fn open_mlp(
        &self,
        activation: Activation,
        inputs: &PackedRows,
        inside: &mut PackedRows,
        low: &mut PackedRows,
        gate_low: &mut PackedRows,
    ) {
        inside.resize(inputs.n_rows(), self.up_proj.shape()[0]);
        let function = activation.point_function();
        let Some(gate) = &self.gate_proj else {
            self.up_proj.forward(inputs, low, |span, tile| {
                function.apply(tile);
                inside.set_tile(span, tile);
            });
            return;
        };
        let change = gate.prepare(inputs, gate_low);
        self.up_proj.forward(inputs, low, |span, tile| {
            let mut gated = gate.tile(inputs, change.as_ref(), span);
            function.apply(&mut gated);
            multiply_by(tile, &gated);
            inside.set_tile(span, tile);
        });
    }
}

/// Adds a layer's outputs to the stream, after a norm where there is one.
fn add_after(
    layer: &PackedLinear,
    norm: Option<&PackedNorm>,
    inputs: &PackedRows,
    low: &mut PackedRows,
    x: &mut [f32],
    y: &mut Vec<f32>,
    row: &mut Vec<f32>,
) {
    let Some(norm) = norm else {
        layer.add(inputs, low, x);
        return;
    };
    let width = layer.shape()[0];
    y.resize(x.len(), 0.0);
    layer.write(inputs, low, y);
    for (x, y) in x.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
        norm.apply(y, row);
        x.iter_mut().zip(row.iter()).for_each(|(x, y)| *x += y);
    }
}

/// Normalises and turns each head of queries or keys, where the family does.
fn place(
    heads: &mut [f32],
    n_heads: usize,
    width: usize,
    norm: Option<&PackedNorm>,
    turns: Option<&Turns>,
    row: &mut Vec<f32>,
) {
    if norm.is_none() && turns.is_none() {
        return;
    }
    for (i, head) in heads.chunks_exact_mut(width).enumerate() {
        if let Some(norm) = norm {
            norm.apply(head, row);
            head.copy_from_slice(row);
        }
        if let Some(turns) = turns {
            let angles = i / n_heads * turns.half..(i / n_heads + 1) * turns.half;
            turn_pairs(head, &turns.cos[angles.clone()], &turns.sin[angles]);
        }
    }
}

impl Activation {
    fn point_function(self) -> PointFunction {
        match self {
            Self::GeluTanh => PointFunction::GeluTanh,
            Self::Gelu => PointFunction::Gelu,
            Self::Relu => PointFunction::Relu,
            Self::Silu => PointFunction::Silu,
        }
    }
}
