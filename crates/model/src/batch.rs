//! One batch of sequences on the device.

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};

/// Sequences of one forward pass as tensors, for scoring and for training; padding stands at the end of rows and is never predicted.
#[derive(Clone, Debug)]
pub struct Batch<B: Backend> {
    /// Inputs, `[b, t]`.
    pub ids: Tensor<B, 2, Int>,
    /// Tokens of each sequence, inputs and the last target.
    pub lengths: Vec<usize>,
    /// Positions of predicted tokens in the flattened inputs, `[n]`; none where all are.
    pub places: Option<Tensor<B, 1, Int>>,
    /// The tokens to predict, `[n]`.
    pub targets: Tensor<B, 1, Int>,
    /// Number of predicted tokens.
    pub n_tokens: usize,
}

impl<B: Backend> Batch<B> {
    /// Collates sequences of inputs and targets: `s[..len − 1]` predicts `s[1..]`.
    pub fn new<S: AsRef<[u32]>>(sequences: &[S], device: &B::Device) -> Self {
        Self::with_context(sequences, &vec![1; sequences.len()], device)
    }

    /// As [`Batch::new`], where the first `context[i]` tokens of sequence `i`, at least one, are not predicted.
    pub fn with_context<S: AsRef<[u32]>>(sequences: &[S], context: &[usize], device: &B::Device) -> Self {
        let lengths: Vec<usize> = sequences.iter().map(|s| s.as_ref().len()).collect();
        let t = lengths.iter().max().map_or(0, |longest| longest - 1);
        let mut ids = vec![0i64; sequences.len() * t];
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (row, (sequence, context)) in sequences.iter().zip(context).enumerate() {
            for (position, pair) in sequence.as_ref().windows(2).enumerate() {
                ids[row * t + position] = i64::from(pair[0]);
                if position + 1 >= *context {
                    places.push((row * t + position) as i64);
                    targets.push(i64::from(pair[1]));
                }
            }
        }
        let n_tokens = targets.len();
        let ints = |values: Vec<i64>| {
            let n = values.len();
            Tensor::<B, 1, Int>::from_data(TensorData::new(values, [n]), device)
        };
        let all = n_tokens == ids.len();
        Self {
            ids: ints(ids).reshape([sequences.len(), t]),
            lengths,
            places: (!all).then(|| ints(places)),
            targets: ints(targets),
            n_tokens,
        }
    }
}

impl<B: AutodiffBackend> Batch<B> {
    /// The same batch, shared, on the backend without gradients.
    pub fn without_gradients(&self) -> Batch<B::InnerBackend> {
        Batch {
            ids: self.ids.clone().inner(),
            lengths: self.lengths.clone(),
            places: self.places.clone().map(Tensor::inner),
            targets: self.targets.clone().inner(),
            n_tokens: self.n_tokens,
        }
    }
}
