//! Levels: the distinct values of a sample, counted by side.

/// The distinct values among some rows, ascending, and which of them each row has.
#[derive(Debug)]
pub(crate) struct Levels {
    pub(crate) value: Vec<f64>,
    pub(crate) of_row: Vec<usize>,
}

impl Levels {
    /// Sorts finite values; `-0.0` and `0.0` are one level.
    pub(crate) fn new(rows: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_unstable_by(|&a, &b| rows[a].total_cmp(&rows[b]));
        let mut value: Vec<f64> = Vec::new();
        let mut of_row = vec![0; rows.len()];
        for row in order {
            if value.last() != Some(&rows[row]) {
                value.push(rows[row]);
            }
            of_row[row] = value.len() - 1;
        }
        Self { value, of_row }
    }

    /// No rows counted yet.
    pub(crate) fn no_counts(&self) -> Vec<Count> {
        vec![Count::default(); self.value.len()]
    }
}

/// How many rows of each side have a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) held_in: u64,
    pub(crate) held_out: u64,
}

impl Count {
    pub(crate) fn add(self, other: Self) -> Self {
        Self { held_in: self.held_in + other.held_in, held_out: self.held_out + other.held_out }
    }

    pub(crate) fn less(self, other: Self) -> Self {
        Self { held_in: self.held_in - other.held_in, held_out: self.held_out - other.held_out }
    }
}

/// Pairs of a held-in and a held-out row, and twice the number that the held-in row wins, ties half.
///
/// Integers, so that sums over strata and the AUROC of a sample that is all ties are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs {
    pub(crate) twice_won: u64,
    pub(crate) all: u64,
}

impl Pairs {
    /// Counts over levels in ascending order.
    pub(crate) fn count(levels: impl IntoIterator<Item = Count>) -> Self {
        let mut pairs = Self::default();
        let (mut held_in, mut held_out) = (0, 0);
        for level in levels {
            pairs.twice_won += level.held_in * (2 * held_out + level.held_out);
            held_in += level.held_in;
            held_out += level.held_out;
        }
        pairs.all = held_in * held_out;
        pairs
    }

    pub(crate) fn add(self, other: Self) -> Self {
        Self { twice_won: self.twice_won + other.twice_won, all: self.all + other.all }
    }

    /// The share of pairs that is won; there must be one.
    pub(crate) fn share_won(self) -> f64 {
        self.twice_won as f64 / 2.0 / self.all as f64
    }

    /// The share of pairs that is won, if there is a pair.
    pub(crate) fn auroc(self) -> Option<f64> {
        (self.all > 0).then(|| self.share_won())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_of_both_signs_are_one_level() {
        let levels = Levels::new(&[0.0, -0.0, -1.0, 0.0]);
        assert_eq!(levels.value, [-1.0, 0.0]);
        assert_eq!(levels.of_row, [1, 1, 0, 1]);
    }

    #[test]
    fn no_pairs_have_no_auroc() {
        assert_eq!(Pairs::count([Count { held_in: 3, held_out: 0 }]).auroc(), None);
        assert_eq!(Pairs::count([]).auroc(), None);
    }
}
