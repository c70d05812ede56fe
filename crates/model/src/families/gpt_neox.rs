//! GPT-NeoX, the family of Pythia: part of each head turns, attention and MLP side by side.

use userprint_kernels::attention::Mask;

use super::Family;
use crate::config::Keys;
use crate::{DecoderConfig, Layout, ModelError, NormConfig, Parts, Positions, Residual, Rotary};

/// # Reference
/// `GPTNeoXForCausalLM` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "gpt_neox",
    architecture: "GPTNeoXForCausalLM",
    base: "gpt_neox",
    blocks: "gpt_neox.layers",
    outside: &[("wte", "gpt_neox.embed_in"), ("ln_f", "gpt_neox.final_layer_norm"), ("head", "embed_out")],
    inside: &[
        ("ln_1", "input_layernorm", Layout::Plain),
        ("attn.q_proj", "attention.query_key_value", Layout::HeadThird { index: 0 }),
        ("attn.k_proj", "attention.query_key_value", Layout::HeadThird { index: 1 }),
        ("attn.v_proj", "attention.query_key_value", Layout::HeadThird { index: 2 }),
        ("attn.out_proj", "attention.dense", Layout::Plain),
        ("ln_2", "post_attention_layernorm", Layout::Plain),
        ("mlp.up_proj", "mlp.dense_h_to_4h", Layout::Plain),
        ("mlp.down_proj", "mlp.dense_4h_to_h", Layout::Plain),
    ],
    ignored: &[".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"],
    decoder,
};

fn decoder(keys: Keys<'_>) -> Result<DecoderConfig, ModelError> {
    let (width, n_heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let head_width = DecoderConfig::even_head_width("num_attention_heads", width, n_heads)?;
    let theta = keys.number_or("rotary_emb_base", 10_000.0)?;
    let rotary = Rotary::read(keys, head_width, keys.number_or("rotary_pct", 0.25)?, theta)?;
    let has_bias = keys.flag_or("attention_bias", true)?;
    let is_parallel = keys.flag_or("use_parallel_residual", true)?;
    let usual = DecoderConfig::usual(width, n_heads, head_width);
    Ok(DecoderConfig {
        vocab_size: keys.size("vocab_size")?,
        context: rotary.context(keys.size("max_position_embeddings")?),
        mlp_width: keys.size("intermediate_size")?,
        layers: vec![Mask::Causal; keys.layers("num_hidden_layers")?],
        norm: NormConfig { epsilon: keys.number_or("layer_norm_eps", 1e-5)?, ..usual.norm },
        positions: Positions::Rotary(rotary),
        activation: keys.activation("hidden_act", "gelu")?,
        residual: if is_parallel { Residual::Parallel } else { Residual::Sequential },
        parts: Parts {
            q_k_v_bias: has_bias,
            out_bias: has_bias,
            mlp_bias: true,
            head: !keys.flag_or("tie_word_embeddings", false)?,
            ..Parts::default()
        },
        initializer_range: keys.number_or("initializer_range", 0.02)?,
        ..usual
    })
}
