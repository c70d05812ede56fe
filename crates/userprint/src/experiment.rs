//! The experiment file: parsed once, checked once; nothing after it sees a string that means a choice.

mod optimizer;
#[cfg(test)]
mod tests;
mod training;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use userprint_attack::{Aggregate, Statistic, statistics};
use userprint_core::{Detail, Seed};
use userprint_data::relational::DOCUMENTS;
use userprint_data::{CanaryTier, Columns, CopiesConfig, NearDuplicates, PopulationConfig, UserSplit};
use userprint_mitigate::{DataFilter, DpSampling, ExactDedup, Mitigation, UserCap};
use userprint_model::{Bos, LongTexts, LoraConfig, ModelConfig, Precision, gpt_neo};
use userprint_train::TrainSettings;

use crate::backend::BackendName;
use crate::checkpoint::ScoringForm;
use crate::privacy::PrivacyChoice;
pub(crate) use training::RawTraining;

/// What an experiment file says, as it stands there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawExperiment {
    pub(crate) name: String,
    pub(crate) seed: u64,
    #[serde(default)]
    pub(crate) backend: BackendName,
    pub(crate) corpus: RawCorpus,
    /// How users are split; absent where the corpus is a split already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) split: Option<UserSplit>,
    pub(crate) reference: RawReference,
    pub(crate) target: RawTarget,
    pub(crate) score: RawScore,
    pub(crate) attack: RawAttack,
    /// Which shadow of the split: who is held in is drawn anew, and all else stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shadow: Option<NonZeroU32>,
    /// Leaves out of training what shares more than this share of its phrases with a reserved document of the same user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fresh: Option<f64>,
    /// Copies of training documents that are planted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) copies: Option<CopiesConfig>,
    /// Users that get something planted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) canaries: Vec<CanaryTier>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCorpus {
    pub(crate) path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) split: Option<PathBuf>,
    pub(crate) user_id: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) example_id: Option<String>,
    pub(crate) timestamp: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) synthetic: Option<PopulationConfig>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawReference {
    pub(crate) checkpoint: Option<PathBuf>,
    pub(crate) hub: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) vocab_size: Option<usize>,
    pub(crate) context: Option<usize>,
    pub(crate) width: Option<usize>,
    pub(crate) layers: Option<usize>,
    pub(crate) heads: Option<usize>,
    pub(crate) training: Option<RawTraining>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTarget {
    pub(crate) max_examples_per_user: Option<u32>,
    #[serde(default)]
    pub(crate) exact_dedup: bool,
    /// Leaves out near-copies as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) near_dedup: Option<NearDuplicates>,
    pub(crate) lora: Option<LoraConfig>,
    /// Measures gradient norms of so many examples of canary users, and of others, once the target is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gradient_norms: Option<usize>,
    pub(crate) training: RawTraining,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawScore {
    pub(crate) bos: String,
    pub(crate) max_tokens: usize,
    #[serde(default = "truncate")]
    pub(crate) long_texts: String,
    pub(crate) detail: String,
    #[serde(default = "f32_name")]
    pub(crate) dtype: String,
    pub(crate) batch_tokens: usize,
    /// A finished run whose reference stands beside the target, in place of the one that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reference_from: Option<PathBuf>,
}

fn f32_name() -> String {
    Precision::F32.name().to_owned()
}

fn truncate() -> String {
    "truncate".to_owned()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAttack {
    pub(crate) statistic: String,
    pub(crate) aggregate: String,
    pub(crate) bootstrap_resamples: u32,
    pub(crate) blind_permutations: u32,
    #[serde(default = "five_percent")]
    pub(crate) false_discovery_rate: f64,
    #[serde(default = "hundred")]
    pub(crate) knowledge_draws: u32,
    /// Share of attack examples that are taken for another user's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) label_noise: f64,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn hundred() -> u32 {
    100
}

fn five_percent() -> f64 {
    0.05
}

/// A checked experiment.
#[derive(Debug)]
pub(crate) struct Experiment {
    /// As read, with what the command line changed: what `experiment.toml` of the run folder says.
    pub(crate) raw: RawExperiment,
    pub(crate) seed: Seed,
    pub(crate) corpus: CorpusChoice,
    pub(crate) reference: ReferenceChoice,
    pub(crate) target: TargetChoice,
    pub(crate) score: ScoreChoice,
    pub(crate) statistic: Box<dyn Statistic>,
    pub(crate) aggregate: Aggregate,
}

/// Where the examples come from.
#[derive(Clone, Debug)]
pub(crate) enum CorpusChoice {
    File {
        path: PathBuf,
        columns: Columns,
    },
    /// Documents that `userprint corpus` has split.
    Split(PathBuf),
    Synthetic(PopulationConfig),
}

/// Where the reference comes from.
#[derive(Clone, Debug)]
pub(crate) enum ReferenceChoice {
    Checkpoint(PathBuf),
    Hub { name: String, revision: Option<String> },
    Pretrain(Box<PretrainChoice>),
}

/// How the reference is pre-trained.
#[derive(Clone, Debug)]
pub(crate) struct PretrainChoice {
    pub(crate) config: ModelConfig,
    pub(crate) settings: TrainSettings,
    pub(crate) max_validation_examples: usize,
}

/// How the target is made from the reference.
#[derive(Debug)]
pub(crate) struct TargetChoice {
    pub(crate) mitigation: Mitigation,
    pub(crate) lora: Option<LoraConfig>,
    /// Where there is `privacy`, it settles the rule once the data are counted.
    pub(crate) settings: TrainSettings,
    pub(crate) privacy: Option<PrivacyChoice>,
    pub(crate) max_validation_examples: usize,
}

/// How texts are scored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoreChoice {
    pub(crate) bos: Bos,
    pub(crate) max_tokens: usize,
    pub(crate) long_texts: LongTexts,
    pub(crate) batch_tokens: usize,
    pub(crate) detail: Detail,
    pub(crate) precision: Precision,
}

impl ScoreChoice {
    /// The form of a model that scores like this on a backend.
    pub(crate) fn form(&self, backend: BackendName, n_threads: Option<usize>) -> ScoringForm {
        let is_packed = backend == BackendName::Cpu;
        ScoringForm { is_packed, precision: self.precision, n_threads }
    }
}

impl RawExperiment {
    /// Reads a file; relative paths in it are relative to its folder.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: the experiment file cannot be read", path.display()))?;
        Self::parse(&text, path)
    }

    /// Reads the text of the file at `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        let mut raw: Self = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                bail!("{}: {}{}", path.display(), error.to_string().trim_end(), nearest_key(error.message()))
            }
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        for relative in raw.paths() {
            *relative = folder.join(&*relative);
        }
        let training = &mut raw.target.training;
        if let Some(run) = training.clip_norm_from.take() {
            training.clip_norm =
                Some(training.recorded_norm(&folder.join(run)).context("target.training.clip_norm_from")?);
        }
        Ok(raw)
    }

    /// The same with absolute paths, so that it can be run from anywhere.
    pub(crate) fn resolved(&self) -> anyhow::Result<Self> {
        let mut raw = self.clone();
        for path in raw.paths() {
            *path = std::path::absolute(&*path)?;
        }
        Ok(raw)
    }

    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let Self { corpus, reference, score, .. } = self;
        [&mut corpus.path, &mut corpus.split, &mut reference.checkpoint, &mut score.reference_from]
            .into_iter()
            .flatten()
    }

    /// Checks everything that can be checked without reading data.
    pub(crate) fn check(self) -> anyhow::Result<Experiment> {
        if self.name.is_empty() || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            bail!(
                "name is {:?}, expected letters, digits, `-`, `_` and `.`: it names the run folder",
                self.name
            );
        }
        self.check_split()?;
        if let Some(share) =
            self.copies.map(|copies| copies.share).filter(|share| !(0.0..=1.0).contains(share))
        {
            bail!("[copies]: share is {share}, expected 0 to 1");
        }
        if let Some(share) = self.fresh.filter(|share| !(0.0..=1.0).contains(share)) {
            bail!("fresh is {share}, expected a share of phrases from 0 to 1");
        }
        if let Some(tier) = self.canaries.iter().position(|tier| tier.n_tokens == 0) {
            bail!("[[canaries]] {}: n_tokens is 0, expected at least 1", tier + 1);
        }
        let statistic_names = statistic_names();
        let names: Vec<&str> = statistic_names.iter().map(String::as_str).collect();
        let statistic = one_of("attack.statistic", &self.attack.statistic, &names, statistics::by_name)?;
        let aggregates: Vec<String> = Aggregate::ALL.iter().map(Aggregate::to_string).collect();
        let aggregates: Vec<&str> = aggregates.iter().map(String::as_str).collect();
        let aggregate =
            one_of("attack.aggregate", &self.attack.aggregate, &aggregates, |name| name.parse().ok())?;
        if self.attack.bootstrap_resamples < 2 {
            let found = self.attack.bootstrap_resamples;
            bail!("attack.bootstrap_resamples is {found}, expected at least 2 (the paper takes 100)");
        }
        if self.attack.blind_permutations < 1000 {
            bail!("attack.blind_permutations is {}, expected at least 1000", self.attack.blind_permutations);
        }
        let rate = self.attack.false_discovery_rate;
        if !(rate > 0.0 && rate < 1.0) {
            bail!("attack.false_discovery_rate is {rate}, expected a share above 0 and below 1");
        }
        let noise = self.attack.label_noise;
        if !(0.0..=1.0).contains(&noise) {
            bail!("attack.label_noise is {noise}, expected a share from 0 to 1");
        }
        if self.attack.knowledge_draws < 2 {
            bail!("attack.knowledge_draws is {}, expected at least 2", self.attack.knowledge_draws);
        }
        let (reference, target) = (self.reference.check()?, self.target.check()?);
        let has_no_public = self.split.is_some_and(|split| split.public == 0.0);
        if has_no_public && matches!(reference, ReferenceChoice::Pretrain(_)) {
            bail!("[split]: public is 0, expected a share above 0: the public users pre-train the reference");
        }
        if let ReferenceChoice::Pretrain(pretrain) = &reference {
            target.settings.check(pretrain.config.decoder.context).context("[target.training]")?;
        }
        Ok(Experiment {
            seed: Seed(self.seed),
            corpus: self.corpus.check()?,
            reference,
            target,
            score: self.score.check()?,
            statistic,
            aggregate,
            raw: self,
        })
    }
}

