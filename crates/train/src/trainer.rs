//! The training loop.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::backend::AutodiffBackend;
use userprint_core::{Detail, ExampleSource, Ragged, Seed, Tokenize, UserIdx};
use userprint_mitigate::Claim;
use userprint_model::backend::KernelBackend;
use userprint_model::{CausalLm, LocalScorer, Params, ScoringOptions};
use userprint_score::{ScoreError, Scorer};

use crate::checkpoints::Progress;
use crate::gradients::{clip_factor, norm};
use crate::peers::{Peers, Replica, StepSum, on_device};
use crate::private::PrivateSteps;
use crate::{
    Checkpoints, CurvePoint, Hook, NoiseKey, Optimizer, Sequences, StepReport, TrainBackend, TrainError,
    TrainSettings, clipped_sum, clipped_sum_recomputed, gradients, gradients_recomputed, learning_rate,
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
    /// Whose each example is.
    pub owners: &'a [UserIdx],
    /// Token that stands before each document, in training and in validation.
    pub separator: u32,
    /// Texts whose loss is measured.
    pub validation: &'a Validation,
}

/// What training draws from.
#[derive(Clone, Debug)]
pub struct Randomness {
    /// Of shuffles.
    pub seed: Seed,
    /// Of the secret coins and noise of private steps: needed by [`TrainingRule::DpSgd`](userprint_mitigate::TrainingRule) alone.
    pub noise_key: Option<NoiseKey>,
}

impl From<Seed> for Randomness {
    fn from(seed: Seed) -> Self {
        Self { seed, noise_key: None }
    }
}

/// How training went.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOutcome {
    /// Losses at each evaluation, the first before any step.
    pub curve: Vec<CurvePoint>,
    /// Step of the checkpoint that was kept: the least held-in validation loss, or the last one where steps are private.
    pub best_step: u64,
    /// Steps whose models were kept beside the target, see [`TrainSettings::kept_every`].
    pub kept_steps: Vec<u64>,
    /// Steps done.
    pub steps: u64,
    /// Tokens predicted in training; `None` in private training, which must not tell how much was sampled.
    pub n_tokens: Option<u64>,
    /// The least gradient norm, before clipping, of any batch or example, whichever is clipped; `None` where none is, and in
    /// private training, which must not tell.
    pub least_norm: Option<f64>,
    /// What the next step would have clipped to, where that adapts: a private release, which may be told.
    pub last_clip_norm: Option<f64>,
    /// How much privacy the training gave: of all steps that it might have made, because what it saw may have ended it sooner.
    pub claim: Option<Claim>,
}

/// Texts as token ids, and whose they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokenized {
    /// Token ids of each example, user after user.
    pub documents: Ragged<u32>,
    /// Whose each example is.
    pub owners: Vec<UserIdx>,
}

/// All texts of a source, tokenised, user after user.
///
/// # Errors
/// [`TrainError::Source`] or [`TrainError::Tokenize`].
pub fn tokenize(source: &dyn ExampleSource, tokenizer: &dyn Tokenize) -> Result<Tokenized, TrainError> {
    let mut found = Tokenized::default();
    for user in (0..source.users().len()).map(|user| UserIdx(user as u32)) {
        let texts = source.texts(user)?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for ids in tokenizer.encode(&texts)?.ids.rows() {
            found.documents.push(ids.iter().copied());
            found.owners.push(user);
        }
    }
    Ok(found)
}

/// Trains from `start` and keeps the checkpoint of least held-in validation loss; resumes where a state is found.
///
/// On a CPU a resumed training ends with the same bits as an uninterrupted one.
///
/// With [`TrainingRule::DpSgd`](userprint_mitigate::TrainingRule) each call first tries the parts that the claim rests on, on a
/// few examples, and the last checkpoint is kept: held-in validation texts, which no noise hides, choose nothing.
/// The losses in reports and outcome are of the data as they are; the claim covers the weights, not them.
///
/// # Errors
/// [`TrainError`]: settings out of range, nothing to train on, a self-check that fails, a loss that is not finite, a full disk.
///
/// # Panics
/// If owners and documents are not equally many.
pub fn train<B: KernelBackend>(
    start: &CausalLm<B>,
    data: &TrainData<'_>,
    settings: &TrainSettings,
    randomness: &Randomness,
    checkpoints: &Checkpoints<'_>,
    hook: &mut dyn Hook,
) -> Result<TrainOutcome, TrainError> {
    train_on(&[start.device()], start, data, settings, randomness, checkpoints, hook)
}

