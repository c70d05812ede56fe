//! Score: log-likelihoods of all attack examples under both models, and under each kept checkpoint of the target.

use std::path::PathBuf;
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
use userprint_train::step_folder;

use super::pretrain::{REFERENCE as REFERENCE_FOLDER, TrainingRecord, reference_folder};
use super::{StageOutput, prepare, train};
use crate::backend::with_backend;
use crate::checkpoint::{Checkpoint, Scoring, ScoringForm};
use crate::hub;
use crate::pipeline::Pipeline;
use crate::progress::Bar;
use crate::run_folder::Manifest;

/// Files of the score tables in the run folder.
pub(crate) const REFERENCE: &str = "scores/reference.parquet";
/// See [`REFERENCE`].
pub(crate) const TARGET: &str = "scores/target.parquet";

/// Folder of the score tables of kept checkpoints: those that are there are not made again.
const STEPS: &str = "scores/checkpoints";

/// Texts that are tokenised and scored at once: an error names one of them.
const CHUNK: usize = 4096;

/// Texts that a shortened run scores.
const SHORT: usize = 32;

/// Scores under the reference: the same for every target that is made from it.
pub(crate) fn run_reference(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    let backend = pipeline.experiment.raw.backend;
    with_backend!(backend, pipeline.experiment.score.precision, B => run_reference_on::<B>(pipeline, hash))
}

/// Scores under the target and its kept checkpoints.
pub(crate) fn run(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    let backend = pipeline.experiment.raw.backend;
    with_backend!(backend, pipeline.experiment.score.precision, B => run_on::<B>(pipeline, hash))
}

fn run_reference_on<B: KernelBackend>(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    let mut texts = Texts::new(pipeline, hash)?;
    let form = pipeline.experiment.score.form(pipeline.experiment.raw.backend, None);
    let folder = other_reference(pipeline)?.map_or_else(|| reference_folder(pipeline), Ok)?;
    let reference = Checkpoint::<Scoring<B>>::open(&folder, form)?;
    let (speed, wall_s) = texts.score_timed("reference", &reference, REFERENCE)?;
    let note = format!("{} examples, {speed:.0} tokens/s", texts.examples.len());
    let left_out_s = wall_s * texts.left_out();
    Ok(StageOutput { left_out_s, ..StageOutput::new(&[REFERENCE], note) })
}

fn run_on<B: KernelBackend>(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    let form = pipeline.experiment.score.form(pipeline.experiment.raw.backend, None);
    let folder = pipeline.folder.file(train::TARGET);
    let record = TrainingRecord::read(&folder)?;
    let steps = record.kept_steps;
    let mut texts = Texts::new(pipeline, hash)?;
    let target = Checkpoint::<Scoring<B>>::open_over(&reference_folder(pipeline)?, &folder, form)?;
    let (speed, wall_s) = texts.score_timed("target", &target, TARGET)?;
    // A shortened training kept fewer checkpoints than it would.
    let planned = record.planned_steps;
    let n_kept = planned.map_or(0, |planned| pipeline.experiment.target.settings.n_kept(planned)) as f64;
    let left_out_s = wall_s * (texts.left_out() + n_kept * (1.0 + texts.left_out()));
    if !pipeline.is_short {
        texts.score_steps(&steps, target, form)?;
    }
    let checkpoints = match steps.len() {
        0 => String::new(),
        n => format!(", and under {n} checkpoints"),
    };
    let note = format!("{} examples, {speed:.0} tokens/s{checkpoints}", texts.examples.len());
    let steps = if pipeline.is_short { Vec::new() } else { steps };
    let files = [TARGET.to_owned()].into_iter().chain(steps.into_iter().map(step_table)).collect();
    Ok(StageOutput { files, note, left_out_s })
}

/// The folder of the reference of another run, where scores are set beside those.
pub(crate) fn other_reference(pipeline: &Pipeline) -> anyhow::Result<Option<PathBuf>> {
    let Some(run) = &pipeline.experiment.raw.score.reference_from else { return Ok(None) };
    let context = || "score.reference_from";
    Ok(Some(match Manifest::read(run).with_context(context)?.hub {
        // That run has fetched it.
        Some(model) => hub::fetch(&model.name, Some(&model.commit), true).with_context(context)?.folder,
        None => run.join(REFERENCE_FOLDER),
    }))
}

