//! Logistic regression with a ridge penalty, by Newton's method.

use crate::AttackError;
use crate::examples::check_length;

/// Most Newton steps; a fit that converges takes about ten.
const MAX_STEPS: usize = 200;

/// A promised fall of the loss, in shares of it, below which one more step squares an error that is small already.
///
/// Well above what `f64` can tell of a loss, so that steps are judged by the loss until then.
const LAST_FALL: f64 = 1e-11;

/// A weighing of features that tells held-in from held-out.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticRegression {
    /// One weight a feature.
    pub weights: Vec<f64>,
    /// What is added to the weighted sum.
    pub intercept: f64,
}

impl LogisticRegression {
    /// Minimises `sum_i log(1 + exp(-s_i (w x_i + b))) + (penalty / 2) |w|²`, with `s_i = 1` for held-in, `-1` for
    /// held-out.
    ///
    /// The intercept `b` is not penalised; `penalty` is `1 / C` of scikit-learn.
    /// `features` has a column for each feature, as long as `held_in`.
    /// Newton's method with halved steps where a whole one would not lower the sum: `O(n d²)` a step.
    ///
    /// # Errors
    /// [`AttackError::Penalty`] unless it is finite and above 0; [`AttackError::NoFeatures`];
    /// [`AttackError::UnequalColumns`]; [`AttackError::BadFeature`] with the position; [`AttackError::OneSide`];
    /// [`AttackError::NotConverged`] where features are too large for `f64`.
    ///
    /// # Reference
    /// Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, 2nd ed., Sec. 4.4.1.
    /// Agrees with scikit-learn's `LogisticRegression`.
    /// ```
    /// use userprint_attack::logistic::LogisticRegression;
    /// let fit = LogisticRegression::fit(&[vec![1.0, 2.0, -1.0, -2.0]], &[true, true, false, false], 1.0)?;
    /// assert!((fit.weights[0] - 1.0066).abs() < 1e-4 && fit.intercept.abs() < 1e-12);
    /// # Ok::<(), userprint_attack::AttackError>(())
    /// ```
    pub fn fit(features: &[Vec<f64>], held_in: &[bool], penalty: f64) -> Result<Self, AttackError> {
        check(features, held_in, penalty)?;
        let problem = Problem { features, held_in, penalty };
        let mut at = Self { weights: vec![0.0; features.len()], intercept: 0.0 };
        let mut loss = problem.loss(&at);
        for _ in 0..MAX_STEPS {
            let (gradient, hessian) = problem.slopes(&at);
            let Some(step) = solve(hessian, &gradient) else { break };
            if dot(&gradient, &step) <= LAST_FALL * (1.0 + loss) {
                return Ok(at.less(&step, 1.0));
            }
            let lower = (0..60).map(|halvings| at.less(&step, 0.5f64.powi(halvings))).find_map(|next| {
                let next_loss = problem.loss(&next);
                (next_loss < loss).then_some((next, next_loss))
            });
            match lower {
                Some(lower) => (at, loss) = lower,
                None => break,
            }
        }
        Err(AttackError::NotConverged { loss })
    }

    /// The weighted sum of a row's features, without the intercept.
    ///
    /// ```
    /// use userprint_attack::logistic::LogisticRegression;
    /// let fit = LogisticRegression { weights: vec![2.0, 1.0], intercept: 5.0 };
    /// assert_eq!(fit.weighted_sum(&[1.0, 3.0]), 5.0);
    /// ```
    pub fn weighted_sum(&self, row: &[f64]) -> f64 {
        self.weights.iter().zip(row).map(|(weight, value)| weight * value).sum()
    }

    fn less(&self, step: &[f64], share: f64) -> Self {
        let (of_intercept, of_weights) = step.split_last().unwrap_or((&0.0, &[]));
        Self {
            weights: self
                .weights
                .iter()
                .zip(of_weights)
                .map(|(weight, step)| weight - share * step)
                .collect(),
            intercept: self.intercept - share * of_intercept,
        }
    }
}

