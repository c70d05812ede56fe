//! Prepare: the corpus is read and its users are split.

use std::cell::OnceCell;

use anyhow::{Context, ensure};
use serde::Serialize;
use userprint_core::{Membership, Role, Tokenize};
use userprint_data::relational::NEAR_DUPLICATES;
use userprint_data::{
    CanaryTier, Columns, Corpus, CorpusError, InMemoryCorpus, Partition, Planted, Population, keep_fresh,
    partition, plant, read_corpus, shadow,
};
use userprint_model::HfTokenizer;

use super::StageOutput;
use crate::experiment::{CorpusChoice, Experiment, ReferenceChoice};
use crate::pipeline::Pipeline;

/// File of the partition in the run folder.
pub(crate) const PARTITION: &str = "partition.parquet";

/// File of the canary users in the run folder.
const CANARIES: &str = "canaries.json";

/// A canary user as it is recorded.
#[derive(Serialize)]
struct CanaryRecord<'a> {
    user_id: &'a str,
    #[serde(flatten)]
    tier: CanaryTier,
    membership: &'static str,
}

pub(crate) fn run(pipeline: &Pipeline) -> anyhow::Result<StageOutput> {
    let Planted { corpus, partition, canaries } = pipeline.prepared()?;
    partition.write_parquet(&pipeline.folder.file(PARTITION))?;
    let n = |membership| count(partition, membership);
    let mut note = format!(
        "{} users, {} examples: {} public, {} held-in, {} held-out, {} dropped for too few examples",
        corpus.users().len(),
        corpus.n_examples_total(),
        n(Membership::Public),
        n(Membership::HeldIn),
        n(Membership::HeldOut),
        partition.n_dropped,
    );
    let mut files = vec![PARTITION];
    if !canaries.is_empty() {
        let record = |canary: &userprint_data::Canary| CanaryRecord {
            user_id: partition.users[canary.user].as_str(),
            tier: pipeline.experiment.raw.canaries[canary.tier],
            membership: canary.membership.name(),
        };
        let records: Vec<CanaryRecord<'_>> = canaries.iter().map(record).collect();
        pipeline.folder.write(CANARIES, serde_json::to_string_pretty(&records)?.as_bytes())?;
        files.push(CANARIES);
        note += &format!(", {} canaries among them", canaries.len());
    }
    Ok(StageOutput::new(&files, note))
}

/// Reads or draws the corpus, splits its users, and plants canaries.
pub(crate) fn prepare(pipeline: &Pipeline) -> anyhow::Result<Planted> {
    let experiment = &pipeline.experiment;
    let seed = experiment.seed;
    let (corpus, given) = read_choice(experiment)?;
    let partition = match (given, experiment.raw.split) {
        (Some(given), _) => given,
        (None, split) => partition(&corpus, &split.context("[split] is missing")?, seed.named("partition"))?,
    };
    ensure!(
        count(&partition, Membership::Public) > 0
            || !matches!(experiment.reference, ReferenceChoice::Pretrain(_)),
        "the split has no public users, who pre-train the reference: split with `--public`, or bring a checkpoint"
    );
    let has = |wanted| partition.roles.values().contains(&Some(wanted));
    ensure!(
        has(Role::Attack) && has(Role::Validation),
        "the split has no example for the attack or none for validation: split with `--attack` and `--validation` above 0"
    );
    let partition = match experiment.raw.shadow {
        Some(draw) => shadow(&corpus, &partition, draw, seed.named("shadow"))?,
        None => partition,
    };
    let (corpus, partition) = match &experiment.raw.copies {
        Some(copies) => copies.plant(&corpus, &partition, seed.named("copies"))?,
        None => (corpus, partition),
    };
    let tiers = &experiment.raw.canaries;
    if let CorpusChoice::Split(path) = &experiment.corpus {
        // What was marked could not be told from what a held-out user does not train on.
        ensure!(
            (tiers.is_empty() && experiment.raw.shadow.is_none())
                || !path.with_file_name(NEAR_DUPLICATES).exists(),
            "canaries or shadows of a split whose near-duplicates were marked would train on those: split without `--near-duplicates`"
        );
    }
    let planted = match tiers.is_empty() {
        true => Planted { corpus, partition, canaries: Vec::new() },
        false => with_canaries(pipeline, &corpus, &partition)?,
    };
    let Some(share) = experiment.raw.fresh else { return Ok(planted) };
    let partition = keep_fresh(&planted.corpus, &planted.partition, share)?;
    Ok(Planted { partition, ..planted })
}

fn with_canaries(
    pipeline: &Pipeline,
    corpus: &InMemoryCorpus,
    partition: &Partition,
) -> anyhow::Result<Planted> {
    let tokenizer = pipeline.tokenizer_folder().map(HfTokenizer::load_folder).transpose()?;
    let failure = OnceCell::new();
    let spans = |text: &str| {
        // Only the first failure is told.
        spans(tokenizer.as_ref(), text).unwrap_or_else(|error| {
            drop(failure.set(error));
            Vec::new()
        })
    };
    let (tiers, seed) = (&pipeline.experiment.raw.canaries, pipeline.experiment.seed.named("canaries"));
    let planted = plant(corpus, partition, tiers, &spans, seed);
    match failure.into_inner() {
        Some(error) => Err(error).context("a canary's text has no tokens"),
        None => Ok(planted?),
    }
}

/// The corpus as it is read or drawn, and its split where it came with one.
pub(crate) fn read_choice(experiment: &Experiment) -> anyhow::Result<(InMemoryCorpus, Option<Partition>)> {
    Ok(match &experiment.corpus {
        CorpusChoice::File { path, columns } => (read_corpus(path, columns)?, None),
        CorpusChoice::Split(path) => {
            let columns = |timestamp: Option<&str>| Columns {
                user_id: "user_id".to_owned(),
                text: "text".to_owned(),
                example_id: Some("example_id".to_owned()),
                timestamp: timestamp.map(str::to_owned),
                ..Columns::default()
            };
            // Not every split has times.
            let corpus = match read_corpus(path, &columns(Some("timestamp_s"))) {
                Err(CorpusError::MissingColumn { .. }) => read_corpus(path, &columns(None)),
                read => read,
            };
            (corpus?, Some(Partition::read_parquet(path)?))
        }
        CorpusChoice::Synthetic(config) => {
            let population = Population::new(*config, experiment.seed.named("population"))?;
            (population.sample_corpus(experiment.seed.named("documents")), None)
        }
    })
}

/// Where tokens are; without a tokenizer, which is then made of the public users later, words are tokens.
fn spans(tokenizer: Option<&HfTokenizer>, text: &str) -> anyhow::Result<Vec<[u32; 2]>> {
    if let Some(tokenizer) = tokenizer {
        return Ok(tokenizer.encode(&[text])?.spans.row(0).to_vec());
    }
    let at = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    Ok(text.split_whitespace().map(|word| [at(word) as u32, (at(word) + word.len()) as u32]).collect())
}

/// Number of users of a membership.
pub(crate) fn count(partition: &Partition, membership: Membership) -> u32 {
    partition.membership.iter().filter(|m| **m == membership).count() as u32
}

/// The partition that this stage left.
pub(crate) fn read(pipeline: &Pipeline) -> anyhow::Result<Partition> {
    Ok(Partition::read_parquet(&pipeline.folder.file(PARTITION))?)
}
