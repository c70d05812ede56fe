//! GPT-Neo: its `config.json` and key names, mapped onto the decoder.

use serde::{Deserialize, Serialize};
use userprint_kernels::attention::Mask;

use crate::{DecoderConfig, ModelError};

/// `config.json` of a GPT-Neo checkpoint; unknown keys are kept out, missing ones take the family's defaults.
///
/// # Reference
/// `GPTNeoConfig` of transformers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GptNeoConfig {
    /// Always `gpt_neo`.
    pub model_type: String,
    /// For loaders that go by class.
    #[serde(default = "architectures")]
    pub architectures: Vec<String>,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Longest input in tokens.
    pub max_position_embeddings: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Width inside the MLP; four times the hidden size where absent.
    #[serde(default)]
    pub intermediate_size: Option<usize>,
    /// Repeated patterns of `global` and `local`.
    pub attention_types: Vec<(Vec<String>, usize)>,
    /// Positions that local attention sees.
    #[serde(default = "window_size")]
    pub window_size: usize,
    /// Always `gelu_new`.
    #[serde(default = "activation_function")]
    pub activation_function: String,
    /// Added to the variance in layer norms.
    #[serde(default = "layer_norm_epsilon")]
    pub layer_norm_epsilon: f64,
    /// Standard deviation of fresh weights.
    #[serde(default = "initializer_range")]
    pub initializer_range: f64,
    /// Beginning-of-text token.
    #[serde(default)]
    pub bos_token_id: Option<u32>,
    /// End-of-text token.
    #[serde(default)]
    pub eos_token_id: Option<u32>,
    /// Whether the head is the token embedding.
    #[serde(default = "tied")]
    pub tie_word_embeddings: bool,
}

fn architectures() -> Vec<String> {
    vec!["GPTNeoForCausalLM".to_owned()]
}

fn window_size() -> usize {
    256
}

fn activation_function() -> String {
    "gelu_new".to_owned()
}

fn layer_norm_epsilon() -> f64 {
    1e-5
}

fn initializer_range() -> f64 {
    0.02
}

fn tied() -> bool {
    true
}

impl GptNeoConfig {
    /// A fresh config with alternating global and local layers; token 0 begins and ends texts.
    pub fn small(vocab_size: usize, context: usize, width: usize, n_layers: usize, n_heads: usize) -> Self {
        let layer = |index: usize| if index.is_multiple_of(2) { "global" } else { "local" }.to_owned();
        Self {
            model_type: "gpt_neo".to_owned(),
            architectures: architectures(),
            vocab_size,
            max_position_embeddings: context,
            hidden_size: width,
            num_layers: n_layers,
            num_heads: n_heads,
            intermediate_size: None,
            attention_types: vec![((0..n_layers).map(layer).collect(), 1)],
            window_size: window_size(),
            activation_function: activation_function(),
            layer_norm_epsilon: layer_norm_epsilon(),
            initializer_range: initializer_range(),
            bos_token_id: Some(0),
            eos_token_id: Some(0),
            tie_word_embeddings: true,
        }
    }

    /// The decoder that the config describes.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a setting that this decoder does not have.
    pub fn decoder(&self) -> Result<DecoderConfig, ModelError> {
        let config = |key, found: &dyn ToString, expected: &str| {
            Err(ModelError::Config { key, found: found.to_string(), expected: expected.to_owned() })
        };
        if self.activation_function != "gelu_new" {
            return config("activation_function", &self.activation_function, "gelu_new");
        }
        if !self.tie_word_embeddings {
            return config("tie_word_embeddings", &false, "true");
        }
        if self.num_heads == 0 || !self.hidden_size.is_multiple_of(self.num_heads) {
            let expected = format!("a divisor of hidden_size {}", self.hidden_size);
            return config("num_heads", &self.num_heads, &expected);
        }
        let sizes = [
            ("window_size", self.window_size),
            ("hidden_size", self.hidden_size),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("intermediate_size", self.intermediate_size.unwrap_or(1)),
        ];
        for (key, size) in sizes {
            if size == 0 {
                return config(key, &0, "at least 1");
            }
        }
        let layers = self.layers()?;
        if layers.len() != self.num_layers {
            return config(
                "num_layers",
                &self.num_layers,
                &format!("{}, as attention_types spell out", layers.len()),
            );
        }
        Ok(DecoderConfig {
            vocab_size: self.vocab_size,
            context: self.max_position_embeddings,
            width: self.hidden_size,
            n_heads: self.num_heads,
            mlp_width: self.intermediate_size.unwrap_or(4 * self.hidden_size),
            layers,
            norm_epsilon: self.layer_norm_epsilon,
            initializer_range: self.initializer_range,
        })
    }

    fn layers(&self) -> Result<Vec<Mask>, ModelError> {
        let mut layers = Vec::new();
        for (pattern, repeats) in &self.attention_types {
            for _ in 0..*repeats {
                for kind in pattern {
                    layers.push(match kind.as_str() {
                        "global" => Mask::Causal,
                        "local" => Mask::Local { window: self.window_size },
                        other => {
                            return Err(ModelError::Config {
                                key: "attention_types",
                                found: other.to_owned(),
                                expected: "global or local".to_owned(),
                            });
                        }
                    });
                }
            }
        }
        Ok(layers)
    }
}

/// The checkpoint's name of a parameter of the decoder.
pub fn key(path: &str) -> String {
    format!("transformer.{}", path.replace(".attn.", ".attn.attention."))
}

/// Whether a checkpoint may hold a tensor that is no parameter: masks of older versions, and the tied head.
pub fn is_ignorable(key: &str) -> bool {
    key.ends_with(".attn.attention.bias")
        || key.ends_with(".attn.attention.masked_bias")
        || key == "lm_head.weight"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_repeat() {
        let mut config = GptNeoConfig::small(100, 16, 8, 4, 2);
        config.attention_types = vec![(vec!["global".into(), "local".into()], 2)];
        config.window_size = 3;
        let local = Mask::Local { window: 3 };
        assert_eq!(config.decoder().unwrap().layers, [Mask::Causal, local, Mask::Causal, local]);
    }

    #[test]
    fn impossible_settings_are_named() {
        let base = GptNeoConfig::small(100, 16, 8, 2, 2);
        let refused = |config: GptNeoConfig| config.decoder().unwrap_err().to_string();
        let heads = GptNeoConfig { num_heads: 3, ..base.clone() };
        assert_eq!(refused(heads), "num_heads is 3, expected a divisor of hidden_size 8");
        let layers = GptNeoConfig { num_layers: 3, ..base.clone() };
        assert_eq!(refused(layers), "num_layers is 3, expected 2, as attention_types spell out");
        let activation = GptNeoConfig { activation_function: "relu".into(), ..base };
        assert_eq!(refused(activation), "activation_function is relu, expected gelu_new");
    }

    #[test]
    fn keys_are_hugging_face_names() {
        assert_eq!(key("h.0.attn.q_proj.weight"), "transformer.h.0.attn.attention.q_proj.weight");
        assert_eq!(key("wte.weight"), "transformer.wte.weight");
    }
}
