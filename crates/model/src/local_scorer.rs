//! Scoring with a model in this process.

use std::fmt;
use std::sync::Arc;

use userprint_core::{Detail, Moments, Ragged, TextScores, Tokenize, Tokens};
use userprint_kernels::inference::TokenScore;
use userprint_score::{ScoreError, Scorer, ScorerId};

use crate::scoring_model::{Asked, Done, ScoringModel, Sequence};

/// How a [`LocalScorer`] reads texts, and how it batches them; batching changes scores by rounding alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoringOptions {
    /// Token to put before each text; without one the first token is context and not scored.
    pub bos_token: Option<u32>,
    /// Longest input. The model's context bounds it.
    pub max_tokens: usize,
    /// What becomes of texts longer than that.
    pub long_texts: LongTexts,
    /// Tokens computed at once, padding counted.
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

/// A model in this process as a [`Scorer`].
pub struct LocalScorer {
    id: ScorerId,
    model: Arc<dyn ScoringModel>,
    tokenizer: Arc<dyn Tokenize>,
    options: ScoringOptions,
}

impl fmt::Debug for LocalScorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalScorer")
            .field("id", &self.id)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl LocalScorer {
    /// A scorer of a model and the tokenizer that it was trained with.
    pub fn new(
        id: &str,
        model: impl ScoringModel + 'static,
        tokenizer: Arc<dyn Tokenize>,
        options: ScoringOptions,
    ) -> Self {
        let options = ScoringOptions { max_tokens: options.max_tokens.min(model.context()), ..options };
        Self { id: ScorerId::new(id), model: Arc::new(model), tokenizer, options }
    }

    /// How many tokens of a text of so many are scored: none where it has only context.
    pub fn n_scored(&self, n_tokens: usize) -> usize {
        let n = n_tokens + usize::from(self.options.bos_token.is_some());
        match self.options.long_texts {
            LongTexts::Truncate => n.min(self.options.max_tokens).saturating_sub(1),
            LongTexts::Stride => n.saturating_sub(1),
        }
    }

    /// Scores texts that have been tokenised, by this scorer's tokenizer or one that is the same.
    ///
    /// # Errors
    /// As [`Scorer::score`].
    pub fn score_tokens(
        &self,
        tokens: &Tokens,
        detail: Detail,
        done: Done<'_>,
    ) -> Result<TextScores, ScoreError> {
        (self as &dyn Scorer).check_detail(detail)?;
        let inputs = self.inputs(tokens)?;
        let windows = inputs.iter().enumerate().flat_map(|(row, input)| {
            self.options.long_texts.windows(row, input.len(), self.options.max_tokens)
        });
        let windows: Vec<Window> = windows.collect();
        let sequence = |window: &Window| Sequence {
            ids: &inputs[window.row][window.start..window.end],
            n_context: window.context,
        };
        let sequences: Vec<Sequence<'_>> = windows.iter().map(sequence).collect();
        let asked = Asked { batch_tokens: self.options.batch_tokens, detail };
        let scores = self.model.score(&sequences, asked, done);
        let mut rows: Vec<Vec<TokenScore>> = vec![Vec::new(); inputs.len()];
        windows.iter().zip(scores).for_each(|(window, scores)| rows[window.row].extend(scores));
        let scores = columns(&rows, detail);
        for (index, &found) in scores.log_likelihood.iter().enumerate() {
            if !(found.is_finite() && found <= 0.0) {
                return Err(ScoreError::NotALogLikelihood { scorer: self.id.clone(), index, found });
            }
        }
        Ok(scores)
    }

    /// The inputs: each text's ids, with the beginning-of-text token if there is one.
    fn inputs(&self, tokens: &Tokens) -> Result<Vec<Vec<u32>>, ScoreError> {
        let mut inputs = Vec::with_capacity(tokens.ids.n_rows());
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
}

impl Scorer for LocalScorer {
    fn id(&self) -> &ScorerId {
        &self.id
    }

    fn detail(&self) -> Detail {
        Detail::Moments
    }

    fn score(&self, texts: &[&str], detail: Detail) -> Result<TextScores, ScoreError> {
        (self as &dyn Scorer).check_detail(detail)?;
        self.score_tokens(&self.tokenizer.encode(texts)?, detail, &|_| ())
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
    use crate::{Bos, CausalLm, HfTokenizer};
    use userprint_core::{Seed, TokenizeError, Tokens};
    use userprint_score::conformance;

    const TEXTS: [&str; 5] = [
        "one text",
        "another text, a good deal longer than the first one, and than the local window of the model",
        "x y",
        "the same words, the same words, the same words",
        "one text more",
    ];

    fn scorer(options: ScoringOptions) -> LocalScorer {
        let tokenizer = HfTokenizer::train(&TEXTS, 300).unwrap();
        let config = gpt_neo::small(300, 64, 16, 2, 2).unwrap();
        let config = config.with("window_size", 4).unwrap().with("initializer_range", 0.3).unwrap();
        let bos_token = tokenizer.bos_token(Bos::Always, config.bos_token_id).unwrap();
        let lm = CausalLm::<Cpu>::init(config.decoder, Seed(3), &Default::default());
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
            assert!(windows.iter().all(|window| window.end - window.start <= most));
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
