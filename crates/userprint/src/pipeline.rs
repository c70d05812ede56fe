//! The pipeline: stages in order, each found by its hash and skipped when done.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use userprint_core::{Fingerprint, Fingerprinter};
use userprint_data::{InMemoryCorpus, Planted};
use userprint_model::checkpoint;
use userprint_model::hub::HubModel;
use userprint_train::devices;

use crate::backend::with_backend;
use crate::experiment::{
    CorpusChoice, Experiment, RawCorpus, RawReference, RawTarget, RawTraining, ReferenceChoice,
};
use crate::hub;
use crate::results::Results;
use crate::run_folder::{HubRecord, RunFolder, file_hash};
use crate::stages::{self, StageOutput};

/// A stage of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Stage {
    Prepare,
    Pretrain,
    ScoreReference,
    Train,
    Score,
    Attack,
    Report,
}

impl Stage {
    const ALL: [Self; 7] = [
        Self::Prepare,
        Self::Pretrain,
        Self::ScoreReference,
        Self::Train,
        Self::Score,
        Self::Attack,
        Self::Report,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Pretrain => "pretrain",
            Self::Train => "train",
            Self::ScoreReference => "score-reference",
            Self::Score => "score",
            Self::Attack => "attack",
            Self::Report => "report",
        }
    }

    /// The stages whose results this one's is made from; what it needs of earlier ones, their hashes cover.
    fn sources(self) -> &'static [Self] {
        match self {
            // Public users are who they are whatever is planted in others.
            Self::Prepare | Self::Pretrain => &[],
            Self::ScoreReference | Self::Train => &[Self::Prepare, Self::Pretrain],
            Self::Score => &[Self::Train],
            // Both models' scores, side by side.
            Self::Attack => &[Self::ScoreReference, Self::Score],
            Self::Report => &[Self::Attack],
        }
    }

    fn is_made_from(self, other: Self) -> bool {
        self.sources().iter().any(|source| *source == other || source.is_made_from(other))
    }

    /// The stages whose results come from this one's.
    fn later(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter(move |later| later.is_made_from(self)).map(Self::name)
    }
}

/// An experiment with its run folder and its corpus, read when first needed.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) experiment: Experiment,
    pub(crate) folder: RunFolder,
    /// Devices that share the work of training; no hash knows them, because they change rounding alone.
    pub(crate) n_devices: NonZeroUsize,
    /// Whether stages do as much as tells how long they take, and no more.
    pub(crate) is_short: bool,
    prepared: OnceCell<Planted>,
    hub_folder: Option<PathBuf>,
}

impl Pipeline {
    /// Opens the run folder and writes the resolved experiment file into it.
    ///
    /// A reference from the hub is fetched here; offline it must be in the cache.
    pub(crate) fn open(
        experiment: Experiment,
        path: &Path,
        n_devices: NonZeroUsize,
        offline: bool,
    ) -> anyhow::Result<Self> {
        // One device is there or is missed by the stage that needs it: an attack is made again without a GPU.
        if n_devices.get() > 1 {
            with_backend!(experiment.raw.backend, B => devices::<B>(n_devices.get()).map(drop).map_err(anyhow::Error::from))?;
        }
        let mut folder = RunFolder::open(path)?;
        folder.write("experiment.toml", toml::to_string(&experiment.raw.resolved()?)?.as_bytes())?;
        folder.manifest.version = env!("CARGO_PKG_VERSION").to_owned();
        folder.manifest.backend = experiment.raw.backend.name().to_owned();
        folder.manifest.machine = machine();
        let hub_folder = match &experiment.reference {
            ReferenceChoice::Hub { name, revision } => {
                let (model, record) = pinned(folder.manifest.hub.as_ref(), name, revision, offline)?;
                folder.manifest.hub = Some(record);
                Some(model.folder)
            }
            _ => {
                folder.manifest.hub = None;
                None
            }
        };
        Ok(Self { experiment, folder, n_devices, is_short: false, prepared: OnceCell::new(), hub_folder })
    }

    /// The folder of the reference that came from the hub.
    pub(crate) fn hub_folder(&self) -> anyhow::Result<&Path> {
        self.hub_folder.as_deref().context("the reference does not come from the hub")
    }

    /// Runs all stages up to `last` that are not done yet; the answer is what to tell the user.
    pub(crate) fn run(mut self, last: Stage) -> anyhow::Result<String> {
        self.run_up_to(last)?;
        self.summary(last)
    }

