//! OPT: learned positions from row 2 on, ReLU.

use userprint_kernels::attention::Mask;

use super::Family;
use crate::config::Keys;
use crate::{DecoderConfig, Layout, ModelError, Parts, Positions};

/// # Reference
/// `OPTForCausalLM` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "opt",
    architecture: "OPTForCausalLM",
    base: "model",
    blocks: "model.decoder.layers",
    outside: &[
        ("wte", "model.decoder.embed_tokens"),
        ("wpe", "model.decoder.embed_positions"),
        ("ln_f", "model.decoder.final_layer_norm"),
        ("head", "lm_head"),
    ],
    inside: &[
        ("ln_1", "self_attn_layer_norm", Layout::Plain),
        ("attn.q_proj", "self_attn.q_proj", Layout::Plain),
        ("attn.k_proj", "self_attn.k_proj", Layout::Plain),
        ("attn.v_proj", "self_attn.v_proj", Layout::Plain),
        ("attn.out_proj", "self_attn.out_proj", Layout::Plain),
        ("ln_2", "final_layer_norm", Layout::Plain),
        ("mlp.up_proj", "fc1", Layout::Plain),
        ("mlp.down_proj", "fc2", Layout::Plain),
    ],
    ignored: &[],
    decoder,
};

fn decoder(keys: Keys<'_>) -> Result<DecoderConfig, ModelError> {
    keys.only("do_layer_norm_before", true)?;
    keys.only("_remove_final_layer_norm", false)?;
    keys.only("layer_norm_elementwise_affine", true)?;
    let (width, n_heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    if keys.size_or("word_embed_proj_dim", width)? != width {
        return Err(keys.refuse("word_embed_proj_dim", &format!("the hidden size, {width}")));
    }
    let head_width = DecoderConfig::even_head_width("num_attention_heads", width, n_heads)?;
    let has_bias = keys.flag_or("enable_bias", true)?;
    let usual = DecoderConfig::usual(width, n_heads, head_width);
    Ok(DecoderConfig {
        vocab_size: keys.size("vocab_size")?,
        context: keys.size("max_position_embeddings")?,
        mlp_width: keys.size("ffn_dim")?,
        layers: vec![Mask::Causal; keys.layers("num_hidden_layers")?],
        positions: Positions::Learned { first: 2 },
        activation: keys.activation("activation_function", "relu")?,
        parts: Parts {
            q_k_v_bias: has_bias,
            out_bias: has_bias,
            mlp_bias: has_bias,
            head: !keys.flag_or("tie_word_embeddings", true)?,
            ..Parts::default()
        },
        initializer_range: keys.number_or("init_std", 0.02)?,
        ..usual
    })
}
