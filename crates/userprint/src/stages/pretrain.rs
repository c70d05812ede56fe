//! Pretrain: the reference model, pre-trained on the public users or brought along.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rand::seq::index;
use userprint_core::{ExampleSource, Fingerprint, Membership, Role, Seed, UserIdx};
use userprint_data::{Partition, Selection};
use userprint_mitigate::{Plan, TrainingRule};
use userprint_model::backend::KernelBackend;
use userprint_model::{CausalLm, HfTokenizer, ModelConfig, adapter, n_parameters};
use userprint_train::{
    Checkpoints, NoiseKey, Randomness, Tokenized, TrainData, TrainError, TrainOutcome, TrainSettings,
    Validation, devices, step_folder, tokenize, train_on,
};

use super::{StageOutput, prepare};
use crate::backend::with_backend;
use crate::checkpoint::{Checkpoint, folder_name};
use crate::experiment::ReferenceChoice;
use crate::pipeline::Pipeline;
use crate::privacy::{Counts, PrivacyChoice, Promise};
use crate::progress::TrainingBar;
use crate::results::ModelSummary;
use crate::run_folder::{write_file, write_private};

/// Folder of the reference in the run folder.
pub(crate) const REFERENCE: &str = "checkpoints/reference";

/// What the report says of the models, in the run folder.
const SUMMARY: &str = "reference.json";

/// Key of a private training's coins and noise, in the folder of its checkpoint until it ends.
const NOISE_KEY: &str = "noise-key";

/// Record of a training, in the folder of its best checkpoint.
const RECORD: &str = "training.json";

/// Files that training leaves in a folder: the best checkpoint, its record, the checkpoints of kept steps.
pub(crate) fn training_files(folder: &str, is_adapted: bool, outcome: &TrainOutcome) -> Vec<String> {
    let of_checkpoint: &[&str] = match is_adapted {
        true => &[adapter::CONFIG, adapter::WEIGHTS, "tokenizer.json", "tokenizer_config.json"],
        false => &[
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ],
    };
    let steps = outcome.kept_steps.iter().map(|&step| format!("{folder}/{}", step_folder(step)));
    let folders = steps.chain([folder.to_owned()]);
    let files = folders.flat_map(|folder| of_checkpoint.iter().map(move |name| format!("{folder}/{name}")));
    files.chain([format!("{folder}/{RECORD}")]).collect()
}

pub(crate) fn run(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    with_backend!(pipeline.experiment.raw.backend, B => run_on::<B>(pipeline, hash))
}

fn run_on<B: KernelBackend>(pipeline: &Pipeline, hash: Fingerprint) -> anyhow::Result<StageOutput> {
    let choice = match &pipeline.experiment.reference {
        ReferenceChoice::Checkpoint(_) | ReferenceChoice::Hub { .. } => {
            let folder = reference_folder(pipeline)?;
            let Checkpoint { lm, config, .. } = Checkpoint::<CausalLm<B>>::open(&folder, ())?;
            let note = format!("{} parameters from {}", n_parameters(&lm.module), folder_name(&folder));
            write_summary(pipeline, &lm, &config)?;
            return Ok(StageOutput::new(&[SUMMARY], note));
        }
        ReferenceChoice::Pretrain(choice) => choice,
    };
    let (config, settings) = (&choice.config, &choice.settings);
    let (corpus, partition) = (pipeline.corpus()?, prepare::read(pipeline)?);
    let public = |role| Selection::new(corpus, &partition, Membership::Public, role);
    let examples = public(Role::Train)?;
    let seed = pipeline.experiment.seed.named("pretrain");
    let validation = Validation {
        held_in: some_texts(
            &public(Role::Validation)?,
            choice.max_validation_examples,
            seed.named("validation"),
        )?,
        held_out: Vec::new(),
    };
    let texts = all_texts(&examples)?;
    let tokenizer =
        HfTokenizer::train(&texts.iter().map(String::as_str).collect::<Vec<_>>(), config.decoder.vocab_size)?;
    let lm = CausalLm::<B>::init(config.decoder.clone(), seed.named("weights"), &Default::default());
    let job = TrainingJob {
        stage: "pretrain",
        folder: pipeline.folder.file(REFERENCE),
        config,
        tokenizer: &tokenizer,
        settings,
        privacy: None,
        seed,
        n_devices: pipeline.n_devices,
        hash,
        is_short: pipeline.is_short,
    };
    let Trained { outcome, note, left_out_s } = job.run(&lm, &examples, &validation)?;
    write_summary(pipeline, &lm, config)?;
    let mut files = training_files(REFERENCE, false, &outcome);
    files.push(SUMMARY.to_owned());
    Ok(StageOutput { files, note: format!("{} parameters, {note}", n_parameters(&lm.module)), left_out_s })
}

