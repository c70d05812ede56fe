//! Sound parts pass, broken ones are caught.

use super::*;
use crate::private::parts::PrivateParts;
use crate::{NoiseKey, OptimizerConfig, Packing, Schedule, TrainData, TrainSettings, Validation};
use burn::backend::Autodiff;
use userprint_core::{Ragged, Seed, UserIdx};
use userprint_mitigate::{AdaptiveClip, DpSampling, StopRule, TrainingRule};
use userprint_model::adapter::Targets;
use userprint_model::backend::Cpu;
use userprint_model::{LoraConfig, ModelConfig, gpt_neo};

type Backend = Autodiff<Cpu>;

const N_DEVICES: usize = 2;

fn config() -> ModelConfig {
    gpt_neo::small(50, 32, 16, 2, 2).expect("sizes that fit together")
}

fn start() -> CausalLm<Backend> {
    let lm = CausalLm::init(config().decoder, Seed(1), &Default::default());
    trained(CausalLm::from_inner(&lm))
}

fn trained(lm: CausalLm<Backend>) -> CausalLm<Backend> {
    let is_trained = lm.trained();
    CausalLm { config: lm.config, module: Params::require_gradients(lm.module, is_trained) }
}

fn settings(sampling: DpSampling) -> TrainSettings {
    let adaptive_clip = AdaptiveClip { target_quantile: 0.5, learning_rate: 0.2, count_noise: 0.6 };
    TrainSettings {
        rule: TrainingRule::dp_sgd(sampling, 0.2, 0.1, 0.7)
            .and_then(|rule| rule.adapting(adaptive_clip))
            .expect("values in range"),
        packing: Packing::Documents,
        block_tokens: 32,
        epochs: 1,
        max_steps: u64::MAX,
        learning_rate: 1e-3,
        warmup_steps: 0,
        schedule: Schedule::Linear,
        optimizer: OptimizerConfig::ADAM,
        evaluations: 1,
        checkpoint_every: None,
        checkpoints: None,
        stop: StopRule::Never,
        microbatch_size: 4,
        activation_checkpointing: false,
        delta: Some(1e-3),
    }
}

/// The check of 60 examples of 20 users with these parts instead of sound ones.
fn check_with(
    lm: &CausalLm<Backend>,
    sampling: DpSampling,
    parts: impl FnOnce(Box<dyn PrivateParts<Backend>>) -> Box<dyn PrivateParts<Backend>>,
) -> Result<(), TrainError> {
    let document = |row: u32| (0..3 + row % 20).map(move |i| (row * 7 + i * 3) % 49 + 1);
    let documents: Ragged<u32> = (0..60).map(|row| document(row).collect::<Vec<_>>()).collect();
    let owners: Vec<UserIdx> = (0..60).map(|row| UserIdx(row / 3)).collect();
    let validation = Validation::default();
    let data = TrainData { documents: &documents, owners: &owners, separator: 0, validation: &validation };
    let steps = PrivateSteps::new(lm, &data, &settings(sampling), &NoiseKey::new([7; 32]))?;
    let steps = PrivateSteps { parts: parts(steps.parts), ..steps };
    let optimizer = Optimizer::new(OptimizerConfig::ADAM);
    let mut peers = Peers::new(lm.clone(), optimizer, &[lm.device(); N_DEVICES])?;
    steps.self_check(&mut peers, OptimizerConfig::ADAM)
}

const SAMPLINGS: [DpSampling; 3] = [
    DpSampling::Examples,
    DpSampling::CappedUsers { examples_per_user: 3 },
    DpSampling::Users { examples_per_user: 2 },
];

#[test]
fn sound_parts_pass() {
    for sampling in SAMPLINGS {
        check_with(&start(), sampling, |parts| parts).unwrap_or_else(|e| panic!("{sampling:?}: {e}"));
    }
}

#[test]
fn adapters_pass() {
    let lm = CausalLm::<Cpu>::init(config().decoder, Seed(1), &Default::default());
    let target_modules = Targets::Names(vec!["q_proj".into(), "c_fc".into()]);
    let lora = LoraConfig { rank: 2, alpha: 4.0, rank_stabilised: false, target_modules };
    let lm = lm.with_fresh_adapters(&config(), &lora, Seed(2)).expect("modules of this family");
    let lm = trained(CausalLm::from_inner(&lm));
    check_with(&lm, DpSampling::Examples, |parts| parts).expect("sound parts pass");
}

/// One way not to do what the claim says; everything else as the sound parts do.
#[derive(Clone, Copy, Debug)]
enum Fault {
    HalvedNoise,
    NoNoiseOnEmbedding,
    SameNoiseEachStep,
    SameNoiseForAll,
    BareCounts,
    SameCountNoise,
    CountsTwice,
    ShuffledSamples,
    FewUnits,
    UnclippedEmbedding,
    UnclippedUnits,
    NormsOfPadding,
    LostPasses,
    SecretDenominator,
    FrozenEmbedding,
    OtherRate,
}

#[derive(Debug)]
struct Broken {
    sound: Box<dyn PrivateParts<Backend>>,
    fault: Fault,
}

impl PrivateParts<Backend> for Broken {
    fn sample(&self, step: u64) -> Vec<usize> {
        match self.fault {
            // A fixed size, as of a shuffled order cut into batches.
            Fault::ShuffledSamples => (0..12).map(|i| (i * 5 + step as usize) % 20).collect(),
            Fault::FewUnits => self.sound.sample(step).into_iter().map(|unit| unit % 10).collect(),
            _ => self.sound.sample(step),
        }
    }

