//! Qwen 3: Llama with norms of each head's queries and keys.

use super::{Family, llama, qwen2};
use crate::{DecoderConfig, Parts};

/// # Reference
/// `Qwen3ForCausalLM` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "qwen3",
    architecture: "Qwen3ForCausalLM",
    decoder: |keys| {
        let config = llama::decoder(keys, false)?;
        let layers = qwen2::layers(keys, config.layers.len())?;
        let has_bias = keys.flag_or("attention_bias", false)?;
        let parts = Parts { q_k_norm: true, q_k_v_bias: has_bias, out_bias: has_bias, ..config.parts };
        Ok(DecoderConfig { layers, parts, ..config })
    },
    ..llama::LIKE
};
