//! The stages: each reads what the ones before left, and leaves files.

pub(crate) mod attack;
pub(crate) mod norms;
pub(crate) mod prepare;
pub(crate) mod pretrain;
pub(crate) mod report;
pub(crate) mod score;
pub(crate) mod train;

/// What a stage left.
#[derive(Clone, Debug)]
pub(crate) struct StageOutput {
    /// Its files, within the run folder.
    pub(crate) files: Vec<String>,
    /// One line for the log and the report.
    pub(crate) note: String,
    /// Seconds that a shortened run left out, as far as can be told from what it did.
    pub(crate) left_out_s: f64,
}

impl StageOutput {
    pub(crate) fn new(files: &[&str], note: String) -> Self {
        Self::of(files.iter().map(|name| (*name).to_owned()).collect(), note)
    }

    pub(crate) fn of(files: Vec<String>, note: String) -> Self {
        Self { files, note, left_out_s: 0.0 }
    }
}
