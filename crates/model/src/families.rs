//! The families: each maps a `config.json` and its key names onto the decoder.

mod gemma2;
mod gpt2;
pub mod gpt_neo;
mod gpt_neox;
mod llama;
mod mistral;
mod opt;
mod qwen2;
mod qwen3;
mod starcoder2;

use std::fmt;

use userprint_kernels::attention::Mask;

use crate::config::Keys;
use crate::{DecoderConfig, Layout, ModelError};

/// A family of models, as data.
pub struct Family {
    /// `model_type` of its `config.json`.
    pub model_type: &'static str,
    /// Its class in transformers.
    pub architecture: &'static str,
    /// Prefix that checkpoints of the bare model leave out.
    pub base: &'static str,
    /// Where the blocks are.
    pub blocks: &'static str,
    /// Modules of the decoder outside the blocks: here, there.
    pub outside: &'static [(&'static str, &'static str)],
    /// Modules of a block: here, there, and how their parameters lie.
    pub inside: &'static [(&'static str, &'static str, Layout)],
    /// Ends of keys that are no parameters: masks and frequencies of older versions.
    pub ignored: &'static [&'static str],
    /// The decoder that a config describes.
    pub decoder: fn(Keys<'_>) -> Result<DecoderConfig, ModelError>,
}

/// All families.
pub static FAMILIES: [&Family; 10] = [
    &gpt_neo::FAMILY,
    &gpt2::FAMILY,
    &opt::FAMILY,
    &gpt_neox::FAMILY,
    &llama::FAMILY,
    &mistral::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
    &gemma2::FAMILY,
    &starcoder2::FAMILY,
];

/// The family of a `model_type`.
pub(crate) fn by_name(name: &str) -> Result<&'static Family, ModelError> {
    let found = FAMILIES.into_iter().find(|family| family.model_type == name);
    found.ok_or_else(|| ModelError::UnknownFamily { found: name.to_owned() })
}

impl Family {
    /// The checkpoint's module of one of the decoder's, and how its parameters lie.
    ///
    /// # Panics
    /// If the family's tables lack the module: a bug of the family.
    pub fn module(&self, path: &str) -> (String, Layout) {
        if let Some((block, module)) = path.strip_prefix("h.").and_then(|rest| rest.split_once('.')) {
            let place = self.inside.iter().find(|(here, _, _)| *here == module);
            let (_, there, layout) = place.expect("the family's table has every module of a block");
            return (format!("{}.{block}.{there}", self.blocks), *layout);
        }
        let place = self.outside.iter().find(|(here, _)| *here == path);
        let (_, there) = place.expect("the family's table has every module outside the blocks");
        ((*there).to_owned(), Layout::Plain)
    }

    /// The checkpoint's key of one of the decoder's parameters, and how it lies.
    pub fn key(&self, path: &str) -> (String, Layout) {
        let (module, parameter) = path.rsplit_once('.').unwrap_or((path, ""));
        let (there, layout) = self.module(module);
        (format!("{there}.{parameter}"), layout)
    }

    /// Whether a checkpoint may hold this key though it is no parameter.
    pub(crate) fn is_ignored(&self, key: &str) -> bool {
        self.ignored.iter().any(|end| key.ends_with(end))
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type)
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.model_type == other.model_type
    }
}

/// What each layer sees by `layer_types`, or by the family's own rule where there is no such list.
fn masks(
    keys: Keys<'_>,
    n_layers: usize,
    window: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<Mask>, ModelError> {
    let mask = |slides: bool| match window {
        Some(window) if slides => Mask::Local { window },
        _ => Mask::Causal,
    };
    let Some(types) = keys.words("layer_types")? else {
        return Ok((0..n_layers).map(|layer| mask(slides(layer))).collect());
    };
    let masks = types.iter().map(|kind| match *kind {
        "full_attention" => Ok(mask(false)),
        "sliding_attention" => Ok(mask(true)),
        _ => Err(keys.refuse("layer_types", "full_attention or sliding_attention for each layer")),
    });
    let masks = masks.collect::<Result<Vec<_>, _>>()?;
    if masks.len() != n_layers {
        return Err(keys.refuse("layer_types", &format!("{n_layers} of them, one for each layer")));
    }
    Ok(masks)
}
