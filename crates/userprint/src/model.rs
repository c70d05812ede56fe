//! `userprint model`: look at a checkpoint, score a corpus with it, merge an adapter into it, fetch one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use userprint_core::{Fingerprinter, UserIdx};
use userprint_data::{Columns, Corpus, read_corpus};
use userprint_kernels::attention::Mask;
use userprint_model::backend::KernelBackend;
use userprint_model::inventory::Inventory;
use userprint_model::weights::Weights;
use userprint_model::{ModelConfig, ModelError, Positions, RotaryScaling, adapter, checkpoint};
use userprint_score::{Reading, ScoreTable, ScorerId, store, zlib_bytes};

use crate::backend::{BackendName, with_backend};
use crate::checkpoint::{Checkpoint, folder_name};
use crate::experiment::RawScore;
use crate::hub;
use crate::pipeline::hash_of_checkpoint;
use crate::run_folder::file_hash;

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
    /// Score every text of a corpus and write a score table.
    #[command(after_help = "Example: userprint model score gpt-neo-125m corpus.parquet --out scores.parquet")]
    Score(ScoreArgs),
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

#[derive(Clone, Debug, Args)]
pub(crate) struct ScoreArgs {
    /// Folder of the model.
    checkpoint: PathBuf,
    /// Corpus: .parquet, .jsonl, .csv or .tsv.
    corpus: PathBuf,
    /// Score table to write (Parquet).
    #[arg(long)]
    out: PathBuf,
    /// Adapter folder in PEFT's layout, applied on the fly.
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Column of users.
    #[arg(long, default_value = "user_id")]
    user_id: String,
    /// Column of texts.
    #[arg(long, default_value = "text")]
    text: String,
    /// Column of example ids; without it, ids come from the texts.
    #[arg(long)]
    example_id: Option<String>,
    /// Beginning-of-text token: tokenizer, always or never.
    #[arg(long, default_value = "tokenizer")]
    bos: String,
    /// Longest input in tokens; the model's context bounds it. Memory grows with its square.
    #[arg(long, default_value_t = 2048)]
    max_tokens: usize,
    /// What becomes of longer texts: truncate or stride.
    #[arg(long, default_value = "truncate")]
    long_texts: String,
    /// What is kept: total, tokens or moments.
    #[arg(long, default_value = "tokens")]
    detail: String,
    /// Tokens of a batch.
    #[arg(long, default_value_t = 4096)]
    batch_tokens: usize,
    /// Where the model runs.
    #[arg(long, value_enum, default_value = "cpu")]
    backend: BackendName,
}

