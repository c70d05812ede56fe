//! Train: the target is the reference, fine-tuned on the held-in users.

use anyhow::Context;
use userprint_core::{Fingerprint, Membership, Role};
use userprint_data::{Corpus, Selection, join_near_copies, train_set};
use userprint_model::CausalLm;
use userprint_model::backend::KernelBackend;
use userprint_train::Validation;

use super::norms::{self, NORMS};
use super::pretrain::{Trained, TrainingJob, reference_folder, some_texts, training_files};
use super::{StageOutput, prepare};
use crate::backend::with_backend;
use crate::checkpoint::Checkpoint;
use crate::pipeline::Pipeline;

/// Folder of the target in the run folder.
pub(crate) const TARGET: &str = "checkpoints/target";

pub(crate) fn run(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    with_backend!(pipeline.experiment.raw.backend, B => run_on::<B>(pipeline, hash))
}

/// The examples that the target is trained on, and their duplicate groups, numbered as in the corpus.
pub(crate) fn examples<'c>(
    pipeline: &Pipeline,
    corpus: &'c dyn Corpus,
) -> anyhow::Result<(Selection<'c>, Vec<u32>)> {
    let partition = prepare::read(pipeline)?;
    let mut examples = Selection::new(corpus, &partition, Membership::HeldIn, Role::Train)?;
    let mut labels = train_set(corpus, &partition, Membership::HeldIn)?;
    if let Some(near) = &pipeline.experiment.raw.target.near_dedup {
        join_near_copies(&mut labels, &examples, near)?;
    }
    let seed = pipeline.experiment.seed.named("train").named("filters");
    let keep = pipeline.experiment.target.mitigation.keep(&labels, seed);
    examples.retain(&keep);
    let groups = labels.duplicate_group.into_iter().zip(keep).filter(|(_, keep)| *keep);
    Ok((examples, groups.map(|(group, _)| group).collect()))
}

fn run_on<B: KernelBackend>(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    let choice = &pipeline.experiment.target;
    let seed = pipeline.experiment.seed.named("train");
    let (corpus, partition) = (pipeline.corpus()?, prepare::read(pipeline)?);
    let (examples, _) = examples(pipeline, corpus)?;

    let side = |membership, name| {
        let validation = Selection::new(corpus, &partition, membership, Role::Validation)?;
        some_texts(&validation, choice.max_validation_examples, seed.named(name))
    };
    let validation = Validation {
        held_in: side(Membership::HeldIn, "validation held-in")?,
        held_out: side(Membership::HeldOut, "validation held-out")?,
    };
    let Checkpoint { lm, config, tokenizer } =
        Checkpoint::<CausalLm<B>>::open(&reference_folder(pipeline)?, ())?;
    let lm = match &choice.lora {
        Some(lora) => {
            lm.with_fresh_adapters(&config, lora, seed.named("adapters")).context("[target.lora]")?
        }
        None => lm,
    };
    let job = TrainingJob {
        stage: "train",
        folder: pipeline.folder.file(TARGET),
        config: &config,
        tokenizer: &tokenizer,
        settings: &choice.settings,
        privacy: choice.privacy.as_ref(),
        seed,
        n_devices: pipeline.n_devices,
        hash,
        is_short: pipeline.is_short,
    };
    let Trained { outcome, note, left_out_s } = job.run(&lm, &examples, &validation)?;
    let mut files = training_files(TARGET, lm.is_adapted(), &outcome);
    if let Some(n) = pipeline.experiment.raw.target.gradient_norms {
        norms::measure::<B>(pipeline, n)?;
        files.push(NORMS.to_owned());
    }
    Ok(StageOutput { files, note, left_out_s })
}