/// What the report says of the models: written here, so that an attack needs no model.
fn write_summary<B: KernelBackend>(
    pipeline: &Pipeline,
    lm: &CausalLm<B>,
    config: &ModelConfig,
) -> anyhow::Result<()> {
    let reference = match &pipeline.experiment.reference {
        ReferenceChoice::Checkpoint(folder) => {
            format!("checkpoint {}", folder_name(folder))
        }
        ReferenceChoice::Hub { name, .. } => {
            let commit = pipeline.folder.manifest.hub.as_ref().map_or("", |model| model.commit.as_str());
            format!("{name} at {commit}")
        }
        ReferenceChoice::Pretrain(_) => "pre-trained on the public users".to_owned(),
    };
    let summary = ModelSummary {
        family: config.family.model_type.to_owned(),
        n_parameters: n_parameters(&lm.module),
        vocab_size: config.decoder.vocab_size as u64,
        context: config.decoder.context as u64,
        reference,
    };
    pipeline.folder.write(SUMMARY, serde_json::to_string_pretty(&summary)?.as_bytes())
}

/// What [`write_summary`] left.
pub(crate) fn read_summary(pipeline: &Pipeline) -> anyhow::Result<ModelSummary> {
    let path = pipeline.folder.file(SUMMARY);
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: not a summary of the models", path.display()))
}

/// The folder that the reference is in.
pub(crate) fn reference_folder(pipeline: &Pipeline) -> anyhow::Result<PathBuf> {
    Ok(match &pipeline.experiment.reference {
        ReferenceChoice::Checkpoint(folder) => folder.clone(),
        ReferenceChoice::Hub { .. } => pipeline.hub_folder()?.to_owned(),
        ReferenceChoice::Pretrain(_) => pipeline.folder.file(REFERENCE),
    })
}

/// One training, of the reference or of the target.
#[derive(Debug)]
pub(crate) struct TrainingJob<'a> {
    pub(crate) stage: &'static str,
    pub(crate) folder: PathBuf,
    pub(crate) config: &'a ModelConfig,
    pub(crate) tokenizer: &'a HfTokenizer,
    pub(crate) settings: &'a TrainSettings,
    pub(crate) privacy: Option<&'a PrivacyChoice>,
    pub(crate) seed: Seed,
    pub(crate) n_devices: NonZeroUsize,
    pub(crate) hash: Fingerprint,
    /// Whether it ends after as many steps as tell how long one takes.
    pub(crate) is_short: bool,
}

/// What a training job came to.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) outcome: TrainOutcome,
    /// The stage's note.
    pub(crate) note: String,
    /// See [`StageOutput::left_out_s`].
    pub(crate) left_out_s: f64,
}

