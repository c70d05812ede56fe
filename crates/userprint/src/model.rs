//! `userprint model`: look at a checkpoint, merge an adapter into it, fetch one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Subcommand;
use userprint_kernels::attention::Mask;
use userprint_model::inventory::{self, Inventory};
use userprint_model::weights::Weights;
use userprint_model::{
    CausalLm, ModelConfig, ModelError, Positions, Precision, RotaryScaling, adapter, checkpoint,
};

use crate::checkpoint::{Checkpoint, check_adapter};
use crate::hub;
use crate::report::grouped;

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Say what a checkpoint folder holds and what memory it takes.
    #[command(after_help = "Example: userprint model inspect gpt-neo-125m")]
    Inspect {
        /// Folder with config.json and weights.
        checkpoint: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add an adapter's changes to its base model's weights and write a whole model.
    #[command(after_help = "Example: userprint model merge gpt-neo-125m adapter --out merged")]
    Merge {
        /// Folder of the base model.
        base: PathBuf,
        /// Folder with adapter_config.json.
        adapter: PathBuf,
        /// Folder to write.
        #[arg(long)]
        out: PathBuf,
    },
    /// Fetch a model from the hub into the cache and print its folder.
    #[command(after_help = "Examples:
  userprint model download EleutherAI/gpt-neo-125m
  userprint model download openai-community/gpt2 --revision main
  userprint model download facebook/opt-125m --offline")]
    Download {
        /// Name on the hub, `owner/name`.
        name: String,
        /// Branch, tag or commit.
        #[arg(long)]
        revision: Option<String>,
        /// Connect to nothing: it must be in the cache.
        #[arg(long)]
        offline: bool,
    },
}

impl ModelCommand {
    pub(crate) fn run(self) -> anyhow::Result<String> {
        match self {
            Self::Inspect { checkpoint, json } => inspect(&checkpoint, json),
            Self::Merge { base, adapter, out } => merge(&base, &adapter, &out),
            Self::Download { name, revision, offline } => {
                let model = hub::fetch(&name, revision.as_deref(), offline)?;
                Ok(format!("{} at {}\n{}", model.name, model.commit, model.folder.display()))
            }
        }
    }
}

fn merge(base: &Path, folder: &Path, out: &Path) -> anyhow::Result<String> {
    type Cpu = userprint_model::backend::Cpu;
    check_adapter(folder)?;
    ensure!(
        !adapter::is_adapter(out) && matches!(Weights::open(out), Err(ModelError::NoWeights { .. })),
        "{}: it holds a model already; choose another folder, or remove it",
        out.display()
    );
    let adapted = Checkpoint::<CausalLm<Cpu>>::open(base, ())?.or_adapted(folder, ())?;
    checkpoint::save(out, &adapted.lm.merged(), &adapted.config, &adapted.tokenizer)?;
    Ok(format!("merged: {}", out.display()))
}

