//! Causal attention of one sequence, a panel of queries at a time.

use super::lanes::{PointFunction, exp_row_less_max};
use super::panels::{COLS, Panels};
use super::precision::{Precision, pair_of};
use super::product::{ROWS, Tile, add_product};
use super::rows::PackedRows;
use crate::attention::Mask;

/// Attention over the heads of one layer, with the memory that it works in.
///
/// Scores exist for one panel of queries at a time, so memory grows with the length of a sequence and not with its
/// square. The factors of both products are kept in the precision of the model, the softmax is in f32.
#[derive(Debug)]
pub struct Attention {
    /// Keys of a head in panels of [`COLS`] keys, a step for each number or pair of numbers.
    keys: Panels,
    /// Values of a head in panels of [`COLS`] numbers, a step for each key or pair of keys.
    values: Panels,
    queries: PackedRows,
    /// Scores of the queries of a panel, row by row.
    scores: Vec<f32>,
    weights: PackedRows,
}

/// The heads of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Heads of queries.
    pub n_heads: usize,
    /// Heads of keys and values; they divide those of queries.
    pub n_kv_heads: usize,
    /// Numbers of a head.
    pub width: usize,
    /// Factor of queries.
    pub scale: f32,
    /// Cap of scores.
    pub soft_cap: Option<f32>,
}

impl Attention {
    /// Attention whose products have factors of this precision.
    pub fn new(precision: Precision) -> Self {
        Self {
            keys: Panels::new(precision),
            values: Panels::new(precision),
            queries: PackedRows::new(precision),
            scores: Vec::new(),
            weights: PackedRows::new(precision),
        }
    }

    /// Writes `softmax(scale q kᵀ) v` over the keys that the mask lets each query see; heads stand side by side in a row.
    ///
    /// # Shapes
    /// `q` and `out` are `[t, n_heads · width]`, `k` and `v` `[t, n_kv_heads · width]`.
    ///
    /// # Reference
    /// Vaswani et al., arXiv:1706.03762v7, eq. 1; Ainslie et al., arXiv:2305.13245v3, Sec. 2.2.
    pub fn attend(&mut self, heads: &Heads, mask: Mask, [q, k, v]: [&[f32]; 3], out: &mut [f32]) {
        let (width, stride) = (heads.width, heads.n_kv_heads * heads.width);
        let t = k.len() / stride;
        for kv_head in 0..heads.n_kv_heads {
            self.set_keys(&k[kv_head * width..], stride, [t, width]);
            self.set_values(&v[kv_head * width..], stride, [t, width]);
            let group = heads.n_heads / heads.n_kv_heads;
            for head in kv_head * group..(kv_head + 1) * group {
                for first in (0..t).step_by(ROWS) {
                    self.attend_panel(heads, mask, head, first..(first + ROWS).min(t), q, out);
                }
            }
        }
    }

    fn set_keys(&mut self, k: &[f32], stride: usize, [t, width]: [usize; 2]) {
        let n_steps = Panels::n_steps(self.keys.precision(), width);
        let n_panels = t.div_ceil(COLS);
        self.keys.reserve(n_panels * n_steps);
        let rows_of = |panel: usize| (panel * COLS..t.min((panel + 1) * COLS)).enumerate();
        match &mut self.keys {
            Panels::F32(lines) => {
                for (panel, steps) in lines.steps_mut().chunks_exact_mut(n_steps).take(n_panels).enumerate() {
                    for (place, key) in rows_of(panel) {
                        let row = &k[key * stride..][..width];
                        steps.iter_mut().zip(row).for_each(|(step, x)| step[place] = *x);
                    }
                }
            }
            Panels::Bf16(lines) => {
                for (panel, steps) in lines.steps_mut().chunks_exact_mut(n_steps).take(n_panels).enumerate() {
                    steps[width / 2..].fill([0; COLS]);
                    for (place, key) in rows_of(panel) {
                        let row = &k[key * stride..][..width];
                        for (step, pair) in steps.iter_mut().zip(row.chunks(2)) {
                            step[place] = pair_of(pair[0], pair.get(1).copied().unwrap_or(0.0));
                        }
                    }
                }
            }
        }
    }

