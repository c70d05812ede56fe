//! Llama: rotary positions, root-mean-square norms, a gated MLP, groups of queries that share keys.

use userprint_kernels::attention::Mask;
use userprint_kernels::norm::Centring;

use super::Family;
use crate::config::Keys;
use crate::{DecoderConfig, Layout, ModelError, NormConfig, Parts, Positions, Residual, Rotary};

/// # Reference
/// `LlamaForCausalLM` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    base: "model",
    blocks: "model.layers",
    outside: OUTSIDE,
    inside: INSIDE,
    ignored: &[".rotary_emb.inv_freq"],
    decoder: |keys| {
        let config = decoder(keys, false)?;
        let attention_bias = keys.flag_or("attention_bias", false)?;
        let mlp_bias = keys.flag_or("mlp_bias", false)?;
        let parts = Parts { q_k_v_bias: attention_bias, out_bias: attention_bias, mlp_bias, ..config.parts };
        Ok(DecoderConfig { parts, ..config })
    },
};

/// Key names that the families after Llama kept.
pub(super) const OUTSIDE: &[(&str, &str)] =
    &[("wte", "model.embed_tokens"), ("ln_f", "model.norm"), ("head", "lm_head")];

/// See [`OUTSIDE`].
pub(super) const INSIDE: &[(&str, &str, Layout)] = &[
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
    Ok(DecoderConfig {
        vocab_size: keys.size("vocab_size")?,
        context: rotary.context(keys.size("max_position_embeddings")?),
        width,
        n_heads,
        n_kv_heads: keys.size_or("num_key_value_heads", n_heads)?,
        head_width,
        mlp_width: keys.size("intermediate_size")?,
        layers: vec![Mask::Causal; keys.layers("num_hidden_layers")?],
        norm: NormConfig {
            centring: Centring::None,
            epsilon: keys.number_or("rms_norm_eps", 1e-6)?,
            offset: 0.0,
        },
        positions: Positions::Rotary(rotary),
        activation: keys.activation("hidden_act", "silu")?,
        residual: Residual::Sequential,
        parts: Parts { gate: true, head: !keys.flag_or("tie_word_embeddings", is_tied)?, ..Parts::default() },
        attention_scale: (head_width as f64).sqrt().recip(),
        attention_soft_cap: None,
        logit_soft_cap: None,
        embedding_scale: 1.0,
        initializer_range: keys.number_or("initializer_range", 0.02)?,
    })
}
