//! The decoder: embeddings, blocks, a head; one shape, described by data, for all families.

use std::convert::Infallible;

use burn::module::{AutodiffModule, Module, Param};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData, module::embedding};
use rand_distr::{Distribution, Normal};
use userprint_core::Seed;
use userprint_kernels::KernelBackend;
use userprint_kernels::attention::Mask;
use userprint_kernels::head::Head;
use userprint_kernels::norm::Centring;

use crate::layers::{Block, Linear, Matrix, Norm, Pass};
use crate::params::Params;
use crate::{Activation, Batch, ModelError, Rotary, Tape};

/// The shape of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Longest input in tokens.
    pub context: usize,
    /// Width of the hidden states.
    pub width: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Heads of keys and values; they divide the heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Width inside the MLP.
    pub mlp_width: usize,
    /// What each layer's attention sees.
    pub layers: Vec<Mask>,
    /// The norms.
    pub norm: NormConfig,
    /// How positions enter.
    pub positions: Positions,
    /// Inside the MLP.
    pub activation: Activation,
    /// How attention and MLP are added.
    pub residual: Residual,
    /// Which parts there are.
    pub parts: Parts,
    /// Factor of queries.
    pub attention_scale: f64,
    /// Cap of attention scores.
    pub attention_soft_cap: Option<f64>,
    /// Cap of logits.
    pub logit_soft_cap: Option<f64>,
    /// Factor of token embeddings.
    pub embedding_scale: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
}

/// The norms of a decoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormConfig {
    /// Layer norm, with a shift, or root-mean-square norm, without.
    pub centring: Centring,
    /// Added to the mean square.
    pub epsilon: f64,
    /// Added to the scale.
    pub offset: f64,
}

/// How positions enter.
#[derive(Clone, Debug, PartialEq)]
pub enum Positions {
    /// A learned vector each, from this row of the table on.
    Learned {
        /// Rows that come before position 0.
        first: usize,
    },
    /// Queries and keys are turned.
    Rotary(Rotary),
}

/// What the MLP of a block reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// The stream after attention.
    Sequential,
    /// The stream before attention.
    Parallel,
}

/// Parts that some families have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Biases of queries, keys and values.
    pub q_k_v_bias: bool,
    /// Bias after attention.
    pub out_bias: bool,
    /// Biases in the MLP.
    pub mlp_bias: bool,
    /// A gate in the MLP.
    pub gate: bool,
    /// Norms of each head's queries and keys.
    pub q_k_norm: bool,
    /// Norms after attention and after the MLP.
    pub post_norms: bool,
    /// A head of its own; otherwise it is the token embedding.
    pub head: bool,
}

impl DecoderConfig {
    /// What families share until they say otherwise: layer norms, learned positions, a plain MLP without biases,
    /// as many heads of keys as of queries, scores scaled by the root of the head's width. Sizes that it does not
    /// take are left at 0.
    pub(crate) fn usual(width: usize, n_heads: usize, head_width: usize) -> Self {
        Self {
            vocab_size: 0,
            context: 0,
            width,
            n_heads,
            n_kv_heads: n_heads,
            head_width,
            mlp_width: 0,
            layers: Vec::new(),
            norm: NormConfig { centring: Centring::Mean, epsilon: 1e-5, offset: 0.0 },
            positions: Positions::Learned { first: 0 },
            activation: Activation::GeluTanh,
            residual: Residual::Sequential,
            parts: Parts::default(),
            attention_scale: (head_width as f64).sqrt().recip(),
            attention_soft_cap: None,
            logit_soft_cap: None,
            embedding_scale: 1.0,
            initializer_range: 0.02,
        }
    }

    /// Refuses what no decoder can be.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let refuse = |key: &str, found: usize, expected: String| {
            Err(ModelError::Config { key: key.to_owned(), found: found.to_string(), expected })
        };
        let sizes =
            [("vocabulary", self.vocab_size), ("context", self.context), ("MLP width", self.mlp_width)];
        if let Some((name, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return refuse(name, 0, "at least 1".to_owned());
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            let expected = format!("a divisor of the {} attention heads", self.n_heads);
            return refuse("number of key-value heads", self.n_kv_heads, expected);
        }
        Ok(())
    }

    /// Width of one head where the heads divide the hidden states evenly.
    ///
    /// # Errors
    /// [`ModelError::Config`] where they do not.
    pub(crate) fn even_head_width(key: &str, width: usize, n_heads: usize) -> Result<usize, ModelError> {
        if !width.is_multiple_of(n_heads) {
            let expected = format!("a divisor of the hidden size, {width}");
            return Err(ModelError::Config { key: key.to_owned(), found: n_heads.to_string(), expected });
        }
        Ok(width / n_heads)
    }
}

