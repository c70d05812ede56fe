//! A checkpoint folder opened for work: model, config, tokenizer.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use userprint_model::backend::KernelBackend;
use userprint_model::{
    Asked, CausalLm, Done, HfTokenizer, LocalScorer, ModelConfig, ModelError, PackedLm, Precision,
    ScoringModel, ScoringOptions, Sequence, TokenScore, adapter, checkpoint,
};
use userprint_score::Reading;

use crate::experiment::ScoreChoice;

/// The last part of a folder's path, also of `.` and the like.
pub(crate) fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().unwrap_or(whole.as_os_str()).display().to_string()
}

/// Holds that a folder has an adapter.
pub(crate) fn check_adapter(folder: &Path) -> anyhow::Result<()> {
    ensure!(adapter::is_adapter(folder), "{}: it holds no {}", folder.display(), adapter::CONFIG);
    Ok(())
}

/// A model that a folder holds.
pub(crate) trait Stored: Sized {
    /// In what form to load it.
    type Form: Copy;

    fn load(folder: &Path, form: Self::Form) -> Result<(Self, ModelConfig), ModelError>;

    /// The same weights, shared, with a folder's adapters in place.
    fn with_adapter(&self, folder: &Path, config: &ModelConfig) -> Result<Self, ModelError>;
}

impl<B: KernelBackend> Stored for CausalLm<B> {
    type Form = ();

    fn load(folder: &Path, (): ()) -> Result<(Self, ModelConfig), ModelError> {
        checkpoint::load(folder, &Default::default())
    }

    fn with_adapter(&self, folder: &Path, config: &ModelConfig) -> Result<Self, ModelError> {
        adapter::load(folder, self, config)
    }
}

/// A model that scores: weights packed on the processor, tensors on a GPU.
#[derive(Clone, Debug)]
pub(crate) enum Scoring<B: KernelBackend> {
    Packed(Box<PackedLm>),
    Tensors(Box<CausalLm<B>>),
}

/// Where a model scores, and with what numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoringForm {
    /// Whether the weights are packed for the processor.
    pub(crate) is_packed: bool,
    pub(crate) precision: Precision,
    /// Threads on the processor; all cores where it is not said.
    pub(crate) n_threads: Option<usize>,
}

impl<B: KernelBackend> Stored for Scoring<B> {
    type Form = ScoringForm;

    fn load(folder: &Path, form: ScoringForm) -> Result<(Self, ModelConfig), ModelError> {
        if !form.is_packed {
            return CausalLm::load(folder, ()).map(|(lm, config)| (Self::Tensors(Box::new(lm)), config));
        }
        let (lm, config) = PackedLm::load(folder, form.precision)?;
        let lm = match form.n_threads {
            Some(n_threads) => lm.on_threads(n_threads),
            None => lm,
        };
        Ok((Self::Packed(Box::new(lm)), config))
    }

    fn with_adapter(&self, folder: &Path, config: &ModelConfig) -> Result<Self, ModelError> {
        match self {
            Self::Packed(lm) => lm.with_adapter(folder, config).map(Box::new).map(Self::Packed),
            Self::Tensors(lm) => {
                Stored::with_adapter(lm.as_ref(), folder, config).map(Box::new).map(Self::Tensors)
            }
        }
    }
}

impl<B: KernelBackend> ScoringModel for Scoring<B> {
    fn context(&self) -> usize {
        match self {
            Self::Packed(lm) => lm.context(),
            Self::Tensors(lm) => lm.context(),
        }
    }

    fn score(&self, sequences: &[Sequence<'_>], asked: Asked, done: Done<'_>) -> Vec<Vec<TokenScore>> {
        match self {
            Self::Packed(lm) => lm.score(sequences, asked, done),
            Self::Tensors(lm) => lm.score(sequences, asked, done),
        }
    }
}

/// A model with all that goes with it.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint<M> {
    pub(crate) lm: M,
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: Arc<HfTokenizer>,
}

impl<M: Stored> Checkpoint<M> {
    /// Opens a folder with a whole model.
    pub(crate) fn open(folder: &Path, form: M::Form) -> anyhow::Result<Self> {
        let (lm, config) = M::load(folder, form)?;
        let tokenizer = Arc::new(checkpoint::load_tokenizer(folder, &config)?);
        Ok(Self { lm, config, tokenizer })
    }

    /// Opens a folder that holds a whole model, or else adapters of the model in `base`.
    pub(crate) fn open_over(base: &Path, folder: &Path, form: M::Form) -> anyhow::Result<Self> {
        if adapter::is_adapter(folder) {
            Self::open(base, form)?.or_adapted(folder, form)
        } else {
            Self::open(folder, form)
        }
    }

    /// The model of another folder: where that holds an adapter it is this one's, weights shared, with the adapter.
    pub(crate) fn or_adapted(self, folder: &Path, form: M::Form) -> anyhow::Result<Self> {
        if !adapter::is_adapter(folder) {
            drop(self);
            return Self::open(folder, form);
        }
        let lm = self.lm.with_adapter(folder, &self.config)?;
        Ok(Self { lm, ..self })
    }
}

impl<M> Checkpoint<M> {
    /// How this model reads texts: what a score table keeps of it.
    pub(crate) fn reading(&self, choice: &ScoreChoice) -> anyhow::Result<Reading> {
        Ok(Reading {
            bos: choice.bos.name().to_owned(),
            bos_token: self.tokenizer.bos_token(choice.bos, self.config.bos_token_id)?,
            max_tokens: choice.max_tokens.min(self.config.decoder.context) as u64,
            long_texts: choice.long_texts.name().to_owned(),
        })
    }
}

impl<M: ScoringModel + Clone + 'static> Checkpoint<M> {
    /// The scorer of this model, and how it reads texts.
    pub(crate) fn scorer(&self, id: &str, choice: &ScoreChoice) -> anyhow::Result<(LocalScorer, Reading)> {
        let reading = self.reading(choice)?;
        let options = ScoringOptions {
            bos_token: reading.bos_token,
            max_tokens: choice.max_tokens,
            long_texts: choice.long_texts,
            batch_tokens: choice.batch_tokens,
        };
        Ok((LocalScorer::new(id, self.lm.clone(), self.tokenizer.clone(), options), reading))
    }
}
