//! Gradients clipped unit by unit, an example or a user each, and summed: without a loop over units.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};
use userprint_kernels::head::Head;
use userprint_kernels::linear::product;
use userprint_kernels::units::{
    HeadTraining, HeadUnits, add_rows, head_units, product_norms, shift_norms, table_norms, tied_products,
};
use userprint_model::backend::KernelBackend;
use userprint_model::{Batch, CausalLm, Operation, Params, Positions, Tape};

use crate::gradients::{self, Rows, add, carried_back};
use crate::trainer::with_gradients;
use crate::{Gradients, TrainBackend, TrainError};

/// What units of a batch gave.
#[derive(Debug)]
pub struct ClippedSum<B: AutodiffBackend> {
    /// Loss of each unit, nats per token: the mean over its sequences of the mean over a sequence's tokens.
    pub losses_nats: Vec<f64>,
    /// Norm of each unit's gradient over all parameters, before clipping.
    pub norms: Vec<f64>,
    /// `Σ_u min(1, C / |g_u|) g_u`, by parameter path, flat.
    pub by_path: BTreeMap<String, Tensor<B::InnerBackend, 1>>,
}

/// Sequences of units: as many of each unit, those that are missing empty.
///
/// A sequence is one document; two documents in one sequence would share its gradient.
#[derive(Clone, Debug)]
pub struct UnitBatch<B: AutodiffBackend> {
    batch: Batch<B>,
    units: usize,
    /// Of each input position; 0 where nothing is predicted.
    targets: Tensor<B::InnerBackend, 1, Int>,
    /// One over the number of predictions of the sequence and the number of sequences of the unit; 0 likewise.
    weights: Vec<f32>,
}

impl<B: AutodiffBackend> ClippedSum<B> {
    /// The units of both, one after the other.
    #[must_use]
    fn and(mut self, other: Self) -> Self {
        self.losses_nats.extend(other.losses_nats);
        self.norms.extend(other.norms);
        add::<B>(&mut self.by_path, other.by_path);
        self
    }

    /// The mean over units, with the mean of their losses: a step without noise.
    pub fn mean(self) -> Gradients<B> {
        let (loss_nats, units) = (self.loss_nats(), self.norms.len() as f64);
        Gradients { loss_nats, by_path: gradients::scaled::<B>(self.by_path, 1.0 / units) }
    }

    /// The mean of the units' losses.
    pub(crate) fn loss_nats(&self) -> f64 {
        self.losses_nats.iter().sum::<f64>() / self.losses_nats.len() as f64
    }

    /// A gradient whose norm is no number cannot be clipped.
    pub(crate) fn check_norms(&self, step: u64) -> Result<(), TrainError> {
        let is_finite = self.norms.iter().all(|norm| norm.is_finite());
        if is_finite { Ok(()) } else { Err(TrainError::NormNotFinite { step }) }
    }
}

impl<B: AutodiffBackend> UnitBatch<B> {
    /// Predicted tokens.
    pub fn n_tokens(&self) -> usize {
        self.batch.n_tokens
    }

    pub(crate) fn batch(&self) -> &Batch<B> {
        &self.batch
    }

    pub(crate) fn n_units(&self) -> usize {
        self.units
    }

    /// Of the rows.
    fn weights(&self) -> Tensor<B::InnerBackend, 1> {
        let n = self.weights.len();
        Tensor::from_data(TensorData::new(self.weights.clone(), [n]), &self.targets.device())
    }

    /// All hidden states with what they predict, each unit's times its factor.
    pub(crate) fn rows(&self, factors: &[f32]) -> Rows<B> {
        let weights = scaled(self.weights().unsqueeze_dim(1), factors).squeeze_dim(1);
        Rows { places: None, targets: self.targets.clone(), weights }
    }