impl TrainingJob<'_> {
    /// Trains and leaves `training.json` beside the checkpoint.
    pub(crate) fn run<B: KernelBackend>(
        &self,
        start: &CausalLm<B>,
        examples: &dyn ExampleSource,
        validation: &Validation,
    ) -> anyhow::Result<Trained> {
        let devices = devices::<B>(self.n_devices.get())?;
        self.discard_state_of_others()?;
        let Tokenized { documents, owners } = tokenize(examples, self.tokenizer)?;
        // The token that stands before texts when they are scored, where the checkpoint names it.
        let separator = self.config.bos_token_id.or(self.config.eos_token_id);
        let separator = separator.context(
            "config.json names neither bos_token_id nor eos_token_id, and documents need one between them",
        )?;
        let data = TrainData { documents: &documents, owners: &owners, separator, validation };
        let checkpoints = Checkpoints {
            folder: &self.folder,
            config: self.config,
            tokenizer: self.tokenizer,
            fingerprint: self.hash,
        };
        let (settings, plan) = self.settled(start, &data)?;
        let warnings = plan.map_or(Vec::new(), |plan| plan.warnings);
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let noise_key = NoiseKeyFile { path: self.folder.join(NOISE_KEY) };
        let noise_key_of = noise_key.of(&settings.rule, checkpoints.is_under_way()?)?;
        let randomness = Randomness { seed: self.seed, noise_key: noise_key_of };
        let mut bar = TrainingBar::new(self.stage, self.is_short);
        let trained = train_on::<B>(&devices, start, &data, &settings, &randomness, &checkpoints, &mut bar);
        if let Err(TrainError::LossNotFinite { .. } | TrainError::NormNotFinite { .. }) = &trained {
            // It would end so again: what is kept of it stays without its key.
            noise_key.forget()?;
        }
        let outcome = trained?;
        if self.privacy.is_some() && outcome.claim.is_none() {
            tracing::warn!(
                "{}: the noise is so little, or none, that the training promises nothing; raise noise_multiplier",
                self.stage
            );
        }
        let promise = outcome.claim.clone().map(|claim| Promise { claim, warnings });
        let promised = promise.as_ref().map_or(String::new(), |promise| format!(", {}", promise.claim));
        write_outcome(&self.folder, &outcome, promise, self.is_short.then(|| bar.total_steps()))?;
        noise_key.forget()?;
        let speed = bar.tokens_per_s().map_or(String::new(), |speed| format!(", {speed:.0} tokens/s"));
        let n_tokens = outcome.n_tokens.map_or(String::new(), |n_tokens| format!("{n_tokens} tokens in "));
        let (n_examples, steps) = (documents.n_rows(), outcome.steps);
        let note = format!("{n_examples} examples, {n_tokens}{steps} steps{speed}{promised}");
        Ok(Trained { outcome, note, left_out_s: bar.left_out_s(&settings) })
    }

    /// The settings with the rule for these data, and the plan behind it, if any.
    fn settled<B: KernelBackend>(
        &self,
        start: &CausalLm<B>,
        data: &TrainData<'_>,
    ) -> anyhow::Result<(TrainSettings, Option<Plan>)> {
        let Some(privacy) = self.privacy else { return Ok((self.settings.clone(), None)) };
        let rows = data.documents.rows().zip(data.owners).filter(|(document, _)| !document.is_empty());
        let owners: Vec<UserIdx> = rows.map(|(_, &owner)| owner).collect();
        let users: BTreeSet<UserIdx> = owners.iter().copied().collect();
        let n_parameters = start.trained_sizes().iter().map(|(_, n)| *n as u64).sum();
        let counts = Counts { n_examples: owners.len() as u64, n_users: users.len() as u64, n_parameters };
        privacy.settle(self.settings, counts).context("[target.training.privacy]")
    }

    /// Whether the folder has a training that promises something, at its end or on its way.
    fn has_private_training(&self) -> bool {
        let promises = |record: TrainingRecord| record.promise.is_some();
        self.folder.join(NOISE_KEY).exists() || TrainingRecord::read(&self.folder).is_ok_and(promises)
    }

    /// A state that another experiment left in this folder is of no use: its settings or data differ.
    fn discard_state_of_others(&self) -> anyhow::Result<()> {
        let marker = self.folder.join("training-hash");
        let hash = self.hash.hex();
        if std::fs::read_to_string(&marker).is_ok_and(|found| found == hash) {
            return Ok(());
        }
        if self.folder.exists() {
            if self.has_private_training() {
                tracing::warn!(
                    "{}: a private training with other settings or data is replaced; on the same users, what both promise adds up",
                    self.stage
                );
            }
            std::fs::remove_dir_all(&self.folder)
                .with_context(|| format!("{}: cannot be emptied", self.folder.display()))?;
        }
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("{}: cannot be created", self.folder.display()))?;
        write_file(&marker, hash.as_bytes())
    }
}