    fn set_values(&mut self, v: &[f32], stride: usize, [t, width]: [usize; 2]) {
        let n_steps = Panels::n_steps(self.values.precision(), t);
        let n_panels = width.div_ceil(COLS);
        self.values.reserve(n_panels * n_steps);
        let columns = |panel: usize| panel * COLS..width.min((panel + 1) * COLS);
        match &mut self.values {
            Panels::F32(lines) => {
                for (panel, steps) in lines.steps_mut().chunks_exact_mut(n_steps).take(n_panels).enumerate() {
                    for (key, step) in steps.iter_mut().enumerate() {
                        let row = &v[key * stride..][columns(panel)];
                        step[..row.len()].copy_from_slice(row);
                    }
                }
            }
            Panels::Bf16(lines) => {
                for (panel, steps) in lines.steps_mut().chunks_exact_mut(n_steps).take(n_panels).enumerate() {
                    steps[t / 2..].fill([0; COLS]);
                    for (pair, step) in steps.iter_mut().enumerate().take(t.div_ceil(2)) {
                        let row = &v[2 * pair * stride..][columns(panel)];
                        let next = v.get((2 * pair + 1) * stride..).filter(|_| 2 * pair + 1 < t);
                        let next = next.map(|rest| &rest[columns(panel)]);
                        for (at, (word, x)) in step.iter_mut().zip(row).enumerate() {
                            *word = pair_of(*x, next.map_or(0.0, |next| next[at]));
                        }
                    }
                }
            }
        }
    }

    fn attend_panel(
        &mut self,
        heads: &Heads,
        mask: Mask,
        head: usize,
        queries: std::ops::Range<usize>,
        q: &[f32],
        out: &mut [f32],
    ) {
        let (width, stride, n) = (heads.width, heads.n_heads * heads.width, queries.len());
        self.queries.resize(n, width);
        for (row, query) in queries.clone().enumerate() {
            self.queries.set(row, &q[query * stride + head * width..][..width]);
        }
        // The keys that any of the queries sees, from the first of a panel on.
        let first = mask.seen(queries.start).start / COLS * COLS;
        let n_keys = queries.end - first;
        self.set_scores(heads, first, n_keys);
        let inverse = self.set_weights(mask, queries.clone(), first, n_keys);
        let precision = self.values.precision();
        let n_steps = Panels::n_steps(precision, out.len() / stride);
        for panel in 0..width.div_ceil(COLS) {
            let start = panel * n_steps + first / precision.per_word();
            let steps = self.values.steps(start..start + Panels::n_steps(precision, n_keys));
            let mut tile = [[0.0; COLS]; ROWS];
            add_product(self.weights.panel(0), steps, &mut tile);
            let columns = panel * COLS..width.min((panel + 1) * COLS);
            for (row, query) in queries.clone().enumerate() {
                let out = &mut out[query * stride + head * width..][columns.clone()];
                out.iter_mut().zip(&tile[row]).for_each(|(out, sum)| *out = sum * inverse[row]);
            }
        }
    }

    fn set_scores(&mut self, heads: &Heads, first: usize, n_keys: usize) {
        let length = n_keys.next_multiple_of(COLS);
        self.scores.resize(ROWS * length, 0.0);
        let n_steps = Panels::n_steps(self.keys.precision(), heads.width);
        for panel in 0..length / COLS {
            let mut tile: Tile = [[0.0; COLS]; ROWS];
            let start = (first / COLS + panel) * n_steps;
            add_product(self.queries.panel(0), self.keys.steps(start..start + n_steps), &mut tile);
            tile.as_flattened_mut().iter_mut().for_each(|score| *score *= heads.scale);
            if let Some(cap) = heads.soft_cap {
                PointFunction::SoftCap(cap).apply(&mut tile);
            }
            for (scores, tile) in self.scores.chunks_exact_mut(length).zip(&tile) {
                scores[panel * COLS..][..COLS].copy_from_slice(tile);
            }
        }
    }

