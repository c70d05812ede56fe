//! The Cholesky factor of a positive definite matrix.

use super::dot;

/// The lower triangle `L` of `A = L Lᵀ`.
#[derive(Debug)]
pub(super) struct Cholesky {
    /// Row `i` has `i + 1` entries.
    lower: Vec<Vec<f64>>,
    /// Row `i` is column `i` of the lower triangle from the diagonal on.
    upper: Vec<Vec<f64>>,
}

impl Cholesky {
    /// Factors a symmetric positive definite matrix; only its lower triangle is read.
    pub(super) fn new(mut matrix: Vec<Vec<f64>>) -> Self {
        for i in 0..matrix.len() {
            let (done, rest) = matrix.split_at_mut(i);
            let row = &mut rest[0];
            row.truncate(i + 1);
            for (j, other) in done.iter().enumerate() {
                row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            row[i] = (row[i] - dot(&row[..i], &row[..i])).sqrt();
        }
        let upper = (0..matrix.len()).map(|i| matrix[i..].iter().map(|row| row[i]).collect()).collect();
        Self { lower: matrix, upper }
    }

    /// The `x` of `A x = right`.
    pub(super) fn solve(&self, mut right: Vec<f64>) -> Vec<f64> {
        for (i, row) in self.lower.iter().enumerate() {
            right[i] = (right[i] - dot(&row[..i], &right[..i])) / row[i];
        }
        for (i, row) in self.upper.iter().enumerate().rev() {
            right[i] = (right[i] - dot(&row[1..], &right[i + 1..])) / row[0];
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_what_it_factored() {
        let matrix = vec![vec![4.0, 1.0, 0.5], vec![1.0, 3.0, -1.0], vec![0.5, -1.0, 2.0]];
        let x = [1.0, -2.0, 3.0];
        let right = matrix.iter().map(|row| dot(row, &x)).collect();
        let solved = Cholesky::new(matrix).solve(right);
        assert!(solved.iter().zip(x).all(|(found, expected)| (found - expected).abs() < 1e-12), "{solved:?}");
    }

    #[test]
    fn nothing_to_solve() {
        assert!(Cholesky::new(vec![]).solve(vec![]).is_empty());
    }
}