impl RawExperiment {
    fn check_split(&self) -> anyhow::Result<()> {
        let split = match (&self.split, &self.corpus.split) {
            (None, Some(_)) => return Ok(()),
            (Some(split), None) => split,
            (Some(_), Some(_)) => {
                bail!(
                    "[split] and `split` in [corpus] are both there, expected one: the corpus is split already"
                )
            }
            (None, None) => bail!("[split] is missing: it says how users and their examples are split"),
        };
        split.check().context("[split]")?;
        for (key, share) in [("attack", split.attack), ("validation", split.validation)] {
            if share == 0.0 {
                bail!(
                    "[split]: {key} is 0, expected a share above 0: the {key} examples of each user come from it"
                );
            }
        }
        Ok(())
    }
}

impl RawCorpus {
    fn check(&self) -> anyhow::Result<CorpusChoice> {
        if let Some(folder) = &self.split {
            let others =
                [self.path.is_some(), self.user_id.is_some(), self.text.is_some(), self.synthetic.is_some()];
            if others.contains(&true) {
                bail!(
                    "[corpus] has `split` and others beside it, expected it alone: the split names its columns itself"
                );
            }
            return Ok(CorpusChoice::Split(folder.join(DOCUMENTS)));
        }
        match (&self.path, &self.synthetic) {
            (Some(path), None) => {
                let column = |key: &str, value: &Option<String>| {
                    value.clone().with_context(|| {
                        format!("corpus.{key} is missing: it names the column of {}", path.display())
                    })
                };
                let columns = Columns {
                    user_id: column("user_id", &self.user_id)?,
                    text: column("text", &self.text)?,
                    example_id: self.example_id.clone(),
                    timestamp: self.timestamp.clone(),
                    source: self.source.clone(),
                    co_users: None,
                };
                Ok(CorpusChoice::File { path: path.clone(), columns })
            }
            (None, Some(population)) => {
                population.check().context("[corpus.synthetic]")?;
                Ok(CorpusChoice::Synthetic(*population))
            }
            (Some(_), Some(_)) => bail!("[corpus] has both `path` and `synthetic`, expected one of them"),
            (None, None) => {
                bail!("[corpus] has neither `path` nor `synthetic` nor `split`, expected one of them")
            }
        }
    }
}