fn check(features: &[Vec<f64>], held_in: &[bool], penalty: f64) -> Result<(), AttackError> {
    if !(penalty > 0.0 && penalty.is_finite()) {
        return Err(AttackError::Penalty { found: penalty });
    }
    if features.is_empty() {
        return Err(AttackError::NoFeatures);
    }
    for (feature, column) in features.iter().enumerate() {
        check_length("features", column.len(), held_in.len())?;
        if let Some(row) = column.iter().position(|value| !value.is_finite()) {
            return Err(AttackError::BadFeature { feature, row, value: column[row] });
        }
    }
    if held_in.iter().all(|&side| side) || !held_in.contains(&true) {
        return Err(AttackError::OneSide);
    }
    Ok(())
}

struct Problem<'a> {
    features: &'a [Vec<f64>],
    held_in: &'a [bool],
    penalty: f64,
}

impl Problem<'_> {
    fn logits(&self, at: &LogisticRegression) -> Vec<f64> {
        let mut logits = vec![at.intercept; self.held_in.len()];
        for (column, weight) in self.features.iter().zip(&at.weights) {
            logits.iter_mut().zip(column).for_each(|(logit, value)| *logit += weight * value);
        }
        logits
    }

    fn loss(&self, at: &LogisticRegression) -> f64 {
        let losses = self.logits(at).into_iter().zip(self.held_in).map(|(logit, &held_in)| {
            let wrong = if held_in { -logit } else { logit };
            wrong.max(0.0) + (-wrong.abs()).exp().ln_1p()
        });
        let squares: f64 = at.weights.iter().map(|weight| weight * weight).sum();
        losses.sum::<f64>() + self.penalty / 2.0 * squares
    }

    /// Gradient and Hessian, the intercept last.
    fn slopes(&self, at: &LogisticRegression) -> (Vec<f64>, Vec<Vec<f64>>) {
        let probability: Vec<f64> =
            self.logits(at).into_iter().map(|logit| (1.0 + (-logit).exp()).recip()).collect();
        let residual: Vec<f64> =
            probability.iter().zip(self.held_in).map(|(p, &held_in)| p - f64::from(held_in)).collect();
        let curvature: Vec<f64> = probability.iter().map(|p| p * (1.0 - p)).collect();
        let n = self.features.len();
        let mut gradient = vec![0.0; n + 1];
        let mut hessian = vec![vec![0.0; n + 1]; n + 1];
        for (i, column) in self.features.iter().enumerate() {
            let curved: Vec<f64> =
                column.iter().zip(&curvature).map(|(value, curvature)| value * curvature).collect();
            gradient[i] = dot(column, &residual) + self.penalty * at.weights[i];
            for (j, other) in self.features[..=i].iter().enumerate() {
                hessian[i][j] = dot(&curved, other);
            }
            hessian[i][i] += self.penalty;
            hessian[n][i] = curved.iter().sum();
        }
        gradient[n] = residual.iter().sum();
        hessian[n][n] = curvature.iter().sum();
        (gradient, hessian)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves `A x = b` for a positive definite matrix, of which the lower half is read; `None` if it is not.
fn solve(mut a: Vec<Vec<f64>>, b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    for i in 0..n {
        for j in 0..=i {
            let rest = a[i][j] - dot(&a[i][..j], &a[j][..j]);
            if i == j {
                a[i][i] = (rest > 0.0 && rest.is_finite()).then(|| rest.sqrt())?;
            } else {
                a[i][j] = rest / a[j][j];
            }
        }
    }
    let mut x = b.to_vec();
    for i in 0..n {
        x[i] = (x[i] - dot(&a[i][..i], &x[..i])) / a[i][i];
    }
    for i in (0..n).rev() {
        let below: f64 = (i + 1..n).map(|j| a[j][i] * x[j]).sum();
        x[i] = (x[i] - below) / a[i][i];
    }
    Some(x)
}

#[cfg(test)]
mod tests;
