//! The decoder: embeddings, blocks of attention and MLP, a tied head.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend, module::embedding};
use rand_distr::{Distribution, Normal};
use userprint_core::Seed;
use userprint_kernels::attention::{Mask, attention};
use userprint_kernels::gelu::gelu_new;

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

    /// Hidden states after the last norm.
    ///
    /// # Shapes
    /// `ids` is `[b, t]` with `t` at most the context, the result `[b, t, d]`.
    pub fn hidden(&self, ids: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        let [_, t] = ids.dims();
        let device = ids.device();
        let positions = Tensor::<B, 1, Int>::arange(0..t as i64, &device).unsqueeze_dim(0);
        let mut x = embedding(self.module.wte.weight.val(), ids);
        x = x + embedding(self.module.wpe.weight.val(), positions);
        let causal = Mask::Causal.hidden(t, &device);
        for (block, mask) in self.module.h.iter().zip(&self.config.layers) {
            let local = match mask {
                Mask::Local { window } if *window < t => Some(mask.hidden(t, &device)),
                _ => None,
            };
            x = block.forward(x, local.as_ref().unwrap_or(&causal), &self.config);
        }
        self.module.ln_f.forward(x, self.config.norm_epsilon)
    }

    /// The head's weight, `[v, d]`: tied to the token embedding.
    pub fn head(&self) -> Tensor<B, 2> {
        self.module.wte.weight.val()
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

    /// `[b, t, in]` to `[b, t, out]`.
    fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let [b, t, d] = x.dims();
        x.reshape([b * t, d]).matmul(self.weight.val().transpose()).reshape([b as i32, t as i32, -1])
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

    /// `[b, t, in]` to `[b, t, out]`.
    fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let [b, t, d] = x.dims();
        let y = x.reshape([b * t, d]).matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze();
        y.reshape([b as i32, t as i32, -1])
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

    /// `(x − mean) / √(variance + ε) · weight + bias` over the last dimension.
    ///
    /// # Reference
    /// Ba et al., arXiv:1607.06450v1, eq. 4.
    fn forward(&self, x: Tensor<B, 3>, epsilon: f64) -> Tensor<B, 3> {
        let centred = x.clone() - x.mean_dim(2);
        let variance = (centred.clone() * centred.clone()).mean_dim(2);
        let scale = variance.add_scalar(epsilon).sqrt().recip();
        centred * scale * self.weight.val().unsqueeze() + self.bias.val().unsqueeze()
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

    fn forward(
        &self,
        x: Tensor<B, 3>,
        hidden: &Tensor<B, 2, burn::tensor::Bool>,
        config: &DecoderConfig,
    ) -> Tensor<B, 3> {
        let attended =
            self.attn.forward(self.ln_1.forward(x.clone(), config.norm_epsilon), hidden, config.n_heads);
        let x = x + attended;
        let inner = self.mlp.c_fc.forward(self.ln_2.forward(x.clone(), config.norm_epsilon));
        x + self.mlp.c_proj.forward(gelu_new(inner))
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

impl<B: Backend> Attention<B> {
    fn forward(
        &self,
        x: Tensor<B, 3>,
        hidden: &Tensor<B, 2, burn::tensor::Bool>,
        n_heads: usize,
    ) -> Tensor<B, 3> {
        let [b, t, d] = x.dims();
        let heads = |y: Tensor<B, 3>| y.reshape([b, t, n_heads, d / n_heads]).swap_dims(1, 2);
        let q = heads(self.q_proj.forward(x.clone()));
        let k = heads(self.k_proj.forward(x.clone()));
        let v = heads(self.v_proj.forward(x));
        let mixed = attention(q, k, v, hidden).swap_dims(1, 2).reshape([b, t, d]);
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
