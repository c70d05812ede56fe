//! Progress bars of long work, and the throughput that they see.

use std::ops::ControlFlow;
use std::time::Instant;

use indicatif::ProgressStyle;
use tracing::Span;
use tracing_indicatif::span_ext::IndicatifSpanExt;
use userprint_train::{Hook, StepReport};

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
    step_s: f64,
    last: Instant,
}

impl TrainingBar {
    /// A bar for a stage.
    pub(crate) fn new(stage: &'static str) -> Self {
        Self { stage, bar: None, n_tokens: Some(0), step_s: 0.0, last: Instant::now() }
    }

    /// Tokens per second of the steps alone, evaluations left out; none before the first step, and of secret samples.
    pub(crate) fn tokens_per_s(&self) -> Option<f64> {
        self.n_tokens.filter(|_| self.step_s > 0.0).map(|n_tokens| n_tokens as f64 / self.step_s)
    }
}

impl Hook for TrainingBar {
    fn on_step(&mut self, step: &StepReport) -> ControlFlow<()> {
        if step.loss_nats.is_some() && step.evaluation.is_none() {
            self.n_tokens = self.n_tokens.zip(step.n_tokens).map(|(sum, n)| sum + n);
            self.step_s += self.last.elapsed().as_secs_f64();
        }
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
        ControlFlow::Continue(())
    }
}
