//! `userprint score`: the log-likelihood of every text of a corpus under one model.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use userprint_core::Fingerprinter;
use userprint_data::{Columns, n_rows};
use userprint_model::adapter;
use userprint_model::backend::KernelBackend;
use userprint_score::Reading;

use crate::backend::{BackendName, with_backend};
use crate::checkpoint::{Checkpoint, Scoring, check_adapter, folder_name};
use crate::experiment::{RawScore, ScoreChoice};
use crate::parts::{Documents, Parts, Tally};
use crate::pipeline::hash_of_checkpoint;
use crate::run_folder::file_hash;

#[derive(Clone, Debug, Args)]
pub(crate) struct ScoreArgs {
    /// Folder of the model.
    checkpoint: PathBuf,
    /// Corpus: .parquet, .jsonl, .csv or .tsv.
    corpus: PathBuf,
    /// Score table to write (Parquet).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Adapter folder in PEFT's layout, applied on the fly.
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// Only the first N texts of the corpus.
    #[arg(long, value_name = "N")]
    docs: Option<u64>,
    /// Only every N-th text, from the I-th on (0 to N-1): one of N workers.
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    shard: Option<Shard>,
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
    /// Longest input in tokens; the model's context bounds it.
    #[arg(long, value_name = "N", default_value_t = 2048)]
    max_tokens: usize,
    /// What becomes of longer texts: truncate or stride.
    #[arg(long, default_value = "truncate")]
    long_texts: String,
    /// What is kept: total, tokens or moments.
    #[arg(long, default_value = "tokens")]
    detail: String,
    /// Numbers that weights and inputs of products are kept in: f32 or bf16.
    #[arg(long, default_value = "f32")]
    dtype: String,
    /// Where the model runs.
    #[arg(long, value_enum, default_value = "cpu")]
    backend: BackendName,
    /// Threads on the processor; all cores where it is not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Tokens computed at once: with padding on a GPU, at most 512 on the processor.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    batch_tokens: usize,
    /// Tokens of a part: what a run that is killed loses at most.
    #[arg(long, value_name = "N", default_value_t = 65_536)]
    part_tokens: usize,
    /// Print one line of JSON; the time is that of scoring alone, after a batch to warm up.
    #[arg(long)]
    json: bool,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  userprint score gpt-neo-125m corpus.parquet --out scores.parquet
  userprint score gpt-neo-125m corpus.parquet --out scores.parquet --dtype bf16
  userprint score llama corpus.jsonl --out lora.parquet --adapter my-lora
  userprint score gpt2 big.parquet --out gpt2.parquet --shard 0/8
                               writes gpt2-0-of-8.parquet

A run that was stopped goes on from its last part when started again.";

/// One of so many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) index: u64,
    pub(crate) count: u64,
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((index, count)) if index < count => Ok(Shard { index, count }),
        _ => Err("expected I/N with I from 0 to N-1, such as 0/8".to_owned()),
    }
}

impl ScoreArgs {
    pub(crate) fn run(self) -> anyhow::Result<String> {
        let raw = RawScore {
            bos: self.bos.clone(),
            max_tokens: self.max_tokens,
            long_texts: self.long_texts.clone(),
            detail: self.detail.clone(),
            dtype: self.dtype.clone(),
            batch_tokens: self.batch_tokens,
            reference_from: None,
        };
        let choice = raw.check()?;
        ensure!(self.part_tokens > 0, "--part-tokens is 0, expected at least 1");
        ensure!(self.docs != Some(0), "--docs is 0, expected at least 1");
        with_backend!(self.backend, choice.precision, B => self.run_on::<B>(&choice))
    }

    fn run_on<B: KernelBackend>(&self, choice: &ScoreChoice) -> anyhow::Result<String> {
        let out = self.out()?;
        // A corpus that cannot be read is better known before the model is.
        n_rows(&self.corpus)?;
        let form = choice.form(self.backend, self.threads.map(usize::from));
        let mut model = Checkpoint::<Scoring<B>>::open(&self.checkpoint, form)?;
        if let Some(folder) = &self.adapter {
            check_adapter(folder)?;
            model = model.or_adapted(folder, form)?;
        }
        let id = self.scorer_id(&model.reading(choice)?, choice)?;
        let (scorer, reading) = model.scorer(&id, choice)?;
        let documents = Documents {
            path: self.corpus.clone(),
            columns: Columns {
                user_id: self.user_id.clone(),
                text: self.text.clone(),
                example_id: self.example_id.clone(),
                ..Columns::default()
            },
            n_most: self.docs.unwrap_or(u64::MAX),
            shard: self.shard.unwrap_or(Shard { index: 0, count: 1 }),
        };
        let parts = Parts {
            scorer: &scorer,
            tokenizer: &model.tokenizer,
            reading,
            detail: choice.detail,
            part_tokens: self.part_tokens,
            warms_up: self.json,
        };
        let tally = parts.score(&documents, &self.hash(&id)?, &out)?;
        Ok(if self.json { self.json_line(&tally, choice)? } else { tally.say(&out) })
    }

    /// Where the table goes: with a shard, its number is in the name.
    fn out(&self) -> anyhow::Result<PathBuf> {
        let parent = self.out.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
            bail!("{}: there is no such folder to write the scores to", parent.display());
        }
        let Some(Shard { index, count }) = self.shard else { return Ok(self.out.clone()) };
        let stem = self.out.file_stem().context("--out has no file name")?.to_string_lossy();
        let extension = self.out.extension().unwrap_or("parquet".as_ref()).to_string_lossy();
        Ok(self.out.with_file_name(format!("{stem}-{index}-of-{count}.{extension}")))
    }

    /// The model's name with the precision and a hash of its files and of how texts are read.
    fn scorer_id(&self, reading: &Reading, choice: &ScoreChoice) -> anyhow::Result<String> {
        let mut hash =
            Fingerprinter::new().with(format!("{reading:?}")).with(hash_of_checkpoint(&self.checkpoint)?);
        if let Some(folder) = &self.adapter {
            for file in [folder.join(adapter::CONFIG), adapter::weights_file(folder)] {
                hash.add(file_hash(&file)?);
            }
        }
        let name = folder_name(&self.checkpoint);
        Ok(format!("{name} {} {}", choice.precision.name(), &hash.finish().hex()[..16]))
    }

    /// What the parts depend on.
    fn hash(&self, scorer_id: &str) -> anyhow::Result<Fingerprinter> {
        let columns = (&self.user_id, &self.text, &self.example_id);
        let which = (self.docs, self.shard.map(|shard| (shard.index, shard.count)), self.part_tokens);
        Ok(Fingerprinter::new()
            .with(env!("CARGO_PKG_VERSION"))
            .with(scorer_id)
            .with(self.backend.name())
            .with(file_hash(&self.corpus).context("the corpus")?)
            .with(serde_json::to_string(&(columns, which, &self.detail))?))
    }

    fn json_line(&self, tally: &Tally, choice: &ScoreChoice) -> anyhow::Result<String> {
        let dtype = match choice.precision {
            userprint_model::Precision::F32 => "float32",
            userprint_model::Precision::Bf16 => "bfloat16",
        };
        Ok(serde_json::to_string(&serde_json::json!({
            "docs": tally.n_docs,
            "skipped": tally.n_skipped,
            "tokens": tally.n_tokens,
            "seconds": tally.seconds,
            "tokens_per_s": tally.tokens_per_s(),
            "sum_log_likelihood": tally.log_likelihood,
            "device": self.backend.name(),
            "dtype": dtype,
        }))?)
    }
}
