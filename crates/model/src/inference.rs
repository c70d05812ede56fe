//! A decoder for scoring on the processor: the same description as [`crate::Decoder`], packed weights, no tensors.

mod block;
mod layer;
mod pass;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use burn::tensor::backend::Backend;
use userprint_core::Detail;
use userprint_kernels::inference::{PackedMatrix, Precision, TokenScore, VocabularyHead};

use crate::decoder::Make;
use crate::scoring_model::{Asked, Done, ScoringModel, Sequence};
use crate::{CausalLm, DecoderConfig, ModelConfig, ModelError, Params, Positions, adapter, checkpoint};
use block::PackedBlock;
use layer::{Maker, PackedNorm};
use pass::{Pass, Scratch};

/// Inputs that go through the layers together: enough that weights are read from memory rarely, few enough that
/// what a layer keeps of them stays near.
pub(crate) const PASS_TOKENS: usize = 512;

/// A decoder with packed weights, which clones share.
#[derive(Clone)]
pub struct PackedLm {
    /// The shape.
    pub config: DecoderConfig,
    precision: Precision,
    n_threads: usize,
    /// Token embedding, where it is not the head.
    wte: Option<Arc<PackedMatrix>>,
    /// Position embedding, `[context + first, d]`, where positions are learned.
    wpe: Option<Arc<Vec<f32>>>,
    h: Vec<PackedBlock>,
    ln_f: PackedNorm,
    head: Arc<PackedMatrix>,
    /// Memory of passes that have ended.
    scratch: Arc<Mutex<Vec<Scratch>>>,
}

impl fmt::Debug for PackedLm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedLm").field("precision", &self.precision).finish_non_exhaustive()
    }
}

impl PackedLm {
    /// Loads a folder's model with its config, packing each weight as it is read; it scores on all cores.
    ///
    /// # Errors
    /// As [`checkpoint::load`].
    pub fn load(folder: &Path, precision: Precision) -> Result<(Self, ModelConfig), ModelError> {
        checkpoint::load_by(folder, |config, make| Self::make(config, precision, make))
    }

    /// The weights of a model with tensors, packed.
    pub fn pack<B: Backend>(lm: &CausalLm<B>, precision: Precision) -> Self {
        let mut params = BTreeMap::new();
        Params::for_each(&lm.module, |path, _, values| drop(params.insert(path.to_owned(), values)));
        let made = Self::make(&lm.config, precision, &mut |path, _| params.remove(path).ok_or(()));
        let mut packed = made.expect("a decoder has every parameter that its config describes");
        for ((_, linear), (_, packed)) in lm.module.linears().into_iter().zip(packed.linears_mut()) {
            if let Some(adapter) = &linear.adapter {
                packed.adapt(&adapter.factors(), precision);
            }
        }
        packed
    }

    /// The same weights, shared, with a folder's adapters in place.
    ///
    /// # Errors
    /// As [`adapter::load`].
    pub fn with_adapter(&self, folder: &Path, config: &ModelConfig) -> Result<Self, ModelError> {
        let mut lm = self.clone();
        let shapes = lm.linears_mut().into_iter().map(|(path, linear)| (path, linear.shape())).collect();
        let mut factors = adapter::read(folder, config, shapes)?;
        for (path, linear) in lm.linears_mut() {
            if let Some(factors) = factors.remove(&path) {
                linear.adapt(&factors, self.precision);
            }
        }
        Ok(lm)
    }

    /// The same model on this many threads, at least one.
    #[must_use]
    pub fn on_threads(mut self, n_threads: usize) -> Self {
        self.n_threads = n_threads.max(1);
        self
    }