impl ModelCommand {
    pub(crate) fn run(self) -> anyhow::Result<String> {
        match self {
            Self::Inspect { checkpoint, json } => inspect(&checkpoint, json),
            Self::Score(args) => with_backend!(args.backend, B => score::<B>(&args)),
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
    let adapted = Checkpoint::<Cpu>::open(base)?.or_adapted(folder)?;
    checkpoint::save(out, &adapted.lm.merged(), &adapted.config, &adapted.tokenizer)?;
    Ok(format!("merged: {}", out.display()))
}

fn check_adapter(folder: &Path) -> anyhow::Result<()> {
    ensure!(adapter::is_adapter(folder), "{}: it holds no {}", folder.display(), adapter::CONFIG);
    Ok(())
}

fn score<B: KernelBackend>(args: &ScoreArgs) -> anyhow::Result<String> {
    let parent = args.out.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        bail!("{}: there is no such folder to write the scores to", parent.display());
    }
    let raw = RawScore {
        bos: args.bos.clone(),
        max_tokens: args.max_tokens,
        long_texts: args.long_texts.clone(),
        detail: args.detail.clone(),
        batch_tokens: args.batch_tokens,
    };
    let choice = raw.check()?;
    let columns = Columns {
        user_id: args.user_id.clone(),
        text: args.text.clone(),
        example_id: args.example_id.clone(),
    };
    let corpus = read_corpus(&args.corpus, &columns)?;
    let mut model = Checkpoint::<B>::open(&args.checkpoint)?;
    if let Some(folder) = &args.adapter {
        check_adapter(folder)?;
        model = model.or_adapted(folder)?;
    }
    let (mut user_id, mut example_id, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for (user, id) in corpus.users().iter().enumerate() {
        for example in corpus.examples(UserIdx(user as u32))? {
            user_id.push(id.clone());
            example_id.push(example.example_id);
            texts.push(example.text);
        }
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let reading = model.reading(&choice)?;
    let id = scorer_id(args, &reading)?;
    let (scores, speed) = model.score("score", &id, &texts, &choice)?;
    let (total, n_tokens) = (
        scores.log_likelihood.iter().sum::<f64>(),
        scores.n_tokens.iter().map(|&n| u64::from(n)).sum::<u64>(),
    );
    let table = ScoreTable {
        scorer: ScorerId::new(id),
        reading,
        user_id,
        example_id,
        n_bytes: texts.iter().map(|text| text.len() as u64).collect(),
        zlib_bytes: texts.iter().map(|text| zlib_bytes(text)).collect(),
        scores,
    };
    store::write_scores(&args.out, &table)?;
    Ok(format!(
        "{} texts, {n_tokens} tokens, {speed:.0} tokens/s\nlog-likelihood {total:.6} nats, {:.4} nats per token\n{}",
        table.n_bytes.len(),
        -total / n_tokens as f64,
        args.out.display()
    ))
}

/// The model's name with a hash of its files and of how texts are read.
fn scorer_id(args: &ScoreArgs, reading: &Reading) -> anyhow::Result<String> {
    let mut hash =
        Fingerprinter::new().with(format!("{reading:?}")).with(hash_of_checkpoint(&args.checkpoint)?);
    if let Some(folder) = &args.adapter {
        for file in [folder.join(adapter::CONFIG), adapter::weights_file(folder)] {
            hash.add(file_hash(&file)?);
        }
    }
    let name = folder_name(&args.checkpoint);
    Ok(format!("{name} {}", &hash.finish().hex()[..16]))
}

fn inspect(folder: &Path, json: bool) -> anyhow::Result<String> {
    let config = ModelConfig::load(&folder.join("config.json"))?;
    let inventory = Inventory::read(folder, &config)?;
    let (batch, longest, t) =
        (4096, config.decoder.context.min(1024) as u64, config.decoder.context.min(512) as u64);
    let scoring = inventory.scoring_bytes(&config.decoder, batch, longest);
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
            "scoring_bytes": scoring,
            "training_bytes": training,
        });
        return Ok(serde_json::to_string_pretty(&value)?);
    }
    let mut text = String::new();
    let mut line =
        |name: &str, value: String| writeln!(text, "{name:13}{value}").context("writing to memory");
    line("family", format!("{} ({})", config.family.model_type, config.family.architecture))?;
    line("parameters", number(inventory.n_parameters()))?;
    for (part, n) in &inventory.parameters {
        let share = 100.0 * *n as f64 / inventory.n_parameters() as f64;
        line("", format!("{part:20}{:>16} {share:5.1} %", number(*n)))?;
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
            number(config.decoder.vocab_size as u64),
            special(config.bos_token_id),
            special(config.eos_token_id)
        ),
    )?;
    let found = tokenizer.map_or_else(|e| format!("none that can be used: {e}"), |_| "found".to_owned());
    line("tokenizer", found)?;
    line("to score", format!("about {} for batches of {batch} tokens, texts to {longest}", bytes(scoring)))?;
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

/// Digits in groups of three.
fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        _ if n < 1e6 => format!("{:.0} kB", n / 1e3),
        _ if n < 1e9 => format!("{:.0} MB", n / 1e6),
        _ => format!("{:.1} GB", n / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups() {
        assert_eq!([0, 999, 1000, 124_439_808].map(number), ["0", "999", "1,000", "124,439,808"]);
    }
}
