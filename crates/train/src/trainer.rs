//! The training loop.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use userprint_core::{Detail, ExampleSource, Ragged, Seed, Tokenize, UserIdx};
use userprint_model::backend::KernelBackend;
use userprint_model::{Batch, CausalLm, LocalScorer, Params, ScoringOptions};
use userprint_score::{ScoreError, Scorer};

use crate::checkpoints::Progress;
use crate::{
    Checkpoints, CurvePoint, Gradients, Hook, Optimizer, Sequences, StepReport, TrainBackend, TrainError,
    TrainSettings, UnitBatch, clipped_sum, gradients, learning_rate,
};

/// Texts whose loss is measured along training.
#[derive(Clone, Default)]
pub struct Validation {
    /// Of users trained on; their loss picks the checkpoint.
    pub held_in: Vec<String>,
    /// Of users never trained on; may be empty.
    pub held_out: Vec<String>,
}

impl std::fmt::Debug for Validation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Validation")
            .field("n_held_in", &self.held_in.len())
            .field("n_held_out", &self.held_out.len())
            .finish()
    }
}

/// What training reads.
#[derive(Clone, Copy, Debug)]
pub struct TrainData<'a> {
    /// Token ids of each training example.
    pub documents: &'a Ragged<u32>,
    /// Token that stands before each document, in training and in validation.
    pub separator: u32,
    /// Texts whose loss is measured.
    pub validation: &'a Validation,
}

/// How training went.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOutcome {
    /// Losses at each evaluation, the first before any step.
    pub curve: Vec<CurvePoint>,
    /// Step of the checkpoint that was kept: the least held-in validation loss.
    pub best_step: u64,
    /// Steps done.
    pub steps: u64,
    /// Tokens predicted in training.
    pub n_tokens: u64,
}

/// All texts of a source, tokenised, user after user.
///
/// # Errors
/// [`TrainError::Source`] or [`TrainError::Tokenize`].
pub fn tokenize(source: &dyn ExampleSource, tokenizer: &dyn Tokenize) -> Result<Ragged<u32>, TrainError> {
    let mut documents = Ragged::new();
    for user in 0..source.users().len() {
        let texts = source.texts(UserIdx(user as u32))?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for ids in tokenizer.encode(&texts)?.ids.rows() {
            documents.push(ids.iter().copied());
        }
    }
    Ok(documents)
}

/// Trains from `start`, keeping the checkpoint of least held-in validation loss; resumes where a state is found.
///
/// On a CPU a resumed training ends with the same bits as an uninterrupted one.
///
/// # Errors
/// [`TrainError`]: settings out of range, nothing to train on, a loss that is not finite, a full disk.
pub fn train<B: KernelBackend>(
    start: &CausalLm<B>,
    data: &TrainData<'_>,
    settings: &TrainSettings,
    seed: Seed,
    checkpoints: &Checkpoints<'_>,
    hook: &mut dyn Hook,
) -> Result<TrainOutcome, TrainError> {
    settings.check(start.config.context)?;
    if data.documents.n_rows() == 0 {
        return Err(TrainError::NoDocuments);
    }
    if data.validation.held_in.is_empty() {
        return Err(TrainError::NoValidation);
    }
    let device = start.device();
    let mut lm = with_gradients::<Autodiff<B>>(start);
    let resumed = checkpoints.read_state(&mut lm, settings.optimizer, &device)?;
    let (optimizer, progress) =
        resumed.unwrap_or_else(|| (Optimizer::new(settings.optimizer), Progress::default()));
    let sequences = Sequences::new(
        data.documents,
        data.separator,
        settings.packing,
        settings.block_tokens,
        seed.named("sequences"),
    );
    let batch_size = settings.batch_size()?;
    let steps_per_epoch = sequences.n_per_epoch().div_ceil(batch_size) as u64;
    let total = (steps_per_epoch * u64::from(settings.epochs)).min(settings.max_steps);
    let mut run = Run {
        lm,
        optimizer,
        progress,
        data,
        settings,
        checkpoints,
        steps_per_epoch,
        total,
        device,
        losses: vec![],
    };
    run.go(&sequences, batch_size, hook)?;
    Ok(TrainOutcome {
        curve: run.progress.curve,
        best_step: run.progress.best_step,
        steps: run.progress.step,
        n_tokens: run.progress.n_tokens,
    })
}

/// The same weights, recording gradients: of adapters alone where the model has some.
fn with_gradients<B: AutodiffBackend>(start: &CausalLm<B::InnerBackend>) -> CausalLm<B> {
    let CausalLm { config, module } = CausalLm::from_inner(start);
    CausalLm { config, module: Params::require_gradients(module, start.trained()) }
}

/// One training under way.
struct Run<'a, B: AutodiffBackend> {
    lm: CausalLm<B>,
    optimizer: Optimizer<B>,
    progress: Progress,
    data: &'a TrainData<'a>,
    settings: &'a TrainSettings,
    checkpoints: &'a Checkpoints<'a>,
    steps_per_epoch: u64,
    total: u64,
    device: B::Device,
    losses: Vec<f64>,
}

