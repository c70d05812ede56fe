//! Scoring with a model in this process.

use std::fmt;
use std::sync::Arc;

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};
use userprint_core::{Detail, Moments, Ragged, TextScores, Tokenize};
use userprint_kernels::{KernelBackend, head};
use userprint_score::{ScoreError, Scorer, ScorerId};

use crate::{Batch, CausalLm};

/// How a [`LocalScorer`] reads texts, and how it batches them; batching changes scores by rounding alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoringOptions {
    /// Token to put before each text; without one the first token is context and not scored.
    pub bos_token: Option<u32>,
    /// Longest input. The model's context bounds it.
    pub max_tokens: usize,
    /// What becomes of texts longer than that.
    pub long_texts: LongTexts,
    /// Tokens in a batch, padding counted.
    pub batch_tokens: usize,
}

impl Default for ScoringOptions {
    fn default() -> Self {
        Self { bos_token: None, max_tokens: usize::MAX, long_texts: LongTexts::Truncate, batch_tokens: 4096 }
    }
}

/// What becomes of texts longer than the longest input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LongTexts {
    /// They are cut.
    #[default]
    Truncate,
    /// Windows slide over them: every token is scored once, with at least half a window before it after the first.
    Stride,
}

impl LongTexts {
    /// All ways.
    pub const ALL: [Self; 2] = [Self::Truncate, Self::Stride];

    /// The name in experiment files and score tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncate => "truncate",
            Self::Stride => "stride",
        }
    }

    /// The windows of a text of `n` tokens in which inputs of at most `most` tokens fit.
    fn windows(self, row: usize, n: usize, most: usize) -> Vec<Window> {
        let mut windows = vec![Window { row, start: 0, end: n.min(most), context: 1 }];
        let mut scored = most;
        while self == Self::Stride && scored < n {
            let end = n.min(scored + most / 2);
            let start = end - most;
            windows.push(Window { row, start, end, context: scored - start });
            scored = end;
        }
        windows
    }
}

/// A part of a text that is scored at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    row: usize,
    start: usize,
    end: usize,
    /// Tokens at its start that are not scored.
    context: usize,
}

impl Window {
    fn len(self) -> usize {
        self.end - self.start
    }
}

/// A model in this process as a [`Scorer`].
pub struct LocalScorer<B: Backend> {
    id: ScorerId,
    lm: CausalLm<B>,
    tokenizer: Arc<dyn Tokenize>,
    options: ScoringOptions,
    device: B::Device,
}

impl<B: Backend> fmt::Debug for LocalScorer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalScorer")
            .field("id", &self.id)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// One token's answer.
#[derive(Clone, Copy, Debug, Default)]
struct TokenScore {
    log_prob: f32,
    mean: f32,
    std_dev: f32,
    is_argmax: bool,
}

impl<B: KernelBackend> LocalScorer<B> {
    /// A scorer of a model and the tokenizer that it was trained with.
    pub fn new(id: &str, lm: CausalLm<B>, tokenizer: Arc<dyn Tokenize>, options: ScoringOptions) -> Self {
        let device = lm.device();
        let options = ScoringOptions { max_tokens: options.max_tokens.min(lm.config.context), ..options };
        Self { id: ScorerId::new(id), lm, tokenizer, options, device }
    }

