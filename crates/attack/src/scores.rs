//! Scores: checks that a score table is whole before anything is computed from it.

use userprint_core::{Moments, Ragged, TextScores};

use crate::examples::check_length;
use crate::{AttackError, Model};

/// By how much tokens may miss their total, in shares of it: sums in f32 do by less.
const SUM_TOLERANCE: f64 = 1e-3;

/// Checks a model's scores of `n_rows` texts, totals first, then tokens.
pub(crate) fn check_scores(model: Model, scores: &TextScores, n_rows: usize) -> Result<(), AttackError> {
    let [log_likelihood, n_tokens, ..] = columns(model);
    check_length(log_likelihood, scores.log_likelihood.len(), n_rows)?;
    check_length(n_tokens, scores.n_tokens.len(), n_rows)?;
    for (row, &value) in scores.log_likelihood.iter().enumerate() {
        if !value.is_finite() || value > 0.0 {
            return Err(AttackError::BadLogLikelihood { model, row, value });
        }
    }
    if let Some(row) = scores.n_tokens.iter().position(|&n| n == 0) {
        return Err(AttackError::NoTokens { model, row });
    }
    if n_rows > 0 && scores.log_likelihood.iter().all(|&value| value == 0.0) {
        return Err(AttackError::NothingScored { model });
    }
    if let Some(tokens) = &scores.token_log_probs {
        check_tokens(model, scores, tokens)?;
    }
    scores.moments.as_ref().map_or(Ok(()), |moments| check_moments(model, scores, moments))
}

fn columns(model: Model) -> [&'static str; 6] {
    match model {
        Model::Target => [
            "target.log_likelihood",
            "target.n_tokens",
            "target.token_log_probs",
            "target.moments.mean",
            "target.moments.std_dev",
            "target.moments.is_argmax",
        ],
        Model::Reference => [
            "reference.log_likelihood",
            "reference.n_tokens",
            "reference.token_log_probs",
            "reference.moments.mean",
            "reference.moments.std_dev",
            "reference.moments.is_argmax",
        ],
        Model::MoreReference { .. } | Model::PopulationTarget | Model::PopulationReference => [
            "log_likelihood",
            "n_tokens",
            "token_log_probs",
            "moments.mean",
            "moments.std_dev",
            "moments.is_argmax",
        ],
    }
}

fn check_tokens(model: Model, scores: &TextScores, tokens: &Ragged<f32>) -> Result<(), AttackError> {
    let [_, _, column, ..] = columns(model);
    check_ragged(model, scores, tokens, column)?;
    check_values(model, tokens, column, "at most 0", |value| value <= 0.0)?;
    for (row, (tokens, &log_likelihood)) in tokens.rows().zip(&scores.log_likelihood).enumerate() {
        let sum: f64 = tokens.iter().copied().map(f64::from).sum();
        if (sum - log_likelihood).abs() > SUM_TOLERANCE * (1.0 + log_likelihood.abs()) {
            return Err(AttackError::TokensDoNotSum { model, row, sum, log_likelihood });
        }
    }
    Ok(())
}

fn check_moments(model: Model, scores: &TextScores, moments: &Moments) -> Result<(), AttackError> {
    let [.., mean, std_dev, is_argmax] = columns(model);
    check_ragged(model, scores, &moments.mean, mean)?;
    check_ragged(model, scores, &moments.std_dev, std_dev)?;
    check_ragged(model, scores, &moments.is_argmax, is_argmax)?;
    check_values(model, &moments.mean, mean, "any sign", |_| true)?;
    check_values(model, &moments.std_dev, std_dev, "at least 0", |value| value >= 0.0)
}

fn check_ragged<T>(
    model: Model,
    scores: &TextScores,
    ragged: &Ragged<T>,
    column: &'static str,
) -> Result<(), AttackError> {
    check_length(column, ragged.n_rows(), scores.n_tokens.len())?;
    for (row, (values, &n_tokens)) in ragged.rows().zip(&scores.n_tokens).enumerate() {
        let (found, expected) = (values.len(), n_tokens as usize);
        if found != expected {
            return Err(AttackError::UnequalTokens { model, column, row, found, expected });
        }
    }
    Ok(())
}