    /// Collates the sequences of each unit, `s[..len − 1]` to predict `s[1..]`.
    ///
    /// # Panics
    /// If no unit has a sequence of two tokens or more.
    pub fn new<U: AsRef<[S]>, S: AsRef<[u32]>>(units: &[U], device: &B::Device) -> Self {
        let units: Vec<&[S]> = units.iter().map(AsRef::as_ref).collect();
        let most = units.iter().map(|unit| unit.len()).max().unwrap_or(0);
        let filled = |unit: &&[S]| {
            let own: Vec<Vec<u32>> = unit.iter().map(|sequence| sequence.as_ref().to_vec()).collect();
            own.into_iter().chain(std::iter::repeat_n(vec![0], most - unit.len())).collect::<Vec<_>>()
        };
        let sequences: Vec<Vec<u32>> = units.iter().flat_map(filled).collect();
        let batch = Batch::<B>::new(&sequences, device);
        let [_, t] = batch.ids.dims();
        assert!(t > 0, "a unit needs something to predict");
        let (mut targets, mut weights) = (vec![0i64; sequences.len() * t], vec![0f32; sequences.len() * t]);
        for (row, sequence) in sequences.iter().enumerate() {
            let unit = units[row / most];
            let own = unit.iter().filter(|sequence| sequence.as_ref().len() > 1).count();
            for (position, &target) in sequence.iter().skip(1).enumerate() {
                targets[row * t + position] = i64::from(target);
                weights[row * t + position] = 1.0 / ((sequence.len() - 1) * own) as f32;
            }
        }
        let targets = TensorData::new(targets, [sequences.len() * t]);
        Self { batch, units: units.len(), targets: Tensor::from_data(targets, device), weights }
    }
}

/// The sum over many units in passes of at most `microbatch_size` sequences, a unit always in one pass, with the number of
/// predicted tokens; `None` over no units.
pub(crate) fn summed<B: AutodiffBackend, U: AsRef<[Vec<u32>]>>(
    units: &[U],
    microbatch_size: usize,
    device: &B::Device,
    clipped: impl Fn(&UnitBatch<B>) -> ClippedSum<B>,
) -> (Option<ClippedSum<B>>, u64) {
    let (mut sum, mut n_tokens, mut left): (Option<ClippedSum<B>>, _, _) = (None, 0, units);
    while !left.is_empty() {
        let (pass, rest) = left.split_at(units_of_a_pass(left, microbatch_size));
        let batch = UnitBatch::new(pass, device);
        let found = clipped(&batch);
        n_tokens += batch.n_tokens() as u64;
        sum = Some(match sum {
            Some(sum) => sum.and(found),
            None => found,
        });
        left = rest;
    }
    (sum, n_tokens)
}

/// Norm of the gradient of each sequence's loss, its mean over tokens in nats, over all parameters that are trained.
///
/// Sequences are predicted token by token after the first; passes are of at most `microbatch_size` of them.
///
/// # Panics
/// If all sequences of a pass have fewer than two tokens.
pub fn sequence_norms<B: KernelBackend>(
    lm: &CausalLm<B>,
    sequences: &[Vec<u32>],
    microbatch_size: usize,
) -> Vec<f64> {
    let lm = with_gradients::<Autodiff<B>>(lm);
    let units: Vec<[Vec<u32>; 1]> = sequences.iter().map(|sequence| [sequence.clone()]).collect();
    // Nothing is clipped: the sum is not looked at.
    let (sum, _) = summed(&units, microbatch_size, &lm.device(), |batch| clipped_sum(&lm, batch, f64::MAX));
    sum.map_or(Vec::new(), |sum| sum.norms)
}

/// How many of the first units fit in a pass, each filled up to the one of most sequences; at least 1.
fn units_of_a_pass<U: AsRef<[Vec<u32>]>>(units: &[U], microbatch_size: usize) -> usize {
    let mut most = 0;
    let fits = units.iter().enumerate().take_while(|(before, unit)| {
        most = most.max(unit.as_ref().len());
        (before + 1) * most <= microbatch_size
    });
    fits.count().max(1)
}

