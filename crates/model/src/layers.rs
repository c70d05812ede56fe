//! What a decoder is made of: matrices with adapters, norms, attention, MLPs, blocks.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};
use userprint_kernels::KernelBackend;
use userprint_kernels::attention::{Mask, attention};
use userprint_kernels::linear::linear;
use userprint_kernels::norm::{Centring, normalise};
use userprint_kernels::rotary::Rotations;

use crate::adapter::Factors;
use crate::decoder::{DecoderConfig, Maker, Residual, from_host};
use crate::tape::{Operation, Tape};

/// A weight without bias, `[out, in]`.
#[derive(Module, Debug)]
pub struct Matrix<B: Backend> {
    /// `[out, in]`
    pub weight: Param<Tensor<B, 2>>,
}

impl<B: Backend> Matrix<B> {
    pub(crate) fn make<E>(maker: &mut Maker<'_, B, E>, name: &str, shape: [usize; 2]) -> Result<Self, E> {
        maker.within(name, |maker| Ok(Self { weight: maker.param("weight", shape)? }))
    }
}

/// A weight with or without bias and adapter.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[out, in]`
    pub weight: Param<Tensor<B, 2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<B, 1>>>,
    /// A low-rank change of the weight.
    pub adapter: Option<Adapter<B>>,
}

/// A low-rank change of a weight: `scale · b a`.
///
/// # Reference
/// Hu et al., arXiv:2106.09685v2, eq. 3.
#[derive(Module, Debug)]
pub struct Adapter<B: Backend> {
    /// `[r, in]`
    pub a: Param<Tensor<B, 2>>,
    /// `[out, r]`
    pub b: Param<Tensor<B, 2>>,
    /// Factor of the change.
    pub scale: f64,
}

impl<B: Backend> Adapter<B> {
    /// An adapter of these values.
    pub(crate) fn new(factors: Factors, [outputs, inputs]: [usize; 2], device: &B::Device) -> Self {
        let Factors { rank, scale, a, b } = factors;
        Self {
            a: Param::from_tensor(from_host(a, [rank, inputs], device)),
            b: Param::from_tensor(from_host(b, [outputs, rank], device)),
            scale,
        }
    }

    /// Its values.
    pub(crate) fn factors(&self) -> Factors {
        let host = |tensor: &Param<Tensor<B, 2>>| -> Vec<f32> {
            tensor.val().into_data().convert::<f32>().into_vec().expect("converted to f32 just above")
        };
        Factors { rank: self.a.dims()[0], scale: self.scale, a: host(&self.a), b: host(&self.b) }
    }
}

impl<B: Backend> Linear<B> {
    fn make<E>(
        maker: &mut Maker<'_, B, E>,
        name: &str,
        shape: [usize; 2],
        has_bias: bool,
    ) -> Result<Self, E> {
        maker.within(name, |maker| {
            let weight = maker.param("weight", shape)?;
            let bias = has_bias.then(|| maker.param("bias", [shape[0]])).transpose()?;
            Ok(Self { weight, bias, adapter: None })
        })
    }

    /// The same function without an adapter: its change added to the weight.
    pub(crate) fn merge(&mut self) {
        if let Some(adapter) = self.adapter.take() {
            let change = adapter.b.val().matmul(adapter.a.val()).mul_scalar(adapter.scale);
            self.weight = self.weight.clone().map(|weight| weight + change);
        }
    }
}

impl<B: KernelBackend> Linear<B> {
    /// `[n, in]` to `[n, out]`.
    fn forward(&self, x: Tensor<B, 2>, tape: Option<&Tape<B>>) -> Tensor<B, 2> {
        let mut y = linear(x.clone(), self.weight.val(), self.bias.as_ref().map(Param::val));
        if let Some(tape) = tape {
            let bias = self.bias.as_ref().map(|bias| bias.id);
            y = tape.of_base(Operation::Product { weight: self.weight.id, bias }, &x, y);
        }
        match &self.adapter {
            Some(adapter) => y + adapter.forward(x, tape),
            None => y,
        }
    }
}

impl<B: KernelBackend> Adapter<B> {
    /// The change of the output, `scale · x aᵀ bᵀ`.
    fn forward(&self, x: Tensor<B, 2>, tape: Option<&Tape<B>>) -> Tensor<B, 2> {
        let times = |x: Tensor<B, 2>, factor: &Param<Tensor<B, 2>>| {
            let y = linear(x.clone(), factor.val(), None);
            match tape {
                Some(tape) => tape.of_adapter(Operation::Product { weight: factor.id, bias: None }, &x, y),
                None => y,
            }
        };
        times(times(x, &self.a), &self.b).mul_scalar(self.scale)
    }
}

/// A norm with its scale, and its shift where it has one.
#[derive(Module, Debug)]
pub struct Norm<B: Backend> {
    /// Scale, `[d]`.
    pub weight: Param<Tensor<B, 1>>,
    /// Shift, `[d]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
}

