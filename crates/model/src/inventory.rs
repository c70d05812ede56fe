//! What a checkpoint holds, from its headers alone: parameters by part, types, and the memory that it takes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::inference::PASS_TOKENS;
use crate::weights::Weights;
use crate::{DecoderConfig, ModelConfig, ModelError, Precision};

/// Bytes of a number in memory.
const F32: u64 = 4;

/// What a checkpoint folder holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inventory {
    /// Parameters by part, tied ones once.
    pub parameters: BTreeMap<&'static str, u64>,
    /// Numbers by the type that they are stored in.
    pub stored: BTreeMap<String, u64>,
    /// Bytes of the files with weights.
    pub file_bytes: u64,
}

impl Inventory {
    /// Reads the headers of a folder's weights.
    ///
    /// # Errors
    /// [`ModelError`] names the file where there are no weights, or damaged ones.
    pub fn read(folder: &Path, config: &ModelConfig) -> Result<Self, ModelError> {
        let weights = Weights::open(folder)?;
        let mut inventory = Self { parameters: BTreeMap::new(), stored: BTreeMap::new(), file_bytes: 0 };
        for key in weights.keys() {
            let Some(tensor) = weights.get(key) else { continue };
            let n: u64 = tensor.shape.iter().map(|n| *n as u64).product();
            if let Some(part) = part(key, config) {
                *inventory.parameters.entry(part).or_default() += n;
                *inventory.stored.entry(tensor.dtype.to_string()).or_default() += n;
            }
        }
        for file in weights.files() {
            let size =
                std::fs::metadata(file).map_err(|e| crate::checkpoint::io(file, "read its size", e))?;
            inventory.file_bytes += size.len();
        }
        Ok(inventory)
    }

    /// All parameters.
    pub fn n_parameters(&self) -> u64 {
        self.parameters.values().sum()
    }

    /// About how many bytes of memory packed weights take: norms and positions in f32, the rest in this precision.
    pub fn packed_bytes(&self, precision: Precision) -> u64 {
        let vectors = ["norms", "position embedding"].iter().filter_map(|part| self.parameters.get(part));
        let vectors: u64 = vectors.sum();
        let bytes = match precision {
            Precision::F32 => F32,
            Precision::Bf16 => F32 / 2,
        };
        F32 * vectors + bytes * (self.n_parameters() - vectors)
    }

    /// About how many bytes of memory training of all parameters takes: weights, gradients, two moments, and what the backward pass needs.
    pub fn training_bytes(&self, config: &DecoderConfig, batch_tokens: u64, t: u64) -> u64 {
        let weights = 4 * self.n_parameters();
        F32 * (weights + batch_tokens * config.layers.len() as u64 * kept_by_a_block(config, t) + 4 * LOGITS)
    }
}

/// Numbers in a tile of logits.
const LOGITS: u64 = 1 << 23;

/// About how many bytes each thread that scores takes for a pass of texts that fit one: the stream, what attention and MLP work on.
pub fn pass_bytes(config: &DecoderConfig) -> u64 {
    let (width, inside) = (config.width as u64, config.mlp_width as u64);
    let heads = ((2 * config.n_heads + 2 * config.n_kv_heads) * config.head_width) as u64;
    F32 * PASS_TOKENS as u64 * (3 * width + heads + inside)
}

/// Numbers that a block keeps for each token until its gradient is known: both norms and what follows from them,
/// queries, keys and values with what they were made into, the softmax, the inside of the MLP.
fn kept_by_a_block(config: &DecoderConfig, t: u64) -> u64 {
    let (width, inside) = (config.width as u64, config.mlp_width as u64);
    let heads = ((config.n_heads + 2 * config.n_kv_heads) * config.head_width) as u64;
    let mlp = if config.parts.gate { 5 } else { 2 };
    5 * width + 2 * heads + mlp * inside + config.n_heads as u64 * t
}

/// The part of the model that a checkpoint's tensor belongs to; none for what is no parameter of its own.
fn part(key: &str, config: &ModelConfig) -> Option<&'static str> {
    let family = config.family;
    let bare = |name: &str| name.strip_prefix(&format!("{}.", family.base)).unwrap_or(name).to_owned();
    let key = bare(key);
    if let Some((_, module)) = key
        .strip_prefix(&bare(family.blocks))
        .and_then(|rest| rest.strip_prefix('.').and_then(|rest| rest.split_once('.')))
    {
        let (module, _) = module.rsplit_once('.')?;
        let (here, _, _) = family.inside.iter().find(|(_, there, _)| *there == module)?;
        return Some(match here.split_once('.') {
            Some(("attn", norm)) if norm.ends_with("_norm") => "norms",
            Some(("attn", _)) => "attention",
            Some(_) => "MLP",
            None => "norms",
        });
    }
    let (module, _) = key.rsplit_once('.')?;
    let (here, _) = family.outside.iter().find(|(_, there)| bare(there) == module)?;
    match *here {
        "wte" => Some("token embedding"),
        "wpe" => Some("position embedding"),
        "head" if config.decoder.parts.head => Some("head"),
        "head" => None,
        _ => Some("norms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Cpu;
    use crate::families::FAMILIES;
    use crate::{checkpoint, n_parameters};

    #[test]
    fn parts_add_up_in_every_family() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/families");
        for family in FAMILIES.iter().map(|family| family.model_type).filter(|name| *name != "gpt_neo") {
            let folder = root.join(family);
            let (lm, config) = checkpoint::load::<Cpu>(&folder, &Default::default()).unwrap();
            let inventory = Inventory::read(&folder, &config).unwrap();
            assert_eq!(inventory.n_parameters(), n_parameters(&lm.module), "{family}");
            assert!(inventory.parameters.len() >= 4, "{family}: {:?}", inventory.parameters);
        }
    }
}
