//! Qwen 2: Llama with biases of queries, keys and values, and windows in the upper layers where they are on.

use userprint_kernels::attention::Mask;

use super::{Family, llama, masks};
use crate::config::Keys;
use crate::{DecoderConfig, ModelError, Parts};

/// # Reference
/// `Qwen2ForCausalLM` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "qwen2",
    architecture: "Qwen2ForCausalLM",
    decoder: |keys| {
        let config = llama::decoder(keys, false)?;
        let layers = layers(keys, config.layers.len())?;
        Ok(DecoderConfig { layers, parts: Parts { q_k_v_bias: true, ..config.parts }, ..config })
    },
    ..llama::LIKE
};

/// Windows from layer `max_window_layers` on, where `use_sliding_window` says so.
pub(super) fn layers(keys: Keys<'_>, n_layers: usize) -> Result<Vec<Mask>, ModelError> {
    let slides = keys.flag_or("use_sliding_window", false)?;
    let slides = slides && !keys.is_null("sliding_window");
    let window = keys.size_or("sliding_window", 4096)?;
    let first = keys.count_or("max_window_layers", 28)?;
    masks(keys, n_layers, slides.then_some(window), |layer| layer >= first)
}
