//! Low-rank adapters: put on chosen modules, loaded and saved in PEFT's layout, merged.
//!
//! # Reference
//! Hu et al., arXiv:2106.09685v2, Sec. 4.1.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use fancy_regex::Regex;
use rand_distr::{Distribution, Uniform};
use serde::{Deserialize, Serialize};
use userprint_core::Seed;

use crate::checkpoint::{NamedTensors, io, write_json};
use crate::layers::Adapter;
use crate::weights::{self, Weights};
use crate::{CausalLm, Layout, ModelConfig, ModelError};

/// Files of an adapter folder.
pub const CONFIG: &str = "adapter_config.json";
/// See [`CONFIG`].
pub const WEIGHTS: &str = "adapter_model.safetensors";

/// What PEFT puts before the names of modules.
const PREFIX: &str = "base_model.model.";

/// Which adapters to train, as PEFT's `LoraConfig` says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of each change.
    pub rank: usize,
    /// The change counts `alpha / rank` times.
    pub alpha: f64,
    /// `alpha / √rank` instead.
    ///
    /// # Reference
    /// Kalajdzievski, arXiv:2312.03732v1.
    #[serde(default)]
    pub rank_stabilised: bool,
    /// Which modules, by the names that the checkpoint has for them.
    pub target_modules: Targets,
}

/// Which modules have adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Targets {
    /// Those whose name ends in one of these.
    Names(Vec<String>),
    /// Those whose whole name this regular expression matches; `all-linear` means all of them.
    Pattern(String),
}

impl LoraConfig {
    /// Refuses settings that no adapter can have.
    ///
    /// # Errors
    /// [`ModelError::Config`] names the first.
    pub fn check(&self) -> Result<(), ModelError> {
        let refuse = |key: &str, found: String, expected: &str| {
            Err(ModelError::Config { key: key.to_owned(), found, expected: expected.to_owned() })
        };
        if self.rank == 0 {
            return refuse("lora.rank", "0".to_owned(), "at least 1");
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return refuse("lora.alpha", self.alpha.to_string(), "a number above 0");
        }
        self.target_modules.matcher().map(drop)
    }

    fn scale(&self) -> f64 {
        scale(self.alpha, self.rank, self.rank_stabilised)
    }
}

fn scale(alpha: f64, rank: usize, rank_stabilised: bool) -> f64 {
    let rank = rank as f64;
    alpha / if rank_stabilised { rank.sqrt() } else { rank }
}

impl Targets {
    fn matcher(&self) -> Result<Matcher<'_>, ModelError> {
        match self {
            Self::Names(names) => Ok(Matcher::Ends(names)),
            Self::Pattern(all) if all == "all-linear" => Ok(Matcher::All),
            Self::Pattern(pattern) => {
                Ok(Matcher::Whole(regex("target_modules", &format!("^(?:{pattern})$"))?))
            }
        }
    }
}

/// Tells modules that have adapters from those that have none.
enum Matcher<'a> {
    All,
    Ends(&'a [String]),
    Whole(Regex),
}

impl Matcher<'_> {
    /// Whether every name has a module, or the pattern at least one.
    fn are_all_met(&self, adapted: &[String]) -> bool {
        let is_met = |name: &String| adapted.iter().any(|module| is_end(module, name));
        !adapted.is_empty() && if let Self::Ends(names) = self { names.iter().all(is_met) } else { true }
    }

    fn is_match(&self, module: &str) -> bool {
        match self {
            Self::All => true,
            Self::Ends(names) => names.iter().any(|name| is_end(module, name)),
            Self::Whole(regex) => regex.is_match(module).unwrap_or(false),
        }
    }
}