    /// Exponentials of the scores of the keys that a query sees, 0 for the others; one over their sum for each query.
    fn set_weights(
        &mut self,
        mask: Mask,
        queries: std::ops::Range<usize>,
        first: usize,
        n_keys: usize,
    ) -> [f32; ROWS] {
        let mut inverse = [0.0; ROWS];
        self.weights.resize(queries.len(), n_keys);
        let rows = self.scores.chunks_exact_mut(n_keys.next_multiple_of(COLS));
        for (row, (query, scores)) in queries.zip(rows).enumerate() {
            let seen = mask.seen(query);
            let seen = seen.start - first..seen.end - first;
            scores[..seen.start].fill(0.0);
            scores[seen.end..].fill(0.0);
            inverse[row] = 1.0 / exp_row_less_max(&mut scores[seen]).1;
            self.weights.set(row, &scores[..n_keys]);
        }
        inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, factor: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * factor + 3) % 61) as f32 / 20.0 - 1.5).collect()
    }

    #[track_caller]
    fn check(t: usize, heads: &Heads, mask: Mask, precision: Precision, tolerance: f64) {
        let (wide, narrow) = (heads.n_heads * heads.width, heads.n_kv_heads * heads.width);
        let (q, k, v) = (values(t * wide, 7), values(t * narrow, 11), values(t * narrow, 13));
        let mut out = vec![f32::NAN; t * wide];
        Attention::new(precision).attend(heads, mask, [&q, &k, &v], &mut out);
        for query in 0..t {
            for head in 0..heads.n_heads {
                let kv = head / (heads.n_heads / heads.n_kv_heads) * heads.width;
                let score = |key: usize| -> f64 {
                    let products = (0..heads.width).map(|c| {
                        f64::from(q[query * wide + head * heads.width + c])
                            * f64::from(k[key * narrow + kv + c])
                    });
                    let score = products.sum::<f64>() * f64::from(heads.scale);
                    heads.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                };
                let weights: Vec<f64> = mask.seen(query).map(|key| score(key).exp()).collect();
                let total: f64 = weights.iter().sum();
                for c in 0..heads.width {
                    let sum = mask.seen(query).zip(&weights);
                    let sum: f64 = sum.map(|(key, w)| w * f64::from(v[key * narrow + kv + c])).sum();
                    let found = f64::from(out[query * wide + head * heads.width + c]);
                    assert!((found - sum / total).abs() < tolerance, "{found} against {}", sum / total);
                }
            }
        }
    }

    /// In bf16 queries, keys, weights and values of at most 1.5 are off by 2^-9 of themselves, each.
    #[test]
    fn agrees_with_loops() {
        for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Bf16, 2e-2)] {
            for t in [1, 12, 45, 100] {
                for mask in [Mask::Causal, Mask::Local { window: 17 }, Mask::Local { window: 40 }] {
                    let heads = Heads { n_heads: 4, n_kv_heads: 2, width: 8, scale: 0.3, soft_cap: None };
                    check(t, &heads, mask, precision, tolerance);
                    let wide = Heads { width: 40, soft_cap: Some(2.0), ..heads };
                    check(t, &wide, mask, precision, tolerance);
                }
            }
        }
    }

    /// What a longer sequence left does not reach a shorter one.
    #[test]
    fn memory_is_taken_over_clean() {
        let heads = Heads { n_heads: 2, n_kv_heads: 2, width: 7, scale: 0.3, soft_cap: None };
        for precision in Precision::ALL {
            let mut used = Attention::new(precision);
            for t in [90, 33, 5] {
                let (q, k, v) = (values(t * 14, 7), values(t * 14, 11), values(t * 14, 13));
                let (mut found, mut fresh) = (vec![0.0; t * 14], vec![0.0; t * 14]);
                used.attend(&heads, Mask::Causal, [&q, &k, &v], &mut found);
                Attention::new(precision).attend(&heads, Mask::Causal, [&q, &k, &v], &mut fresh);
                assert_eq!(found, fresh, "{t} tokens in {precision:?}");
            }
        }
    }
}
