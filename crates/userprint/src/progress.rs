//! Progress bars of long work, and the throughput that they see.

use std::ops::ControlFlow;
use std::time::Instant;

use indicatif::ProgressStyle;
use tracing::Span;
use tracing_indicatif::span_ext::IndicatifSpanExt;
use userprint_train::{Hook, StepReport, TrainSettings};

/// A bar over a known amount of work, shown while it lives.
#[derive(Debug)]
pub(crate) struct Bar {
    span: Span,
    start: Instant,
}

impl Bar {
    /// A bar with a name and a length.
    pub(crate) fn new(name: &'static str, length: u64) -> Self {
        Self::with_template(name, length, "{msg:11} {wide_bar} {pos}/{len} {elapsed_precise} (eta {eta})")
    }

    /// A bar whose length may not be known.
    pub(crate) fn counter(name: &'static str, length: Option<u64>) -> Self {
        match length {
            Some(length) => Self::new(name, length),
            None => Self::with_template(name, 0, "{msg:11} {pos} {elapsed_precise}"),
        }
    }

    /// A bar over bytes.
    pub(crate) fn of_bytes(name: &str, n_bytes: u64) -> Self {
        Self::with_template(name, n_bytes, "{msg} {wide_bar} {bytes}/{total_bytes} (eta {eta})")
    }

    fn with_template(name: &str, length: u64, template: &str) -> Self {
        let span = tracing::info_span!("work");
        span.pb_set_style(
            &ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        span.pb_set_length(length);
        span.pb_set_message(name);
        span.pb_start();
        Self { span, start: Instant::now() }
    }

    /// Work done so far.
    pub(crate) fn set(&self, position: u64) {
        self.span.pb_set_position(position);
    }

    /// More work done, by any thread.
    pub(crate) fn advance(&self, n: usize) {
        self.span.pb_inc(n as u64);
    }

    /// What stands before the bar.
    pub(crate) fn say(&self, message: &str) {
        self.span.pb_set_message(message);
    }

    /// Seconds since the bar was made.
    pub(crate) fn wall_s(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

/// Shows training: loss and tokens per second at each step, a line at each evaluation.
#[derive(Debug)]
pub(crate) struct TrainingBar {
    stage: &'static str,
    bar: Option<Bar>,
    /// None once a step does not tell.
    n_tokens: Option<u64>,
    /// Steps without an evaluation, and their seconds.
    n_timed: u64,
    step_s: f64,
    /// Seconds of the evaluation before the first step.
    evaluation_s: f64,
    done: u64,
    total_steps: u64,
    is_short: bool,
    last: Instant,
}

/// Steps that tell how long one takes, after the first; fewer where they take long.
const TIMED: u64 = 4;

/// Seconds after which one must be enough.
const LONG_S: f64 = 60.0;

impl TrainingBar {
    /// A bar for a stage.
    pub(crate) fn new(stage: &'static str, is_short: bool) -> Self {
        Self {
            stage,
            bar: None,
            n_tokens: Some(0),
            n_timed: 0,
            step_s: 0.0,
            evaluation_s: 0.0,
            done: 0,
            total_steps: 0,
            is_short,
            last: Instant::now(),
        }
    }

    /// Seconds of the steps that were planned and not made, and of the evaluations among them.
    pub(crate) fn left_out_s(&self, settings: &TrainSettings) -> f64 {
        let left = self.total_steps - self.done;
        if left == 0 {
            return 0.0;
        }
        let n_evaluations = u64::from(settings.evaluations).max(settings.n_kept(self.total_steps)).min(left);
        left as f64 * self.step_s / self.n_timed.max(1) as f64 + n_evaluations as f64 * self.evaluation_s
    }

    /// Steps that were planned.
    pub(crate) fn total_steps(&self) -> u64 {
        self.total_steps
    }

    fn has_enough(&self) -> bool {
        let start_s = self.bar.as_ref().map_or(0.0, Bar::wall_s);
        // Where each step is evaluated, none is timed.
        let is_enough =
            self.n_timed >= TIMED || (self.n_timed > 0 && start_s > LONG_S) || self.done > 4 * TIMED;
        self.is_short && is_enough
    }

    /// Tokens per second of the steps alone, evaluations left out; none before the first step, and of secret samples.
    pub(crate) fn tokens_per_s(&self) -> Option<f64> {
        self.n_tokens.filter(|_| self.step_s > 0.0).map(|n_tokens| n_tokens as f64 / self.step_s)
    }
}

impl Hook for TrainingBar {
    fn on_step(&mut self, step: &StepReport) -> ControlFlow<()> {
        let step_s = self.last.elapsed().as_secs_f64();
        if step.step == 0 {
            self.evaluation_s = step_s;
        } else if step.evaluation.is_none() && !(self.is_short && step.step == 1) {
            // The first step of a device is slow.
            self.n_tokens = self.n_tokens.zip(step.n_tokens).map(|(sum, n)| sum + n);
            self.n_timed += 1;
            self.step_s += step_s;
        }
        (self.done, self.total_steps) = (step.step, step.total_steps);
        let speed = self.tokens_per_s().map_or(String::new(), |speed| format!(" {speed:.0} tok/s"));
        let bar = self.bar.get_or_insert_with(|| Bar::new(self.stage, step.total_steps));
        bar.set(step.step);
        if let Some(loss) = step.loss_nats {
            bar.say(&format!("{} loss {loss:.3}{speed}", self.stage));
        }
        if let Some(point) = step.evaluation {
            let train = point.train_loss.map_or(String::new(), |loss| format!("train {loss:.3}, "));
            let held_out = point.held_out.map_or(String::new(), |loss| format!(", held-out {loss:.3}"));
            tracing::info!(
                "{} step {}/{}: {train}validation held-in {:.3}{held_out} nats/token",
                self.stage,
                step.step,
                step.total_steps,
                point.held_in
            );
        }
        self.last = Instant::now();
        if self.has_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