/// Whether a module's name is `end`, or ends in `.end`.
fn is_end(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn regex(key: &str, pattern: &str) -> Result<Regex, ModelError> {
    Regex::new(pattern).map_err(|_| ModelError::Config {
        key: key.to_owned(),
        found: pattern.to_owned(),
        expected: "a regular expression".to_owned(),
    })
}

impl<B: Backend> CausalLm<B> {
    /// Whether any module has an adapter: training then changes adapters alone.
    pub fn is_adapted(&self) -> bool {
        self.module.linears().iter().any(|(_, linear)| linear.adapter.is_some())
    }

    /// The same weights, shared, with fresh adapters: they change nothing yet.
    ///
    /// # Errors
    /// [`ModelError::Config`] for settings out of range, and for a target that no module has.
    pub fn with_fresh_adapters(
        &self,
        config: &ModelConfig,
        lora: &LoraConfig,
        seed: Seed,
    ) -> Result<Self, ModelError> {
        lora.check()?;
        let targets = lora.target_modules.matcher()?;
        let (mut lm, device) = (self.clone(), self.device());
        let mut adapted = Vec::new();
        for (path, linear) in lm.module.linears_mut() {
            let module = config.family.module(&path).0;
            if targets.is_match(&module) {
                let [outputs, inputs] = linear.weight.dims();
                let bound = (inputs as f32).sqrt().recip();
                let draw = Uniform::new(-bound, bound).expect("a bound above 0");
                let mut rng = seed.named(&path).rng();
                let a = (0..lora.rank * inputs).map(|_| draw.sample(&mut rng)).collect();
                let b = vec![0.0; outputs * lora.rank];
                let factors = Factors { rank: lora.rank, scale: lora.scale(), a, b };
                linear.adapter = Some(Adapter::new(factors, [outputs, inputs], &device));
                adapted.push(module);
            }
        }
        if targets.are_all_met(&adapted) {
            Ok(lm)
        } else {
            Err(no_such_target(config, self, &lora.target_modules))
        }
    }

    /// The same function without adapters: their changes added to the weights.
    #[must_use]
    pub fn merged(mut self) -> Self {
        self.module.linears_mut().into_iter().for_each(|(_, linear)| linear.merge());
        self
    }
}

fn no_such_target<B: Backend>(config: &ModelConfig, lm: &CausalLm<B>, targets: &Targets) -> ModelError {
    let linears = lm.module.linears();
    let modules = linears.iter().map(|(path, _)| config.family.module(path).0);
    let names: BTreeSet<String> =
        modules.map(|module| module.rsplit('.').next().unwrap_or_default().to_owned()).collect();
    let names: Vec<String> = names.into_iter().collect();
    ModelError::Config {
        key: "target_modules".to_owned(),
        found: serde_json::to_string(targets).unwrap_or_default(),
        expected: format!("some of {}, or all-linear", names.join(", ")),
    }
}

/// Ways of PEFT to begin that change the base's weights: the adapter alone does not say what the model computes.
const CHANGES_BASE: [&str; 5] = ["pissa", "corda", "olora", "loftq", "lora_ga"];

/// The keys of `adapter_config.json` that say what the adapter computes.
#[derive(Debug, Deserialize)]
struct PeftConfig {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    lora_bias: bool,
    bias: Option<String>,
    #[serde(default)]
    init_lora_weights: serde_json::Value,
    #[serde(default)]
    alora_invocation_tokens: serde_json::Value,
    #[serde(default)]
    layer_replication: serde_json::Value,
    #[serde(default)]
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
}

impl PeftConfig {
    fn check(&self) -> Result<(), ModelError> {
        let bias = self.bias.as_deref().unwrap_or("none");
        for (key, found, expected) in [
            ("peft_type", self.peft_type.as_str(), "LORA"),
            ("bias", bias, "none"),
            ("use_dora", if self.use_dora { "true" } else { "false" }, "false"),
            ("lora_bias", if self.lora_bias { "true" } else { "false" }, "false"),
        ] {
            if found != expected {
                let (found, expected) = (found.to_owned(), expected.to_owned());
                return Err(ModelError::Config { key: key.to_owned(), found, expected });
            }
        }
        let init = self.init_lora_weights.as_str().unwrap_or_default();
        if CHANGES_BASE.iter().any(|kind| init.starts_with(kind)) {
            let expected =
                "one that leaves the base as it is; convert the adapter to plain LoRA first".to_owned();
            let (key, found) = ("init_lora_weights".to_owned(), init.to_owned());
            return Err(ModelError::Config { key, found, expected });
        }
        for (key, value) in [
            ("alora_invocation_tokens", &self.alora_invocation_tokens),
            ("layer_replication", &self.layer_replication),
        ] {
            if !value.is_null() {
                let (key, found, expected) = (key.to_owned(), value.to_string(), "null".to_owned());
                return Err(ModelError::Config { key, found, expected });
            }
        }
        Ok(())
    }

    /// Rank and scale of one module.
    fn of(&self, module: &str) -> Result<(usize, f64), ModelError> {
        let rank = by_pattern("rank_pattern", &self.rank_pattern, module)?.unwrap_or(self.r);
        let alpha = by_pattern("alpha_pattern", &self.alpha_pattern, module)?.unwrap_or(self.lora_alpha);
        Ok((rank, scale(alpha, rank, self.use_rslora)))
    }
}

/// The value whose key matches the end of a module's name.
fn by_pattern<T: Copy>(
    key: &str,
    patterns: &BTreeMap<String, T>,
    module: &str,
) -> Result<Option<T>, ModelError> {
    for (pattern, value) in patterns {
        if regex(key, &format!(r"^(?:.*\.)?(?:{pattern})$"))?.is_match(module).unwrap_or(false) {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

/// The file with an adapter's factors: safetensors, or PyTorch's where there is only that.
pub fn weights_file(folder: &Path) -> PathBuf {
    let torch = folder.join("adapter_model.bin");
    let safetensors = folder.join(WEIGHTS);
    if !safetensors.exists() && torch.exists() { torch } else { safetensors }
}

/// Whether a folder holds an adapter and not a whole model.
pub fn is_adapter(folder: &Path) -> bool {
    folder.join(CONFIG).exists()
}

/// The base model, its weights shared, with a folder's adapters in place.
///
/// # Errors
/// [`ModelError`] names the file and the key: a kind of adapter that is not built in, a module that the model
/// does not have, a factor that is missing or misshapen.
pub fn load<B: Backend>(
    folder: &Path,
    base: &CausalLm<B>,
    config: &ModelConfig,
) -> Result<CausalLm<B>, ModelError> {
    let (mut lm, device) = (base.clone(), base.device());
    let linears = lm.module.linears().into_iter();
    let shapes = linears.map(|(path, linear)| (path, linear.weight.dims())).collect();
    let mut factors = read(folder, config, shapes)?;
    for (path, linear) in lm.module.linears_mut() {
        if let Some(factors) = factors.remove(&path) {
            linear.adapter = Some(Adapter::new(factors, linear.weight.dims(), &device));
        }
    }
    Ok(lm)
}

/// The values of an adapter: `scale · b a`.
#[derive(Clone, Debug)]
pub(crate) struct Factors {
    pub(crate) rank: usize,
    pub(crate) scale: f64,
    /// `[rank, in]`
    pub(crate) a: Vec<f32>,
    /// `[out, rank]`
    pub(crate) b: Vec<f32>,
}

/// A folder's adapters by path of the decoder, whose linear layers have these shapes, `[out, in]`.
///
/// # Errors
/// As [`load`].
pub(crate) fn read(
    folder: &Path,
    config: &ModelConfig,
    shapes: Vec<(String, [usize; 2])>,
) -> Result<BTreeMap<String, Factors>, ModelError> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(|e| io(&path, "read it", e))?;
    let peft: PeftConfig =
        serde_json::from_str(&text).map_err(|e| io(&path, "read it as an adapter's config", e))?;
    peft.check().map_err(|e| io(&path, "use it", e))?;
    let file = &weights_file(folder);
    let weights = Weights::open_file(file)?;
    let (mut found, mut used) = (BTreeMap::new(), BTreeSet::new());
    for (here, [outputs, inputs]) in shapes {
        let (module, layout) = config.family.module(&here);
        let [key_a, key_b] = ["A", "B"].map(|factor| format!("{PREFIX}{module}.lora_{factor}.weight"));
        if weights.get(&key_a).is_none() && weights.get(&key_b).is_none() {
            continue;
        }
        let (rank, scale) = peft.of(&module).map_err(|e| io(&path, "use it", e))?;
        let stored = StoredFactors { weights: &weights, file };
        let a = stored.read(&key_a, [rank, inputs])?;
        let all = stored.read(&key_b, [layout.n_stored_outputs(outputs), rank])?;
        let row = |output| layout.stored_output(output, outputs, config.decoder.head_width) * rank;
        let b = (0..outputs).flat_map(|output| all[row(output)..row(output) + rank].to_vec()).collect();
        found.insert(here, Factors { rank, scale, a, b });
        used.extend([key_a, key_b]);
    }
    let keys: Vec<String> = weights.keys().filter(|key| !used.contains(*key)).map(str::to_owned).collect();
    if !keys.is_empty() {
        return Err(ModelError::ExtraTensors { path: file.clone(), keys });
    }
    if used.is_empty() {
        let key = format!("{PREFIX}MODULE.lora_A.weight");
        return Err(ModelError::MissingTensor { path: file.clone(), key, expected: vec![peft.r] });
    }
    Ok(found)
}

struct StoredFactors<'a> {
    weights: &'a Weights,
    file: &'a Path,
}

impl StoredFactors<'_> {
    fn read(&self, key: &str, expected: [usize; 2]) -> Result<Vec<f32>, ModelError> {
        let (path, key, expected) = (self.file.to_owned(), key.to_owned(), expected.to_vec());
        let Some(tensor) = self.weights.get(&key) else {
            return Err(ModelError::MissingTensor { path, key, expected });
        };
        if tensor.shape != expected {
            let (found_dtype, found) = (tensor.dtype.to_string(), tensor.shape.clone());
            return Err(ModelError::Tensor { path, key, found_dtype, found, expected });
        }
        tensor.read()
    }
}

/// One adapter as PEFT keeps it: of a whole module of the checkpoint.
struct PeftAdapter {
    rank: usize,
    scale: f64,
    a: Vec<f32>,
    b: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

/// Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT reads them.
///
/// Where a family keeps queries, keys and values in one module, their adapters become one:
/// with a common first factor as it is, and else with all first factors one below the other.
///
/// # Errors
/// [`ModelError::Io`] where the disk refuses.
pub fn save<B: Backend>(folder: &Path, lm: &CausalLm<B>, config: &ModelConfig) -> Result<(), ModelError> {
    let mut parts: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    let mut without = BTreeSet::new();
    for (path, linear) in lm.module.linears() {
        let (module, layout) = config.family.module(&path);
        let [outputs, inputs] = linear.weight.dims();
        match &linear.adapter {
            Some(adapter) => {
                let Factors { scale, a, b, .. } = adapter.factors();
                let part = Part { layout, scale, a, b, inputs, outputs };
                parts.entry(module).or_default().push(part);
            }
            None => drop(without.insert(module)),
        }
    }
    let adapters: BTreeMap<String, PeftAdapter> =
        parts.into_iter().map(|(module, parts)| (module, whole(&parts, config.decoder.head_width))).collect();
    let mut tensors = NamedTensors::new();
    for (module, adapter) in &adapters {
        let (rank, inputs, outputs) = (adapter.rank, adapter.inputs, adapter.outputs);
        let key = |factor: &str| format!("{PREFIX}{module}.lora_{factor}.weight");
        tensors.insert(key("A"), (vec![rank, inputs], adapter.a.clone()));
        tensors.insert(key("B"), (vec![outputs, rank], adapter.b.clone()));
    }
    weights::write(&folder.join(WEIGHTS), &tensors, &[("format", "pt")])?;
    write_json(&folder.join(CONFIG), &peft_json(&adapters, &without, config))
}

/// The adapter of one projection that lies in a module of the checkpoint.
struct Part {
    layout: Layout,
    scale: f64,
    a: Vec<f32>,
    b: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

/// One adapter that does what all parts of a module do.
fn whole(parts: &[Part], head_width: usize) -> PeftAdapter {
    let (first, inputs) = (&parts[0], parts[0].inputs);
    let outputs = first.layout.n_stored_outputs(first.outputs);
    let has_common_factor = parts.iter().all(|part| part.a == first.a);
    let rank_of = |part: &Part| part.a.len() / inputs;
    let rank = if has_common_factor { rank_of(first) } else { parts.iter().map(rank_of).sum() };
    let mut b = vec![0.0; outputs * rank];
    let mut column = 0;
    for part in parts {
        let (own, factor) = (rank_of(part), (part.scale / first.scale) as f32);
        for (output, row) in part.b.chunks_exact(own).enumerate() {
            let start = part.layout.stored_output(output, part.outputs, head_width) * rank + column;
            b[start..start + own].iter_mut().zip(row).for_each(|(b, x)| *b = x * factor);
        }
        column += if has_common_factor { 0 } else { own };
    }
    let a = match has_common_factor {
        true => first.a.clone(),
        false => parts.iter().flat_map(|part| part.a.iter().copied()).collect(),
    };
    PeftAdapter { rank, scale: first.scale, a, b, inputs, outputs }
}

fn peft_json(
    adapters: &BTreeMap<String, PeftAdapter>,
    without: &BTreeSet<String>,
    config: &ModelConfig,
) -> serde_json::Value {
    let rank = adapters.values().map(|adapter| adapter.rank).max().unwrap_or(1);
    let alpha = |adapter: &PeftAdapter| adapter.scale * adapter.rank as f64;
    let first_alpha = adapters.values().find(|adapter| adapter.rank == rank).map_or(1.0, alpha);
    let others = |differs: fn(&PeftAdapter, usize, f64) -> bool| {
        adapters.iter().filter(move |(_, adapter)| differs(adapter, rank, first_alpha))
    };
    let ranks = others(|adapter, rank, _| adapter.rank != rank);
    let ranks: BTreeMap<&str, usize> = ranks.map(|(module, a)| (module.as_str(), a.rank)).collect();
    let alphas = others(|adapter, _, alpha| adapter.scale * adapter.rank as f64 != alpha);
    let alphas: BTreeMap<&str, f64> = alphas.map(|(module, a)| (module.as_str(), alpha(a))).collect();
    let is_transposed = config.family.inside.iter().any(|(_, _, layout)| layout.is_transposed());
    serde_json::json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": null,
        "inference_mode": true,
        "r": rank,
        "lora_alpha": number(first_alpha),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": is_transposed,
        "use_rslora": false,
        "target_modules": target_modules(adapters.keys(), without),
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
    })
}

/// A whole number as such: what most configs have.
fn number(x: f64) -> serde_json::Value {
    if x.fract() == 0.0 { serde_json::json!(x as i64) } else { serde_json::json!(x) }
}

/// The shortest ends of names that tell modules with adapters from those without, or else the names themselves.
fn target_modules<'a>(
    with: impl Iterator<Item = &'a String> + Clone,
    without: &BTreeSet<String>,
) -> BTreeSet<String> {
    for n_parts in 1..=2 {
        let end = |module: &String| {
            let parts: Vec<&str> = module.rsplit('.').take(n_parts).collect();
            parts.into_iter().rev().collect::<Vec<_>>().join(".")
        };
        let ends: BTreeSet<String> = with.clone().map(end).collect();
        if !without.iter().any(|module| ends.iter().any(|name| is_end(module, name))) {
            return ends;
        }
    }
    with.cloned().collect()
}
