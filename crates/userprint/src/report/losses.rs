//! Losses along fine-tuning, with a mark at the checkpoint under attack.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ReportError;
use super::canvas::{self, Axis, CURVE, DrawError, GUIDE, HELD_IN, HELD_OUT, INK, Swatch};
use crate::results::CurvePoint;

/// Room above the curves, as a share of their range: for the name of the mark.
pub(super) const ROOM_ABOVE: f64 = 0.14;

/// Draws the losses, or nothing where none was recorded.
pub(super) fn plot(training: &[CurvePoint], target_step: u64) -> Result<Option<String>, ReportError> {
    if training.is_empty() {
        return Ok(None);
    }
    let x = epochs(training);
    let y = Axis::linear(loss_range(training), 7, "loss, nats per token");
    let svg = canvas::svg("losses", "Training and validation losses by epoch", |area| {
        let entries = [
            (Swatch::Line, HELD_IN, "held-in"),
            (Swatch::Line, HELD_OUT, "held-out"),
            (Swatch::Line, INK, "training"),
        ];
        canvas::legend(area, &entries)?;
        let mut chart = canvas::chart(area, &x, &y)?;
        draw_target(&mut chart, training, target_step, &x, &y)?;
        let train = training.iter().filter_map(|p| p.train_loss.map(|loss| (p.epoch, loss)));
        draw_losses(&mut chart, train.collect(), INK, 2)?;
        let held_out = training.iter().map(|p| (p.epoch, p.held_out));
        draw_losses(&mut chart, held_out.collect(), HELD_OUT, CURVE)?;
        draw_losses(&mut chart, training.iter().map(|p| (p.epoch, p.held_in)).collect(), HELD_IN, CURVE)
    })?;
    Ok(Some(svg))
}

/// The axis of everything along fine-tuning.
pub(super) fn epochs(training: &[CurvePoint]) -> Axis {
    let last = training.last().map(|point| point.epoch).filter(|last| *last > 0.0);
    Axis::linear(0.0..last.unwrap_or(1.0), 5, "epochs")
}

/// The range of all losses, with room above for the name of the mark.
fn loss_range(training: &[CurvePoint]) -> std::ops::Range<f64> {
    let losses = || training.iter().flat_map(|p| [Some(p.held_in), Some(p.held_out), p.train_loss]).flatten();
    let (least, most) = (losses().fold(f64::INFINITY, f64::min), losses().fold(f64::NEG_INFINITY, f64::max));
    let span = (most - least).max(most.abs() * 1e-3).max(1e-6);
    least - span * 0.05..most + span * ROOM_ABOVE
}

/// A line with its name where the target was kept.
pub(super) fn draw_target(
    chart: &mut canvas::Chart<'_, '_>,
    training: &[CurvePoint],
    target_step: u64,
    x: &Axis,
    y: &Axis,
) -> Result<(), DrawError> {
    let Some(at) = training.iter().find(|point| point.step == target_step).map(|point| point.epoch) else {
        return Ok(());
    };
    canvas::dashed(chart, [(at, y.range.start), (at, y.range.end)], GUIDE)?;
    let is_right = at > (x.range.start + x.range.end) / 2.0;
    let (side, gap) = if is_right { (HPos::Right, -0.012) } else { (HPos::Left, 0.012) };
    let style = canvas::font().pos(Pos::new(side, VPos::Top));
    let place = (at + gap * (x.range.end - x.range.start), y.range.end);
    chart.draw_series([Text::new("target", place, style)]).map(|_| ())
}

/// A curve, or a dot where there is one point.
fn draw_losses(
    chart: &mut canvas::Chart<'_, '_>,
    points: Vec<(f64, f64)>,
    colour: RGBColor,
    width: u32,
) -> Result<(), DrawError> {
    if let [point] = points[..] {
        chart.draw_series([Circle::new(point, 6, colour.filled())])?;
    }
    canvas::curve(chart, points, colour.stroke_width(width))
}