/// The clipped sum of the units' gradients: one forward pass and one backward pass, from which no gradient of a
/// parameter is made but the sum.
///
/// Norms come from activations and output gradients, as does the sum once the norms are known; logits that would fill the
/// memory are computed a second time for it.
/// With `clip_norm` infinite it is the sum of the units' gradients.
///
/// # Reference
/// Bu et al., arXiv:2210.00038v3 (book-keeping); the loop over units is [`gradients`](crate::gradients()) of each alone.
pub fn clipped_sum<B: TrainBackend>(lm: &CausalLm<B>, batch: &UnitBatch<B>, clip_norm: f64) -> ClippedSum<B> {
    let lm = frozen(lm);
    let (hidden, tape) = lm.recorded(&batch.batch);
    let pass = HeadPass::new(&lm, batch, hidden.clone().inner());
    let mut found = pass.head_units();
    carried_back(hidden, found.d_hidden.clone());

    let embedded = if lm.is_adapted() { None } else { tape.embedded().take::<B::InnerBackend>() };
    let operations: Vec<Recorded<B>> = Recorded::all(tape);
    let mut squares = Squares::new(batch.units);
    operations.iter().for_each(|operation| squares.add(operation.norms(batch.units)));
    squares.add(found.norms.take());
    if let Some(de) = &embedded {
        squares.add(pass.embedding_norms(&lm, de, found.at_inputs.take()));
    }
    let norms = squares.norms();
    let factors = factors(&norms, clip_norm);

    let paths = Paths::of(&lm);
    let mut by_path = BTreeMap::new();
    for operation in operations {
        for (id, sum) in operation.sums(&factors) {
            by_path.insert(paths.of[&id].clone(), sum);
        }
    }
    let losses_nats = found.losses.clone().into_data().iter::<f64>().collect();
    if let Some(de) = embedded {
        pass.add_tables(&lm, found, de, &factors, &mut by_path);
    }
    ClippedSum { losses_nats, norms, by_path }
}

/// The same weights, recording no gradients.
pub(crate) fn frozen<B: AutodiffBackend>(lm: &CausalLm<B>) -> CausalLm<B> {
    let CausalLm { config, module } = CausalLm::<B>::from_inner(&lm.without_gradients());
    CausalLm { config, module: Params::require_gradients(module, |_| false) }
}

/// What each unit's gradient is scaled by.
pub(crate) fn factors(norms: &[f64], clip_norm: f64) -> Vec<f32> {
    norms.iter().map(|&norm| gradients::clip_factor(norm, clip_norm) as f32).collect()
}

/// Squared norms of units' gradients, which parameters add to one by one.
pub(crate) struct Squares(Vec<f64>);

impl Squares {
    pub(crate) fn new(units: usize) -> Self {
        Self(vec![0.0; units])
    }

    /// Adds some parameters', `[units]` each.
    pub(crate) fn add<B: Backend>(&mut self, parameters: impl IntoIterator<Item = Tensor<B, 1>>) {
        for of_units in parameters {
            let squares = of_units.into_data();
            self.0.iter_mut().zip(squares.iter::<f64>()).for_each(|(sum, square)| *sum += square);
        }
    }

    pub(crate) fn norms(self) -> Vec<f64> {
        // A sum of products may round below 0 where it is 0; what is no number stays none.
        let norm = |square: f64| if square < 0.0 { 0.0 } else { square.sqrt() };
        self.0.into_iter().map(norm).collect()
    }
}

/// Each row times the factor of its unit.
fn scaled<B: Backend>(rows: Tensor<B, 2>, factors: &[f32]) -> Tensor<B, 2> {
    let [n, d] = rows.dims();
    let units = factors.len();
    let factors: Tensor<B, 1> = Tensor::from_data(TensorData::new(factors.to_vec(), [units]), &rows.device());
    (rows.reshape([units, n / units * d]) * factors.unsqueeze_dim(1)).reshape([n, d])
}

/// An operation with its input and the gradient by its output.
pub(crate) struct Recorded<B: AutodiffBackend> {
    operation: Operation,
    input: Tensor<B::InnerBackend, 2>,
    dy: Tensor<B::InnerBackend, 2>,
}

