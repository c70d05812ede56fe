//! StarCoder 2: layer norms, a plain MLP, rotary positions, groups of queries that share keys, a sliding window.

use userprint_kernels::attention::Mask;
use userprint_kernels::norm::Centring;

use super::{Family, llama};
use crate::{DecoderConfig, Layout, NormConfig, Parts};

/// # Reference
/// `Starcoder2ForCausalLM` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "starcoder2",
    architecture: "Starcoder2ForCausalLM",
    inside: &[
        ("ln_1", "input_layernorm", Layout::Plain),
        ("attn.q_proj", "self_attn.q_proj", Layout::Plain),
        ("attn.k_proj", "self_attn.k_proj", Layout::Plain),
        ("attn.v_proj", "self_attn.v_proj", Layout::Plain),
        ("attn.out_proj", "self_attn.o_proj", Layout::Plain),
        ("ln_2", "post_attention_layernorm", Layout::Plain),
        ("mlp.up_proj", "mlp.c_fc", Layout::Plain),
        ("mlp.down_proj", "mlp.c_proj", Layout::Plain),
    ],
    decoder: |keys| {
        let config = llama::decoder(keys, true)?;
        let has_bias = keys.flag_or("use_bias", true)?;
        // Absent and null both say that there is none.
        let mask = match keys.has("sliding_window") {
            true => Mask::Local { window: keys.size("sliding_window")? },
            false => Mask::Causal,
        };
        Ok(DecoderConfig {
            n_kv_heads: keys.size_or("num_key_value_heads", 2)?,
            layers: vec![mask; config.layers.len()],
            norm: NormConfig {
                centring: Centring::Mean,
                epsilon: keys.number_or("norm_epsilon", 1e-5)?,
                offset: 0.0,
            },
            activation: keys.activation("hidden_act", "gelu_pytorch_tanh")?,
            parts: Parts {
                q_k_v_bias: has_bias,
                out_bias: has_bias,
                mlp_bias: has_bias,
                head: config.parts.head,
                ..Parts::default()
            },
            initializer_range: keys.number_or("initializer_range", 0.018042)?,
            ..config
        })
    },
    ..llama::LIKE
};