impl RawReference {
    fn check(&self) -> anyhow::Result<ReferenceChoice> {
        let shape = [self.vocab_size, self.context, self.width, self.layers, self.heads];
        let is_pretrained = shape.iter().any(Option::is_some) || self.training.is_some();
        let ready = match (&self.checkpoint, &self.hub) {
            (None, None) => None,
            (Some(_), Some(_)) => bail!("[reference] has both `checkpoint` and `hub`, expected one of them"),
            (Some(folder), None) => Some(ReferenceChoice::Checkpoint(folder.clone())),
            (None, Some(name)) => {
                Some(ReferenceChoice::Hub { name: name.clone(), revision: self.revision.clone() })
            }
        };
        if self.revision.is_some() && self.hub.is_none() {
            bail!("[reference] has a `revision` without `hub`: a revision is one of a model on the hub");
        }
        if let Some(ready) = ready {
            if is_pretrained {
                bail!(
                    "[reference] names a checkpoint, so `vocab_size` to `heads` and [reference.training] must go"
                );
            }
            return Ok(ready);
        }
        let [Some(vocab_size), Some(context), Some(width), Some(layers), Some(heads)] = shape else {
            bail!(
                "[reference] needs either `checkpoint`, or `hub`, or all of `vocab_size`, `context`, `width`, `layers`, `heads`"
            );
        };
        let training = self.training.as_ref().context("[reference.training] is missing: without a checkpoint the reference is pre-trained on the public users")?;
        if let Some(key) = training.key_of_checkpoints() {
            bail!(
                "[reference.training] has a `{key}`, expected it in [target.training] alone: the attack is followed along the target's training"
            );
        }
        let config = gpt_neo::small(vocab_size, context, width, layers, heads).context("[reference]")?;
        if training.privacy.is_some() {
            bail!(
                "[reference.training.privacy]: the reference is public, so nothing in it is hidden; expected [target.training.privacy]"
            );
        }
        let (settings, _) = training.check().context("[reference.training]")?;
        settings.check(context).context("[reference.training]")?;
        let max_validation_examples = training.max_validation_examples;
        Ok(ReferenceChoice::Pretrain(Box::new(PretrainChoice { config, settings, max_validation_examples })))
    }
}

