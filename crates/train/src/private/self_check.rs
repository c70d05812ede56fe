//! Checks of a private run before its first step: each is a reason not to start.

mod noise;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use statrs::distribution::{Binomial, DiscreteCDF};
use userprint_model::{Batch, CausalLm, Params};

use super::PrivateSteps;
use super::parts::host;
use crate::gradients::{ByPath, add, clip_factor, norm, scaled};
use crate::peers::Peers;
use crate::poisson::chernoff_exponent;
use crate::{
    ClippedSum, Gradients, Optimizer, OptimizerConfig, TrainBackend, TrainError, UnitBatch, gradients,
};

/// Chance that one sound run in all is refused.
const FALSE_ALARM: f64 = 1e-9;

/// Of it, what each of four kinds of checks has: the samples' sizes, the samples' members, the noise's size, its independence.
const SHARE: f64 = FALSE_ALARM / 4.0;

/// Relative error of a norm or a sum that rounding explains.
const ROUNDING: f64 = 1e-3;

/// What rounding makes of a sum that much noise was added to, in lengths of the noise.
const ROUNDING_OF_NOISE: f64 = 1e-6;

/// A step that no training reaches, so that its noise and coins are never used again.
const PROBE_STEP: u64 = u64::MAX;

/// Most samples that are drawn, and most members of them all.
const MOST_SAMPLES: u64 = 4096;
const MOST_MEMBERS: f64 = 2e6;

/// Documents of a probe unit, and units among which it is looked for.
const PROBE_DOCUMENTS: usize = 3;
const PROBE_CANDIDATES: usize = 1000;

/// Most units of a step that is tried.
const STEP_UNITS: usize = 24;

/// Least value of a gradient, in clip norms, that must move a weight.
const LEAST_GRADIENT: f32 = 1e-5;