/// Where the key of a private training's coins and noise is kept until training ends.
#[derive(Debug)]
struct NoiseKeyFile {
    path: PathBuf,
}

impl NoiseKeyFile {
    /// The key for a rule that needs one: the one in the file, or a new one from the operating system, which the file then holds.
    ///
    /// A training under way goes on with the key that it began with or not at all.
    fn of(&self, rule: &TrainingRule, is_under_way: bool) -> anyhow::Result<Option<NoiseKey>> {
        if rule.noise_multiplier().is_none() {
            return Ok(None);
        }
        let path = &self.path;
        if path.exists() {
            let found = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
            let n_bytes = found.len();
            let key = found.try_into().map_err(|_| {
                anyhow::anyhow!(
                    "{}: it has {n_bytes} bytes, expected 32; delete the folder to start afresh",
                    path.display()
                )
            })?;
            return Ok(Some(NoiseKey::new(key)));
        }
        if is_under_way {
            bail!(
                "{}: the key of the training's noise is gone, as it is when a training has ended in a loss or gradient \
                 that is not finite; change the settings, or restore the key if it was lost otherwise, or delete {} to start afresh",
                path.display(),
                path.parent().unwrap_or(path).display()
            );
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).context("the operating system gives no random bytes")?;
        write_private(path, &key)?;
        Ok(Some(NoiseKey::new(key)))
    }

    /// Nobody can take the noise off once the key is gone.
    fn forget(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{}: cannot be deleted", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// `training.json`: the curve, which step is the target, and which others were kept.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct TrainingRecord {
    pub(crate) curve: Vec<userprint_train::CurvePoint>,
    pub(crate) best_step: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) kept_steps: Vec<u64>,
    pub(crate) steps: u64,
    /// Steps that were planned, where a shortened run made fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) planned_steps: Option<u64>,
    /// `None` of a private training, which must not tell how much it sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n_tokens: Option<u64>,
    /// The least norm before clipping, of batches or examples, whichever were clipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) least_norm: Option<f64>,
    /// What the next step would have clipped to, where that adapts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_clip_norm: Option<f64>,
    /// What the training promises, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) promise: Option<Promise>,
}

impl TrainingRecord {
    /// Reads the record beside a checkpoint.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(RECORD);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{}: not a record of training", path.display()))
    }
}

fn write_outcome(
    folder: &Path,
    outcome: &TrainOutcome,
    promise: Option<Promise>,
    planned_steps: Option<u64>,
) -> anyhow::Result<()> {
    let record = TrainingRecord {
        curve: outcome.curve.clone(),
        best_step: outcome.best_step,
        kept_steps: outcome.kept_steps.clone(),
        steps: outcome.steps,
        planned_steps,
        n_tokens: outcome.n_tokens,
        least_norm: outcome.least_norm,
        last_clip_norm: outcome.last_clip_norm,
        promise,
    };
    write_file(&folder.join(RECORD), serde_json::to_string_pretty(&record)?.as_bytes())
}

/// All texts of a source.
pub(crate) fn all_texts(source: &dyn ExampleSource) -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    for user in 0..source.users().len() {
        texts.extend(source.texts(UserIdx(user as u32))?);
    }
    Ok(texts)
}

/// At most `most` texts of a source, drawn at random.
pub(crate) fn some_texts(source: &dyn ExampleSource, most: usize, seed: Seed) -> anyhow::Result<Vec<String>> {
    let texts = all_texts(source)?;
    if texts.len() <= most {
        return Ok(texts);
    }
    let chosen = index::sample(&mut seed.rng(), texts.len(), most);
    Ok(chosen.into_iter().map(|row| texts[row].clone()).collect())
}

/// Number of examples of a membership and role.
pub(crate) fn n_examples(partition: &Partition, membership: Membership, role: Role) -> u64 {
    let users = partition.membership.iter().zip(partition.roles.rows());
    let rows = users.filter(|(m, _)| **m == membership).map(|(_, roles)| roles);
    rows.map(|roles| roles.iter().filter(|r| **r == Some(role)).count() as u64).sum()
}