/// [`train`] on several devices, which share the examples or users of each step; one may be there more than once.
///
/// How many there are changes rounding alone, and a training may go on with others.
/// With up to two devices, or devices that are all different, a resumed training ends with the same bits here too; of more
/// that are one, as parts of a processor, Burn adds up in an order that varies.
/// Validation losses are measured on the first.
///
/// # Errors
/// As [`train`]; [`TrainError::Setting`] for no device, [`TrainError::Devices`] for those that cannot work together.
///
/// # Panics
/// As [`train`]; and a panic on one device goes on here.
pub fn train_on<B: KernelBackend>(
    devices: &[B::Device],
    start: &CausalLm<B>,
    data: &TrainData<'_>,
    settings: &TrainSettings,
    randomness: &Randomness,
    checkpoints: &Checkpoints<'_>,
    hook: &mut dyn Hook,
) -> Result<TrainOutcome, TrainError> {
    settings.check(start.config.context)?;
    let device = devices.first().ok_or_else(|| TrainError::Setting {
        key: "devices",
        found: "0".to_owned(),
        expected: "at least 1".to_owned(),
    })?;
    assert_eq!(data.documents.n_rows(), data.owners.len(), "each document needs an owner");
    if data.documents.n_rows() == 0 {
        return Err(TrainError::NoDocuments);
    }
    if data.validation.held_in.is_empty() {
        return Err(TrainError::NoValidation);
    }
    let mut lm = on_device(&with_gradients::<Autodiff<B>>(start), device);
    let mut steps = Steps::new(&lm, data, settings, randomness)?;
    let total = steps.total(settings);
    let claim = steps.claim(total, settings)?;
    let key_id = randomness.noise_key.as_ref().map(NoiseKey::id);
    let resumed = checkpoints.read_state(&mut lm, settings.optimizer, device, key_id.as_deref())?;
    let (optimizer, progress) = resumed.unwrap_or_else(|| {
        let progress = Progress { key_id: key_id.filter(|_| steps.is_private()), ..Progress::default() };
        (Optimizer::new(settings.optimizer), progress)
    });
    if let (Steps::Private(steps), Some(clip_norm)) = (&mut steps, progress.clip_norm) {
        steps.set_clip_norm(clip_norm);
    }
    let peers = Peers::new(lm, optimizer, devices)?;
    let kept_every = settings.kept_every(total);
    let mut run =
        Run { peers, progress, data, settings, checkpoints, steps, total, kept_every, losses: vec![] };
    run.go(hook)?;
    let kept_steps = run.kept_steps();
    Ok(TrainOutcome {
        curve: run.progress.curve,
        best_step: run.progress.best_step,
        kept_steps,
        steps: run.progress.step,
        n_tokens: Some(run.progress.n_tokens).filter(|_| !run.steps.is_private()),
        least_norm: run.progress.least_norm,
        last_clip_norm: run.progress.clip_norm,
        claim,
    })
}

/// The same weights, recording gradients: of adapters alone where the model has some.
pub(crate) fn with_gradients<B: AutodiffBackend>(start: &CausalLm<B::InnerBackend>) -> CausalLm<B> {
    let CausalLm { config, module } = CausalLm::from_inner(start);
    CausalLm { config, module: Params::require_gradients(module, start.trained()) }
}

