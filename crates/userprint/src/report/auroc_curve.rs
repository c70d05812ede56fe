//! AUROC along fine-tuning, on the axis of the losses.

use plotters::prelude::*;

use super::ReportError;
use super::canvas::{self, Axis, CURVE, GUIDE, HELD_IN, Swatch};
use super::losses;
use crate::results::{AurocPoint, CurvePoint};

/// Draws the AUROC of each kept checkpoint in the band of their intervals, or nothing where none was kept.
pub(super) fn plot(
    points: &[AurocPoint],
    training: &[CurvePoint],
    target_step: u64,
) -> Result<Option<String>, ReportError> {
    if points.is_empty() {
        return Ok(None);
    }
    let x = losses::epochs(training);
    let values = || points.iter().flat_map(|point| point.auroc_interval).chain([0.5]);
    let (least, most) = (values().fold(1.0, f64::min), values().fold(0.0, f64::max));
    let span = (most - least).max(0.05);
    let y = Axis::linear(least - span * 0.05..most + span * losses::ROOM_ABOVE, 6, "AUROC");
    let svg = canvas::svg("AUROC curve", "AUROC of the kept checkpoints by epoch", |area| {
        let entries = [
            (Swatch::Line, HELD_IN, "kept checkpoints"),
            (Swatch::Filled, HELD_IN, "95 % interval"),
            (Swatch::Dashed, GUIDE, "guessing"),
        ];
        canvas::legend(area, &entries)?;
        let mut chart = canvas::chart(area, &x, &y)?;
        canvas::dashed(&mut chart, [(x.range.start, 0.5), (x.range.end, 0.5)], GUIDE)?;
        losses::draw_target(&mut chart, training, target_step, &x, &y)?;
        let end = |at: usize| points.iter().map(move |point| (point.epoch, point.auroc_interval[at]));
        let band: Vec<_> = end(0).chain(end(1).rev()).collect();
        chart.draw_series([Polygon::new(band, HELD_IN.mix(0.2).filled())])?;
        if let [point] = points {
            let bar = point.auroc_interval.map(|end| (point.epoch, end)).to_vec();
            canvas::curve(&mut chart, bar, HELD_IN.stroke_width(2))?;
        }
        let aurocs = points.iter().map(|point| (point.epoch, point.auroc));
        chart.draw_series(aurocs.clone().map(|point| Circle::new(point, 6, HELD_IN.filled())))?;
        canvas::curve(&mut chart, aurocs.collect(), HELD_IN.stroke_width(CURVE))
    })?;
    Ok(Some(svg))
}
