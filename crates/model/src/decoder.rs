//! The decoder: embeddings, blocks of attention and MLP, a tied head.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend, module::embedding};
use rand_distr::{Distribution, Normal};
use userprint_core::Seed;
use userprint_kernels::KernelBackend;
use userprint_kernels::attention::{Mask, attention};
use userprint_kernels::gelu::gelu_new;
use userprint_kernels::norm::normalise;

use crate::Params;

/// The shape of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Longest input in tokens.
    pub context: usize,
    /// Width of the hidden states.
    pub width: usize,
    /// Attention heads; they divide the width.
    pub n_heads: usize,
    /// Width inside the MLP.
    pub mlp_width: usize,
    /// What each layer's attention sees.
    pub layers: Vec<Mask>,
    /// Added to the variance in layer norms.
    pub norm_epsilon: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
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
        let mut module = Decoder::zeros(&config, device);
        Params::for_each_mut(&mut module, |path, shape| {
            let n = shape.iter().product();
            if shape.len() == 2 {
                normal(n, config.initializer_range, seed.named(path))
            } else if path.ends_with("ln_1.weight") || path.ends_with("ln_2.weight") || path == "ln_f.weight"
            {
                vec![1.0; n]
            } else {
                vec![0.0; n]
            }
        });
        Self { config, module }
    }

    /// The head's weight, `[v, d]`: tied to the token embedding.
    pub fn head(&self) -> Tensor<B, 2> {
        self.module.wte.weight.val()
    }
}

impl<B: KernelBackend> CausalLm<B> {
    /// Hidden states after the last norm.
    ///
    /// # Shapes
    /// `ids` is `[b, t]` with `t` at most the context, the result `[b · t, d]`.
    pub fn hidden(&self, ids: Tensor<B, 2, Int>) -> Tensor<B, 2> {
        let [b, t] = ids.dims();
        let positions = Tensor::<B, 1, Int>::arange(0..t as i64, &ids.device()).unsqueeze_dim(0);
        let x =
            embedding(self.module.wte.weight.val(), ids) + embedding(self.module.wpe.weight.val(), positions);
        let mut x = x.reshape([b * t, self.config.width]);
        for (block, mask) in self.module.h.iter().zip(&self.config.layers) {
            x = block.forward(x, [b, t], *mask, &self.config);
        }
        self.module.ln_f.forward(x, self.config.norm_epsilon)
    }
}

fn normal(n: usize, std_dev: f64, seed: Seed) -> Vec<f32> {
    let normal = Normal::new(0.0, std_dev as f32).expect("a finite deviation");
    let mut rng = seed.rng();
    (0..n).map(|_| normal.sample(&mut rng)).collect()
}

/// The weights, named as in Hugging Face's checkpoints.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    /// Token embedding, also the head.
    pub wte: Matrix<B>,
    /// Position embedding.
    pub wpe: Matrix<B>,
    /// The blocks.
    pub h: Vec<Block<B>>,
    /// The last norm.
    pub ln_f: Norm<B>,
}

impl<B: Backend> Decoder<B> {
    /// All weights 0.
    pub fn zeros(config: &DecoderConfig, device: &B::Device) -> Self {
        Self {
            wte: Matrix::zeros([config.vocab_size, config.width], device),
            wpe: Matrix::zeros([config.context, config.width], device),
            h: config.layers.iter().map(|_| Block::zeros(config, device)).collect(),
            ln_f: Norm::zeros(config.width, device),
        }
    }
}

/// A weight without bias, `[out, in]`.
#[derive(Module, Debug)]
pub struct Matrix<B: Backend> {
    /// `[out, in]`
    pub weight: Param<Tensor<B, 2>>,
}

impl<B: Backend> Matrix<B> {
    fn zeros(shape: [usize; 2], device: &B::Device) -> Self {
        Self { weight: Param::from_tensor(Tensor::zeros(shape, device)) }
    }

    /// `[n, in]` to `[n, out]`.
    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        x.matmul(self.weight.val().transpose())
    }
}