/// The score table of the checkpoint that was kept of a step.
pub(crate) fn step_table(step: u64) -> String {
    format!("{STEPS}/{}.parquet", step_folder(step))
}

/// An attack example with its owner.
#[derive(Clone)]
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
struct Texts<'a> {
    pipeline: &'a Pipeline,
    hash: Fingerprint,
    examples: Vec<AttackExample>,
    /// Bytes of all texts, also of those that a shortened run leaves out.
    n_bytes: usize,
    tokens: Option<(Arc<HfTokenizer>, Vec<Tokens>)>,
}

impl<'a> Texts<'a> {
    fn new(pipeline: &'a Pipeline, hash: Fingerprint) -> anyhow::Result<Self> {
        let mut examples = attack_examples(pipeline)?;
        let n_bytes = examples.iter().map(|example| example.text.len()).sum();
        if pipeline.is_short {
            let every = examples.len().div_ceil(SHORT).max(1);
            examples = examples.into_iter().step_by(every).collect();
        }
        Ok(Self { pipeline, hash, examples, n_bytes, tokens: None })
    }

    /// What is left out, as a multiple of what is there.
    fn left_out(&self) -> f64 {
        let there: usize = self.examples.iter().map(|example| example.text.len()).sum();
        if there == 0 { 0.0 } else { (self.n_bytes - there) as f64 / there as f64 }
    }

    /// Scores all examples under a model; the answer is tokens per second, and seconds.
    fn score_timed<B: KernelBackend>(
        &mut self,
        name: &'static str,
        checkpoint: &Checkpoint<Scoring<B>>,
        file: &str,
    ) -> anyhow::Result<(f64, f64)> {
        let n = self.examples.len() as u64;
        if self.pipeline.is_short {
            // A device's first batch is slow.
            self.score(name, checkpoint, file, &Bar::new(name, n))?;
        }
        let bar = Bar::new(name, n);
        let speed = self.score(name, checkpoint, file, &bar)?;
        Ok((speed, bar.wall_s()))
    }

    /// The id of a model's scores: the stage's hash covers all models, their tokenizers and how texts are read.
    fn id(&self, name: &str) -> String {
        let precision = self.pipeline.experiment.score.precision;
        format!("{name} {} {}", precision.name(), &self.hash.hex()[..16])
    }

    /// Scores all examples under the checkpoints of these steps that have no table yet.
    ///
    /// `checkpoint` is the target; one model is in memory at a time, and a whole one goes before the next comes.
    fn score_steps<B: KernelBackend>(
        &mut self,
        steps: &[u64],
        mut checkpoint: Checkpoint<Scoring<B>>,
        form: ScoringForm,
    ) -> anyhow::Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        let folder = self.pipeline.folder.file(STEPS);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{}: cannot be created", folder.display()))?;
        let bar = Bar::new("checkpoints", (steps.len() * self.examples.len()) as u64);
        for &step in steps {
            let (name, file) = (step_folder(step), step_table(step));
            if self.is_scored(&name, &file) {
                bar.advance(self.examples.len());
                continue;
            }
            let folder = self.pipeline.folder.file(train::TARGET).join(&name);
            checkpoint = checkpoint.or_adapted(&folder, form)?;
            self.score(&name, &checkpoint, &file, &bar)?;
        }
        Ok(())
    }

    /// Whether a run that was stopped left these scores; a file that cannot be read is made again.
    fn is_scored(&self, name: &str, file: &str) -> bool {
        let table = store::read_scores(&self.pipeline.folder.file(file));
        table.is_ok_and(|table| table.scorer.as_str() == self.id(name))
    }

    /// Scores all examples and writes the table; the answer is tokens per second.
    fn score<B: KernelBackend>(
        &mut self,
        name: &str,
        checkpoint: &Checkpoint<Scoring<B>>,
        file: &str,
        bar: &Bar,
    ) -> anyhow::Result<f64> {
        let choice = &self.pipeline.experiment.score;
        let id = self.id(name);
        let (scorer, reading) = checkpoint.scorer(&id, choice)?;
        let tokens = self.tokens(&checkpoint.tokenizer)?;
        let start = bar.wall_s();
        let scores = score_chunks(&scorer, tokens, choice.detail, bar)?;
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
        store::write_scores(&self.pipeline.folder.file(file), &table)?;
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
