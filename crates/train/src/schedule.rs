//! The learning rate along training.

/// Linear warm-up to `peak` at step `warmup`, then linear decay that ends at `peak / (total − warmup)`.
///
/// Steps count from 1. A warm-up of `total` steps or more is one of `total`.
///
/// ```
/// use userprint_train::learning_rate;
/// let rates: Vec<f64> = (1..=6).map(|step| learning_rate(8.0, step, 2, 6)).collect();
/// assert_eq!(rates, [4.0, 8.0, 8.0, 6.0, 4.0, 2.0]);
/// ```
pub fn learning_rate(peak: f64, step: u64, warmup: u64, total: u64) -> f64 {
    let warmup = warmup.min(total);
    if step <= warmup {
        peak * step as f64 / warmup as f64
    } else {
        peak * (total + 1).saturating_sub(step) as f64 / (total - warmup) as f64
    }
}
