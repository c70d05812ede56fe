//! Prepare: the corpus is read and its users are split.

use userprint_core::Membership;
use userprint_data::{Corpus, Partition, partition};

use super::StageOutput;
use crate::pipeline::Pipeline;

/// File of the partition in the run folder.
pub(crate) const PARTITION: &str = "partition.parquet";

pub(crate) fn run(pipeline: &Pipeline) -> anyhow::Result<StageOutput> {
    let corpus = pipeline.corpus()?;
    let partition =
        partition(corpus, &pipeline.experiment.raw.split, pipeline.experiment.seed.named("partition"))?;
    partition.write_parquet(&pipeline.folder.file(PARTITION))?;
    let n = |membership| count(&partition, membership);
    let note = format!(
        "{} users, {} examples: {} public, {} held-in, {} held-out, {} dropped for too few examples",
        corpus.users().len(),
        corpus.n_examples_total(),
        n(Membership::Public),
        n(Membership::HeldIn),
        n(Membership::HeldOut),
        partition.n_dropped,
    );
    Ok(StageOutput::new(&[PARTITION], note))
}

/// Number of users of a membership.
pub(crate) fn count(partition: &Partition, membership: Membership) -> u32 {
    partition.membership.iter().filter(|m| **m == membership).count() as u32
}

/// The partition that this stage left.
pub(crate) fn read(pipeline: &Pipeline) -> anyhow::Result<Partition> {
    Ok(Partition::read_parquet(&pipeline.folder.file(PARTITION))?)
}
