//! The running sums of a row over the vocabulary, for the rows that a unit owns.

use cubecl::prelude::*;

/// Rows of a unit.
pub(super) const ROWS: usize = 4;

/// A number for each row of a unit.
pub(super) type Rows = Vector<f32, Const<4>>;

/// The maximum over no logits: below all logits, and finite, so that differences with it are numbers.
const NOTHING: f32 = -1e30;

/// `e^x` adds nothing from here down, and `x` times it stays a number.
const FAR: f32 = -87.0;

/// Sums over some columns, relative to the largest logit among them.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Sums {
    max: Rows,
    /// `Σ e^x` with `x = logit − max`.
    ones: Rows,
    /// The target's logit, or 0 where the target is in another column.
    target: Rows,
    /// `Σ x e^x`.
    firsts: Rows,
    /// `Σ x² e^x`.
    seconds: Rows,
    /// The lowest column with the largest logit. Columns below 2²⁴ are exact.
    argmax: Rows,
}

/// What [`Sums::scores`] says of each row.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Scores {
    pub(super) log_prob: Rows,
    pub(super) mean: Rows,
    pub(super) std_dev: Rows,
    pub(super) argmax: Rows,
}

/// Numbers that [`Sums::store`] writes for each row.
pub(super) fn fields(moments: bool) -> usize {
    if moments { 6 } else { 3 }
}

#[cube]
impl Sums {
    pub(super) fn empty() -> Sums {
        Sums {
            max: Rows::new(NOTHING),
            ones: Rows::new(0.0),
            target: Rows::new(0.0),
            firsts: Rows::new(0.0),
            seconds: Rows::new(0.0),
            argmax: Rows::new(0.0),
        }
    }

    /// Adds the logits of some columns from `first` on; those from `v` on are not there.
    ///
    /// The online softmax of Milakov & Gimelshein, arXiv:1805.02867v2, Sec. 3, for a tile at a time.
    pub(super) fn add(
        &mut self,
        logits: &Array<Rows>,
        targets: Vector<u32, Const<4>>,
        first: usize,
        v: usize,
        #[comptime] n_columns: usize,
        #[comptime] moments: bool,
    ) {
        let mut max = self.max;
        #[unroll]
        for i in 0..n_columns {
            let column = first + i;
            if column < v {
                let logit = logits[i];
                let above = logit.greater_than(max);
                max = select_many(above, logit, max);
                let is_target = targets.equal(Vector::new(column as u32));
                self.target += select_many(is_target, logit, Rows::new(0.0));
                if moments {
                    self.argmax = select_many(above, Rows::new(f32::cast_from(column)), self.argmax);
                }
            }
        }
        self.lower_to(max, moments);
        #[unroll]
        for i in 0..n_columns {
            if first + i < v {
                let x = not_far(logits[i] - max);
                let weight = x.exp();
                self.ones += weight;
                if moments {
                    self.firsts += x * weight;
                    self.seconds += x * x * weight;
                }
            }
        }
    }

    /// The sums over the columns of both.
    pub(super) fn merge(&mut self, other: Sums, #[comptime] moments: bool) {
        let mut other = other;
        let above = other.max.greater_than(self.max);
        let max = select_many(above, other.max, self.max);
        if moments {
            let ties = other.max.equal(self.max).and(other.argmax.less_than(self.argmax));
            self.argmax = select_many(above.or(ties), other.argmax, self.argmax);
        }
        self.lower_to(max, moments);
        other.lower_to(max, moments);
        self.ones += other.ones;
        self.target += other.target;
        if moments {
            self.firsts += other.firsts;
            self.seconds += other.seconds;
        }
    }

    /// Makes the sums relative to a maximum that is not below theirs.
    fn lower_to(&mut self, max: Rows, #[comptime] moments: bool) {
        let fall = not_far(self.max - max);
        let kept = fall.exp();
        if moments {
            let twice = self.firsts + self.firsts;
            self.seconds = kept * (self.seconds + fall * (twice + fall * self.ones));
            self.firsts = kept * (self.firsts + fall * self.ones);
        }
        self.ones *= kept;
        self.max = max;
    }

    pub(super) fn scores(&self) -> Scores {
        let log_sum = self.ones.ln();
        let first = self.firsts / self.ones;
        let variance = self.seconds / self.ones - first * first;
        let none = Rows::new(0.0);
        let variance = select_many(variance.less_than(none), none, variance);
        Scores {
            log_prob: self.target - self.max - log_sum,
            mean: first - log_sum,
            std_dev: variance.sqrt(),
            argmax: self.argmax,
        }
    }

    /// Writes the sums to the place with a number, counted in sums.
    pub(super) fn store(&self, memory: &mut SliceMut<f32>, place: usize, #[comptime] moments: bool) {
        let first = place * comptime!(fields(moments) * ROWS);
        #[unroll]
        for row in 0..ROWS {
            memory[first + row] = self.max[row];
            memory[first + ROWS + row] = self.ones[row];
            memory[first + 2 * ROWS + row] = self.target[row];
            if moments {
                memory[first + 3 * ROWS + row] = self.firsts[row];
                memory[first + 4 * ROWS + row] = self.seconds[row];
                memory[first + 5 * ROWS + row] = self.argmax[row];
            }
        }
    }

    /// Reads what [`Sums::store`] wrote.
    pub(super) fn load(memory: &Slice<f32>, place: usize, #[comptime] moments: bool) -> Sums {
        let first = place * comptime!(fields(moments) * ROWS);
        let mut sums = Sums::empty();
        #[unroll]
        for row in 0..ROWS {
            sums.max[row] = memory[first + row];
            sums.ones[row] = memory[first + ROWS + row];
            sums.target[row] = memory[first + 2 * ROWS + row];
            if moments {
                sums.firsts[row] = memory[first + 3 * ROWS + row];
                sums.seconds[row] = memory[first + 4 * ROWS + row];
                sums.argmax[row] = memory[first + 5 * ROWS + row];
            }
        }
        sums
    }
}

/// At least [`FAR`]; what is no number stays none.
#[cube]
fn not_far(x: Rows) -> Rows {
    select_many(x.less_than(Rows::new(FAR)), Rows::new(FAR), x)
}
