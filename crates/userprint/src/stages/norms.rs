//! Gradient norms: whether examples of canary users pull harder at the target than those of others.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use userprint_core::{ExampleSource, UserId};
use userprint_data::Corpus;
use userprint_model::CausalLm;
use userprint_model::backend::KernelBackend;
use userprint_train::{Packing, Sequences, Tokenized, sequence_norms, tokenize};

use super::pretrain::reference_folder;
use super::train::{TARGET, examples};
use crate::checkpoint::Checkpoint;
use crate::pipeline::Pipeline;

/// File of the norms in the run folder.
pub(crate) const NORMS: &str = "gradient-norms.json";

/// Norms of single training examples' gradients under the target, over all parameters that were trained.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GradientNorms {
    /// Of held-in canary users.
    pub(crate) canaries: Vec<f64>,
    /// Of all other held-in users.
    pub(crate) others: Vec<f64>,
}

impl GradientNorms {
    /// Those of a run folder that has some.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(NORMS);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}

/// Measures at most `n` examples of each group, drawn at random.
pub(super) fn measure<B: KernelBackend>(pipeline: &Pipeline, n: usize) -> anyhow::Result<()> {
    let target = pipeline.folder.file(TARGET);
    let checkpoint = Checkpoint::<CausalLm<B>>::open_over(&reference_folder(pipeline)?, &target, ())?;
    let prepared = pipeline.prepared()?;
    let canaries: Vec<&UserId> =
        prepared.canaries.iter().map(|canary| &prepared.partition.users[canary.user]).collect();
    let of = |are_canaries: bool| {
        let is_meant = |user: &UserId| canaries.contains(&user) == are_canaries;
        norms(pipeline, &prepared.corpus, &checkpoint, &is_meant, n)
    };
    let norms = GradientNorms { canaries: of(true)?, others: of(false)? };
    pipeline.folder.write(NORMS, serde_json::to_string(&norms)?.as_bytes())
}

fn norms<B: KernelBackend>(
    pipeline: &Pipeline,
    corpus: &dyn Corpus,
    checkpoint: &Checkpoint<CausalLm<B>>,
    is_meant: &dyn Fn(&UserId) -> bool,
    n: usize,
) -> anyhow::Result<Vec<f64>> {
    let (mut selection, _) = examples(pipeline, corpus)?;
    let rows = selection.users().to_vec().into_iter().zip(selection.example_ids().rows());
    let keep: Vec<bool> = rows.flat_map(|(user, ids)| vec![is_meant(&user); ids.len()]).collect();
    if !keep.contains(&true) {
        return Ok(Vec::new());
    }
    selection.retain(&keep);
    let Tokenized { documents, .. } = tokenize(&selection, &*checkpoint.tokenizer)?;
    let separator = checkpoint.config.bos_token_id.or(checkpoint.config.eos_token_id);
    let separator = separator.context("config.json names neither bos_token_id nor eos_token_id")?;
    let settings = &pipeline.experiment.target.settings;
    let seed = pipeline.experiment.seed.named("gradient norms");
    let sequences = Sequences::new(&documents, separator, Packing::Documents, settings.block_tokens, seed);
    let drawn: Vec<Vec<u32>> = sequences.epoch(0).into_iter().take(n).collect();
    Ok(sequence_norms(&checkpoint.lm, &drawn, settings.microbatch_size as usize))
}
