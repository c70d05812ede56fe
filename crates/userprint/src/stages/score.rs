//! Score: log-likelihoods of all attack examples under both models.

use std::sync::Arc;

use anyhow::Context;
use userprint_core::{
    Detail, ExampleId, ExampleSource, Fingerprint, Membership, Role, TextScores, Tokenize, Tokens, UserId,
    UserIdx,
};
use userprint_data::Selection;
use userprint_model::backend::KernelBackend;
use userprint_model::{HfTokenizer, LocalScorer};
use userprint_score::{ScoreTable, ScorerId, store, zlib_bytes};

use super::pretrain::reference_folder;
use super::{StageOutput, prepare, train};
use crate::backend::with_backend;
use crate::checkpoint::{Checkpoint, Scoring};
use crate::pipeline::Pipeline;
use crate::progress::Bar;

/// Files of the score tables in the run folder.
pub(crate) const REFERENCE: &str = "scores/reference.parquet";
/// See [`REFERENCE`].
pub(crate) const TARGET: &str = "scores/target.parquet";

/// Texts that are tokenised and scored at once: an error names one of them.
const CHUNK: usize = 4096;

pub(crate) fn run(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    let backend = pipeline.experiment.raw.backend;
    with_backend!(backend, pipeline.experiment.score.precision, B => run_on::<B>(pipeline, hash))
}

fn run_on<B: KernelBackend>(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    let form = pipeline.experiment.score.form(pipeline.experiment.raw.backend, None);
    let mut texts = Texts { examples: attack_examples(pipeline)?, tokens: None };
    let reference = Checkpoint::<Scoring<B>>::open(&reference_folder(pipeline)?, form)?;
    let first = texts.score(pipeline, "reference", hash, &reference, REFERENCE)?;
    let target = reference.or_adapted(&pipeline.folder.file(train::TARGET), form)?;
    let second = texts.score(pipeline, "target", hash, &target, TARGET)?;
    let note = format!(
        "{} examples under two models: reference {first:.0} tokens/s, target {second:.0} tokens/s",
        texts.examples.len()
    );
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

/// The attack examples, tokenised once for as many models as read them alike.
struct Texts {
    examples: Vec<AttackExample>,
    tokens: Option<(Arc<HfTokenizer>, Vec<Tokens>)>,
}

impl Texts {
    /// Scores all examples and writes the table; the answer is tokens per second.
    fn score<B: KernelBackend>(
        &mut self,
        pipeline: &Pipeline,
        name: &'static str,
        hash: Fingerprint,
        checkpoint: &Checkpoint<Scoring<B>>,
        file: &str,
    ) -> anyhow::Result<f64> {
        let choice = &pipeline.experiment.score;
        // The stage's hash covers both models, their tokenizers and how texts are read.
        let id = format!("{name} {} {}", choice.precision.name(), &hash.hex()[..16]);
        let (scorer, reading) = checkpoint.scorer(&id, choice)?;
        let bar = Bar::new(name, self.examples.len() as u64);
        let tokens = self.tokens(&checkpoint.tokenizer)?;
        let start = bar.wall_s();
        let scores = score_chunks(&scorer, tokens, choice.detail, &bar)?;
        let speed = scores.n_tokens.iter().map(|&n| f64::from(n)).sum::<f64>() / (bar.wall_s() - start);
        let examples = &self.examples;
        let table = ScoreTable {
            scorer: ScorerId::new(id),
            reading,
            user_id: examples.iter().map(|example| example.user_id.clone()).collect(),
            example_id: examples.iter().map(|example| example.example_id.clone()).collect(),
            n_bytes: examples.iter().map(|example| example.text.len() as u64).collect(),
            zlib_bytes: examples.iter().map(|example| zlib_bytes(&example.text)).collect(),
            scores,
        };
        store::write_scores(&pipeline.folder.file(file), &table)?;
        Ok(speed)
    }

    fn tokens(&mut self, tokenizer: &Arc<HfTokenizer>) -> anyhow::Result<&[Tokens]> {
        let before = self.tokens.take().filter(|(other, _)| other.is_same(tokenizer));
        let tokens = match before {
            Some((_, tokens)) => tokens,
            None => {
                let texts: Vec<&str> = self.examples.iter().map(|example| example.text.as_str()).collect();
                texts.chunks(CHUNK).map(|chunk| tokenizer.encode(chunk)).collect::<Result<_, _>>()?
            }
        };
        Ok(&self.tokens.insert((tokenizer.clone(), tokens)).1)
    }
}

fn score_chunks(
    scorer: &LocalScorer,
    chunks: &[Tokens],
    detail: Detail,
    bar: &Bar,
) -> anyhow::Result<TextScores> {
    let mut scores = TextScores::default();
    for tokens in chunks {
        let (first, n) = (scores.len() + 1, tokens.ids.n_rows());
        let part = scorer.score_tokens(tokens, detail, &|n| bar.advance(n));
        let place = || format!("texts {first} to {} in the order of users", first - 1 + n);
        scores.append(part.with_context(place)?);
    }
    Ok(scores)
}
