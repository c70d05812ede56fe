//! Scoring speed of a checkpoint on a corpus, with the sum of log-likelihoods to compare.
//!
//! `cargo run -p userprint-benches --bin score-corpus -- CHECKPOINT CORPUS.parquet --max-tokens 256`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use userprint_core::{Detail, UserIdx};
use userprint_data::{Columns, Corpus, read_corpus};
use userprint_model::{HfTokenizer, LocalScorer, PackedLm, Precision, ScoringOptions};
use userprint_score::Scorer;

/// Time scoring; the first token of a document is context and not scored.
#[derive(Debug, Parser)]
struct Args {
    /// Checkpoint folder in Hugging Face's layout.
    checkpoint: PathBuf,
    /// Corpus with columns `user_id` and `text`.
    corpus: PathBuf,
    /// Tokens after which a document is cut.
    #[arg(long, default_value_t = 512)]
    max_tokens: usize,
    /// Tokens in a batch.
    #[arg(long, default_value_t = 4096)]
    batch_tokens: usize,
    #[arg(long, default_value = "f32")]
    dtype: String,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value_t = 100000)]
    docs: usize,
    #[arg(long)]
    moments: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let columns = Columns { user_id: "user_id".to_owned(), text: "text".to_owned(), example_id: None };
    let corpus = read_corpus(&args.corpus, &columns)?;
    let precision = if args.dtype == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let (lm, _) = PackedLm::load(&args.checkpoint, precision)?;
    let lm = lm.on_threads(args.threads);
    let tokenizer = HfTokenizer::load(&args.checkpoint.join("tokenizer.json"))?;
    let options =
        ScoringOptions { max_tokens: args.max_tokens, batch_tokens: args.batch_tokens, ..Default::default() };
    let scorer = LocalScorer::new("bench", lm, Arc::new(tokenizer), options);
    let mut texts = Vec::new();
    for user in 0..corpus.users().len() {
        texts.extend(corpus.examples(UserIdx(user as u32))?.into_iter().map(|example| example.text));
    }
    // A document of one word may be one token, which has nothing to score without a beginning-of-text token.
    texts.truncate(args.docs);
    let n_texts = texts.len();
    texts.retain(|text| text.split_whitespace().count() >= 2);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    scorer.score(&texts[..texts.len().min(64)], Detail::Total)?; // warm up
    let start = Instant::now();
    let scores = scorer.score(&texts, if args.moments { Detail::Moments } else { Detail::Total })?;
    let seconds = start.elapsed().as_secs_f64();
    let tokens: u64 = scores.n_tokens.iter().map(|&n| u64::from(n)).sum();
    userprint_benches::say(&serde_json::json!({
        "peer": "userprint", "dtype": "float32", "device": "cpu", "docs": texts.len(), "skipped": n_texts - texts.len(), "tokens": tokens,
        "seconds": seconds, "tokens_per_s": tokens as f64 / seconds,
        "sum_log_likelihood": scores.log_likelihood.iter().sum::<f64>(),
    }));
    Ok(())
}
