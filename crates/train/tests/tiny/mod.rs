//! A model so small that it trains in milliseconds.

use std::ops::ControlFlow;
use std::path::Path;

use userprint_core::{Fingerprint, Fingerprinter, Ragged, Seed, Tokenize, UserIdx};
use userprint_mitigate::{StopRule, TrainingRule};
use userprint_model::backend::Cpu;
use userprint_model::{CausalLm, HfTokenizer, ModelConfig, gpt_neo};
use userprint_train::{
    Checkpoints, Hook, NoiseKey, OptimizerConfig, Packing, Randomness, Schedule, StepReport, TrainData,
    TrainError, TrainOutcome, TrainSettings, Validation, train_on,
};

/// What one training needs; tests change what they are about.
pub(crate) struct Tiny {
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: HfTokenizer,
    pub(crate) start: CausalLm<Cpu>,
    pub(crate) documents: Ragged<u32>,
    /// Whose each document is.
    pub(crate) owners: Vec<UserIdx>,
    pub(crate) validation: Validation,
    pub(crate) settings: TrainSettings,
    pub(crate) noise_key: Option<NoiseKey>,
    pub(crate) fingerprint: Fingerprint,
    /// Devices that share the work; all are the processor.
    pub(crate) n_devices: usize,
}

impl Tiny {
    /// Trains on these texts; 2 texts a step, no early stop.
    pub(crate) fn new(texts: &[&str], held_in: &[&str], held_out: &[&str]) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let tokenizer = HfTokenizer::train(&[texts, held_in, held_out].concat(), 300).expect("enough tokens");
        let config = gpt_neo::small(300, 32, 16, 2, 2).expect("sizes that fit together");
        let config = config.with("window_size", 4).expect("a window");
        Self {
            start: CausalLm::init(config.decoder.clone(), Seed(1), &Default::default()),
            config,
            documents: tokenizer.encode(texts).expect("all texts can be encoded").ids,
            // Two each.
            owners: (0..texts.len()).map(|text| UserIdx(text as u32 / 2)).collect(),
            tokenizer,
            validation: Validation { held_in: owned(held_in), held_out: owned(held_out) },
            settings: TrainSettings {
                rule: TrainingRule::plain(2).expect("2 is above 0"),
                packing: Packing::Documents,
                block_tokens: 32,
                epochs: 3,
                max_steps: u64::MAX,
                learning_rate: 1e-2,
                warmup_steps: 2,
                schedule: Schedule::Linear,
                optimizer: OptimizerConfig::ADAM,
                evaluations: 3,
                checkpoint_every: None,
                checkpoints: None,
                stop: StopRule::Never,
                microbatch_size: 16,
                activation_checkpointing: false,
                delta: None,
            },
            noise_key: None,
            fingerprint: Fingerprinter::new().with("tiny").finish(),
            n_devices: 1,
        }
    }

    pub(crate) fn train(&self, folder: &Path) -> Result<TrainOutcome, TrainError> {
        self.train_with(folder, &mut |_: &StepReport| ControlFlow::Continue(()))
    }

    pub(crate) fn train_with(&self, folder: &Path, hook: &mut dyn Hook) -> Result<TrainOutcome, TrainError> {
        let (config, tokenizer, fingerprint) = (&self.config, &self.tokenizer, self.fingerprint);
        let checkpoints = Checkpoints { folder, config, tokenizer, fingerprint };
        let Self { documents, owners, validation, .. } = self;
        let data = TrainData { documents, owners, separator: 0, validation };
        let randomness = Randomness { seed: Seed(2), noise_key: self.noise_key.clone() };
        let devices = vec![self.start.device(); self.n_devices];
        train_on::<Cpu>(&devices, &self.start, &data, &self.settings, &randomness, &checkpoints, hook)
    }
}