    /// Seconds of each stage up to the scores, from shortened stages, those left out that another run has done; the attack and the
    /// report are not estimated.
    pub(crate) fn estimate(mut self) -> anyhow::Result<BTreeMap<Stage, f64>> {
        self.is_short = true;
        self.run_up_to(Stage::Score)
    }

    /// Runs what is not done yet; the answer is what each stage took, with what it left out.
    fn run_up_to(&mut self, last: Stage) -> anyhow::Result<BTreeMap<Stage, f64>> {
        let inputs = self.inputs()?;
        let (mut hashes, mut seconds) = (BTreeMap::new(), BTreeMap::new());
        for stage in Stage::ALL.into_iter().filter(|stage| *stage <= last) {
            let hash = self.hash(stage, inputs, &hashes)?;
            hashes.insert(stage, hash);
            if self.folder.is_done(stage.name(), hash) {
                tracing::info!("{:15} done before", stage.name());
                continue;
            }
            self.folder.discard_damaged(stage.name(), hash)?;
            if let Some(other) = self.folder.adopt(stage.name(), hash, stage.later())? {
                tracing::info!("{:15} taken from {other}", stage.name());
                continue;
            }
            let start = Instant::now();
            let output = self.run_stage(stage, hash).with_context(|| format!("stage {}", stage.name()))?;
            let wall_s = start.elapsed().as_secs_f64();
            tracing::info!("{:15} {:6.1} s  {}", stage.name(), wall_s, output.note);
            self.folder.finish(stage.name(), hash, &output, wall_s, stage.later())?;
            seconds.insert(stage, wall_s + output.left_out_s);
        }
        Ok(seconds)
    }

    fn run_stage(&mut self, stage: Stage, hash: Fingerprint) -> anyhow::Result<StageOutput> {
        match stage {
            Stage::Prepare => stages::prepare::run(self),
            Stage::Pretrain => stages::pretrain::run(self, hash),
            Stage::Train => stages::train::run(self, hash),
            Stage::ScoreReference => stages::score::run_reference(self, hash),
            Stage::Score => stages::score::run(self, hash),
            Stage::Attack => stages::attack::run(self),
            Stage::Report => stages::report::run(self),
        }
    }

    /// What the first stage depends on besides its settings: the corpus as it lies on the disk.
    fn inputs(&self) -> anyhow::Result<Fingerprint> {
        let content = match &self.experiment.corpus {
            CorpusChoice::File { path, .. } | CorpusChoice::Split(path) => {
                file_hash(path).context("the corpus")?
            }
            CorpusChoice::Synthetic(_) => String::new(),
        };
        Ok(Fingerprinter::new().with(env!("CARGO_PKG_VERSION")).with(content).finish())
    }

    /// The hash of everything that changes a stage's result: its settings, and the stages that it is made from.
    fn hash(
        &self,
        stage: Stage,
        inputs: Fingerprint,
        earlier: &BTreeMap<Stage, Fingerprint>,
    ) -> anyhow::Result<Fingerprint> {
        let raw = &self.experiment.raw;
        let mut hash = Fingerprinter::new().with(stage.name());
        if self.is_short {
            hash.add("shortened");
        }
        for source in stage.sources() {
            hash.add(earlier[source].hex());
        }
        if stage <= Stage::Pretrain {
            // Where the file lies does not matter, its content does.
            let corpus = RawCorpus { path: None, split: None, ..raw.corpus.clone() };
            hash.add(inputs.hex());
            hash.add(serde_json::to_string(&(raw.seed, corpus, raw.split))?);
        }
        match stage {
            Stage::Prepare => {
                if let Some(draw) = raw.shadow {
                    hash.add(format!("shadow {draw}"));
                }
                if let Some(share) = raw.fresh {
                    hash.add(format!("fresh {share}"));
                }
                if let Some(copies) = raw.copies {
                    hash.add(serde_json::to_string(&copies)?);
                }
                if !raw.canaries.is_empty() {
                    hash.add(serde_json::to_string(&raw.canaries)?);
                    hash.add(self.tokenizer_folder().map_or_else(|| Ok(String::new()), hash_of_checkpoint)?);
                }
            }
            Stage::Pretrain => {
                let checkpoint = match &self.experiment.reference {
                    ReferenceChoice::Checkpoint(folder) => hash_of_checkpoint(folder)?,
                    ReferenceChoice::Hub { .. } => serde_json::to_string(&self.folder.manifest.hub)?,
                    ReferenceChoice::Pretrain(_) => {
                        let training = raw.reference.training.as_ref().map(RawTraining::beyond_rounding);
                        serde_json::to_string(&RawReference { training, ..raw.reference.clone() })?
                    }
                };
                hash.add(checkpoint);
                hash.add(raw.backend.name());
            }
            Stage::Train => {
                let training = raw.target.training.beyond_rounding();
                hash.add(serde_json::to_string(&RawTarget { training, ..raw.target.clone() })?);
            }
            Stage::ScoreReference | Stage::Score => {
                let score = &raw.score;
                // The batch size changes scores by rounding alone.
                let settings = (&score.bos, score.max_tokens, &score.long_texts, &score.detail, &score.dtype);
                hash.add(serde_json::to_string(&settings)?);
                if stage == Stage::ScoreReference
                    && let Some(folder) = stages::score::other_reference(self)?
                {
                    hash.add(hash_of_checkpoint(&folder)?);
                }
            }
            Stage::Attack => hash.add(serde_json::to_string(&raw.attack)?),
            Stage::Report => hash.add(&raw.name),
        }
        Ok(hash.finish())
    }

