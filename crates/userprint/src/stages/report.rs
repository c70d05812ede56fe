//! Report: one page for a reader.

use userprint_score::store;

use super::{StageOutput, attack};
use crate::pipeline::Pipeline;
use crate::report::{ReportInput, Timing, render};
use crate::results::Results;

/// File of the report in the run folder.
const REPORT: &str = "report.html";

pub(crate) fn run(pipeline: &Pipeline) -> anyhow::Result<StageOutput> {
    // An attack that another run made has that run's name.
    let name = pipeline.experiment.raw.name.clone();
    let results = Results { name, ..Results::read(pipeline.folder.path())? };
    let statistics = store::read_statistics(&pipeline.folder.file(attack::STATISTICS))?;
    let side = |wanted: bool| -> Vec<f64> {
        let rows = statistics.held_in.iter().zip(&statistics.statistic);
        rows.filter(|(held_in, _)| **held_in == wanted).map(|(_, statistic)| *statistic).collect()
    };
    let manifest = &pipeline.folder.manifest;
    let stages = ["prepare", "pretrain", "score-reference", "train", "score", "attack"];
    let timings = stages.iter().filter_map(|name| {
        let record = manifest.stages.get(*name)?;
        Some(Timing { stage: (*name).to_owned(), wall_s: record.wall_s, note: record.note.clone() })
    });
    let mut environment = vec![
        ("userprint".to_owned(), manifest.version.clone()),
        ("machine".to_owned(), manifest.machine.clone()),
        ("backend".to_owned(), manifest.backend.clone()),
        ("seed".to_owned(), results.seed.to_string()),
    ];
    environment.extend(
        manifest
            .stages
            .iter()
            .filter(|(name, _)| stages.contains(&name.as_str()))
            .map(|(name, record)| (format!("hash of {name}"), record.hash.clone())),
    );
    let page = render(&ReportInput {
        results: &results,
        held_in: &side(true),
        held_out: &side(false),
        timings: &timings.collect::<Vec<_>>(),
        environment: &environment,
        experiment_toml: &toml::to_string(&pipeline.experiment.raw)?,
    })?;
    pipeline.folder.write(REPORT, page.as_bytes())?;
    Ok(StageOutput::new(&[REPORT], String::new()))
}
