//! The learning rate along training.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// In a line towards 0.
    #[default]
    Linear,
    /// Along half a cosine towards 0.
    Cosine,
    /// It stays at its peak.
    Constant,
}

/// The rate of a step: linear warm-up to `peak` at step `warmup`, then the schedule.
///
/// Steps count from 1. With `p = (step − 1 − warmup) / (total − warmup)`, which is 0 at the first step after the warm-up and
/// below 1 at the last one, the rate is `peak` times
///
/// - `step / warmup` in the warm-up,
/// - then `1 − p` if linear, `(1 + cos(π p)) / 2` if cosine, 1 if constant.
///
/// So every schedule has its full peak at the first step after the warm-up, and none comes to 0.
/// A warm-up of `total` steps or more is one of `total`.
///
/// After the warm-up these are the rates of transformers' `get_linear_schedule_with_warmup`, of
/// `get_cosine_schedule_with_warmup` with half a cycle, and of `get_constant_schedule_with_warmup`.
/// In the warm-up those have `(step − 1) / warmup`: their first step changes nothing.
///
/// # Reference
/// The cosine without restarts: Loshchilov & Hutter, arXiv:1608.03983v5, equation 5.
///
/// ```
/// use userprint_train::{Schedule, learning_rate};
/// let rates = |schedule| -> Vec<f64> {
///     (1..=6).map(|step| (learning_rate(schedule, 8.0, step, 2, 6) * 100.0).round() / 100.0).collect()
/// };
/// assert_eq!(rates(Schedule::Linear), [4.0, 8.0, 8.0, 6.0, 4.0, 2.0]);
/// assert_eq!(rates(Schedule::Cosine), [4.0, 8.0, 8.0, 6.83, 4.0, 1.17]);
/// assert_eq!(rates(Schedule::Constant), [4.0, 8.0, 8.0, 8.0, 8.0, 8.0]);
/// ```
pub fn learning_rate(schedule: Schedule, peak: f64, step: u64, warmup: u64, total: u64) -> f64 {
    let warmup = warmup.min(total);
    if step <= warmup {
        return peak * step as f64 / warmup as f64;
    }
    let (left, all) = ((total + 1).saturating_sub(step) as f64, (total - warmup) as f64);
    match schedule {
        Schedule::Linear => peak * left / all,
        Schedule::Cosine => peak * 0.5 * (1.0 + (PI * (all - left) / all).cos()),
        Schedule::Constant => peak,
    }
}
