//! Score: log-likelihoods of all attack examples under both models.

use std::path::Path;

use userprint_core::{ExampleId, ExampleSource, Fingerprint, Membership, Role, UserId, UserIdx};
use userprint_data::Selection;
use userprint_model::backend::KernelBackend;
use userprint_score::{ScoreTable, ScorerId, store, zlib_bytes};

use super::pretrain::reference_folder;
use super::{StageOutput, prepare, train};
use crate::backend::with_backend;
use crate::checkpoint::Checkpoint;
use crate::pipeline::Pipeline;

/// Files of the score tables in the run folder.
pub(crate) const REFERENCE: &str = "scores/reference.parquet";
/// See [`REFERENCE`].
pub(crate) const TARGET: &str = "scores/target.parquet";

pub(crate) fn run(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    with_backend!(pipeline.experiment.raw.backend, B => run_on::<B>(pipeline, hash))
}

fn run_on<B: KernelBackend>(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    let examples = attack_examples(pipeline)?;
    let score = |name, checkpoint: &Checkpoint<B>, file| {
        let speed = score_model(pipeline, name, hash, checkpoint, &examples, &pipeline.folder.file(file))?;
        anyhow::Ok(format!("{name} {speed:.0} tokens/s"))
    };
    let reference = Checkpoint::<B>::open(&reference_folder(pipeline)?)?;
    let first = score("reference", &reference, REFERENCE)?;
    let target = reference.or_adapted(&pipeline.folder.file(train::TARGET))?;
    let second = score("target", &target, TARGET)?;
    let note = format!("{} examples under two models: {first}, {second}", examples.len());
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
    hash: Fingerprint,
    checkpoint: &Checkpoint<B>,
    examples: &[AttackExample],
    out: &Path,
) -> anyhow::Result<f64> {
    let choice = &pipeline.experiment.score;
    // The stage's hash covers both models, their tokenizers and how texts are read.
    let id = format!("{name} {}", &hash.hex()[..16]);
    let texts: Vec<&str> = examples.iter().map(|example| example.text.as_str()).collect();
    let (scores, speed) = checkpoint.score(name, &id, &texts, choice)?;
    let table = ScoreTable {
        scorer: ScorerId::new(id),
        reading: checkpoint.reading(choice)?,
        user_id: examples.iter().map(|example| example.user_id.clone()).collect(),
        example_id: examples.iter().map(|example| example.example_id.clone()).collect(),
        n_bytes: examples.iter().map(|example| example.text.len() as u64).collect(),
        zlib_bytes: examples.iter().map(|example| zlib_bytes(&example.text)).collect(),
        scores,
    };
    store::write_scores(out, &table)?;
    Ok(speed)
}