/// A weight with bias.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[out, in]`
    pub weight: Param<Tensor<B, 2>>,
    /// `[out]`
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> Linear<B> {
    fn zeros(shape: [usize; 2], device: &B::Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros(shape, device)),
            bias: Param::from_tensor(Tensor::zeros([shape[0]], device)),
        }
    }

    /// `[n, in]` to `[n, out]`.
    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        x.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}

/// Layer norm with scale and shift.
#[derive(Module, Debug)]
pub struct Norm<B: Backend> {
    /// Scale, `[d]`.
    pub weight: Param<Tensor<B, 1>>,
    /// Shift, `[d]`.
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> Norm<B> {
    fn zeros(width: usize, device: &B::Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros([width], device)),
            bias: Param::from_tensor(Tensor::zeros([width], device)),
        }
    }
}

impl<B: KernelBackend> Norm<B> {
    /// Normalised rows, scaled and shifted.
    fn forward(&self, x: Tensor<B, 2>, epsilon: f64) -> Tensor<B, 2> {
        normalise(x, epsilon) * self.weight.val().unsqueeze() + self.bias.val().unsqueeze()
    }
}

/// One block: norm and attention, norm and MLP, each added to the stream.
#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    /// Before attention.
    pub ln_1: Norm<B>,
    /// Attention.
    pub attn: Attention<B>,
    /// Before the MLP.
    pub ln_2: Norm<B>,
    /// The MLP.
    pub mlp: Mlp<B>,
}

impl<B: Backend> Block<B> {
    fn zeros(config: &DecoderConfig, device: &B::Device) -> Self {
        let d = config.width;
        Self {
            ln_1: Norm::zeros(d, device),
            attn: Attention {
                q_proj: Matrix::zeros([d, d], device),
                k_proj: Matrix::zeros([d, d], device),
                v_proj: Matrix::zeros([d, d], device),
                out_proj: Linear::zeros([d, d], device),
            },
            ln_2: Norm::zeros(d, device),
            mlp: Mlp {
                c_fc: Linear::zeros([config.mlp_width, d], device),
                c_proj: Linear::zeros([d, config.mlp_width], device),
            },
        }
    }
}

impl<B: KernelBackend> Block<B> {
    fn forward(
        &self,
        x: Tensor<B, 2>,
        shape: [usize; 2],
        mask: Mask,
        config: &DecoderConfig,
    ) -> Tensor<B, 2> {
        let inner = self.ln_1.forward(x.clone(), config.norm_epsilon);
        let x = x + self.attn.forward(inner, shape, mask, config.n_heads);
        let inner = self.ln_2.forward(x.clone(), config.norm_epsilon);
        x + self.mlp.c_proj.forward(gelu_new(self.mlp.c_fc.forward(inner)))
    }
}

/// Self-attention; GPT-Neo does not scale its scores.
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    /// Queries.
    pub q_proj: Matrix<B>,
    /// Keys.
    pub k_proj: Matrix<B>,
    /// Values.
    pub v_proj: Matrix<B>,
    /// Heads to stream.
    pub out_proj: Linear<B>,
}

impl<B: KernelBackend> Attention<B> {
    fn forward(&self, x: Tensor<B, 2>, [b, t]: [usize; 2], mask: Mask, n_heads: usize) -> Tensor<B, 2> {
        let d = x.dims()[1];
        let heads = |y: Tensor<B, 2>| y.reshape([b, t, n_heads, d / n_heads]).swap_dims(1, 2);
        let q = heads(self.q_proj.forward(x.clone()));
        let k = heads(self.k_proj.forward(x.clone()));
        let v = heads(self.v_proj.forward(x));
        let mixed = attention(q, k, v, mask).swap_dims(1, 2).reshape([b * t, d]);
        self.out_proj.forward(mixed)
    }
}

/// Two linear layers with a GELU between.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    /// Stream to inside.
    pub c_fc: Linear<B>,
    /// Inside to stream.
    pub c_proj: Linear<B>,
}

/// A tensor from host values.
pub(crate) fn from_host<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