    /// How weights and the inputs of products are kept.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    fn make<E>(config: &DecoderConfig, precision: Precision, make: Make<'_, E>) -> Result<Self, E> {
        let maker = &mut Maker { config, precision, make };
        let (v, d) = (config.vocab_size, config.width);
        let embedding = Arc::new(maker.matrix("wte", [v, d])?);
        let wpe = match config.positions {
            Positions::Learned { first } => Some(maker.param("wpe.weight", &[config.context + first, d])?),
            Positions::Rotary(_) => None,
        };
        let blocks = 0..config.layers.len();
        let h = blocks.map(|i| PackedBlock::make(maker, &format!("h.{i}"))).collect::<Result<_, E>>()?;
        let ln_f = maker.norm("ln_f", d)?;
        let (wte, head) = match config.parts.head {
            true => (Some(embedding), Arc::new(maker.matrix("head", [v, d])?)),
            false => (None, embedding),
        };
        Ok(Self {
            config: config.clone(),
            precision,
            n_threads: std::thread::available_parallelism().map_or(1, Into::into),
            wte,
            wpe: wpe.map(Arc::new),
            h,
            ln_f,
            head,
            scratch: Arc::default(),
        })
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut layer::PackedLinear)> {
        let blocks = self.h.iter_mut().enumerate();
        blocks
            .flat_map(|(i, block)| block.linears_mut().map(move |(name, l)| (format!("h.{i}.{name}"), l)))
            .collect()
    }

    /// Scores of some sequences, one after the other without padding.
    fn score_pass(&self, sequences: &[Sequence<'_>], moments: bool) -> Vec<Vec<TokenScore>> {
        let kept = self.scratch.lock().ok().and_then(|mut kept| kept.pop());
        let mut scratch = kept.unwrap_or_else(|| Scratch::new(self.precision));
        let pass = Pass::new(&self.config, sequences);
        self.embed(&pass, sequences, &mut scratch.x);
        for (block, mask) in self.h.iter().zip(&self.config.layers) {
            block.forward(&pass, *mask, &mut scratch);
        }
        let scores = self.head_scores(&pass, sequences, moments, &mut scratch);
        if let Ok(mut kept) = self.scratch.lock() {
            kept.push(scratch);
        }
        scores
    }

    fn embed(&self, pass: &Pass<'_>, sequences: &[Sequence<'_>], x: &mut Vec<f32>) {
        let d = self.config.width;
        x.resize(pass.n_rows * d, 0.0);
        let wte = self.wte.as_ref().unwrap_or(&self.head);
        for (span, sequence) in pass.spans.iter().zip(sequences) {
            let rows = x[span.start * d..span.end * d].chunks_exact_mut(d);
            for (position, (row, id)) in rows.zip(sequence.ids).enumerate() {
                wte.row(*id as usize, row);
                if self.config.embedding_scale != 1.0 {
                    let scale = self.config.embedding_scale as f32;
                    row.iter_mut().for_each(|x| *x *= scale);
                }
                if let (Some(wpe), Positions::Learned { first }) = (&self.wpe, &self.config.positions) {
                    let place = &wpe[(first + position) * d..][..d];
                    row.iter_mut().zip(place).for_each(|(x, p)| *x += p);
                }
            }
        }
    }

    fn head_scores(
        &self,
        pass: &Pass<'_>,
        sequences: &[Sequence<'_>],
        moments: bool,
        scratch: &mut Scratch,
    ) -> Vec<Vec<TokenScore>> {
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (span, sequence) in pass.spans.iter().zip(sequences) {
            let first = sequence.n_context - 1;
            places.extend(span.start + first..span.end);
            targets.extend_from_slice(&sequence.ids[sequence.n_context..]);
        }
        let head =
            VocabularyHead { weight: &self.head, soft_cap: self.config.logit_soft_cap.map(|cap| cap as f32) };
        let d = self.config.width;
        let Scratch { x, rows, row, .. } = scratch;
        let mut scores = Vec::with_capacity(places.len());
        for (places, targets) in places.chunks(PASS_TOKENS).zip(targets.chunks(PASS_TOKENS)) {
            rows.resize(places.len(), d);
            for (i, place) in places.iter().enumerate() {
                self.ln_f.apply(&x[place * d..][..d], row);
                rows.set(i, row);
            }
            scores.extend(head.score(rows, targets, moments));
        }
        let mut rest = scores.as_slice();
        let split = sequences.iter().map(|sequence| {
            let (scores, tail) = rest.split_at(sequence.ids.len() - sequence.n_context);
            rest = tail;
            scores.to_vec()
        });
        split.collect()
    }
}

impl ScoringModel for PackedLm {
    fn context(&self) -> usize {
        self.config.context
    }

    /// Sequences are dealt to threads in groups that fit a pass, long ones first.
    fn score(&self, sequences: &[Sequence<'_>], asked: Asked, done: Done<'_>) -> Vec<Vec<TokenScore>> {
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(sequences[*i].ids.len()));
        let n_tokens: usize = sequences.iter().map(|sequence| sequence.ids.len()).sum();
        let most = n_tokens.div_ceil(self.n_threads).clamp(1, PASS_TOKENS.min(asked.batch_tokens.max(1)));
        let mut passes: Vec<(usize, Vec<usize>)> = Vec::new();
        for i in order {
            let n = sequences[i].ids.len() - 1;
            match passes.last_mut() {
                Some((sum, pass)) if *sum + n <= most => {
                    *sum += n;
                    pass.push(i);
                }
                _ => passes.push((n, vec![i])),
            }
        }
        let next = std::sync::atomic::AtomicUsize::new(0);
        let work = || {
            let mut scored = Vec::new();
            while let Some((_, pass)) = passes.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                let sequences: Vec<Sequence<'_>> = pass.iter().map(|i| sequences[*i]).collect();
                let scores = self.score_pass(&sequences, asked.detail == Detail::Moments);
                scored.extend(pass.iter().copied().zip(scores));
                done(pass.len());
            }
            scored
        };
        let mut scores = vec![Vec::new(); sequences.len()];
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..self.n_threads.min(passes.len())).map(|_| scope.spawn(work)).collect();
            let mine = work();
            let theirs = others.into_iter().flat_map(|other| match other.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            mine.into_iter().chain(theirs).for_each(|(i, row)| scores[i] = row);
        });
        scores
    }
}