/// Where the gradients of steps come from.
enum Steps<'a, B: TrainBackend> {
    /// Every document once an epoch, in batches of one size.
    Shuffled { sequences: Sequences<'a>, batch_size: usize, epoch: Option<(u64, Vec<Vec<u32>>)> },
    /// Coins decide.
    Private(PrivateSteps<'a, B>),
}

impl<'a, B: TrainBackend> Steps<'a, B> {
    fn new(
        lm: &CausalLm<B>,
        data: &'a TrainData<'a>,
        settings: &TrainSettings,
        randomness: &Randomness,
    ) -> Result<Self, TrainError> {
        if let Some(batch_size) = settings.rule.batch_size() {
            let seed = randomness.seed.named("sequences");
            let TrainData { documents, separator, .. } = *data;
            let sequences =
                Sequences::new(documents, separator, settings.packing, settings.block_tokens, seed);
            return Ok(Self::Shuffled { sequences, batch_size: batch_size as usize, epoch: None });
        }
        let key = randomness.noise_key.as_ref().ok_or(TrainError::NoKey)?;
        Ok(Self::Private(PrivateSteps::new(lm, data, settings, key)?))
    }

    fn is_private(&self) -> bool {
        matches!(self, Self::Private(_))
    }

    fn adapted_clip_norm(&self) -> Option<f64> {
        match self {
            Self::Shuffled { .. } => None,
            Self::Private(steps) => steps.adapted_clip_norm(),
        }
    }

    /// Steps in which each document, or sampled unit on average, is seen once.
    fn per_epoch(&self) -> f64 {
        match self {
            Self::Shuffled { sequences, batch_size, .. } => {
                sequences.n_per_epoch().div_ceil(*batch_size) as f64
            }
            Self::Private(steps) => steps.per_epoch(),
        }
    }

    fn total(&self, settings: &TrainSettings) -> u64 {
        // A quotient of two whole numbers may round to a little above one.
        let all = (self.per_epoch() * f64::from(settings.epochs) - 1e-6).ceil() as u64;
        all.min(settings.max_steps)
    }

    fn claim(&self, total: u64, settings: &TrainSettings) -> Result<Option<Claim>, TrainError> {
        match self {
            Self::Shuffled { .. } => Ok(None),
            Self::Private(steps) => steps.claim(total, settings.delta),
        }
    }

    /// What the rule makes of the gradients of a step, from 1.
    fn gradients(
        &mut self,
        peers: &mut Peers<B>,
        step: u64,
        settings: &TrainSettings,
    ) -> Result<StepSum<B>, TrainError> {
        let (sequences, batch_size, epoch) = match self {
            Self::Private(steps) => return steps.gradients(peers, step),
            Self::Shuffled { sequences, batch_size, epoch } => (sequences, *batch_size, epoch),
        };
        let steps_per_epoch = sequences.n_per_epoch().div_ceil(batch_size) as u64;
        let (wanted, within) = ((step - 1) / steps_per_epoch, (step - 1) % steps_per_epoch);
        if epoch.as_ref().is_none_or(|(drawn, _)| *drawn != wanted) {
            *epoch = Some((wanted, sequences.epoch(wanted)));
        }
        let all = epoch.as_ref().map_or(&[][..], |(_, all)| all);
        let first = within as usize * batch_size;
        let batch = &all[first..(first + batch_size).min(all.len())];
        shuffled_gradients(peers, batch, step, settings)
    }
}

/// What a rule without coins makes of a batch's gradients.
fn shuffled_gradients<B: TrainBackend>(
    peers: &mut Peers<B>,
    sequences: &[Vec<u32>],
    step: u64,
    settings: &TrainSettings,
) -> Result<StepSum<B>, TrainError> {
    let (clip_norm, microbatch_size) = (settings.rule.clip_norm(), settings.microbatch_size as usize);
    if let (true, Some(clip_norm)) = (settings.clips_examples(), clip_norm) {
        let units: Vec<[Vec<u32>; 1]> = sequences.iter().map(|sequence| [sequence.clone()]).collect();
        let of_units = if settings.activation_checkpointing { clipped_sum_recomputed } else { clipped_sum };
        let clipped = |lm: &CausalLm<B>, batch: &_| of_units(lm, batch, clip_norm);
        let mut sum = peers.clipped_sum(&units, microbatch_size, step, clipped)?;
        peers.all_reduce(&mut sum)?;
        sum.factor = 1.0 / sum.n_units as f64;
        return Ok(sum);
    }
    let of_batch = if settings.activation_checkpointing { gradients_recomputed } else { gradients };
    let mut sum = peers.mean(sequences, microbatch_size, of_batch);
    peers.all_reduce(&mut sum)?;
    if let Some(clip_norm) = clip_norm {
        // Of the first peer's copy: of another it might round otherwise.
        let norm = norm::<B>(&sum.by_peer[0]);
        sum.factor = clip_factor(norm, clip_norm);
        sum.norms = vec![norm];
    }
    Ok(sum)
}

/// One training under way.
struct Run<'a, B: TrainBackend> {
    peers: Peers<B>,
    progress: Progress,
    data: &'a TrainData<'a>,
    settings: &'a TrainSettings,
    checkpoints: &'a Checkpoints<'a>,
    steps: Steps<'a, B>,
    total: u64,
    kept_every: Option<u64>,
    losses: Vec<f64>,
}

