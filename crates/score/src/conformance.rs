//! The suite that every [`Scorer`] passes: one check for each line of its guarantees.

use userprint_core::{Detail, TextScores};

use crate::{ScoreError, Scorer};

/// Largest difference that the make-up of a batch may cause, nats per token.
const PER_TOKEN: f64 = 1e-4;

/// Runs the whole suite on at least three different texts that the scorer can score.
///
/// # Panics
/// At the first guarantee that does not hold.
pub fn scorer(scorer: &dyn Scorer, texts: &[&str]) {
    assert!(texts.len() >= 3, "the suite wants at least three texts");
    answers_with_the_detail_asked(scorer, texts);
    refuses_finer_detail(scorer, texts);
    rows_answer_their_texts(scorer, texts);
    totals_are_sums(scorer, texts);
    no_texts_no_rows(scorer);
}

fn answers_with_the_detail_asked(scorer: &dyn Scorer, texts: &[&str]) {
    for detail in [Detail::Total, Detail::Tokens, Detail::Moments] {
        if detail <= scorer.detail() {
            let scores = scorer.score(texts, detail).expect("an offered detail");
            assert_eq!(scores.detail(), detail, "asked {detail:?}");
            assert_eq!(scores.len(), texts.len());
            assert_eq!(scores.n_tokens.len(), texts.len());
            for (row, &total) in scores.log_likelihood.iter().enumerate() {
                assert!(total.is_finite() && total <= 0.0, "row {row}: log-likelihood {total}");
                assert!(scores.n_tokens[row] >= 1, "row {row} has no scored token");
            }
        }
    }
}

fn refuses_finer_detail(scorer: &dyn Scorer, texts: &[&str]) {
    for detail in [Detail::Tokens, Detail::Moments] {
        if detail > scorer.detail() {
            let refused = scorer.score(texts, detail);
            assert!(matches!(refused, Err(ScoreError::TooFine { .. })), "{detail:?} was not refused");
        }
    }
}

fn rows_answer_their_texts(scorer: &dyn Scorer, texts: &[&str]) {
    let together = scorer.score(texts, Detail::Total).expect("scorable texts");
    let reversed: Vec<&str> = texts.iter().rev().copied().collect();
    let backwards = scorer.score(&reversed, Detail::Total).expect("scorable texts");
    for (row, text) in texts.iter().enumerate() {
        let alone = scorer.score(&[text], Detail::Total).expect("a scorable text");
        assert_same(&alone, 0, &together, row);
        assert_same(&backwards, texts.len() - 1 - row, &together, row);
    }
}

fn assert_same(a: &TextScores, row_a: usize, b: &TextScores, row_b: usize) {
    assert_eq!(a.n_tokens[row_a], b.n_tokens[row_b], "row {row_b}: number of tokens");
    let apart = (a.log_likelihood[row_a] - b.log_likelihood[row_b]).abs();
    assert!(apart <= PER_TOKEN * f64::from(b.n_tokens[row_b]), "row {row_b}: batches differ by {apart} nats");
}

fn totals_are_sums(scorer: &dyn Scorer, texts: &[&str]) {
    if scorer.detail() < Detail::Tokens {
        return;
    }
    let scores = scorer.score(texts, Detail::Tokens).expect("an offered detail");
    let tokens = scores.token_log_probs.expect("detail was checked before");
    for (row, log_probs) in tokens.rows().enumerate() {
        assert_eq!(log_probs.len(), scores.n_tokens[row] as usize, "row {row}: number of tokens");
        let sum: f64 = log_probs.iter().map(|&l| f64::from(l)).sum();
        assert!(
            (sum - scores.log_likelihood[row]).abs() < 1e-9 * (1.0 + sum.abs()),
            "row {row}: total is no sum"
        );
    }
}

fn no_texts_no_rows(scorer: &dyn Scorer) {
    assert!(scorer.score(&[], Detail::Total).expect("an empty batch").is_empty());
}