impl<B: Backend> Norm<B> {
    pub(crate) fn make<E>(
        maker: &mut Maker<'_, B, E>,
        name: &str,
        width: usize,
        config: &DecoderConfig,
    ) -> Result<Self, E> {
        maker.within(name, |maker| {
            let weight = maker.param("weight", [width])?;
            let has_bias = config.norm.centring == Centring::Mean;
            let bias = has_bias.then(|| maker.param("bias", [width])).transpose()?;
            Ok(Self { weight, bias })
        })
    }
}

impl<B: KernelBackend> Norm<B> {
    /// Normalised rows, scaled and shifted.
    pub(crate) fn forward(&self, x: Tensor<B, 2>, pass: &Pass<'_, B>) -> Tensor<B, 2> {
        let norm = &pass.config.norm;
        let mut scale = self.weight.val();
        if norm.offset != 0.0 {
            scale = scale.add_scalar(norm.offset);
        }
        let x = normalise(x, norm.centring, norm.epsilon);
        let mut y = x.clone() * scale.unsqueeze();
        if let Some(bias) = &self.bias {
            y = y + bias.val().unsqueeze();
        }
        match pass.tape {
            Some(tape) => {
                let bias = self.bias.as_ref().map(|bias| bias.id);
                tape.of_base(Operation::Scale { weight: self.weight.id, bias }, &x, y)
            }
            None => y,
        }
    }
}

/// One block: attention and an MLP, each after a norm and added to the stream.
#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    /// Before attention.
    pub ln_1: Norm<B>,
    /// Attention.
    pub attn: Attention<B>,
    /// After attention, where the family has it.
    pub post_1: Option<Norm<B>>,
    /// Before the MLP.
    pub ln_2: Norm<B>,
    /// The MLP.
    pub mlp: Mlp<B>,
    /// After the MLP, where the family has it.
    pub post_2: Option<Norm<B>>,
}

impl<B: Backend> Block<B> {
    pub(crate) fn make<E>(
        maker: &mut Maker<'_, B, E>,
        name: &str,
        config: &DecoderConfig,
    ) -> Result<Self, E> {
        let d = config.width;
        maker.within(name, |maker| {
            let has_post = config.parts.post_norms;
            let post = |maker: &mut _, name| has_post.then(|| Norm::make(maker, name, d, config)).transpose();
            Ok(Self {
                ln_1: Norm::make(maker, "ln_1", d, config)?,
                attn: Attention::make(maker, "attn", config)?,
                post_1: post(maker, "post_1")?,
                ln_2: Norm::make(maker, "ln_2", d, config)?,
                mlp: Mlp::make(maker, "mlp", config)?,
                post_2: post(maker, "post_2")?,
            })
        })
    }
}

impl<B: Backend> Block<B> {
    /// The linear layers by path within the block.
    pub(crate) fn linears(&self) -> impl Iterator<Item = (&'static str, &Linear<B>)> {
        let (attn, mlp) = (&self.attn, &self.mlp);
        let linears = [
            ("attn.q_proj", Some(&attn.q_proj)),
            ("attn.k_proj", Some(&attn.k_proj)),
            ("attn.v_proj", Some(&attn.v_proj)),
            ("attn.out_proj", Some(&attn.out_proj)),
            ("mlp.gate_proj", mlp.gate_proj.as_ref()),
            ("mlp.up_proj", Some(&mlp.up_proj)),
            ("mlp.down_proj", Some(&mlp.down_proj)),
        ];
        linears.into_iter().filter_map(|(name, linear)| Some((name, linear?)))
    }

    /// As [`Block::linears`], to change them.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Linear<B>)> {
        let (attn, mlp) = (&mut self.attn, &mut self.mlp);
        let linears = [
            ("attn.q_proj", Some(&mut attn.q_proj)),
            ("attn.k_proj", Some(&mut attn.k_proj)),
            ("attn.v_proj", Some(&mut attn.v_proj)),
            ("attn.out_proj", Some(&mut attn.out_proj)),
            ("mlp.gate_proj", mlp.gate_proj.as_mut()),
            ("mlp.up_proj", Some(&mut mlp.up_proj)),
            ("mlp.down_proj", Some(&mut mlp.down_proj)),
        ];
        linears.into_iter().filter_map(|(name, linear)| Some((name, linear?)))
    }
}

/// What the blocks of one forward pass share.
pub(crate) struct Pass<'a, B: Backend> {
    pub(crate) config: &'a DecoderConfig,
    /// Sequences and their padded length.
    pub(crate) shape: [usize; 2],
    pub(crate) rotations: Option<Rotations<B>>,
    /// What it keeps for gradients of units.
    pub(crate) tape: Option<&'a Tape<B>>,
}

impl<B: KernelBackend> Block<B> {
    pub(crate) fn forward(&self, x: Tensor<B, 2>, mask: Mask, pass: &Pass<'_, B>) -> Tensor<B, 2> {
        let after = |norm: &Option<Norm<B>>, y: Tensor<B, 2>| match norm {
            Some(norm) => norm.forward(y, pass),
            None => y,
        };
        let mixed = self.attn.forward(self.ln_1.forward(x.clone(), pass), mask, pass);
        let attended = x.clone() + after(&self.post_1, mixed);
        let stream = match pass.config.residual {
            Residual::Sequential => attended.clone(),
            Residual::Parallel => x,
        };
        let inner = self.mlp.forward(self.ln_2.forward(stream, pass), pass);
        attended + after(&self.post_2, inner)
    }
}

