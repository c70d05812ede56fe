//! Score: log-likelihoods of all attack examples under both models.

use std::path::Path;
use std::sync::Arc;

use userprint_core::{ExampleId, ExampleSource, Membership, Role, TextScores, UserId, UserIdx};
use userprint_data::Selection;
use userprint_model::backend::KernelBackend;
use userprint_model::{LocalScorer, ScoringOptions, checkpoint};
use userprint_score::{ScoreTable, Scorer, store, zlib_bytes};

use super::pretrain::reference_folder;
use super::{StageOutput, prepare, train};
use crate::backend::with_backend;
use crate::pipeline::Pipeline;
use crate::progress::Bar;

/// Files of the score tables in the run folder.
pub(crate) const REFERENCE: &str = "scores/reference.parquet";
/// See [`REFERENCE`].
pub(crate) const TARGET: &str = "scores/target.parquet";

/// Texts scored between two updates of the progress bar.
const CHUNK: usize = 256;

pub(crate) fn run(pipeline: &Pipeline) -> anyhow::Result<StageOutput> {
    with_backend!(pipeline.experiment.raw.backend, B => run_on::<B>(pipeline))
}

fn run_on<B: KernelBackend>(pipeline: &Pipeline) -> anyhow::Result<StageOutput> {
    let examples = attack_examples(pipeline)?;
    let target = pipeline.folder.file(train::TARGET);
    let mut notes = Vec::new();
    for (name, folder, file) in
        [("reference", reference_folder(pipeline), REFERENCE), ("target", target, TARGET)]
    {
        let speed = score_model::<B>(pipeline, name, &folder, &examples, &pipeline.folder.file(file))?;
        notes.push(format!("{name} {speed:.0} tokens/s"));
    }
    let note = format!("{} examples under two models: {}", examples.len(), notes.join(", "));
    Ok(StageOutput::new(&[REFERENCE, TARGET], note))
}

/// An attack example with its owner.
pub(crate) struct AttackExample {
    pub(crate) user_id: UserId,
    pub(crate) example_id: ExampleId,
    pub(crate) text: String,
    pub(crate) held_in: bool,
}

/// All attack examples, held-in users first, users and examples in their sorted order.
pub(crate) fn attack_examples(pipeline: &Pipeline) -> anyhow::Result<Vec<AttackExample>> {
    let (corpus, partition) = (pipeline.corpus()?, prepare::read(pipeline)?);
    let mut examples = Vec::new();
    for (membership, held_in) in [(Membership::HeldIn, true), (Membership::HeldOut, false)] {
        let selection = Selection::new(corpus, &partition, membership, Role::Attack)?;
        for (user, user_id) in selection.users().iter().enumerate() {
            for example in selection.examples(UserIdx(user as u32))? {
                let (user_id, example_id) = (user_id.clone(), example.example_id);
                examples.push(AttackExample { user_id, example_id, text: example.text, held_in });
            }
        }
    }
    Ok(examples)
}

/// Scores all examples and writes the table; the answer is tokens per second.
fn score_model<B: KernelBackend>(
    pipeline: &Pipeline,
    name: &'static str,
    folder: &Path,
    examples: &[AttackExample],
    out: &Path,
) -> anyhow::Result<f64> {
    let choice = pipeline.experiment.score;
    let (lm, config) = checkpoint::load::<B>(folder, &Default::default())?;
    let tokenizer = checkpoint::load_tokenizer(folder, &config)?;
    let bos_token = tokenizer.bos_token(choice.bos, config.bos_token_id)?;
    let options =
        ScoringOptions { bos_token, max_tokens: choice.max_tokens, batch_tokens: choice.batch_tokens };
    let scorer = LocalScorer::new(name, lm, Arc::new(tokenizer), options);
    let bar = Bar::new(name, examples.len() as u64);
    let mut scores = TextScores::default();
    for chunk in examples.chunks(CHUNK) {
        let texts: Vec<&str> = chunk.iter().map(|example| example.text.as_str()).collect();
        scores.append(scorer.score(&texts, choice.detail)?);
        bar.set(scores.len() as u64);
    }
    let n_tokens: u64 = scores.n_tokens.iter().map(|&n| u64::from(n)).sum();
    let speed = n_tokens as f64 / bar.wall_s();
    let table = ScoreTable {
        scorer: scorer.id().clone(),
        with_bos: bos_token.is_some(),
        user_id: examples.iter().map(|example| example.user_id.clone()).collect(),
        example_id: examples.iter().map(|example| example.example_id.clone()).collect(),
        n_bytes: examples.iter().map(|example| example.text.len() as u64).collect(),
        zlib_bytes: examples.iter().map(|example| zlib_bytes(&example.text)).collect(),
        scores,
    };
    store::write_scores(out, &table)?;
    Ok(speed)
}
