//! What a checkpoint costs, from its config and the headers of its weights: parameters, and FLOP per token.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::tidy::files_under;

/// The sizes that decide how much there is to compute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) n_parameters: u64,
    /// Parameters of matrices that every token is multiplied with, the head too.
    n_multiplied: u64,
    /// Longest input in tokens.
    pub(super) context: u64,
    /// Width of all queries of a layer together.
    query_width: u64,
    /// Keys that a token sees at most, by layer; `None` is all before it.
    windows: Vec<Option<u64>>,
}

impl Checkpoint {
    /// Reads a folder with weights in safetensors.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let config = fs::read_to_string(folder.join("config.json")).context("config.json")?;
        let files = files_under(folder)?.into_iter();
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
        let headers = files.map(|path| header(&path).with_context(|| path.display().to_string()));
        let headers = headers.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!headers.is_empty(), "{} has no weights in safetensors to count", folder.display());
        Self::new(&serde_json::from_str(&config).context("config.json")?, &headers)
    }

    fn new(config: &Value, headers: &[Value]) -> anyhow::Result<Self> {
        let width = size(config, &["hidden_size", "n_embd"])?;
        let n_heads = size(config, &["num_heads", "num_attention_heads", "n_head"])?;
        let tensors = headers.iter().filter_map(Value::as_object).flatten();
        let mut checkpoint = Self {
            n_multiplied: width * size(config, &["vocab_size"])?,
            context: size(config, &["max_position_embeddings", "n_positions"])?,
            query_width: config["head_dim"].as_u64().map_or(width, |head_width| head_width * n_heads),
            windows: windows(config)?,
            ..Self::default()
        };
        for (name, tensor) in tensors.filter(|(name, _)| *name != "__metadata__") {
            let shape = tensor["shape"].as_array().with_context(|| format!("{name} has no shape"))?;
            // More dimensions have masks, which some checkpoints hold and no decoder here multiplies with.
            if shape.len() > 2 {
                continue;
            }
            let n: u64 = shape.iter().filter_map(Value::as_u64).product();
            checkpoint.n_parameters += n;
            let is_outside = ["embed", "wte", "wpe", "lm_head"].iter().any(|part| name.contains(part));
            if shape.len() == 2 && !is_outside {
                checkpoint.n_multiplied += n;
            }
        }
        Ok(checkpoint)
    }

    /// FLOP for each scored token of texts of `length` tokens, the last of which is not computed.
    ///
    /// `2 p + Σ_l 4 w c_l`: `p` the parameters of matrices, `w` the width of all queries,
    /// `c_l` the keys that a token of layer `l` sees on average; each product of a key or a value takes `2 w`.
    pub(super) fn flop_per_token(&self, length: u64) -> f64 {
        let n = length.saturating_sub(1).max(1);
        let seen: f64 = self.windows.iter().map(|window| mean_seen(n, window.unwrap_or(n))).sum();
        2.0 * self.n_multiplied as f64 + 4.0 * self.query_width as f64 * seen
    }
}

/// Keys that a token sees on average, itself too: `min(i, window)` for the i-th of `n`.
fn mean_seen(n: u64, window: u64) -> f64 {
    let rising = n.min(window);
    (rising * (rising + 1) / 2 + (n - rising) * window) as f64 / n as f64
}

fn size(config: &Value, names: &[&str]) -> anyhow::Result<u64> {
    let found = names.iter().find_map(|name| config[*name].as_u64());
    found.with_context(|| format!("config.json has no {}", names.join(" or ")))
}

