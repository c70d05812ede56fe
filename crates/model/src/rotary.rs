//! The angles of rotary positions, with the ways to stretch them over longer texts.

use std::f64::consts::TAU;

use burn::tensor::{Tensor, TensorData, backend::Backend};
use userprint_kernels::rotary::Rotations;

use crate::ModelError;
use crate::config::Keys;

/// Rotary positions of a family.
///
/// # Reference
/// Su et al., arXiv:2104.09864v5, Sec. 3.2.2.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Numbers of a head that turn; the others stay.
    pub width: usize,
    /// Base of the wavelengths.
    pub theta: f64,
    /// How angles are stretched.
    pub scaling: RotaryScaling,
}

/// A way to stretch angles beyond the length that a model was pre-trained at.
#[derive(Clone, Debug, PartialEq)]
pub enum RotaryScaling {
    /// None.
    Default,
    /// All angles over `factor`.
    Linear {
        /// How much longer.
        factor: f64,
    },
    /// A larger base for sequences longer than `original`, by their length.
    Dynamic {
        /// How much longer.
        factor: f64,
        /// Length of pre-training.
        original: usize,
    },
    /// Long wavelengths over `factor`, short ones kept, a ramp between.
    Llama3 {
        /// How much longer.
        factor: f64,
        /// Wavelengths above `original / low` are stretched.
        low: f64,
        /// Wavelengths below `original / high` are kept.
        high: f64,
        /// Length of pre-training.
        original: usize,
    },
    /// A ramp over the pairs, and scores sharpened.
    ///
    /// # Reference
    /// Peng et al., arXiv:2309.00071v2, Sec. 3.
    Yarn {
        /// How much longer.
        factor: f64,
        /// Pairs between these two are blended.
        ramp: [f64; 2],
        /// Factor of cosines and sines.
        attention: f64,
    },
}

impl Rotary {
    /// Reads `rope_parameters`, or the older `rope_theta` and `rope_scaling`; `share` of each head and `theta` are the family's defaults.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a way of stretching that is not built in, or that lacks a number.
    pub fn read(keys: Keys<'_>, head_width: usize, share: f64, theta: f64) -> Result<Self, ModelError> {
        let parameters = keys.object("rope_parameters");
        let theta = match parameters {
            Some(parameters) if parameters.has("rope_theta") => parameters.number("rope_theta")?,
            _ => keys.number_or("rope_theta", theta)?,
        };
        let share = match parameters {
            Some(parameters) => parameters.number_or("partial_rotary_factor", share)?,
            None => keys.number_or("partial_rotary_factor", share)?,
        };
        let width = (head_width as f64 * share.min(1.0)) as usize / 2 * 2;
        if width == 0 {
            return Err(
                keys.refuse("partial_rotary_factor", &format!("two or more of {head_width} numbers a head"))
            );
        }
        let scaling = match parameters.or(keys.object("rope_scaling")) {
            Some(scaling) => RotaryScaling::read(scaling, keys, width, theta)?,
            None => RotaryScaling::Default,
        };
        Ok(Self { width, theta, scaling })
    }

    /// Longest text that the stretched angles are meant for, given the config's own limit.
    pub(crate) fn context(&self, limit: usize) -> usize {
        match self.scaling {
            RotaryScaling::Dynamic { factor, original } => limit.max((original as f64 * factor) as usize),
            _ => limit,
        }
    }

    /// Angle between neighbouring positions of each pair, in a sequence of this many tokens.
    fn frequencies(&self, n_tokens: usize) -> Vec<f64> {
        let width = self.width as f64;
        let power = |base: f64| move |i: usize| base.powf(-2.0 * i as f64 / width);
        let pairs = 0..self.width / 2;
        match self.scaling {
            RotaryScaling::Default => pairs.map(power(self.theta)).collect(),
            RotaryScaling::Linear { factor } => pairs.map(|i| power(self.theta)(i) / factor).collect(),
            RotaryScaling::Dynamic { factor, original } => {
                let stretch = n_tokens.max(original) as f64 / original as f64;
                let grown = (factor * stretch - (factor - 1.0)).powf(width / (width - 2.0));
                pairs.map(power(self.theta * grown)).collect()
            }
            RotaryScaling::Llama3 { factor, low, high, original } => {
                let stretched = |frequency: f64| {
                    let turns = original as f64 * frequency / TAU;
                    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    frequency * (kept + (1.0 - kept) / factor)
                };
                pairs.map(|i| stretched(power(self.theta)(i))).collect()
            }
            RotaryScaling::Yarn { factor, ramp: [first, last], .. } => {
                let blended = |i: usize| {
                    let stretched = ((i as f64 - first) / (last - first)).clamp(0.0, 1.0);
                    power(self.theta)(i) * (stretched / factor + (1.0 - stretched))
                };
                pairs.map(blended).collect()
            }
        }
    }

