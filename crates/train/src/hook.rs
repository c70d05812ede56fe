//! What training tells about itself while it runs.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

/// Losses at one step, nats per token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Optimiser steps done.
    pub step: u64,
    /// Passes over the training data.
    pub epoch: f64,
    /// Mean training loss since the last point; none before the first step.
    pub train_loss: Option<f64>,
    /// Validation loss of the users trained on.
    pub held_in: f64,
    /// Validation loss of the users never trained on; none where there are none.
    pub held_out: Option<f64>,
}

/// One step, in plain numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// This step, from 1; 0 for the evaluation before the first.
    pub step: u64,
    /// Number of steps planned.
    pub total_steps: u64,
    /// Mean loss of the batch, nats per token; none at step 0.
    pub loss_nats: Option<f64>,
    /// Tokens predicted in the batch; none at step 0, and where it is a secret sample, whose size must not be told.
    pub n_tokens: Option<u64>,
    /// The validation losses, at steps that have them.
    pub evaluation: Option<CurvePoint>,
}

/// Watches training and may end it.
pub trait Hook {
    /// Called after each step; `Break` ends training as a stop rule does.
    fn on_step(&mut self, step: &StepReport) -> ControlFlow<()>;
}

impl<F: FnMut(&StepReport) -> ControlFlow<()>> Hook for F {
    fn on_step(&mut self, step: &StepReport) -> ControlFlow<()> {
        self(step)
    }
}
