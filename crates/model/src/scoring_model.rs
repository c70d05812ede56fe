//! What a [`crate::LocalScorer`] asks of a model, and how models with tensors answer: in padded batches.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};
use userprint_core::Detail;
use userprint_kernels::inference::TokenScore;
use userprint_kernels::{KernelBackend, head};

use crate::{Batch, CausalLm};

/// Tokens of which all but the first few are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence<'a> {
    /// At least two tokens.
    pub ids: &'a [u32],
    /// How many of them are context only: at least one, and not all.
    pub n_context: usize,
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// About how many tokens to compute at a time.
    pub batch_tokens: usize,
    /// Whether the moments and the argmax are wanted.
    pub detail: Detail,
}

/// Hears of progress, from any thread.
pub type Done<'a> = &'a (dyn Fn(usize) + Sync);

/// A model that scores tokens.
///
/// # Guarantees
/// - Row `i` answers sequence `i`, with a score for each token after the context.
/// - A sequence's scores do not depend on the others, within 1e-4 nats per token.
pub trait ScoringModel: Send + Sync {
    /// Longest sequence in tokens.
    fn context(&self) -> usize;

    /// Scores sequences; `done` hears how many more are done each time that some are.
    fn score(&self, sequences: &[Sequence<'_>], asked: Asked, done: Done<'_>) -> Vec<Vec<TokenScore>>;
}

impl<B: KernelBackend> ScoringModel for CausalLm<B> {
    fn context(&self) -> usize {
        self.config.context
    }

    /// By length, in batches whose padded size fits; padding stands at the end, where causal attention does not see it.
    fn score(&self, sequences: &[Sequence<'_>], asked: Asked, done: Done<'_>) -> Vec<Vec<TokenScore>> {
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|i| sequences[*i].ids.len());
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for i in order {
            match batches.last_mut() {
                Some(batch) if (batch.len() + 1) * sequences[i].ids.len() <= asked.batch_tokens => {
                    batch.push(i)
                }
                _ => batches.push(vec![i]),
            }
        }
        let mut scores = vec![Vec::new(); sequences.len()];
        for batch in batches {
            let part: Vec<Sequence<'_>> = batch.iter().map(|i| sequences[*i]).collect();
            for (i, row) in batch.into_iter().zip(score_batch(self, &part, asked.detail)) {
                scores[i] = row;
            }
            done(part.len());
        }
        scores
    }
}

fn score_batch<B: KernelBackend>(
    lm: &CausalLm<B>,
    sequences: &[Sequence<'_>],
    detail: Detail,
) -> Vec<Vec<TokenScore>> {
    let ids: Vec<&[u32]> = sequences.iter().map(|sequence| sequence.ids).collect();
    let context: Vec<usize> = sequences.iter().map(|sequence| sequence.n_context).collect();
    let batch = Batch::with_context(&ids, &context, &lm.device());
    let hidden = lm.hidden(&batch);
    let hidden = match batch.places {
        Some(places) => hidden.select(0, places),
        None => hidden,
    };
    let flat = token_scores(lm, &hidden, &batch.targets, detail);
    let mut rest = flat.as_slice();
    let rows = sequences.iter().map(|sequence| {
        let (row, tail) = rest.split_at(sequence.ids.len() - sequence.n_context);
        rest = tail;
        row.to_vec()
    });
    rows.collect()
}

fn token_scores<B: KernelBackend>(
    lm: &CausalLm<B>,
    hidden: &Tensor<B, 2>,
    targets: &Tensor<B, 1, Int>,
    detail: Detail,
) -> Vec<TokenScore> {
    if detail < Detail::Moments {
        let log_probs = floats(head::token_log_probs(hidden, &lm.head(), targets));
        return log_probs.map(|log_prob| TokenScore { log_prob, ..TokenScore::default() }).collect();
    }
    let moments = head::token_moments(hidden, &lm.head(), targets);
    let argmax = moments.argmax.into_data();
    let targets = targets.to_data();
    let is_argmax = argmax.iter::<i64>().zip(targets.iter::<i64>()).map(|(argmax, target)| argmax == target);
    floats(moments.log_prob)
        .zip(floats(moments.mean).zip(floats(moments.std_dev)))
        .zip(is_argmax)
        .map(|((log_prob, (mean, std_dev)), is_argmax)| TokenScore { log_prob, mean, std_dev, is_argmax })
        .collect()
}

fn floats<B: Backend>(tensor: Tensor<B, 1>) -> impl Iterator<Item = f32> {
    let values: Vec<f32> =
        tensor.into_data().convert::<f32>().into_vec().expect("converted to f32 just above");
    values.into_iter()
}