fn check_values(
    model: Model,
    ragged: &Ragged<f32>,
    column: &'static str,
    expected: &'static str,
    in_range: fn(f32) -> bool,
) -> Result<(), AttackError> {
    for (row, values) in ragged.rows().enumerate() {
        if let Some(token) = values.iter().position(|&value| !value.is_finite() || !in_range(value)) {
            return Err(AttackError::BadTokenValue {
                model,
                column,
                row,
                token,
                value: values[token],
                expected,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// Two texts of two and three tokens at the finest detail.
    fn whole() -> TextScores {
        let of = |rows: [&[f32]; 2]| rows.into_iter().map(|row| row.iter().copied()).collect();
        TextScores {
            log_likelihood: vec![-1.0, -5.0],
            n_tokens: vec![2, 3],
            token_log_probs: Some(of([&[-1.0, 0.0], &[-2.0, -2.0, -1.0]])),
            moments: Some(Moments {
                mean: of([&[-0.5, -0.1], &[-1.0, -2.0, -1.0]]),
                std_dev: of([&[0.5, 0.0], &[1.0, 2.0, 1.0]]),
                is_argmax: [vec![false, true], vec![true, false, false]].into_iter().collect(),
            }),
        }
    }

    #[track_caller]
    fn check(break_it: fn(&mut TextScores, &mut Moments), expect: Expect) {
        let mut scores = whole();
        let mut moments = scores.moments.take().unwrap();
        break_it(&mut scores, &mut moments);
        scores.moments = Some(moments);
        let error = check_scores(Model::Target, &scores, 2).unwrap_err();
        expect.assert_eq(&error.to_string());
    }

    fn tokens(rows: [Vec<f32>; 2]) -> Option<Ragged<f32>> {
        Some(rows.into_iter().collect())
    }

    #[test]
    fn a_whole_table_passes() {
        assert_eq!(check_scores(Model::Target, &whole(), 2), Ok(()));
        assert_eq!(check_scores(Model::Target, &TextScores::default(), 0), Ok(()));
    }

    /// A scorer that takes a loss of 0 for padding and drops it: the row is shorter than its text.
    #[test]
    fn zero_losses_dropped_as_padding() {
        check(
            |scores, _| scores.token_log_probs = tokens([vec![-1.0], vec![-2.0, -2.0, -1.0]]),
            expect![[
                "row 0 has 1 values in `target.token_log_probs` of the target, expected one for each of 2 tokens"
            ]],
        );
    }

    /// Empty rows dropped as well, so that later rows answer other texts.
    #[test]
    fn shifted_rows() {
        check(
            |scores, _| scores.token_log_probs = tokens([vec![-2.0, -2.0], vec![-1.0, 0.0, -1.0]]),
            expect![["the tokens of row 0 add up to -4 nats under the target, its log-likelihood is -1"]],
        );
        check(
            |_, moments| moments.mean = tokens([vec![-1.0; 3], vec![-1.0; 2]]).unwrap(),
            expect![[
                "row 0 has 3 values in `target.moments.mean` of the target, expected one for each of 2 tokens"
            ]],
        );
        check(
            |_, moments| moments.is_argmax = [vec![true; 2]].into_iter().collect(),
            expect![["column `target.moments.is_argmax` has 1 entries, expected 2"]],
        );
    }

    /// An endpoint that returns no log-probabilities of the prompt, and no error.
    #[test]
    fn all_zero() {
        check(
            |scores, _| scores.log_likelihood = vec![0.0, 0.0],
            expect![["every target log-likelihood is 0: the model gave no score and no error"]],
        );
    }

    #[test]
    fn bad_token_values() {
        check(
            |scores, _| scores.token_log_probs = tokens([vec![-1.0, 0.5], vec![-2.0, -2.0, -1.0]]),
            expect![[
                "`target.token_log_probs` of the target is 0.5 at token 1 of row 0, expected a finite number of at most 0"
            ]],
        );
        check(
            |_, moments| moments.std_dev = tokens([vec![1.0; 2], vec![1.0, f32::NAN, -1.0]]).unwrap(),
            expect![[
                "`target.moments.std_dev` of the target is NaN at token 1 of row 1, expected a finite number of at least 0"
            ]],
        );
        check(
            |_, moments| moments.mean = tokens([vec![1.0; 2], vec![1.0, 1.0, f32::INFINITY]]).unwrap(),
            expect![[
                "`target.moments.mean` of the target is inf at token 2 of row 1, expected a finite number of any sign"
            ]],
        );
    }
}
