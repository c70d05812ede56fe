//! GPT-2: learned positions, weights stored transposed, queries, keys and values in one.

use userprint_kernels::attention::Mask;

use super::Family;
use crate::config::Keys;
use crate::{DecoderConfig, Layout, ModelError, NormConfig, Parts};

/// # Reference
/// `GPT2LMHeadModel` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "gpt2",
    architecture: "GPT2LMHeadModel",
    base: "transformer",
    blocks: "transformer.h",
    outside: &[
        ("wte", "transformer.wte"),
        ("wpe", "transformer.wpe"),
        ("ln_f", "transformer.ln_f"),
        ("head", "lm_head"),
    ],
    inside: &[
        ("ln_1", "ln_1", Layout::Plain),
        ("attn.q_proj", "attn.c_attn", Layout::TransposedThird { index: 0 }),
        ("attn.k_proj", "attn.c_attn", Layout::TransposedThird { index: 1 }),
        ("attn.v_proj", "attn.c_attn", Layout::TransposedThird { index: 2 }),
        ("attn.out_proj", "attn.c_proj", Layout::Transposed),
        ("ln_2", "ln_2", Layout::Plain),
        ("mlp.up_proj", "mlp.c_fc", Layout::Transposed),
        ("mlp.down_proj", "mlp.c_proj", Layout::Transposed),
    ],
    ignored: &[".attn.bias", ".attn.masked_bias"],
    decoder,
};

fn decoder(keys: Keys<'_>) -> Result<DecoderConfig, ModelError> {
    keys.only("scale_attn_by_inverse_layer_idx", false)?;
    keys.only("add_cross_attention", false)?;
    let (width, n_heads) = (keys.size("n_embd")?, keys.size("n_head")?);
    let head_width = DecoderConfig::even_head_width("n_head", width, n_heads)?;
    let is_scaled = keys.flag_or("scale_attn_weights", true)?;
    let usual = DecoderConfig::usual(width, n_heads, head_width);
    Ok(DecoderConfig {
        vocab_size: keys.size("vocab_size")?,
        context: keys.size("n_positions")?,
        mlp_width: keys.size_or("n_inner", 4 * width)?,
        layers: vec![Mask::Causal; keys.layers("n_layer")?],
        norm: NormConfig { epsilon: keys.number_or("layer_norm_epsilon", 1e-5)?, ..usual.norm },
        activation: keys.activation("activation_function", "gelu_new")?,
        parts: Parts {
            q_k_v_bias: true,
            out_bias: true,
            mlp_bias: true,
            head: !keys.flag_or("tie_word_embeddings", true)?,
            ..Parts::default()
        },
        attention_scale: if is_scaled { (head_width as f64).sqrt().recip() } else { 1.0 },
        initializer_range: keys.number_or("initializer_range", 0.02)?,
        ..usual
    })
}