    /// The inputs: each text's ids, with the beginning-of-text token if there is one.
    fn inputs(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, ScoreError> {
        let tokens = self.tokenizer.encode(texts)?;
        let mut inputs = Vec::with_capacity(texts.len());
        for (index, ids) in tokens.ids.rows().enumerate() {
            let all = self.options.bos_token.into_iter().chain(ids.iter().copied());
            let input: Vec<u32> = match self.options.long_texts {
                LongTexts::Truncate => all.take(self.options.max_tokens).collect(),
                LongTexts::Stride => all.collect(),
            };
            if input.len() < 2 || self.options.max_tokens < 2 {
                return Err(ScoreError::NothingToScore { index, n_tokens: ids.len() });
            }
            inputs.push(input);
        }
        Ok(inputs)
    }

    /// Windows by length, in groups whose padded size fits the budget.
    fn batches(&self, inputs: &[Vec<u32>]) -> Vec<Vec<Window>> {
        let windows = |(row, input): (usize, &Vec<u32>)| {
            self.options.long_texts.windows(row, input.len(), self.options.max_tokens)
        };
        let mut windows: Vec<Window> = inputs.iter().enumerate().flat_map(windows).collect();
        windows.sort_by_key(|window| (window.len(), window.row, window.start));
        let mut batches: Vec<Vec<Window>> = Vec::new();
        for window in windows {
            match batches.last_mut() {
                Some(batch) if (batch.len() + 1) * window.len() <= self.options.batch_tokens => {
                    batch.push(window)
                }
                _ => batches.push(vec![window]),
            }
        }
        batches
    }

    /// Scores of one batch, windows in its order. Padding stands at the end, where causal attention does not see it.
    fn score_batch(&self, windows: &[Window], inputs: &[Vec<u32>], detail: Detail) -> Vec<Vec<TokenScore>> {
        let sequences: Vec<&[u32]> =
            windows.iter().map(|window| &inputs[window.row][window.start..window.end]).collect();
        let context: Vec<usize> = windows.iter().map(|window| window.context).collect();
        let batch = Batch::with_context(&sequences, &context, &self.device);
        let hidden = self.lm.hidden(&batch);
        let hidden = match batch.places {
            Some(places) => hidden.select(0, places),
            None => hidden,
        };
        let flat = self.token_scores(&hidden, &batch.targets, detail);
        let mut rest = flat.as_slice();
        let rows = windows.iter().map(|window| {
            let (row, tail) = rest.split_at(window.len() - window.context);
            rest = tail;
            row.to_vec()
        });
        rows.collect()
    }

    fn token_scores(
        &self,
        hidden: &Tensor<B, 2>,
        targets: &Tensor<B, 1, Int>,
        detail: Detail,
    ) -> Vec<TokenScore> {
        if detail < Detail::Moments {
            let log_probs = floats(head::token_log_probs(hidden, &self.lm.head(), targets));
            return log_probs.map(|log_prob| TokenScore { log_prob, ..TokenScore::default() }).collect();
        }
        let moments = head::token_moments(hidden, &self.lm.head(), targets);
        let argmax = moments.argmax.into_data();
        let targets = targets.to_data();
        let is_argmax =
            argmax.iter::<i64>().zip(targets.iter::<i64>()).map(|(argmax, target)| argmax == target);
        floats(moments.log_prob)
            .zip(floats(moments.mean).zip(floats(moments.std_dev)))
            .zip(is_argmax)
            .map(|((log_prob, (mean, std_dev)), is_argmax)| TokenScore { log_prob, mean, std_dev, is_argmax })
            .collect()
    }
}

fn floats<B: Backend>(tensor: Tensor<B, 1>) -> impl Iterator<Item = f32> {
    let values: Vec<f32> =
        tensor.into_data().convert::<f32>().into_vec().expect("converted to f32 just above");
    values.into_iter()
}

impl<B: KernelBackend> Scorer for LocalScorer<B> {
    fn id(&self) -> &ScorerId {
        &self.id
    }

    fn detail(&self) -> Detail {
        Detail::Moments
    }