impl<B: TrainBackend> Run<'_, B> {
    fn go(&mut self, hook: &mut dyn Hook) -> Result<(), TrainError> {
        let is_over = self.progress.ended || self.progress.step >= self.total;
        if let (Steps::Private(steps), false) = (&self.steps, is_over) {
            steps.self_check(&mut self.peers, self.settings.optimizer)?;
        }
        if self.progress.curve.is_empty() {
            let evaluation = Some(self.evaluate()?);
            let report =
                StepReport { step: 0, total_steps: self.total, loss_nats: None, n_tokens: None, evaluation };
            self.progress.ended = hook.on_step(&report).is_break();
        }
        while !self.progress.ended && self.progress.step < self.total {
            let (loss_nats, n_tokens) = self.step()?;
            let evaluation =
                if self.is_evaluated(self.progress.step) { Some(self.evaluate()?) } else { None };
            let (step, total_steps) = (self.progress.step, self.total);
            let report = StepReport { step, total_steps, loss_nats, n_tokens, evaluation };
            self.progress.ended |= hook.on_step(&report).is_break();
        }
        self.progress.ended = true;
        self.write_state()?;
        self.keep_last()
    }

    fn write_state(&self) -> Result<(), TrainError> {
        let Replica { lm, optimizer } = self.peers.first();
        self.checkpoints.write_state(lm, optimizer, &self.progress)
    }

    /// Keeps the model of the last step, where its number alone did not.
    fn keep_last(&self) -> Result<(), TrainError> {
        let last = self.kept_steps().last().copied();
        if let Some(step) = last.filter(|&step| !self.is_kept(step)) {
            self.checkpoints.keep_step(&self.peers.first().lm, step)?;
        }
        Ok(())
    }

    /// Whether this step's model is kept for its number alone.
    fn is_kept(&self, step: u64) -> bool {
        step > 0 && self.kept_every.is_some_and(|every| step.is_multiple_of(every))
    }

    /// Steps up to now whose models are kept: those of their number, and the last.
    fn kept_steps(&self) -> Vec<u64> {
        let done = self.progress.step;
        let is_last = |step| self.kept_every.is_some() && step == done;
        (1..=done).filter(|&step| self.is_kept(step) || is_last(step)).collect()
    }

    /// One update; the loss before it, and the tokens predicted.
    fn step(&mut self) -> Result<(Option<f64>, Option<u64>), TrainError> {
        let step = self.progress.step + 1;
        let TrainSettings { schedule, learning_rate: peak, warmup_steps, .. } = *self.settings;
        let rate = learning_rate(schedule, peak, step, warmup_steps, self.total);
        let found = self.steps.gradients(&mut self.peers, step, self.settings)?;
        let (loss, n_tokens) = (found.loss_nats, found.n_tokens);
        let norms = found.norms.iter().copied();
        let least_norm = norms.chain(self.progress.least_norm).reduce(f64::min);
        if let Some(loss) = loss.filter(|loss| !loss.is_finite()) {
            return Err(self.not_finite(step, loss));
        }
        self.peers.update(found, rate);
        self.progress.step = step;
        self.progress.n_tokens += n_tokens.unwrap_or(0);
        self.progress.least_norm = least_norm;
        self.progress.clip_norm = self.steps.adapted_clip_norm();
        self.losses.extend(loss);
        Ok((loss, n_tokens))
    }

    fn not_finite(&self, step: u64, loss: f64) -> TrainError {
        let (best_step, learning_rate) = (self.progress.best_step, self.settings.learning_rate);
        TrainError::LossNotFinite { step, loss, best_step, learning_rate }
    }

    /// Whether the `k`-th of the evenly spaced evaluations falls on this step, or its model is kept.
    fn is_evaluated(&self, step: u64) -> bool {
        let n = u64::from(self.settings.evaluations).min(self.total);
        let done = |step: u64| step * n / self.total;
        done(step) > done(step - 1) || self.is_kept(step)
    }

    /// Measures validation losses, keeps the model if it is the best or of a step to keep, writes the state.
    fn evaluate(&mut self) -> Result<CurvePoint, TrainError> {
        let step = self.progress.step;
        let point = CurvePoint {
            step,
            epoch: step as f64 / self.steps.per_epoch(),
            train_loss: mean(&self.losses),
            held_in: self.loss(&self.data.validation.held_in)?.ok_or(TrainError::NoValidation)?,
            held_out: self.loss(&self.data.validation.held_out)?,
        };
        self.losses.clear();
        let best = self.progress.curve.iter().map(|point| point.held_in).fold(f64::INFINITY, f64::min);
        if point.held_in < best || self.steps.is_private() {
            self.checkpoints.keep_best(&self.peers.first().lm)?;
            self.progress.best_step = step;
        }
        if self.is_kept(step) {
            self.checkpoints.keep_step(&self.peers.first().lm, step)?;
        }
        self.progress.curve.push(point);
        let held_in: Vec<f64> = self.progress.curve.iter().map(|point| point.held_in).collect();
        self.progress.ended |= self.settings.stop.should_stop(&held_in);
        self.write_state()?;
        Ok(point)
    }

    /// Mean loss per token over all texts; none where there are none.
    fn loss(&self, texts: &[String]) -> Result<Option<f64>, TrainError> {
        if texts.is_empty() {
            return Ok(None);
        }
        let lm = self.peers.first().lm.without_gradients();
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