/// A decoder's weights with its shape.
#[derive(Clone, Debug)]
pub struct CausalLm<B: Backend> {
    /// The shape.
    pub config: DecoderConfig,
    /// The weights.
    pub module: Decoder<B>,
}

impl<B: Backend> CausalLm<B> {
    /// Fresh weights: normal with the config's deviation, biases 0, norm scales 1. The same on every backend.
    pub fn init(config: DecoderConfig, seed: Seed, device: &B::Device) -> Self {
        let (deviation, scale) = (config.initializer_range, 1.0 - config.norm.offset as f32);
        let mut fresh = |path: &str, shape: &[usize]| -> Result<Vec<f32>, Infallible> {
            let n = shape.iter().product();
            Ok(match (shape.len(), path.ends_with(".weight")) {
                (2, _) => normal(n, deviation, seed.named(path)),
                (_, true) => vec![scale; n],
                (_, false) => vec![0.0; n],
            })
        };
        let Ok(module) = Decoder::make(&config, device, &mut fresh);
        Self { config, module }
    }

    /// What turns hidden states into logits.
    pub fn head(&self) -> Head<B> {
        let matrix = self.module.head.as_ref().unwrap_or(&self.module.wte);
        Head { weight: matrix.weight.val(), soft_cap: self.config.logit_soft_cap }
    }

    /// Path of the head's weight.
    pub fn head_path(&self) -> &'static str {
        if self.module.head.is_some() { "head.weight" } else { "wte.weight" }
    }

    /// Tells the parameters that training changes by their paths: all, or those of adapters where there are any.
    pub fn trained(&self) -> impl Fn(&str) -> bool + use<B> {
        let only_adapters = self.is_adapted();
        move |path| !only_adapters || path.contains(".adapter.")
    }

    /// Path and number of values of each parameter that training changes.
    pub fn trained_sizes(&self) -> Vec<(String, usize)> {
        let is_trained = self.trained();
        Params::sizes(&self.module).into_iter().filter(|(path, _)| is_trained(path)).collect()
    }

    /// Where the weights are.
    pub fn device(&self) -> B::Device {
        self.module.wte.weight.val().device()
    }
}

impl<B: AutodiffBackend> CausalLm<B> {
    /// The same weights, shared, on the backend without gradients.
    pub fn without_gradients(&self) -> CausalLm<B::InnerBackend> {
        CausalLm { config: self.config.clone(), module: self.module.valid() }
    }

    /// The same weights, shared, on the backend that records gradients.
    pub fn from_inner(lm: &CausalLm<B::InnerBackend>) -> Self {
        Self { config: lm.config.clone(), module: Decoder::from_inner(lm.module.clone()) }
    }
}

impl<B: KernelBackend> CausalLm<B> {
    /// Hidden states after the last norm, `[b · t, d]` for a batch of `b` sequences padded to `t` inputs.
    pub fn hidden(&self, batch: &Batch<B>) -> Tensor<B, 2> {
        self.pass(batch, None)
    }

    /// As [`CausalLm::hidden`], with what gradients of units are made of once the backward pass has been.
    ///
    /// The parameters must record no gradients ([`Params::require_gradients`](crate::Params::require_gradients)): the pass
    /// begins at the embedded tokens.
    pub fn recorded(&self, batch: &Batch<B>) -> (Tensor<B, 2>, Tape<B>) {
        let tape = Tape::new(self.is_adapted());
        (self.pass(batch, Some(&tape)), tape)
    }

    fn pass(&self, batch: &Batch<B>, tape: Option<&Tape<B>>) -> Tensor<B, 2> {
        let stages = self.stages(batch, tape);
        let mut x = stages.embedded();
        if let Some(tape) = tape {
            x = tape.root(x);
        }
        for block in 0..self.module.h.len() {
            x = stages.block(block, x);
        }
        stages.normed(x)
    }

    /// The same pass a stage at a time, for who keeps less of it; a tape records the stages that are called.
    pub fn stages<'a>(&'a self, batch: &'a Batch<B>, tape: Option<&'a Tape<B>>) -> Stages<'a, B> {
        let ([b, t], device) = (batch.ids.dims(), batch.ids.device());
        let rotations = match &self.config.positions {
            Positions::Rotary(rotary) => Some(rotary.rotations(&batch.lengths, t, &device)),
            Positions::Learned { .. } => None,
        };
        Stages { lm: self, batch, pass: Pass { config: &self.config, shape: [b, t], rotations, tape } }
    }
}

/// A forward pass, stage by stage: embedded tokens, each block in turn, the last norm; `[b · t, d]` in and out.
pub struct Stages<'a, B: Backend> {
    lm: &'a CausalLm<B>,
    batch: &'a Batch<B>,
    pass: Pass<'a, B>,
}