/// GPT-Neo names its local layers; all others count as global, which texts shorter than their window make them.
fn windows(config: &Value) -> anyhow::Result<Vec<Option<u64>>> {
    let n_layers = size(config, &["num_layers", "num_hidden_layers", "n_layer"])?;
    let Some(pairs) = config["attention_types"].as_array() else {
        return Ok(vec![None; n_layers as usize]);
    };
    let window = config["window_size"].as_u64().unwrap_or(256);
    let mut windows = Vec::new();
    for pair in pairs {
        let (Some(kinds), Some(repeats)) = (pair[0].as_array(), pair[1].as_u64()) else {
            bail!("config.json: attention_types is not pairs of a list and a count");
        };
        let kinds = (0..repeats).flat_map(|_| kinds);
        windows.extend(kinds.map(|kind| (kind == "local").then_some(window)));
    }
    ensure!(windows.len() as u64 == n_layers, "config.json: attention_types is not of {n_layers} layers");
    Ok(windows)
}

/// Names and shapes of a file's tensors.
fn header(path: &Path) -> anyhow::Result<Value> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    ensure!(length < 1 << 30, "a header of {length} bytes is none of safetensors");
    let mut text = String::new();
    file.take(length).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The tensors that matter, with the masks of old checkpoints.
    fn gpt_neo_125m() -> Checkpoint {
        let config = json!({
            "hidden_size": 768, "num_heads": 12, "num_layers": 12, "vocab_size": 50257,
            "max_position_embeddings": 2048, "window_size": 256,
            "attention_types": [[["global", "local"], 6]],
        });
        let mut header = json!({
            "__metadata__": {"format": "pt"},
            "transformer.wte.weight": {"shape": [50257, 768]},
            "transformer.wpe.weight": {"shape": [2048, 768]},
            "transformer.ln_f.weight": {"shape": [768]},
        });
        for layer in 0..12 {
            let mut add = |name: &str, shape: Value| {
                header[format!("transformer.h.{layer}.{name}")] = json!({"shape": shape});
            };
            for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                add(&format!("attn.attention.{projection}.weight"), json!([768, 768]));
            }
            add("attn.attention.bias", json!([1, 1, 2048, 2048]));
            add("mlp.c_fc.weight", json!([3072, 768]));
            add("mlp.c_proj.weight", json!([768, 3072]));
        }
        Checkpoint::new(&config, &[header]).unwrap()
    }

    /// A block has 4 + 8 squares of the width: 12 · 12 · 768² = 84,934,656; the head has 38,597,376.
    #[test]
    fn flop_of_gpt_neo_125m() {
        let checkpoint = gpt_neo_125m();
        assert_eq!(checkpoint.n_multiplied, 84_934_656 + 38_597_376);
        assert_eq!(checkpoint.n_parameters, 84_934_656 + 38_597_376 + 2048 * 768 + 768);
        let no_attention = Checkpoint { windows: Vec::new(), ..checkpoint.clone() };
        assert_eq!(no_attention.flop_per_token(512), 247_064_064.0);
        // The first token of a text sees itself: 12 layers of 4 · 768 each.
        assert_eq!(checkpoint.flop_per_token(2), 247_064_064.0 + 36_864.0);
        // 1,024 tokens see 512.5 on average; at most 256 of them, (256 · 257 / 2 + 768 · 256) / 1024 = 224.125.
        let attention = 4.0 * 768.0 * 6.0 * (512.5 + 224.125);
        assert_eq!(checkpoint.flop_per_token(1025), 247_064_064.0 + attention);
    }

    #[test]
    fn other_families_are_global() {
        let config = json!({"n_embd": 8, "n_head": 2, "n_layer": 2, "vocab_size": 10, "n_positions": 16});
        let checkpoint = Checkpoint::new(&config, &[]).unwrap();
        assert_eq!(checkpoint.windows, [None, None]);
        assert_eq!((checkpoint.n_multiplied, checkpoint.context, checkpoint.query_width), (80, 16, 8));
        let wide = json!({"hidden_size": 8, "num_attention_heads": 2, "head_dim": 16, "num_hidden_layers": 1,
            "vocab_size": 10, "max_position_embeddings": 16});
        assert_eq!(Checkpoint::new(&wide, &[]).unwrap().query_width, 32);
        let error = Checkpoint::new(&json!({}), &[]).unwrap_err();
        assert_eq!(error.to_string(), "config.json has no hidden_size or n_embd");
    }
}