impl<B: TrainBackend> PrivateSteps<'_, B> {
    /// Tries the parts of a step on a few units, and a whole step.
    ///
    /// # Errors
    /// [`TrainError::SelfCheck`] names the first check that failed.
    pub(crate) fn self_check(
        &self,
        peers: &mut Peers<B>,
        optimizer: OptimizerConfig,
    ) -> Result<(), TrainError> {
        self.check_event()?;
        self.check_samples()?;
        let lm = &peers.first().lm;
        let probe = self.probe();
        let alone = probe.iter().map(|unit| self.by_loop(lm, unit)).collect::<Vec<_>>();
        self.check_norms(lm, &probe, &alone)?;
        let least = alone.iter().map(|unit| unit.norm).fold(f64::INFINITY, f64::min);
        for clip_norm in [self.clip_norm, 0.5 * least].into_iter().filter(|&norm| norm > 0.0) {
            self.check_clipping(lm, &probe, &alone, clip_norm)?;
        }
        let sum = self.sum_of(lm, &probe, self.clip_norm).by_path;
        let mut noised = sum.clone();
        self.parts.add_noise(PROBE_STEP, self.clip_norm, &mut noised);
        self.check_noise(&sum, &noised)?;
        self.check_weights(lm, noised, optimizer)?;
        self.check_step(peers)
    }

    /// A whole step, with its passes, devices and denominator, is the loop's sum and the noise over the expected size.
    fn check_step(&self, peers: &mut Peers<B>) -> Result<(), TrainError> {
        let n_units = (self.expected_size.ceil() as usize).clamp(1, STEP_UNITS);
        let mut units: Vec<usize> =
            (0..self.units.len()).step_by(self.units.len().div_ceil(n_units)).collect();
        if units.len() > 1 && units.len() as f64 == self.expected_size {
            // Else the size of the sample could stand in for its expectation.
            units.pop();
        }
        // Two passes at least on each device, where there are units for them.
        let microbatch_size = self.microbatch_size.min(units.len() / (2 * peers.len())).max(1);
        let found = self.noised_mean(peers, PROBE_STEP, &units, microbatch_size)?;
        let lm = &peers.first().lm;
        let mut expected = self.zeros(lm);
        self.parts.add_noise(PROBE_STEP, self.clip_norm, &mut expected);
        let mut most = ROUNDING_OF_NOISE * norm::<B>(&expected);
        for unit in units {
            let unit = self.by_loop(lm, &self.units.sequences(&self.key, PROBE_STEP, unit));
            most += ROUNDING * unit.norm.min(self.clip_norm);
            add::<B>(&mut expected, unit.clipped(self.clip_norm));
        }
        for of_peer in found.by_peer {
            self.check_paths(&of_peer)?;
            let of_peer = scaled::<B>(of_peer, found.factor * self.expected_size);
            check_near::<B>("whole step", of_peer, expected.clone(), most)?;
        }
        Ok(())
    }

    fn check_event(&self) -> Result<(), TrainError> {
        let (found, expected) = (self.parts.rule().dp_event(1), self.rule.dp_event(1));
        let differs =
            || failed("accounting", format!("steps of {found:?}"), format!("the rule's {expected:?}"));
        if found == expected { Ok(()) } else { Err(differs()) }
    }

    /// Sizes are binomial (Dvoretzky, Kiefer, Wolfowitz; Massart 1990), and no part of the units is drawn more than others.
    fn check_samples(&self) -> Result<(), TrainError> {
        let (n, q) = (self.units.len(), self.expected_size / self.units.len() as f64);
        let n_samples = (MOST_MEMBERS / self.expected_size).clamp(64.0, MOST_SAMPLES as f64) as u64;
        let n_slices = n.min(8);
        let (mut sizes, mut in_slice) = (BTreeMap::new(), vec![0; n_slices]);
        for back in 1..=n_samples {
            let sample = self.parts.sample(PROBE_STEP - back);
            *sizes.entry(sample.len()).or_insert(0_u64) += 1;
            sample.iter().for_each(|unit| in_slice[unit * n_slices / n] += 1);
        }
        let binomial = Binomial::new(q, n as u64)
            .map_err(|error| failed("sample sizes", error.to_string(), "a binomial size".to_owned()))?;
        let most = ((2.0 / SHARE).ln() / (2.0 * n_samples as f64)).sqrt();
        let mut below = 0;
        for (&size, &count) in &sizes {
            let share = |count: u64| count as f64 / n_samples as f64;
            let cdf_below = if size == 0 { 0.0 } else { binomial.cdf(size as u64 - 1) };
            let gap = (share(below) - cdf_below)
                .abs()
                .max((share(below + count) - binomial.cdf(size as u64)).abs());
            if gap > most {
                let found =
                    format!("{:.3} of {n_samples} samples of at most {size} units", share(below + count));
                let expected = format!("{:.3}, as of {n} coins of chance {q}", binomial.cdf(size as u64));
                return Err(failed("sample sizes", found, expected));
            }
            below += count;
        }
        let most = (2.0 * n_slices as f64 / SHARE).ln();
        for (slice, &count) in in_slice.iter().enumerate() {
            // The units `u` with `⌊u · slices / n⌋ = slice`.
            let width = ((slice + 1) * n).div_ceil(n_slices) - (slice * n).div_ceil(n_slices);
            if chernoff_exponent(count, width * n_samples as usize, q) > most {
                let found = format!("{count} draws from part {slice} of the units");
                let expected = format!("about {:.0}", (width as u64 * n_samples) as f64 * q);
                return Err(failed("sampled units", found, expected));
            }
        }
        Ok(())
    }

    /// The longest unit, the same cut short, so that there is padding, and the shortest.
    fn probe(&self) -> Vec<Vec<Vec<u32>>> {
        // In one pass, which should take no more memory than those of training.
        let n_documents = (self.microbatch_size / 3).clamp(PROBE_DOCUMENTS - 1, PROBE_DOCUMENTS);
        let units = (0..self.units.len().min(PROBE_CANDIDATES)).map(|unit| {
            let mut sequences = self.units.sequences(&self.key, PROBE_STEP, unit);
            sequences.truncate(n_documents);
            sequences
        });
        let mut units: Vec<_> = units.collect();
        units.sort_by_key(|unit| unit.iter().map(Vec::len).sum::<usize>());
        let (shortest, longest) = (units[0].clone(), units[units.len() - 1].clone());
        let cut = |sequence: &Vec<u32>| sequence[..(sequence.len() / 2).max(2)].to_vec();
        let short = longest.iter().map(cut).collect();
        vec![longest, short, shortest]
    }

    /// A unit's gradient as it is defined: the mean over its documents, one after the other.
    fn by_loop(&self, lm: &CausalLm<B>, unit: &[Vec<u32>]) -> UnitGradient<B> {
        let share = 1.0 / unit.len() as f64;
        let mut by_path = ByPath::<B>::new();
        for sequence in unit {
            let found = gradients(lm, &Batch::new(&[sequence], &lm.device()));
            add::<B>(&mut by_path, scaled::<B>(found.by_path, share));
        }
        UnitGradient { norm: norm::<B>(&by_path), by_path }
    }

    fn sum_of(&self, lm: &CausalLm<B>, units: &[Vec<Vec<u32>>], clip_norm: f64) -> ClippedSum<B> {
        self.parts.clipped_sum(lm, &UnitBatch::new(units, &lm.device()), clip_norm)
    }

    /// Norms in a batch with padding are those of the loop, and of each unit alone.
    fn check_norms(
        &self,
        lm: &CausalLm<B>,
        probe: &[Vec<Vec<u32>>],
        alone: &[UnitGradient<B>],
    ) -> Result<(), TrainError> {
        let together = self.sum_of(lm, probe, self.clip_norm).norms;
        for ((unit, expected), found) in probe.iter().zip(alone).zip(together) {
            if !is_near(found, expected.norm) {
                let expected = format!("{:e}, as the loop over examples has it", expected.norm);
                return Err(failed("norms", format!("{found:e} in a batch"), expected));
            }
            let unpadded = self.sum_of(lm, std::slice::from_ref(unit), self.clip_norm).norms[0];
            if !is_near(found, unpadded) {
                let expected = format!("{unpadded:e}, as without padding");
                return Err(failed("padding", format!("a norm of {found:e} with padding"), expected));
            }
        }
        Ok(())
    }

    /// No unit's clipped gradient is longer than the clip norm, and the sum is that of the loop.
    fn check_clipping(
        &self,
        lm: &CausalLm<B>,
        probe: &[Vec<Vec<u32>>],
        alone: &[UnitGradient<B>],
        clip_norm: f64,
    ) -> Result<(), TrainError> {
        for unit in probe {
            let found = norm::<B>(&self.sum_of(lm, std::slice::from_ref(unit), clip_norm).by_path);
            if found > clip_norm * (1.0 + ROUNDING) {
                let found = format!("a clipped gradient of norm {found:e}");
                return Err(failed("clipping", found, format!("at most {clip_norm:e}")));
            }
        }
        let (mut expected, mut most) = (ByPath::<B>::new(), 0.0);
        for unit in alone {
            add::<B>(&mut expected, unit.clipped(clip_norm));
            most += unit.norm.min(clip_norm);
        }
        let found = self.sum_of(lm, probe, clip_norm).by_path;
        self.check_paths(&found)?;
        check_near::<B>("clipped sum", found, expected, ROUNDING * most)
    }

    /// The sum has a gradient for every parameter that training moves, and for no other.
    fn check_paths(&self, sum: &ByPath<B>) -> Result<(), TrainError> {
        if let Some((missing, _)) = self.trained.iter().find(|(path, _)| !sum.contains_key(path)) {
            return Err(failed("parameters", format!("no gradient for {missing}"), "one".to_owned()));
        }
        match sum.keys().find(|path| !self.is_trained(path)) {
            Some(path) => {
                Err(failed("parameters", format!("a gradient for {path}"), "none: it is frozen".to_owned()))
            }
            None => Ok(()),
        }
    }

    /// One update moves what has a gradient, and nothing that is frozen.
    fn check_weights(
        &self,
        lm: &CausalLm<B>,
        noised: ByPath<B>,
        config: OptimizerConfig,
    ) -> Result<(), TrainError> {
        // Large enough for every weight to change in f32, whatever the learning rate and its warm-up.
        let rate = match config {
            OptimizerConfig::AdamW { .. } => 1e-2,
            OptimizerConfig::Sgd { .. } => 1.0,
        };
        let by_path = scaled::<B>(noised, 1.0 / self.clip_norm);
        let has_gradient =
            |path: &str| host::<B>(&by_path[path]).iter().any(|value| value.abs() > LEAST_GRADIENT);
        let moving: Vec<String> =
            self.trained.iter().map(|(path, _)| path).filter(|path| has_gradient(path)).cloned().collect();
        let before = digests(lm);
        let gradients = Gradients { loss_nats: 0.0, by_path };
        let after = digests(&Optimizer::new(config).update(lm.clone(), gradients, rate));
        for (path, digest) in before {
            let (stays, should_stay) = (after[&path] == digest, !self.is_trained(&path));
            if stays && moving.contains(&path) {
                return Err(failed("weights", format!("{path} stays"), "an update".to_owned()));
            }
            if should_stay && !stays {
                return Err(failed(
                    "weights",
                    format!("{path} moves"),
                    "that it stays: it is frozen".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn is_trained(&self, path: &str) -> bool {
        self.trained.iter().any(|(trained, _)| trained == path)
    }
}

/// The gradient of one unit.
struct UnitGradient<B: TrainBackend> {
    norm: f64,
    by_path: ByPath<B>,
}

impl<B: TrainBackend> UnitGradient<B> {
    fn clipped(&self, clip_norm: f64) -> ByPath<B> {
        scaled::<B>(self.by_path.clone(), clip_factor(self.norm, clip_norm))
    }
}

/// No parameter's sum is further from the expected one than this; one that is not expected is 0.
fn check_near<B: TrainBackend>(
    check: &'static str,
    found: ByPath<B>,
    mut expected: ByPath<B>,
    most: f64,
) -> Result<(), TrainError> {
    for (path, found) in found {
        let expected = expected.remove(&path).unwrap_or_else(|| found.zeros_like());
        let found = found.to_device(&expected.device());
        let distance = norm::<B>(&BTreeMap::from([(path.clone(), found - expected)]));
        // A distance that is no number is one.
        if distance.is_nan() || distance > most {
            let found = format!("a sum {distance:e} away for {path}");
            return Err(failed(check, found, format!("at most {most:e}")));
        }
    }
    Ok(())
}

fn is_near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= ROUNDING * expected.abs()
}

fn failed(check: &'static str, found: String, expected: String) -> TrainError {
    TrainError::SelfCheck { check, found, expected }
}

/// A hash of each parameter's values.
fn digests<B: TrainBackend>(lm: &CausalLm<B>) -> BTreeMap<String, blake3::Hash> {
    let mut digests = BTreeMap::new();
    Params::for_each(&lm.module, |path, _, values| {
        let mut hasher = blake3::Hasher::new();
        values.iter().for_each(|value| {
            hasher.update(&value.to_le_bytes());
        });
        digests.insert(path.to_owned(), hasher.finalize());
    });
    digests
}