    /// The corpus, read or drawn when first needed, with its canary users.
    pub(crate) fn corpus(&self) -> anyhow::Result<&InMemoryCorpus> {
        self.prepared().map(|prepared| &prepared.corpus)
    }

    /// The corpus and who trains on it.
    pub(crate) fn prepared(&self) -> anyhow::Result<&Planted> {
        if let Some(prepared) = self.prepared.get() {
            return Ok(prepared);
        }
        let prepared = stages::prepare::prepare(self)?;
        Ok(self.prepared.get_or_init(|| prepared))
    }

    /// The folder of a reference that is there before anything is trained.
    pub(crate) fn tokenizer_folder(&self) -> Option<&Path> {
        match &self.experiment.reference {
            ReferenceChoice::Checkpoint(folder) => Some(folder),
            ReferenceChoice::Hub { .. } => self.hub_folder.as_deref(),
            ReferenceChoice::Pretrain(_) => None,
        }
    }

    fn summary(&self, last: Stage) -> anyhow::Result<String> {
        if last < Stage::Attack {
            return Ok(format!("{} done: {}", last.name(), self.folder.path().display()));
        }
        let results = Results::read(self.folder.path())?;
        let mut lines = vec![format!(
            "AUROC {:.3} (95 % interval {:.3} to {:.3}), {} held-in and {} held-out users",
            results.auroc,
            results.auroc_interval[0],
            results.auroc_interval[1],
            results.users.held_in,
            results.users.held_out
        )];
        lines.extend(results.void.iter().map(|reason| format!("VOID: {reason}")));
        if last == Stage::Report {
            lines.push(format!("report: {}", self.folder.file("report.html").display()));
        }
        Ok(lines.join("\n"))
    }
}

/// The model of the commit that the run began with, or of the one that the revision stands for now.
fn pinned(
    before: Option<&HubRecord>,
    name: &str,
    revision: &Option<String>,
    offline: bool,
) -> anyhow::Result<(HubModel, HubRecord)> {
    let before = before.filter(|record| record.name == name && record.revision == *revision);
    let wanted = before.map(|record| record.commit.as_str()).or(revision.as_deref());
    let model = hub::fetch(name, wanted, offline).context("[reference]")?;
    let sha256: BTreeMap<String, String> =
        model.files.iter().map(|file| (file.name.clone(), file.sha256.clone())).collect();
    // The cache may hold other files of the same commit now: those that the run began with must be the same.
    let is_changed =
        |before: &&HubRecord| before.sha256.iter().any(|(name, hash)| sha256.get(name) != Some(hash));
    if let Some(before) = before.filter(is_changed) {
        bail!(
            "[reference] {name}: the files of commit {} are not those that the run began with; \
             delete {} from the cache to fetch them again, or the run folder to start afresh",
            before.commit,
            model.folder.display()
        );
    }
    let (revision, commit) = (revision.clone(), model.commit.clone());
    let record = HubRecord { name: name.to_owned(), revision, commit, sha256 };
    Ok((model, before.cloned().unwrap_or(record)))
}

/// The files of a checkpoint that make its scores, hashed.
pub(crate) fn hash_of_checkpoint(folder: &Path) -> anyhow::Result<String> {
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().display().to_string();
        Ok(format!("{name}={};", file_hash(path)?))
    };
    checkpoint::files(folder)?.iter().map(named).collect()
}

/// The processor's name and how many threads there are.
pub(crate) fn machine() -> String {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()));
    format!(
        "{}, {threads} threads, {}",
        model.unwrap_or_else(|| "unknown processor".to_owned()),
        std::env::consts::OS
    )
}
