//! The attacker-knowledge curve: AUROC by number of attack examples.

use plotters::prelude::*;

use super::ReportError;
use super::canvas::{self, Axis, CURVE, GUIDE, HELD_IN, Swatch};
use crate::results::KnowledgePoint;

/// Draws the mean over draws with a bar of one standard deviation to each side, or nothing for fewer than two points.
pub(super) fn plot(points: &[KnowledgePoint]) -> Result<Option<String>, ReportError> {
    let [first, .., last] = points else { return Ok(None) };
    let position = |point: &KnowledgePoint| f64::from(point.n_examples).log2();
    let room = (position(last) - position(first)).max(1.0) * 0.04;
    let x = Axis {
        range: position(first) - room..position(last) + room,
        ticks: points.iter().map(|point| (position(point), point.n_examples.to_string())).collect(),
        label: "attack examples a user, log".to_string(),
    };
    let ends = |point: &KnowledgePoint| [-1.0, 1.0].map(|sign| point.auroc + sign * point.auroc_std_dev);
    let values = || points.iter().flat_map(ends).chain([0.5]);
    let (least, most) = (values().fold(1.0, f64::min), values().fold(0.0, f64::max));
    let room = ((most - least) * 0.08).max(0.01);
    let y = Axis::linear(least - room..most + room, 6, "AUROC");
    canvas::svg("knowledge", "AUROC by number of attack examples", |area| {
        let entries =
            [(Swatch::Line, HELD_IN, "mean over draws, ±1 deviation"), (Swatch::Dashed, GUIDE, "guessing")];
        canvas::legend(area, &entries)?;
        let mut chart = canvas::chart(area, &x, &y)?;
        canvas::dashed(&mut chart, [(x.range.start, 0.5), (x.range.end, 0.5)], GUIDE)?;
        for point in points {
            let bar = ends(point).map(|end| (position(point), end)).to_vec();
            canvas::curve(&mut chart, bar, HELD_IN.stroke_width(2))?;
        }
        let means = points.iter().map(|point| (position(point), point.auroc));
        chart.draw_series(means.clone().map(|point| Circle::new(point, 6, HELD_IN.filled())))?;
        canvas::curve(&mut chart, means.collect(), HELD_IN.stroke_width(CURVE))
    })
    .map(Some)
}