impl<B: TrainBackend> Recorded<B> {
    /// All operations of a tape, once the backward pass has been.
    pub(crate) fn all(tape: Tape<B>) -> Vec<Self> {
        tape.into_records().into_iter().map(Self::take).collect()
    }

    /// An operation that was left out would be neither clipped nor trained, so that none may be missing.
    fn take(record: userprint_model::Record<B>) -> Self {
        let dy = record
            .tap
            .take::<B::InnerBackend>()
            .expect("the backward pass comes by every recorded operation");
        Self { operation: record.operation, input: record.input.inner(), dy }
    }

    /// Squared norms of each unit's gradient, by the weight and by the bias.
    pub(crate) fn norms(&self, units: usize) -> Vec<Tensor<B::InnerBackend, 1>> {
        let (of_weight, bias) = match self.operation {
            Operation::Product { bias, .. } => (product_norms(&self.input, &self.dy, units), bias),
            Operation::Scale { bias, .. } => {
                (shift_norms(&(self.input.clone() * self.dy.clone()), units), bias)
            }
        };
        let of_bias = bias.map(|_| shift_norms(&self.dy, units));
        std::iter::once(of_weight).chain(of_bias).collect()
    }

    /// Sums of the units' gradients, each times its factor.
    fn sums(self, factors: &[f32]) -> Vec<(ParamId, Tensor<B::InnerBackend, 1>)> {
        let dy = scaled(self.dy, factors);
        let over_rows = |rows: Tensor<B::InnerBackend, 2>| rows.sum_dim(0).squeeze_dim::<1>(0);
        let (weight, of_weight, bias) = match self.operation {
            Operation::Product { weight, bias } => {
                let sum = product(dy.clone().transpose(), self.input);
                let n = sum.dims().iter().product::<usize>();
                (weight, sum.reshape([n]), bias)
            }
            Operation::Scale { weight, bias } => (weight, over_rows(dy.clone() * self.input), bias),
        };
        let of_bias = bias.map(|bias| (bias, over_rows(dy)));
        std::iter::once((weight, of_weight)).chain(of_bias).collect()
    }
}

/// Head and embeddings of one pass.
pub(crate) struct HeadPass<'a, B: AutodiffBackend> {
    batch: &'a UnitBatch<B>,
    hidden: Tensor<B::InnerBackend, 2>,
    head: Head<B::InnerBackend>,
    ids: Tensor<B::InnerBackend, 1, Int>,
    is_frozen: bool,
    is_tied: bool,
}

impl<'a, B: TrainBackend> HeadPass<'a, B> {
    pub(crate) fn new(lm: &CausalLm<B>, batch: &'a UnitBatch<B>, hidden: Tensor<B::InnerBackend, 2>) -> Self {
        let Head { weight, soft_cap } = lm.head();
        let [b, t] = batch.batch.ids.dims();
        Self {
            batch,
            hidden,
            head: Head { weight: weight.inner(), soft_cap },
            ids: batch.batch.ids.clone().inner().reshape([b * t]),
            is_frozen: lm.is_adapted(),
            is_tied: lm.module.head.is_none(),
        }
    }

    pub(crate) fn head_units(&self) -> HeadUnits<B::InnerBackend> {
        let Self { hidden, head, batch, .. } = self;
        head_units(hidden, head, &batch.targets, &self.weights(), batch.units, self.training())
    }

