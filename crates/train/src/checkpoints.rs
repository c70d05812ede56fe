//! What training keeps on disk: its state, the best model so far, and the models of chosen steps.

use std::path::{Path, PathBuf};

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use userprint_core::Fingerprint;
use userprint_model::checkpoint::{self, NamedTensors};
use userprint_model::weights::{self, Weights};
use userprint_model::{CausalLm, HfTokenizer, ModelConfig, ModelError, Params};

use crate::{CurvePoint, Optimizer, OptimizerConfig, TrainError};

/// Where training keeps its state and the best model so far.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoints<'a> {
    /// The folder: the best model in Hugging Face's layout, the state beside it, [`step_folder`]s below.
    pub folder: &'a Path,
    /// Written with the model.
    pub config: &'a ModelConfig,
    /// Written with the model.
    pub tokenizer: &'a HfTokenizer,
    /// Everything that changes the result: a state of another fingerprint is refused.
    pub fingerprint: Fingerprint,
}

/// How far training has come, besides weights and what the optimiser keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) step: u64,
    pub(crate) best_step: u64,
    pub(crate) curve: Vec<CurvePoint>,
    pub(crate) n_tokens: u64,
    pub(crate) ended: bool,
    /// The least norm before clipping, where something is clipped and nothing is to be hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) least_norm: Option<f64>,
    /// What the next step clips to, where that adapts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clip_norm: Option<f64>,
    /// Of the noise key, where there is noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_id: Option<String>,
}

/// Name of the folder that keeps the model of a step, as `step-000100`.
pub fn step_folder(step: u64) -> String {
    format!("step-{step:06}")
}

impl Checkpoints<'_> {
    fn state_path(&self) -> PathBuf {
        self.folder.join("training-state.safetensors")
    }

    /// Keeps a model as the best so far.
    pub(crate) fn keep_best<B: AutodiffBackend>(&self, lm: &CausalLm<B>) -> Result<(), ModelError> {
        checkpoint::save(self.folder, lm, self.config, self.tokenizer)
    }

    /// Keeps a model as that of a step.
    pub(crate) fn keep_step<B: AutodiffBackend>(
        &self,
        lm: &CausalLm<B>,
        step: u64,
    ) -> Result<(), ModelError> {
        checkpoint::save_whole(&self.folder.join(step_folder(step)), lm, self.config, self.tokenizer)
    }

    /// Writes the state: weights, what the optimiser keeps, progress.
    pub(crate) fn write_state<B: AutodiffBackend>(
        &self,
        lm: &CausalLm<B>,
        optimizer: &Optimizer<B>,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        let mut tensors = NamedTensors::new();
        let is_trained = lm.trained();
        Params::for_each(&lm.module, |path, shape, values| {
            if is_trained(path) {
                tensors.insert(format!("weight.{path}"), (shape.to_vec(), values));
            }
        });
        for (key, tensor) in &optimizer.kept {
            let data = tensor.to_data().convert::<f32>();
            let values: Vec<f32> = data.into_vec().expect("converted to f32 just above");
            tensors.insert(key.clone(), (vec![values.len()], values));
        }
        let progress = serde_json::to_string(progress).expect("plain numbers become JSON");
        let metadata = [("fingerprint", self.fingerprint.hex()), ("progress", progress)];
        let metadata: Vec<(&str, &str)> =
            metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        Ok(weights::write(&self.state_path(), &tensors, &metadata)?)
    }

    /// Whether the folder has the state of this training, and that has not ended.
    ///
    /// # Errors
    /// [`TrainError::State`] for a state of another training, or one that cannot be read.
    pub fn is_under_way(&self) -> Result<bool, TrainError> {
        Ok(self.open_state()?.is_some_and(|(_, progress)| !progress.ended))
    }

    fn refuse(&self, reason: String) -> TrainError {
        TrainError::State { path: self.state_path(), reason }
    }

    fn open_state(&self) -> Result<Option<(Weights, Progress)>, TrainError> {
        let path = self.state_path();
        if !path.exists() {
            return Ok(None);
        }
        let state = Weights::open_file(&path).map_err(|error| self.refuse(with_causes(&error)))?;
        if state.metadata().get("fingerprint") != Some(&self.fingerprint.hex()) {
            return Err(self.refuse("its settings or data differ".to_owned()));
        }
        let progress = state.metadata().get("progress");
        let progress = progress.ok_or_else(|| self.refuse("it says nothing of its progress".to_owned()))?;
        let progress = serde_json::from_str(progress).map_err(|e| self.refuse(e.to_string()))?;
        Ok(Some((state, progress)))
    }

    /// Reads the state back, if there is one; one of private steps must have had the noise key of this id.
    pub(crate) fn read_state<B: AutodiffBackend>(
        &self,
        lm: &mut CausalLm<B>,
        optimizer: OptimizerConfig,
        device: &B::Device,
        key_id: Option<&str>,
    ) -> Result<Option<(Optimizer<B>, Progress)>, TrainError> {
        let Some((state, progress)) = self.open_state()? else { return Ok(None) };
        if !progress.ended && progress.key_id.as_deref().is_some_and(|id| Some(id) != key_id) {
            return Err(self.refuse("its noise came from another key".to_owned()));
        }
        let read = |kind: &str, path: &str, n: usize| {
            let found = state.get(&format!("{kind}.{path}")).and_then(|tensor| tensor.read().ok());
            let values = found.filter(|values| values.len() == n);
            values.ok_or_else(|| self.refuse(format!("tensor {kind}.{path} is missing or misshapen")))
        };
        let (mut failure, mut trained) = (None, Vec::new());
        let is_trained = lm.trained();
        Params::for_each_mut(&mut lm.module, |path, shape| {
            let n = shape.iter().product();
            if !is_trained(path) {
                return None;
            }
            trained.push((path.to_owned(), n));
            read("weight", path, n).map_err(|error| failure.get_or_insert(error)).ok()
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let mut optimizer = Optimizer { step: progress.step, ..Optimizer::new(optimizer) };
        if progress.step > 0 {
            for (path, n) in trained {
                for kind in optimizer.config.kinds() {
                    let values = TensorData::new(read(kind, &path, n)?, [n]);
                    optimizer.kept.insert(format!("{kind}.{path}"), Tensor::from_data(values, device));
                }
            }
        }
        Ok(Some((optimizer, progress)))
    }
}

/// An error and what caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
