//! The head: log-probabilities of tokens, where the logits exist a tile at a time only.

use multiversion::multiversion;

use super::lanes::{PointFunction, exp};
use super::matrix::PackedMatrix;
use super::panels::COLS;
use super::product::{ROWS, Span, Tile, multiply};
use super::rows::PackedRows;

/// What is said of one token; the last three where they were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenScore {
    /// `log p` of the token, nats.
    pub log_prob: f32,
    /// `Σ_v p_v log p_v`, nats.
    pub mean: f32,
    /// Standard deviation of `log p_v` under `p`, nats.
    pub std_dev: f32,
    /// Whether no other token was more likely.
    pub is_argmax: bool,
}

/// What turns hidden states into log-probabilities.
#[derive(Clone, Copy, Debug)]
pub struct VocabularyHead<'a> {
    /// `[v, d]`.
    pub weight: &'a PackedMatrix,
    /// Logits become `c tanh(logits / c)` where there is a cap `c`.
    pub soft_cap: Option<f32>,
}

/// Numbers of a register, each with sums of its own: they are added up at the end.
const LANES: usize = 16;

/// A row's running sums over the vocabulary, relative to the largest logit so far.
#[derive(Clone, Copy)]
struct Sums {
    max: f32,
    target: f32,
    /// `Σ e^x` with `x = logit − max`.
    ones: [f32; LANES],
    /// `Σ x e^x`.
    firsts: [f32; LANES],
    /// `Σ x² e^x`.
    seconds: [f32; LANES],
}

impl VocabularyHead<'_> {
    /// Scores the target of each row; moments and argmax where `moments` says so.
    ///
    /// # Shapes
    /// `hidden` is `[n, d]`, there are `n` targets.
    ///
    /// # Panics
    /// If there are not, or a target is not in the vocabulary.
    ///
    /// # Reference
    /// Online softmax: Milakov & Gimelshein, arXiv:1805.02867v2, Sec. 3. The moments are those of Min-K%++,
    /// arXiv:2404.02936v4, eq. 3.
    pub fn score(self, hidden: &PackedRows, targets: &[u32], moments: bool) -> Vec<TokenScore> {
        assert_eq!(hidden.n_rows(), targets.len(), "rows and targets");
        assert!(targets.iter().all(|target| (*target as usize) < self.weight.n_outputs()), "targets");
        let fresh = Sums {
            max: f32::NEG_INFINITY,
            target: f32::NAN,
            ones: [0.0; LANES],
            firsts: [0.0; LANES],
            seconds: [0.0; LANES],
        };
        let mut sums = vec![fresh; targets.len().next_multiple_of(ROWS)];
        multiply(hidden, self.weight, |span, tile| {
            if let Some(cap) = self.soft_cap {
                PointFunction::SoftCap(cap).apply(tile);
            }
            let rows = &mut sums[span.row..span.row + ROWS];
            pick_targets(span, tile, &targets[span.row..span.row + span.n_rows], rows);
            if span.n_cols < COLS {
                tile.iter_mut().for_each(|row| row[span.n_cols..].fill(f32::NEG_INFINITY));
            }
            if moments { add_moments(tile, rows) } else { add_totals(tile, rows) }
        });
        sums[..targets.len()].iter().map(|sums| sums.score(moments)).collect()
    }
}