fn inspect(folder: &Path, json: bool) -> anyhow::Result<String> {
    let config = ModelConfig::load(&folder.join("config.json"))?;
    let inventory = Inventory::read(folder, &config)?;
    let t = config.decoder.context.min(512) as u64;
    let packed = Precision::ALL.map(|precision| inventory.packed_bytes(precision));
    let pass = inventory::pass_bytes(&config.decoder);
    let training = inventory.training_bytes(&config.decoder, 8 * t, t);
    let tokenizer = checkpoint::load_tokenizer(folder, &config);
    if json {
        let value = serde_json::json!({
            "family": config.family.model_type,
            "n_parameters": inventory.n_parameters(),
            "inventory": inventory,
            "context": config.decoder.context,
            "vocab_size": config.decoder.vocab_size,
            "n_layers": config.decoder.layers.len(),
            "width": config.decoder.width,
            "attention": attention(&config),
            "positions": positions(&config),
            "bos_token_id": config.bos_token_id,
            "eos_token_id": config.eos_token_id,
            "has_tokenizer": tokenizer.is_ok(),
            "scoring_bytes": packed[0] + pass,
            "training_bytes": training,
        });
        return Ok(serde_json::to_string_pretty(&value)?);
    }
    let mut text = String::new();
    let mut line =
        |name: &str, value: String| writeln!(text, "{name:13}{value}").context("writing to memory");
    line("family", format!("{} ({})", config.family.model_type, config.family.architecture))?;
    line("parameters", grouped(inventory.n_parameters()))?;
    for (part, n) in &inventory.parameters {
        let share = 100.0 * *n as f64 / inventory.n_parameters() as f64;
        line("", format!("{part:20}{:>16} {share:5.1} %", grouped(*n)))?;
    }
    let stored: Vec<String> = inventory.stored.keys().cloned().collect();
    line("stored as", format!("{}, {} on disk", stored.join(", "), bytes(inventory.file_bytes)))?;
    line("shape", shape(&config))?;
    line("attention", attention(&config))?;
    line("positions", positions(&config))?;
    line("context", format!("{} tokens", config.decoder.context))?;
    let special = |id: Option<u32>| id.map_or("none".to_owned(), |id| id.to_string());
    line(
        "vocabulary",
        format!(
            "{} ids; text begins with {}, ends with {}",
            grouped(config.decoder.vocab_size as u64),
            special(config.bos_token_id),
            special(config.eos_token_id)
        ),
    )?;
    let found = tokenizer.map_or_else(|e| format!("none that can be used: {e}"), |_| "found".to_owned());
    line("tokenizer", found)?;
    let [f32, bf16, pass] = [packed[0], packed[1], pass].map(bytes);
    line("to score", format!("about {f32} in f32, {bf16} in bf16, and {pass} for each thread"))?;
    line("to train", format!("about {} for batches of 8 times {t} tokens, all parameters", bytes(training)))?;
    Ok(text.trim_end().to_owned())
}

fn shape(config: &ModelConfig) -> String {
    let decoder = &config.decoder;
    let tied = if decoder.parts.head { "a head of its own" } else { "tied head" };
    format!("{} layers, width {}, MLP {}, {tied}", decoder.layers.len(), decoder.width, decoder.mlp_width)
}

fn attention(config: &ModelConfig) -> String {
    let decoder = &config.decoder;
    let local = decoder.layers.iter().filter_map(|mask| match mask {
        Mask::Local { window } => Some(*window),
        Mask::Causal => None,
    });
    let (n_local, window) = (local.clone().count(), local.max());
    let windows = window.map_or("all global".to_owned(), |window| {
        format!("{n_local} of {} layers see {window} tokens", decoder.layers.len())
    });
    let groups = match decoder.n_heads / decoder.n_kv_heads {
        1 => String::new(),
        _ => format!(", {} of keys and values", decoder.n_kv_heads),
    };
    format!("{} heads of {}{groups}; {windows}", decoder.n_heads, decoder.head_width)
}

fn positions(config: &ModelConfig) -> String {
    match &config.decoder.positions {
        Positions::Learned { .. } => "learned".to_owned(),
        Positions::Rotary(rotary) => {
            let scaling = match rotary.scaling {
                RotaryScaling::Default => String::new(),
                RotaryScaling::Linear { factor } => format!(", linear × {factor}"),
                RotaryScaling::Dynamic { factor, .. } => format!(", dynamic × {factor}"),
                RotaryScaling::Llama3 { factor, .. } => format!(", llama3 × {factor}"),
                RotaryScaling::Yarn { factor, .. } => format!(", yarn × {factor}"),
            };
            format!("rotary, {} of {} per head{scaling}", rotary.width, config.decoder.head_width)
        }
    }
}

fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        _ if n < 1e6 => format!("{:.0} kB", n / 1e3),
        _ if n < 1e9 => format!("{:.0} MB", n / 1e6),
        _ => format!("{:.1} GB", n / 1e9),
    }
}
