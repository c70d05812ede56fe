//! Trainings that die.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use userprint_train::StepReport;

use crate::tiny::Tiny;

/// Trains up to this step and dies there, as a killed process does: after the step's own evaluation.
#[track_caller]
pub(crate) fn killed_at(tiny: &Tiny, folder: &Path, step: u64) {
    let mut hook = |report: &StepReport| {
        if report.step == step {
            resume_unwind(Box::new("killed"));
        }
        ControlFlow::Continue(())
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| tiny.train_with(folder, &mut hook)));
    assert!(outcome.is_err(), "training did not reach step {step}");
}