    fn training(&self) -> HeadTraining<'_, B::InnerBackend> {
        match (self.is_frozen, self.is_tied) {
            (true, _) => HeadTraining::Frozen,
            (false, true) => HeadTraining::Tied { ids: &self.ids },
            (false, false) => HeadTraining::Own,
        }
    }

    /// Of the rows.
    fn weights(&self) -> Tensor<B::InnerBackend, 1> {
        self.batch.weights()
    }

    /// Squared norms by the token embedding, with the product of its two uses where it is the head, and by the positions.
    pub(crate) fn embedding_norms(
        &self,
        lm: &CausalLm<B>,
        de: &Tensor<B::InnerBackend, 2>,
        at_inputs: Option<Tensor<B::InnerBackend, 3>>,
    ) -> Vec<Tensor<B::InnerBackend, 1>> {
        let units = self.batch.units;
        let of_tokens = self.of_tokens(lm, de.clone());
        let mut norms = vec![table_norms(&self.ids, &of_tokens, units)];
        norms.extend(at_inputs.map(|at_inputs| tied_products(at_inputs, &self.hidden, &of_tokens)));
        if lm.module.wpe.is_some() {
            let by_position = self.by_position(de.clone());
            let [_, rows, d] = by_position.dims();
            norms.push(
                (by_position.clone() * by_position).reshape([units, rows * d]).sum_dim(1).squeeze_dim(1),
            );
        }
        norms
    }

    /// The gradient by the rows of the token embedding: the embedded tokens are those times a factor.
    fn of_tokens(&self, lm: &CausalLm<B>, de: Tensor<B::InnerBackend, 2>) -> Tensor<B::InnerBackend, 2> {
        if lm.config.embedding_scale == 1.0 { de } else { de.mul_scalar(lm.config.embedding_scale) }
    }

    /// Gradients at each position, summed over a unit's sequences, `[units, t, d]`.
    fn by_position(&self, de: Tensor<B::InnerBackend, 2>) -> Tensor<B::InnerBackend, 3> {
        let ([b, t], [_, d]) = (self.batch.batch.ids.dims(), de.dims());
        let units = self.batch.units;
        de.reshape([units, b / units, t, d]).sum_dim(1).squeeze_dim(1)
    }

    /// The sums of head, token embedding and positions.
    fn add_tables(
        &self,
        lm: &CausalLm<B>,
        found: HeadUnits<B::InnerBackend>,
        de: Tensor<B::InnerBackend, 2>,
        factors: &[f32],
        by_path: &mut BTreeMap<String, Tensor<B::InnerBackend, 1>>,
    ) {
        let ones = Tensor::ones([self.hidden.dims()[0], 1], &self.hidden.device());
        let of_rows = scaled(ones, factors);
        let of_head = found.sum(&self.hidden, &self.head, &self.batch.targets, &self.weights(), of_rows);
        let de = scaled(de, factors);
        let of_tokens = self.of_tokens(lm, de.clone());
        let flat = |sum: Tensor<B::InnerBackend, 2>| {
            let n = sum.dims().iter().product::<usize>();
            sum.reshape([n])
        };
        if self.is_tied {
            by_path.insert("wte.weight".to_owned(), flat(add_rows(of_head, &self.ids, of_tokens)));
        } else {
            let zeros = Tensor::zeros(lm.module.wte.weight.dims(), &of_tokens.device());
            by_path.insert("wte.weight".to_owned(), flat(add_rows(zeros, &self.ids, of_tokens)));
            by_path.insert(lm.head_path().to_owned(), flat(of_head));
        }
        if let (Some(wpe), Positions::Learned { first }) = (&lm.module.wpe, &lm.config.positions) {
            let sums: Tensor<B::InnerBackend, 2> = self.by_position(de).sum_dim(0).squeeze_dim(0);
            let ([positions, d], [t, _]) = (wpe.weight.dims(), sums.dims());
            let zeros = Tensor::zeros([positions, d], &sums.device());
            by_path
                .insert("wpe.weight".to_owned(), flat(zeros.slice_assign([*first..first + t, 0..d], sums)));
        }
    }
}

/// Paths of parameters by their ids.
struct Paths {
    path: Vec<String>,
    of: BTreeMap<ParamId, String>,
}

impl Paths {
    fn of<B: AutodiffBackend>(lm: &CausalLm<B>) -> Self {
        let mut paths = Self { path: Vec::new(), of: BTreeMap::new() };
        lm.module.visit(&mut paths);
        paths
    }
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Paths {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.of.insert(param.id, self.path.join("."));
    }
}