impl RawTarget {
    fn check(&self) -> anyhow::Result<TargetChoice> {
        let mut filters: Vec<Box<dyn DataFilter>> = Vec::new();
        if let Some(near) = &self.near_dedup {
            near.check().context("target.near_dedup")?;
        }
        if self.exact_dedup || self.near_dedup.is_some() {
            filters.push(Box::new(ExactDedup));
        }
        if let Some(max_examples) = self.max_examples_per_user {
            if max_examples == 0 {
                bail!("target.max_examples_per_user is 0, expected at least 1");
            }
            filters.push(Box::new(UserCap { max_examples }));
        }
        if let Some(lora) = &self.lora {
            lora.check().context("[target.lora]")?;
        }
        let (settings, privacy) = self.training.check().context("[target.training]")?;
        if let Some(PrivacyChoice { sampling: DpSampling::CappedUsers { examples_per_user }, .. }) = privacy {
            filters.push(Box::new(UserCap { max_examples: examples_per_user }));
        }
        let mitigation = Mitigation { filters, training: settings.rule, stop: settings.stop };
        Ok(TargetChoice {
            mitigation,
            lora: self.lora.clone(),
            settings,
            privacy,
            max_validation_examples: self.training.max_validation_examples,
        })
    }
}

impl RawScore {
    pub(crate) fn check(&self) -> anyhow::Result<ScoreChoice> {
        let bos_names = Bos::ALL.map(Bos::name);
        let bos = one_of("score.bos", &self.bos, &bos_names, |name| {
            Bos::ALL.into_iter().find(|bos| bos.name() == name)
        })?;
        let detail =
            one_of("score.detail", &self.detail, &["total", "tokens", "moments"], |name| match name {
                "total" => Some(Detail::Total),
                "tokens" => Some(Detail::Tokens),
                "moments" => Some(Detail::Moments),
                _ => None,
            })?;
        let long_names = LongTexts::ALL.map(LongTexts::name);
        let long_texts = one_of("score.long_texts", &self.long_texts, &long_names, |name| {
            LongTexts::ALL.into_iter().find(|long_texts| long_texts.name() == name)
        })?;
        let dtypes = Precision::ALL.map(Precision::name);
        let precision = one_of("score.dtype", &self.dtype, &dtypes, |name| {
            Precision::ALL.into_iter().find(|precision| precision.name() == name)
        })?;
        if self.batch_tokens == 0 {
            bail!("score.batch_tokens is 0, expected at least 1");
        }
        if self.max_tokens < 2 {
            bail!(
                "score.max_tokens is {}, expected at least 2: one token of context and one to score",
                self.max_tokens
            );
        }
        Ok(ScoreChoice {
            bos,
            max_tokens: self.max_tokens,
            long_texts,
            batch_tokens: self.batch_tokens,
            detail,
            precision,
        })
    }
}

/// Every example statistic's name.
pub(crate) fn statistic_names() -> Vec<String> {
    statistics::all().iter().map(|statistic| statistic.name()).collect()
}

fn one_of<T>(
    key: &str,
    found: &str,
    names: &[&str],
    parse: impl FnOnce(&str) -> Option<T>,
) -> anyhow::Result<T> {
    parse(found).with_context(|| {
        let hint = nearest(found, names.iter().copied())
            .map_or(String::new(), |name| format!("; did you mean `{name}`?"));
        format!("{key} is `{found}`, expected one of {}{hint}", names.join(", "))
    })
}

/// For "unknown field `a`, expected one of `b`, `c`": a line with the nearest known key.
fn nearest_key(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message.contains("unknown field").then(|| quoted.next()).flatten();
    let hint = unknown.and_then(|found| nearest(found, quoted));
    hint.map_or(String::new(), |key| format!("\ndid you mean `{key}`?"))
}

fn nearest<'n>(found: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let by_distance = names.map(|name| (strsim::osa_distance(found, name), name));
    by_distance.min().filter(|(distance, name)| *distance <= 2.max(name.len() / 3)).map(|(_, name)| name)
}