    fn score(&self, texts: &[&str], detail: Detail) -> Result<TextScores, ScoreError> {
        (self as &dyn Scorer).check_detail(detail)?;
        let inputs = self.inputs(texts)?;
        let mut parts: Vec<(Window, Vec<TokenScore>)> = Vec::new();
        for windows in self.batches(&inputs) {
            let scores = self.score_batch(&windows, &inputs, detail);
            parts.extend(windows.into_iter().zip(scores));
        }
        parts.sort_by_key(|(window, _)| (window.row, window.start));
        let mut rows: Vec<Vec<TokenScore>> = vec![Vec::new(); inputs.len()];
        parts.into_iter().for_each(|(window, scores)| rows[window.row].extend(scores));
        let scores = columns(&rows, detail);
        for (index, &found) in scores.log_likelihood.iter().enumerate() {
            if !(found.is_finite() && found <= 0.0) {
                return Err(ScoreError::NotALogLikelihood { scorer: self.id.clone(), index, found });
            }
        }
        Ok(scores)
    }
}

fn columns(rows: &[Vec<TokenScore>], detail: Detail) -> TextScores {
    let column =
        |of: fn(&TokenScore) -> f32| -> Ragged<f32> { rows.iter().map(|row| row.iter().map(of)).collect() };
    // A probability of 1 may round to a log-probability barely above 0; what is not a number stays so.
    let log_prob = |token: &TokenScore| if token.log_prob > 0.0 { 0.0 } else { token.log_prob };
    TextScores {
        log_likelihood: rows.iter().map(|row| row.iter().map(|t| f64::from(log_prob(t))).sum()).collect(),
        n_tokens: rows.iter().map(|row| row.len() as u32).collect(),
        token_log_probs: (detail >= Detail::Tokens).then(|| column(log_prob)),
        moments: (detail >= Detail::Moments).then(|| Moments {
            mean: column(|token| token.mean),
            std_dev: column(|token| token.std_dev),
            is_argmax: rows.iter().map(|row| row.iter().map(|token| token.is_argmax)).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Cpu;
    use crate::gpt_neo;
    use crate::{Bos, HfTokenizer};
    use userprint_core::{Seed, TokenizeError, Tokens};
    use userprint_score::conformance;

    const TEXTS: [&str; 5] = [
        "one text",
        "another text, a good deal longer than the first one, and than the local window of the model",
        "x y",
        "the same words, the same words, the same words",
        "one text more",
    ];

    fn scorer(options: ScoringOptions) -> LocalScorer<Cpu> {
        let tokenizer = HfTokenizer::train(&TEXTS, 300).unwrap();
        let config = gpt_neo::small(300, 64, 16, 2, 2).unwrap();
        let config = config.with("window_size", 4).unwrap().with("initializer_range", 0.3).unwrap();
        let bos_token = tokenizer.bos_token(Bos::Always, config.bos_token_id).unwrap();
        let lm = CausalLm::init(config.decoder, Seed(3), &Default::default());
        LocalScorer::new("test", lm, Arc::new(tokenizer), ScoringOptions { bos_token, ..options })
    }

    #[test]
    fn passes_the_suite() {
        conformance::scorer(&scorer(ScoringOptions::default()), &TEXTS);
    }

    #[test]
    fn batch_size_does_not_change_scores() {
        let all = scorer(ScoringOptions::default()).score(&TEXTS, Detail::Tokens).unwrap();
        let one = ScoringOptions { batch_tokens: 1, ..ScoringOptions::default() };
        let one = scorer(one).score(&TEXTS, Detail::Tokens).unwrap();
        assert_eq!(all.n_tokens, one.n_tokens);
        let (all, one) = (all.token_log_probs.unwrap(), one.token_log_probs.unwrap());
        for (a, b) in all.values().iter().zip(one.values()) {
            assert!((a - b).abs() < 1e-4, "{a} against {b}");
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let scorer = scorer(ScoringOptions { max_tokens: 5, ..ScoringOptions::default() });
        let scores = scorer.score(&TEXTS, Detail::Total).unwrap();
        assert_eq!(scores.n_tokens[1], 4);
    }

    /// Windows that are as long as the whole text see all of it; shorter ones see at least half of their length.
    #[test]
    fn strided_windows_score_each_token_once() {
        for (n, most) in [(5, 5), (6, 5), (23, 8), (24, 8), (9, 2), (100, 7)] {
            let windows = LongTexts::Stride.windows(0, n, most);
            let scored: Vec<usize> =
                windows.iter().flat_map(|window| window.start + window.context..window.end).collect();
            assert_eq!(scored, (1..n).collect::<Vec<_>>(), "{n} tokens in windows of {most}");
            assert!(windows.iter().all(|window| window.len() <= most));
            assert!(windows[1..].iter().all(|window| 2 * window.context >= most), "{windows:?}");
        }
    }

    /// One token a byte, so that a window of tokens is a piece of the text.
    #[derive(Debug)]
    struct Bytes;

    impl Tokenize for Bytes {
        fn vocab_size(&self) -> usize {
            256
        }

        fn encode(&self, texts: &[&str]) -> Result<Tokens, TokenizeError> {
            let mut tokens = Tokens::default();
            for text in texts {
                tokens.ids.push(text.bytes().map(u32::from));
                tokens.spans.push((0..text.len() as u32).map(|start| [start, start + 1]));
            }
            Ok(tokens)
        }
    }

    /// Each window alone, as a text of its own, has the same scores.
    #[test]
    fn strided_scores_are_those_of_the_windows() {
        let scorer = |options| {
            let config = gpt_neo::small(300, 64, 16, 2, 2).unwrap().with("initializer_range", 0.3).unwrap();
            let lm = CausalLm::<Cpu>::init(config.decoder, Seed(3), &Default::default());
            LocalScorer::new("test", lm, Arc::new(Bytes), options)
        };
        let options = ScoringOptions { max_tokens: 16, long_texts: LongTexts::Stride, ..Default::default() };
        let strided = scorer(options).score(&TEXTS, Detail::Tokens).unwrap().token_log_probs.unwrap();
        for (row, text) in TEXTS.iter().enumerate() {
            let mut alone = Vec::new();
            for window in LongTexts::Stride.windows(row, text.len(), 16) {
                let part = [&text[window.start..window.end]];
                let scores = scorer(ScoringOptions::default()).score(&part, Detail::Tokens).unwrap();
                alone.extend_from_slice(&scores.token_log_probs.unwrap().row(0)[window.context - 1..]);
            }
            assert_eq!(alone.len(), text.len() - 1);
            for (token, (found, alone)) in strided.row(row).iter().zip(alone).enumerate() {
                assert!((found - alone).abs() < 1e-4, "text {row}, token {token}: {found} against {alone}");
            }
        }
    }

    #[test]
    fn empty_text_is_an_error_that_names_its_place() {
        let scorer = scorer(ScoringOptions::default());
        let error = scorer.score(&["one text", ""], Detail::Total).unwrap_err();
        assert!(matches!(error, ScoreError::NothingToScore { index: 1, n_tokens: 0 }), "{error}");
    }

    #[test]
    fn probabilities_sum_to_one() {
        let scorer = scorer(ScoringOptions::default());
        let moments = scorer.score(&TEXTS, Detail::Moments).unwrap().moments.unwrap();
        assert!(moments.mean.values().iter().all(|&mean| mean < 0.0));
        assert!(moments.std_dev.values().iter().all(|&std_dev| std_dev > 0.0));
    }
}
