//! A checkpoint folder opened for work: model, config, tokenizer.

use std::path::Path;
use std::sync::Arc;

use userprint_core::TextScores;
use userprint_model::backend::KernelBackend;
use userprint_model::{CausalLm, HfTokenizer, LocalScorer, ModelConfig, ScoringOptions, adapter, checkpoint};
use userprint_score::{Reading, Scorer};

use crate::experiment::ScoreChoice;
use crate::progress::Bar;

/// Texts scored between two updates of the progress bar.
const CHUNK: usize = 256;

/// The last part of a folder's path, also of `.` and the like.
pub(crate) fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().unwrap_or(whole.as_os_str()).display().to_string()
}

/// A model with all that goes with it.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint<B: KernelBackend> {
    pub(crate) lm: CausalLm<B>,
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: Arc<HfTokenizer>,
}

impl<B: KernelBackend> Checkpoint<B> {
    /// Opens a folder with a whole model.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let (lm, config) = checkpoint::load::<B>(folder, &Default::default())?;
        let tokenizer = Arc::new(checkpoint::load_tokenizer(folder, &config)?);
        Ok(Self { lm, config, tokenizer })
    }

    /// The model of another folder: where that holds an adapter it is this one's, weights shared, with the adapter.
    pub(crate) fn or_adapted(self, folder: &Path) -> anyhow::Result<Self> {
        if !adapter::is_adapter(folder) {
            drop(self);
            return Self::open(folder);
        }
        let lm = adapter::load(folder, &self.lm, &self.config)?;
        Ok(Self { lm, ..self })
    }

    /// How this model reads texts: what a score table keeps of it.
    pub(crate) fn reading(&self, choice: &ScoreChoice) -> anyhow::Result<Reading> {
        Ok(Reading {
            bos: choice.bos.name().to_owned(),
            bos_token: self.tokenizer.bos_token(choice.bos, self.config.bos_token_id)?,
            max_tokens: choice.max_tokens.min(self.config.decoder.context) as u64,
            long_texts: choice.long_texts.name().to_owned(),
        })
    }

    /// Scores texts under a progress bar; also tokens per second.
    pub(crate) fn score(
        &self,
        name: &'static str,
        id: &str,
        texts: &[&str],
        choice: &ScoreChoice,
    ) -> anyhow::Result<(TextScores, f64)> {
        let options = ScoringOptions {
            bos_token: self.reading(choice)?.bos_token,
            max_tokens: choice.max_tokens,
            long_texts: choice.long_texts,
            batch_tokens: choice.batch_tokens,
        };
        let scorer = LocalScorer::new(id, self.lm.clone(), self.tokenizer.clone(), options);
        let bar = Bar::new(name, texts.len() as u64);
        let mut scores = TextScores::default();
        for chunk in texts.chunks(CHUNK) {
            let first = scores.len() + 1;
            let part = scorer.score(chunk, choice.detail);
            scores.append(part.map_err(|error| {
                let last = first - 1 + chunk.len();
                anyhow::Error::new(error).context(format!("texts {first} to {last} in the order of users"))
            })?);
            bar.set(scores.len() as u64);
        }
        let n_tokens: u64 = scores.n_tokens.iter().map(|&n| u64::from(n)).sum();
        Ok((scores, n_tokens as f64 / bar.wall_s()))
    }
}