/// Self-attention.
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    /// Queries.
    pub q_proj: Linear<B>,
    /// Keys.
    pub k_proj: Linear<B>,
    /// Values.
    pub v_proj: Linear<B>,
    /// Norm of each head's query, where the family has it.
    pub q_norm: Option<Norm<B>>,
    /// Norm of each head's key, where the family has it.
    pub k_norm: Option<Norm<B>>,
    /// Heads to stream.
    pub out_proj: Linear<B>,
}

impl<B: Backend> Attention<B> {
    fn make<E>(maker: &mut Maker<'_, B, E>, name: &str, config: &DecoderConfig) -> Result<Self, E> {
        let (d, parts) = (config.width, config.parts);
        let queries = config.n_heads * config.head_width;
        let keys = config.n_kv_heads * config.head_width;
        maker.within(name, |maker| {
            let norm = |maker: &mut _, name| {
                parts.q_k_norm.then(|| Norm::make(maker, name, config.head_width, config)).transpose()
            };
            Ok(Self {
                q_proj: Linear::make(maker, "q_proj", [queries, d], parts.q_k_v_bias)?,
                k_proj: Linear::make(maker, "k_proj", [keys, d], parts.q_k_v_bias)?,
                v_proj: Linear::make(maker, "v_proj", [keys, d], parts.q_k_v_bias)?,
                q_norm: norm(maker, "q_norm")?,
                k_norm: norm(maker, "k_norm")?,
                out_proj: Linear::make(maker, "out_proj", [d, queries], parts.out_bias)?,
            })
        })
    }
}

impl<B: KernelBackend> Attention<B> {
    fn forward(&self, x: Tensor<B, 2>, mask: Mask, pass: &Pass<'_, B>) -> Tensor<B, 2> {
        let (config, [b, t]) = (pass.config, pass.shape);
        let (n_heads, n_kv_heads, width) = (config.n_heads, config.n_kv_heads, config.head_width);
        let heads = |y: Tensor<B, 2>, n: usize| y.reshape([b, t, n, width]).swap_dims(1, 2);
        let placed = |y: Tensor<B, 2>, norm: &Option<Norm<B>>, n: usize| {
            let mut y = y.reshape([b * t * n, width]);
            if let Some(norm) = norm {
                y = norm.forward(y, pass);
            }
            if let Some(rotations) = &pass.rotations {
                y = rotations.turn(y, n);
            }
            y.reshape([b * t, n * width])
        };
        let mut q = placed(self.q_proj.forward(x.clone(), pass.tape), &self.q_norm, n_heads);
        if config.attention_scale != 1.0 {
            q = q.mul_scalar(config.attention_scale);
        }
        let k = placed(self.k_proj.forward(x.clone(), pass.tape), &self.k_norm, n_kv_heads);
        let v = self.v_proj.forward(x, pass.tape);
        let (q, k, v) = (heads(q, n_heads), heads(k, n_kv_heads), heads(v, n_kv_heads));
        let mixed = attention(q, k, v, mask, config.attention_soft_cap);
        self.out_proj.forward(mixed.swap_dims(1, 2).reshape([b * t, n_heads * width]), pass.tape)
    }
}

/// Two linear layers with an activation between, or three where a gate multiplies.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    /// Stream to gate, where the family has it: the activation is the gate's then.
    pub gate_proj: Option<Linear<B>>,
    /// Stream to inside.
    pub up_proj: Linear<B>,
    /// Inside to stream.
    pub down_proj: Linear<B>,
}

impl<B: Backend> Mlp<B> {
    fn make<E>(maker: &mut Maker<'_, B, E>, name: &str, config: &DecoderConfig) -> Result<Self, E> {
        let (d, inside, parts) = (config.width, config.mlp_width, config.parts);
        maker.within(name, |maker| {
            let gate = |maker: &mut _| Linear::make(maker, "gate_proj", [inside, d], parts.mlp_bias);
            Ok(Self {
                gate_proj: parts.gate.then(|| gate(maker)).transpose()?,
                up_proj: Linear::make(maker, "up_proj", [inside, d], parts.mlp_bias)?,
                down_proj: Linear::make(maker, "down_proj", [d, inside], parts.mlp_bias)?,
            })
        })
    }
}

impl<B: KernelBackend> Mlp<B> {
    fn forward(&self, x: Tensor<B, 2>, pass: &Pass<'_, B>) -> Tensor<B, 2> {
        let (activation, tape) = (pass.config.activation, pass.tape);
        let inside = match &self.gate_proj {
            Some(gate) => activation.apply(gate.forward(x.clone(), tape)) * self.up_proj.forward(x, tape),
            None => activation.apply(self.up_proj.forward(x, tape)),
        };
        self.down_proj.forward(inside, tape)
    }
}