fn pick_targets(span: Span, tile: &Tile, targets: &[u32], rows: &mut [Sums]) {
    for ((row, target), logits) in rows.iter_mut().zip(targets).zip(tile) {
        let place = (*target as usize).wrapping_sub(span.col);
        if place < span.n_cols {
            row.target = logits[place];
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn add_totals(tile: &Tile, rows: &mut [Sums]) {
    for (sums, logits) in rows.iter_mut().zip(tile) {
        if let Some(fall) = raise(sums, logits) {
            let kept = exp(fall);
            sums.ones.iter_mut().for_each(|sum| *sum *= kept);
        }
        let max = sums.max;
        for part in logits.as_chunks::<LANES>().0 {
            sums.ones.iter_mut().zip(part).for_each(|(sum, logit)| *sum += exp(logit - max));
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn add_moments(tile: &Tile, rows: &mut [Sums]) {
    for (sums, logits) in rows.iter_mut().zip(tile) {
        if let Some(fall) = raise(sums, logits) {
            let kept = exp(fall);
            for lane in 0..LANES {
                let (one, first) = (sums.ones[lane], sums.firsts[lane]);
                sums.seconds[lane] = kept * (sums.seconds[lane] + fall * (2.0 * first + fall * one));
                sums.firsts[lane] = kept * (first + fall * one);
                sums.ones[lane] = kept * one;
            }
        }
        let max = sums.max;
        for part in logits.as_chunks::<LANES>().0 {
            for (lane, logit) in part.iter().enumerate() {
                // What is further down adds nothing, and times infinity it would be no number.
                let x = (logit - max).clamp(-87.0, 0.0);
                let weight = exp(x);
                sums.ones[lane] += weight;
                sums.firsts[lane] += x * weight;
                sums.seconds[lane] += x * x * weight;
            }
        }
    }
}

/// Raises the maximum where a logit is above it; how far earlier logits fell by that, at most 0.
#[inline(always)]
fn raise(sums: &mut Sums, logits: &[f32; COLS]) -> Option<f32> {
    let (first, second) = logits.split_at(LANES);
    let mut lanes = [0.0; LANES];
    for (lane, (a, b)) in lanes.iter_mut().zip(first.iter().zip(second)) {
        *lane = if a > b { *a } else { *b };
    }
    let mut is_above = 0;
    lanes.iter().for_each(|lane| is_above |= u32::from(*lane > sums.max));
    if is_above == 0 {
        return None;
    }
    let max = lanes.iter().copied().fold(sums.max, f32::max);
    let fall = if sums.max == f32::NEG_INFINITY { 0.0 } else { sums.max - max };
    sums.max = max;
    Some(fall)
}

impl Sums {
    fn score(&self, moments: bool) -> TokenScore {
        let total = |lanes: &[f32; LANES]| lanes.iter().map(|sum| f64::from(*sum)).sum::<f64>();
        let ones = total(&self.ones);
        let log_prob = (f64::from(self.target) - f64::from(self.max) - ones.ln()) as f32;
        if !moments {
            return TokenScore { log_prob, ..TokenScore::default() };
        }
        let (first, second) = (total(&self.firsts) / ones, total(&self.seconds) / ones);
        TokenScore {
            log_prob,
            mean: (first - ones.ln()) as f32,
            std_dev: (second - first * first).max(0.0).sqrt() as f32,
            is_argmax: self.target >= self.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::Precision;
    use crate::plain;
    use rand::{RngExt, SeedableRng};

    #[track_caller]
    fn check(n: usize, d: usize, v: usize, scale: f32, soft_cap: Option<f32>) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let mut draw = |n: usize, scale: f32| -> Vec<f32> {
            (0..n).map(|_| scale * rng.random_range(-1.0..1.0f32)).collect()
        };
        let (hidden, weight) = (draw(n * d, scale), draw(v * d, 1.0));
        let targets: Vec<u32> = (0..n).map(|i| (v - 1 - (i * 7919) % v) as u32).collect();
        let mut rows = PackedRows::new(Precision::F32);
        rows.resize(n, d);
        hidden.chunks(d).enumerate().for_each(|(i, row)| rows.set(i, row));
        let packed = PackedMatrix::new(weight.clone(), [v, d], Precision::F32);
        let head = VocabularyHead { weight: &packed, soft_cap };
        let scores = head.score(&rows, &targets, true);
        let totals = head.score(&rows, &targets, false);
        for (i, (score, total)) in scores.iter().zip(totals).enumerate() {
            assert_eq!(score.log_prob, total.log_prob);
            let logits: Vec<f64> = (0..v)
                .map(|o| {
                    let products =
                        (0..d).map(|c| f64::from(hidden[i * d + c]) * f64::from(weight[o * d + c]));
                    let logit = products.sum::<f64>();
                    soft_cap.map_or(logit, |cap| f64::from(cap) * (logit / f64::from(cap)).tanh())
                })
                .collect();
            let log_probs = plain::log_softmax(&logits);
            let (mean, std_dev, argmax) = plain::moments_of(&log_probs);
            let expected = log_probs[targets[i] as usize];
            let near = |found: f32, expected: f64| {
                let apart = (f64::from(found) - expected).abs();
                assert!(apart < 2e-5 * (1.0 + expected.abs()), "row {i}: {found} against {expected}");
            };
            near(score.log_prob, expected);
            near(score.mean, mean);
            near(score.std_dev, std_dev);
            assert_eq!(score.is_argmax, argmax == targets[i] as usize, "row {i}");
        }
    }

    #[test]
    fn scores_agree_with_plain() {
        check(5, 8, 31, 1.0, None);
        check(13, 16, 97, 2.0, None);
        check(24, 8, 5_003, 2.0, None);
    }

    #[test]
    fn capped_scores_agree_with_plain() {
        check(13, 16, 97, 4.0, Some(3.0));
    }

    /// Logits of hundreds: probabilities below the smallest number must count as nothing.
    #[test]
    fn extreme_logits_agree_with_plain() {
        check(9, 16, 300, 200.0, None);
    }

    #[test]
    fn what_is_no_number_is_not_hidden() {
        let mut rows = PackedRows::new(Precision::F32);
        rows.resize(1, 1);
        rows.set(0, &[1.0]);
        for bad in [f32::NAN, f32::INFINITY] {
            let weight = PackedMatrix::new(vec![0.0, bad, 1.0], [3, 1], Precision::F32);
            let head = VocabularyHead { weight: &weight, soft_cap: None };
            for moments in [false, true] {
                assert!(head.score(&rows, &[0], moments)[0].log_prob.is_nan(), "{bad}");
            }
        }
    }
}
