//! Gemma 2: Llama with norms after attention and MLP, soft caps, scales counted from 1, every other layer local.

use super::{Family, llama, masks};
use crate::{DecoderConfig, Layout, NormConfig, Parts};

/// # Reference
/// `Gemma2ForCausalLM` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "gemma2",
    architecture: "Gemma2ForCausalLM",
    inside: &[
        ("ln_1", "input_layernorm", Layout::Plain),
        ("attn.q_proj", "self_attn.q_proj", Layout::Plain),
        ("attn.k_proj", "self_attn.k_proj", Layout::Plain),
        ("attn.v_proj", "self_attn.v_proj", Layout::Plain),
        ("attn.out_proj", "self_attn.o_proj", Layout::Plain),
        ("post_1", "post_attention_layernorm", Layout::Plain),
        ("ln_2", "pre_feedforward_layernorm", Layout::Plain),
        ("mlp.gate_proj", "mlp.gate_proj", Layout::Plain),
        ("mlp.up_proj", "mlp.up_proj", Layout::Plain),
        ("mlp.down_proj", "mlp.down_proj", Layout::Plain),
        ("post_2", "post_feedforward_layernorm", Layout::Plain),
    ],
    decoder: |keys| {
        keys.only("use_bidirectional_attention", false)?;
        let config = llama::decoder(keys, true)?;
        let window = keys.size_or("sliding_window", 4096)?;
        let has_bias = keys.flag_or("attention_bias", false)?;
        let cap = |key, default| {
            if keys.is_null(key) { Ok(None) } else { keys.number_or(key, default).map(Some) }
        };
        Ok(DecoderConfig {
            layers: masks(keys, config.layers.len(), Some(window), |layer| layer.is_multiple_of(2))?,
            norm: NormConfig { offset: 1.0, ..config.norm },
            activation: keys.activation("hidden_activation", "gelu_pytorch_tanh")?,
            parts: Parts { q_k_v_bias: has_bias, out_bias: has_bias, post_norms: true, ..config.parts },
            attention_scale: keys.number_or("query_pre_attn_scalar", 256.0)?.sqrt().recip(),
            attention_soft_cap: cap("attn_logit_softcapping", 50.0)?,
            logit_soft_cap: cap("final_logit_softcapping", 30.0)?,
            embedding_scale: (config.width as f64).sqrt(),
            ..config
        })
    },
    ..llama::LIKE
};