impl<B: Backend> std::fmt::Debug for Stages<'_, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stages").field("shape", &self.pass.shape).finish_non_exhaustive()
    }
}

impl<B: KernelBackend> Stages<'_, B> {
    /// The embedded tokens.
    pub fn embedded(&self) -> Tensor<B, 2> {
        let CausalLm { config, module } = self.lm;
        let [b, t] = self.pass.shape;
        let mut x = embedding(module.wte.weight.val(), self.batch.ids.clone());
        if config.embedding_scale != 1.0 {
            x = x.mul_scalar(config.embedding_scale);
        }
        if let (Some(wpe), Positions::Learned { first }) = (&module.wpe, &config.positions) {
            x = x + wpe.weight.val().slice_dim(0, *first..first + t).unsqueeze::<3>();
        }
        x.reshape([b * t, config.width])
    }

    /// The output of a block for its input.
    ///
    /// # Panics
    /// If the model has fewer blocks.
    pub fn block(&self, block: usize, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.lm.module.h[block].forward(x, self.lm.config.layers[block], &self.pass)
    }

    /// The hidden states for the output of the last block.
    pub fn normed(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.lm.module.ln_f.forward(x, &self.pass)
    }
}

fn normal(n: usize, std_dev: f64, seed: Seed) -> Vec<f32> {
    let normal = Normal::new(0.0, std_dev as f32).expect("a finite deviation");
    let mut rng = seed.rng();
    (0..n).map(|_| normal.sample(&mut rng)).collect()
}

/// The weights.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    /// Token embedding.
    pub wte: Matrix<B>,
    /// Position embedding, where positions are learned.
    pub wpe: Option<Matrix<B>>,
    /// The blocks.
    pub h: Vec<Block<B>>,
    /// The last norm.
    pub ln_f: Norm<B>,
    /// The head, where it is not the token embedding.
    pub head: Option<Matrix<B>>,
}

/// Makes a parameter's values from its path and shape.
pub(crate) type Make<'a, E> = &'a mut dyn FnMut(&str, &[usize]) -> Result<Vec<f32>, E>;

impl<B: Backend> Decoder<B> {
    /// A decoder whose parameters `make` gives, in a fixed order; nothing is allocated before it.
    ///
    /// # Errors
    /// The first that `make` returns.
    pub(crate) fn make<E>(config: &DecoderConfig, device: &B::Device, make: Make<'_, E>) -> Result<Self, E> {
        let mut maker = Maker { device, make, path: Vec::new() };
        let maker = &mut maker;
        let (v, d) = (config.vocab_size, config.width);
        let wte = Matrix::make(maker, "wte", [v, d])?;
        let wpe = match config.positions {
            Positions::Learned { first } => Some(Matrix::make(maker, "wpe", [config.context + first, d])?),
            Positions::Rotary(_) => None,
        };
        let blocks = 0..config.layers.len();
        let h = blocks.map(|i| Block::make(maker, &format!("h.{i}"), config)).collect::<Result<_, E>>()?;
        let ln_f = Norm::make(maker, "ln_f", d, config)?;
        let head = config.parts.head.then(|| Matrix::make(maker, "head", [v, d])).transpose()?;
        Ok(Self { wte, wpe, h, ln_f, head })
    }
}

impl<B: Backend> Decoder<B> {
    /// The linear layers by path, `h.0.attn.q_proj` and so on.
    pub(crate) fn linears(&self) -> Vec<(String, &Linear<B>)> {
        let blocks = self.h.iter().enumerate();
        blocks
            .flat_map(|(i, block)| block.linears().map(move |(name, l)| (format!("h.{i}.{name}"), l)))
            .collect()
    }

    /// As [`Decoder::linears`], to change them.
    pub(crate) fn linears_mut(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let blocks = self.h.iter_mut().enumerate();
        blocks
            .flat_map(|(i, block)| block.linears_mut().map(move |(name, l)| (format!("h.{i}.{name}"), l)))
            .collect()
    }
}

/// Makes parameters at their paths.
pub(crate) struct Maker<'a, B: Backend, E> {
    device: &'a B::Device,
    make: Make<'a, E>,
    path: Vec<String>,
}

impl<B: Backend, E> Maker<'_, B, E> {
    /// What `make` makes, its parameters' paths below `name`.
    pub(crate) fn within<T>(
        &mut self,
        name: &str,
        make: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.path.push(name.to_owned());
        let made = make(self);
        self.path.pop();
        made
    }

    pub(crate) fn param<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Param<Tensor<B, D>>, E> {
        let path = format!("{}.{name}", self.path.join("."));
        let values = (self.make)(&path, &shape)?;
        Ok(Param::from_tensor(from_host(values, shape, self.device)))
    }
}

/// A tensor from host values.
pub(crate) fn from_host<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
