//! Mistral: Llama with a sliding window.

use super::{Family, llama};
use crate::DecoderConfig;
use userprint_kernels::attention::Mask;

/// # Reference
/// `MistralForCausalLM` of transformers.
pub(super) static FAMILY: Family = Family {
    model_type: "mistral",
    architecture: "MistralForCausalLM",
    decoder: |keys| {
        let config = llama::decoder(keys, false)?;
        // A null says that there is none; absent, it is the first Mistral's.
        let window =
            if keys.is_null("sliding_window") { None } else { Some(keys.size_or("sliding_window", 4096)?) };
        let mask = window.map_or(Mask::Causal, |window| Mask::Local { window });
        Ok(DecoderConfig { layers: vec![mask; config.layers.len()], ..config })
    },
    ..llama::LIKE
};