    /// Cosines and sines of positions `0..t`, one table for all sequences unless their lengths matter.
    pub(crate) fn rotations<B: Backend>(
        &self,
        lengths: &[usize],
        t: usize,
        device: &B::Device,
    ) -> Rotations<B> {
        let by_length = matches!(self.scaling, RotaryScaling::Dynamic { original, .. }
            if lengths.iter().any(|length| *length > original));
        let lengths = if by_length { lengths } else { &[0] };
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for &length in lengths {
            let table = self.table(length, t);
            cos.extend(table.0);
            sin.extend(table.1);
        }
        let shape = [lengths.len() * t, self.width / 2];
        let tensor = |values| Tensor::from_data(TensorData::new(values, shape), device);
        Rotations { cos: tensor(cos), sin: tensor(sin) }
    }

    /// Cosines and sines of positions `0..t` in a sequence of `n_tokens`, both `[t, width / 2]`.
    pub(crate) fn table(&self, n_tokens: usize, t: usize) -> (Vec<f32>, Vec<f32>) {
        let factor = match self.scaling {
            RotaryScaling::Yarn { attention, .. } => attention as f32,
            _ => 1.0,
        };
        let frequencies = self.frequencies(n_tokens);
        // In f32, as the models were trained.
        let angles = (0..t).flat_map(|p| frequencies.iter().map(move |f| p as f32 * *f as f32));
        angles.map(|angle| (angle.cos() * factor, angle.sin() * factor)).unzip()
    }
}

impl RotaryScaling {
    fn read(keys: Keys<'_>, config: Keys<'_>, width: usize, theta: f64) -> Result<Self, ModelError> {
        let key = if keys.has("rope_type") { "rope_type" } else { "type" };
        let limit = config.size("max_position_embeddings")?;
        // Where both name it the config's own key counts, as in transformers.
        let original = keys.size_or("original_max_position_embeddings", limit)?;
        let original = config.size_or("original_max_position_embeddings", original)?;
        match keys.word_or(key, "default")? {
            "default" => Ok(Self::Default),
            "linear" => Ok(Self::Linear { factor: keys.number("factor")? }),
            "dynamic" if width > 2 => Ok(Self::Dynamic { factor: keys.number("factor")?, original: limit }),
            "llama3" => {
                let [factor, low, high] = ["factor", "low_freq_factor", "high_freq_factor"];
                let (low, high_value) = (keys.number(low)?, keys.number(high)?);
                if high_value <= low {
                    return Err(keys.refuse(high, &format!("more than low_freq_factor, {low}")));
                }
                Ok(Self::Llama3 { factor: keys.number(factor)?, low, high: high_value, original })
            }
            "yarn" => Self::yarn(keys, limit, original, width, theta),
            _ => Err(keys.refuse(key, "one of default, linear, dynamic, llama3, yarn")),
        }
    }

    fn yarn(
        keys: Keys<'_>,
        limit: usize,
        original: usize,
        width: usize,
        theta: f64,
    ) -> Result<Self, ModelError> {
        let original = original as f64;
        let factor = keys.number_or("factor", limit as f64 / original)?;
        let sharpening = |weight: f64| if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 };
        let attention = match (keys.has("mscale"), keys.has("mscale_all_dim")) {
            (true, true) => sharpening(keys.number("mscale")?) / sharpening(keys.number("mscale_all_dim")?),
            _ => sharpening(1.0),
        };
        // The pair that turns this many times over the original length.
        let pair = |turns: f64| width as f64 * (original / (turns * TAU)).ln() / (2.0 * theta.ln());
        let ends = [pair(keys.number_or("beta_fast", 32.0)?), pair(keys.number_or("beta_slow", 1.0)?)];
        let [first, last] = match keys.flag_or("truncate", true)? {
            true => [ends[0].floor(), ends[1].ceil()],
            false => ends,
        };
        let (first, last) = (first.max(0.0), last.min(width as f64 - 1.0));
        let last = if first == last { last + 0.001 } else { last };
        let attention = keys.number_or("attention_factor", attention)?;
        Ok(Self::Yarn { factor, ramp: [first, last], attention })
    }
}