impl<B: TrainBackend> Run<'_, B> {
    fn go(
        &mut self,
        sequences: &Sequences<'_>,
        batch_size: usize,
        hook: &mut dyn Hook,
    ) -> Result<(), TrainError> {
        if self.progress.curve.is_empty() {
            let evaluation = Some(self.evaluate()?);
            let report =
                StepReport { step: 0, total_steps: self.total, loss_nats: None, n_tokens: 0, evaluation };
            self.progress.ended = hook.on_step(&report).is_break();
        }
        let mut epoch = (u64::MAX, Vec::new());
        while !self.progress.ended && self.progress.step < self.total {
            let step = self.progress.step;
            let wanted = step / self.steps_per_epoch;
            if epoch.0 != wanted {
                epoch = (wanted, sequences.epoch(wanted));
            }
            let first = (step % self.steps_per_epoch) as usize * batch_size;
            let last = (first + batch_size).min(epoch.1.len());
            let (loss, n_tokens) = self.step(&epoch.1[first..last])?;
            let evaluation =
                if self.is_evaluated(self.progress.step) { Some(self.evaluate()?) } else { None };
            let report = StepReport {
                step: self.progress.step,
                total_steps: self.total,
                loss_nats: Some(loss),
                n_tokens,
                evaluation,
            };
            self.progress.ended |= hook.on_step(&report).is_break();
        }
        self.progress.ended = true;
        self.checkpoints.write_state(&self.lm, &self.optimizer, &self.progress)
    }

    /// One update; the loss before it, and the tokens predicted.
    fn step(&mut self, sequences: &[Vec<u32>]) -> Result<(f64, u64), TrainError> {
        let step = self.progress.step + 1;
        let TrainSettings { schedule, learning_rate: peak, warmup_steps, .. } = *self.settings;
        let rate = learning_rate(schedule, peak, step, warmup_steps, self.total);
        let (found, n_tokens) = self.gradients(sequences);
        let loss = found.loss_nats;
        if !loss.is_finite() {
            return Err(self.not_finite(step, loss));
        }
        self.lm = self.optimizer.update(self.lm.clone(), found, rate);
        self.progress.step = step;
        self.progress.n_tokens += n_tokens;
        self.losses.push(loss);
        Ok((loss, n_tokens))
    }

    /// What the rule makes of a batch's gradients.
    fn gradients(&self, sequences: &[Vec<u32>]) -> (Gradients<B>, u64) {
        let clip_norm = self.settings.rule.clip_norm();
        if let (true, Some(clip_norm)) = (self.settings.clips_examples(), clip_norm) {
            let units: Vec<[&[u32]; 1]> = sequences.iter().map(|sequence| [&sequence[..]]).collect();
            let batch = UnitBatch::new(&units, &self.device);
            return (clipped_sum(&self.lm, &batch, clip_norm).mean(), batch.n_tokens() as u64);
        }
        let batch = Batch::new(sequences, &self.device);
        let found = gradients(&self.lm, &batch);
        let found = match clip_norm {
            Some(clip_norm) => found.clipped(clip_norm),
            None => found,
        };
        (found, batch.n_tokens as u64)
    }

    fn not_finite(&self, step: u64, loss: f64) -> TrainError {
        let (best_step, learning_rate) = (self.progress.best_step, self.settings.learning_rate);
        TrainError::LossNotFinite { step, loss, best_step, learning_rate }
    }

    /// Whether the `k`-th of the evenly spaced evaluations falls on this step.
    fn is_evaluated(&self, step: u64) -> bool {
        let n = u64::from(self.settings.evaluations).min(self.total);
        let done = |step: u64| step * n / self.total;
        done(step) > done(step - 1)
    }

    /// Measures validation losses, keeps the model if it is the best, writes the state.
    fn evaluate(&mut self) -> Result<CurvePoint, TrainError> {
        let step = self.progress.step;
        let point = CurvePoint {
            step,
            epoch: step as f64 / self.steps_per_epoch as f64,
            train_loss: mean(&self.losses),
            held_in: self.loss(&self.data.validation.held_in)?.ok_or(TrainError::NoValidation)?,
            held_out: self.loss(&self.data.validation.held_out)?,
        };
        self.losses.clear();
        let best = self.progress.curve.iter().map(|point| point.held_in).fold(f64::INFINITY, f64::min);
        if point.held_in < best {
            self.checkpoints.keep_best(&self.lm)?;
            self.progress.best_step = step;
        }
        self.progress.curve.push(point);
        let held_in: Vec<f64> = self.progress.curve.iter().map(|point| point.held_in).collect();
        self.progress.ended |= self.settings.stop.should_stop(&held_in);
        self.checkpoints.write_state(&self.lm, &self.optimizer, &self.progress)?;
        Ok(point)
    }

    /// Mean loss per token over all texts; none where there are none.
    fn loss(&self, texts: &[String]) -> Result<Option<f64>, TrainError> {
        if texts.is_empty() {
            return Ok(None);
        }
        let lm = self.lm.without_gradients();
        let options = ScoringOptions { bos_token: Some(self.data.separator), ..ScoringOptions::default() };
        let scorer =
            LocalScorer::new("validation", lm, Arc::new(self.checkpoints.tokenizer.clone()), options);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scores = match scorer.score(&texts, Detail::Total) {
            Err(ScoreError::NotALogLikelihood { found, .. }) => {
                return Err(self.not_finite(self.progress.step, -found));
            }
            scores => scores?,
        };
        let n_tokens: u64 = scores.n_tokens.iter().map(|&n| u64::from(n)).sum();
        Ok(Some(-scores.log_likelihood.iter().sum::<f64>() / n_tokens as f64))
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
