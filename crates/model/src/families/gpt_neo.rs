//! GPT-Neo: learned positions, every other layer local, scores that are not scaled.

use serde_json::{Value, json};
use userprint_kernels::attention::Mask;

use super::Family;
use crate::config::Keys;
use crate::{DecoderConfig, Layout, ModelConfig, ModelError, NormConfig, Parts};

/// # Reference
/// `GPTNeoForCausalLM` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "gpt_neo",
    architecture: "GPTNeoForCausalLM",
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
        ("attn.q_proj", "attn.attention.q_proj", Layout::Plain),
        ("attn.k_proj", "attn.attention.k_proj", Layout::Plain),
        ("attn.v_proj", "attn.attention.v_proj", Layout::Plain),
        ("attn.out_proj", "attn.attention.out_proj", Layout::Plain),
        ("ln_2", "ln_2", Layout::Plain),
        ("mlp.up_proj", "mlp.c_fc", Layout::Plain),
        ("mlp.down_proj", "mlp.c_proj", Layout::Plain),
    ],
    ignored: &[".attn.attention.bias", ".attn.attention.masked_bias"],
    decoder,
};

fn decoder(keys: Keys<'_>) -> Result<DecoderConfig, ModelError> {
    let (width, n_heads) = (keys.size("hidden_size")?, keys.size("num_heads")?);
    let head_width = DecoderConfig::even_head_width("num_heads", width, n_heads)?;
    let usual = DecoderConfig::usual(width, n_heads, head_width);
    Ok(DecoderConfig {
        vocab_size: keys.size("vocab_size")?,
        context: keys.size("max_position_embeddings")?,
        mlp_width: keys.size_or("intermediate_size", 4 * width)?,
        layers: layers(keys)?,
        norm: NormConfig { epsilon: keys.number_or("layer_norm_epsilon", 1e-5)?, ..usual.norm },
        activation: keys.activation("activation_function", "gelu_new")?,
        parts: Parts {
            out_bias: true,
            mlp_bias: true,
            head: !keys.flag_or("tie_word_embeddings", true)?,
            ..Parts::default()
        },
        attention_scale: 1.0,
        initializer_range: keys.number_or("initializer_range", 0.02)?,
        ..usual
    })
}

/// Repeated patterns of `global` and `local`.
fn layers(keys: Keys<'_>) -> Result<Vec<Mask>, ModelError> {
    let (n_layers, window) = (keys.layers("num_layers")?, keys.size_or("window_size", 256)?);
    let refuse = || {
        let expected =
            format!("pairs of a list of `global` and `local` and a count, {n_layers} layers in all");
        keys.refuse("attention_types", &expected)
    };
    let pairs = keys.value("attention_types").and_then(Value::as_array).ok_or_else(refuse)?;
    let mut masks = Vec::new();
    for pair in pairs {
        let pattern = pair.get(0).and_then(Value::as_array).ok_or_else(refuse)?;
        let repeats = pair.get(1).and_then(Value::as_u64).ok_or_else(refuse)?;
        if pattern.is_empty() || repeats.saturating_mul(pattern.len() as u64) > n_layers as u64 {
            return Err(refuse());
        }
        for kind in (0..repeats).flat_map(|_| pattern) {
            masks.push(match kind.as_str() {
                Some("global") => Mask::Causal,
                Some("local") => Mask::Local { window },
                _ => return Err(refuse()),
            });
        }
    }
    if masks.len() == n_layers { Ok(masks) } else { Err(refuse()) }
}

/// A config for a model to be pre-trained here: global and local layers by turns; token 0 begins and ends texts.
///
/// # Errors
/// [`ModelError::Config`] for sizes that do not fit together.
pub fn small(
    vocab_size: usize,
    context: usize,
    width: usize,
    n_layers: usize,
    n_heads: usize,
) -> Result<ModelConfig, ModelError> {
    let layer = |index: usize| if index.is_multiple_of(2) { "global" } else { "local" };
    let pattern: Vec<&str> = (0..n_layers).map(layer).collect();
    ModelConfig::new(json!({
        "model_type": FAMILY.model_type,
        "architectures": [FAMILY.architecture],
        "vocab_size": vocab_size,
        "max_position_embeddings": context,
        "hidden_size": width,
        "num_layers": n_layers,
        "num_heads": n_heads,
        "attention_types": [[pattern, 1]],
        "window_size": 256,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "initializer_range": 0.02,
        "dtype": "float32",
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": true,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_repeat() {
        let config = small(100, 16, 8, 4, 2).unwrap();
        let config = config.with("attention_types", json!([[["global", "local"], 2]])).unwrap();
        let config = config.with("window_size", 3).unwrap();
        let local = Mask::Local { window: 3 };
        assert_eq!(config.decoder.layers, [Mask::Causal, local, Mask::Causal, local]);
    }

    #[track_caller]
    fn check_refused(key: &str, value: Value, says: &str) {
        let error = small(100, 16, 8, 2, 2).unwrap().with(key, value).unwrap_err();
        assert_eq!(error.to_string(), says);
    }

    #[test]
    fn impossible_settings_are_named() {
        check_refused("num_heads", json!(3), "num_heads is 3, expected a divisor of the hidden size, 8");
        check_refused("num_heads", json!(0), "num_heads is 0, expected a whole number from 1 to 2³¹");
        check_refused(
            "vocab_size",
            json!("many"),
            "vocab_size is \"many\", expected a whole number from 1 to 2³¹",
        );
        check_refused(
            "hidden_size",
            Value::Null,
            "hidden_size is absent, expected a whole number from 1 to 2³¹",
        );
        let types = "attention_types is [[[\"global\",\"local\"],1]], expected pairs of a list of `global` and \
                     `local` and a count, 3 layers in all";
        check_refused("num_layers", json!(3), types);
        let names = "gelu_new, gelu_pytorch_tanh, gelu_fast, gelu, relu, silu, swish";
        check_refused(
            "activation_function",
            json!("mish"),
            &format!("activation_function is \"mish\", expected one of {names}"),
        );
    }

    #[test]
    fn keys_are_hugging_face_names() {
        let key = |path| FAMILY.key(path).0;
        assert_eq!(key("h.0.attn.q_proj.weight"), "transformer.h.0.attn.attention.q_proj.weight");
        assert_eq!(key("wte.weight"), "transformer.wte.weight");
    }
}
