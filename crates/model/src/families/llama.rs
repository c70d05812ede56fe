//! Llama: rotary positions, root-mean-square norms, a gated MLP, groups of queries that share keys.

use userprint_kernels::attention::Mask;
use userprint_kernels::norm::Centring;

use super::Family;
use crate::config::Keys;
use crate::{DecoderConfig, Layout, ModelError, NormConfig, Parts, Positions, Rotary};

/// # Reference
/// `LlamaForCausalLM` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    decoder: |keys| {
        let config = decoder(keys, false)?;
        let attention_bias = keys.flag_or("attention_bias", false)?;
        let mlp_bias = keys.flag_or("mlp_bias", false)?;
        let parts = Parts { q_k_v_bias: attention_bias, out_bias: attention_bias, mlp_bias, ..config.parts };
        Ok(DecoderConfig { parts, ..config })
    },
    ..LIKE
};

/// What the families after Llama kept of it.
pub(super) const LIKE: Family = Family {
    model_type: "",
    architecture: "",
    base: "model",
    blocks: "model.layers",
    outside: &[("wte", "model.embed_tokens"), ("ln_f", "model.norm"), ("head", "lm_head")],
    inside: INSIDE,
    ignored: &[".rotary_emb.inv_freq"],
    decoder: |keys| decoder(keys, false),
};

const INSIDE: &[(&str, &str, Layout)] = &[
    ("ln_1", "input_layernorm", Layout::Plain),
    ("attn.q_proj", "self_attn.q_proj", Layout::Plain),
    ("attn.k_proj", "self_attn.k_proj", Layout::Plain),
    ("attn.v_proj", "self_attn.v_proj", Layout::Plain),
    ("attn.q_norm", "self_attn.q_norm", Layout::Plain),
    ("attn.k_norm", "self_attn.k_norm", Layout::Plain),
    ("attn.out_proj", "self_attn.o_proj", Layout::Plain),
    ("ln_2", "post_attention_layernorm", Layout::Plain),
    ("mlp.gate_proj", "mlp.gate_proj", Layout::Plain),
    ("mlp.up_proj", "mlp.up_proj", Layout::Plain),
    ("mlp.down_proj", "mlp.down_proj", Layout::Plain),
];

/// The decoder that Llama and the families after it share; they differ in what follows.
pub(super) fn decoder(keys: Keys<'_>, is_tied: bool) -> Result<DecoderConfig, ModelError> {
    let (width, n_heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let head_width = match keys.has("head_dim") {
        true => keys.size("head_dim")?,
        false => DecoderConfig::even_head_width("num_attention_heads", width, n_heads)?,
    };
    let rotary = Rotary::read(keys, head_width, 1.0, 10_000.0)?;
    let usual = DecoderConfig::usual(width, n_heads, head_width);
    Ok(DecoderConfig {
        vocab_size: keys.size("vocab_size")?,
        context: rotary.context(keys.size("max_position_embeddings")?),
        n_kv_heads: keys.size_or("num_key_value_heads", n_heads)?,
        mlp_width: keys.size("intermediate_size")?,
        layers: vec![Mask::Causal; keys.layers("num_hidden_layers")?],
        norm: NormConfig {
            centring: Centring::None,
            epsilon: keys.number_or("rms_norm_eps", 1e-6)?,
            ..usual.norm
        },
        positions: Positions::Rotary(rotary),
        activation: keys.activation("hidden_act", "silu")?,
        parts: Parts { gate: true, head: !keys.flag_or("tie_word_embeddings", is_tied)?, ..Parts::default() },
        initializer_range: keys.number_or("initializer_range", 0.02)?,
        ..usual
    })
}