    fn clipped_sum(
        &self,
        lm: &CausalLm<Backend>,
        batch: &UnitBatch<Backend>,
        clip_norm: f64,
    ) -> ClippedSum<Backend> {
        let mut sum = self.sound.clipped_sum(lm, batch, clip_norm);
        let unclipped = || self.sound.clipped_sum(lm, batch, f64::INFINITY);
        match self.fault {
            Fault::UnclippedEmbedding => {
                let embedding = unclipped().by_path.remove("wte.weight").expect("an embedding");
                sum.by_path.insert("wte.weight".to_owned(), embedding);
            }
            Fault::UnclippedUnits => sum.by_path = unclipped().by_path,
            Fault::NormsOfPadding if sum.norms.len() > 1 => sum.norms[1] *= 1.1,
            // Of several passes, the short ones.
            Fault::LostPasses if sum.norms.len() < 3 => {
                sum.by_path.values_mut().for_each(|sum| *sum = sum.zeros_like());
            }
            Fault::FrozenEmbedding => drop(sum.by_path.remove("wte.weight")),
            _ => {}
        }
        sum
    }

    fn noised_count(&self, step: u64, count: f64) -> f64 {
        match self.fault {
            Fault::BareCounts => count,
            Fault::SameCountNoise => count + 0.6,
            Fault::CountsTwice => self.sound.noised_count(step, 2.0 * count),
            _ => self.sound.noised_count(step, count),
        }
    }

    fn add_noise(&self, step: u64, clip_norm: f64, sum: &mut ByPath<Backend>) {
        let before = sum.clone();
        let step = if matches!(self.fault, Fault::SameNoiseEachStep) { 1 } else { step };
        self.sound.add_noise(step, clip_norm, sum);
        match self.fault {
            Fault::HalvedNoise => {
                sum.iter_mut().for_each(|(path, noised)| {
                    *noised = (noised.clone() + before[path].clone()).div_scalar(2.0);
                });
            }
            Fault::NoNoiseOnEmbedding => {
                sum.insert("wte.weight".to_owned(), before["wte.weight"].clone());
            }
            Fault::SameNoiseForAll => {
                let longest = sum.iter().max_by_key(|(_, sum)| sum.dims()[0]).expect("parameters").0.clone();
                let noise = sum[&longest].clone() - before[&longest].clone();
                for (path, noised) in sum {
                    *noised = before[path].clone() + noise.clone().slice_dim(0, 0..noised.dims()[0]);
                }
            }
            _ => {}
        }
    }

    fn denominator(&self, n_sampled: usize) -> f64 {
        match self.fault {
            Fault::SecretDenominator => n_sampled as f64,
            _ => self.sound.denominator(n_sampled),
        }
    }

    fn rule(&self) -> TrainingRule {
        match (self.fault, self.sound.rule()) {
            (
                Fault::OtherRate,
                TrainingRule::DpSgd {
                    sampling,
                    sampling_probability: q,
                    clip_norm,
                    noise_multiplier,
                    adaptive_clip,
                },
            ) => TrainingRule::DpSgd {
                sampling,
                sampling_probability: q / 2.0,
                clip_norm,
                noise_multiplier,
                adaptive_clip,
            },
            (_, rule) => rule,
        }
    }
}

#[track_caller]
fn check_caught(fault: Fault, expected: &str) {
    for sampling in SAMPLINGS {
        let broken = |sound| Box::new(Broken { sound, fault }) as Box<dyn PrivateParts<Backend>>;
        match check_with(&start(), sampling, broken) {
            Err(TrainError::SelfCheck { check, .. }) => assert_eq!(check, expected, "{sampling:?}"),
            other => panic!("{fault:?} with {sampling:?}: {other:?}"),
        }
    }
}

#[test]
fn halved_noise_is_caught() {
    check_caught(Fault::HalvedNoise, "noise");
}

#[test]
fn a_parameter_without_noise_is_caught() {
    check_caught(Fault::NoNoiseOnEmbedding, "noise");
}

#[test]
fn noise_that_repeats_is_caught() {
    check_caught(Fault::SameNoiseEachStep, "noise");
    check_caught(Fault::SameNoiseForAll, "noise");
}

#[test]
fn a_count_without_noise_is_caught() {
    check_caught(Fault::BareCounts, "noise");
    check_caught(Fault::SameCountNoise, "noise");
}

#[test]
fn units_that_count_twice_are_caught() {
    check_caught(Fault::CountsTwice, "count");
}

#[test]
fn shuffled_sampling_is_caught() {
    check_caught(Fault::ShuffledSamples, "sample sizes");
}

#[test]
fn units_that_are_never_drawn_are_caught() {
    check_caught(Fault::FewUnits, "sampled units");
}

#[test]
fn a_clip_skipped_on_the_embedding_is_caught() {
    check_caught(Fault::UnclippedEmbedding, "clipping");
}

#[test]
fn no_clipping_is_caught() {
    check_caught(Fault::UnclippedUnits, "clipping");
}

#[test]
fn padding_that_counts_is_caught() {
    check_caught(Fault::NormsOfPadding, "norms");
}

#[test]
fn passes_that_are_lost_are_caught() {
    check_caught(Fault::LostPasses, "whole step");
}

#[test]
fn a_sum_over_the_secret_size_is_caught() {
    check_caught(Fault::SecretDenominator, "whole step");
}

#[test]
fn a_parameter_without_gradient_is_caught() {
    check_caught(Fault::FrozenEmbedding, "parameters");
}

#[test]
fn a_sampler_of_another_rate_than_the_accountant_s_is_caught() {
    check_caught(Fault::OtherRate, "accounting");
}
