//! What the plots share: an SVG that scales with the page, colours, axes, a legend.
//!
//! Colours are fixed hex values; the page's style sheet matches on them to restyle the plots in the dark.

use std::ops::Range;

use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::ReportError;

/// Text, axes and curves that belong to neither group.
pub(crate) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Grid lines.
pub(crate) const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);
/// Lines to compare with: a diagonal, a mark.
pub(crate) const GUIDE: RGBColor = RGBColor(0x77, 0x77, 0x77);
/// Held-in users.
pub(crate) const HELD_IN: RGBColor = RGBColor(0x00, 0x72, 0xB2);
/// Held-out users.
pub(crate) const HELD_OUT: RGBColor = RGBColor(0xD5, 0x5E, 0x00);

/// Width of a curve, in the units of the drawing.
pub(crate) const CURVE: u32 = 4;
/// Size of text, in the units of the drawing; the backend divides it by 1.24.
const FONT: u32 = 35;
/// The drawing is large because the backend rounds to whole units; the page scales it down.
const SIZE: (u32, u32) = (1040, 780);

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type DrawError = DrawingAreaErrorKind<std::io::Error>;
pub(crate) type Chart<'b, 'a> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// Draws one inline SVG, which takes the width that the page gives it; `alt` is its description in words.
pub(crate) fn svg(
    plot: &'static str,
    alt: &str,
    draw: impl FnOnce(&Area<'_>) -> Result<(), DrawError>,
) -> Result<String, ReportError> {
    let mut buffer = String::new();
    {
        let area = SVGBackend::with_string(&mut buffer, SIZE).into_drawing_area();
        draw(&area).and_then(|()| area.present()).map_err(|source| ReportError::Plot { plot, source })?;
    }
    let body = buffer.split_once('>').map_or("", |(_, body)| body);
    Ok(format!(r#"<svg viewBox="0 0 {} {}" role="img" aria-label="{alt}">{body}"#, SIZE.0, SIZE.1))
}

/// An inline SVG as a file of its own, on white.
pub(crate) fn alone(svg: &str) -> String {
    let white = r##"<rect width="100%" height="100%" fill="#FFFFFF"/>"##;
    let head = r#"<svg xmlns="http://www.w3.org/2000/svg" "#;
    match svg.strip_prefix("<svg ").and_then(|rest| rest.split_once('>')) {
        Some((attributes, body)) => format!("{head}{attributes}>{white}{body}"),
        None => svg.to_owned(),
    }
}

/// One axis: its range, where it is labelled, and what it measures.
#[derive(Clone)]
pub(crate) struct Axis {
    pub(crate) range: Range<f64>,
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) label: String,
}

impl Axis {
    /// A rate from 0 to 1, with room for a curve that runs along the edge.
    pub(crate) fn rate(label: &str) -> Self {
        let ticks = ["0", ".2", ".4", ".6", ".8", "1"];
        Self {
            range: -0.015..1.015,
            ticks: (0..6u32).map(|i| f64::from(i) / 5.0).zip(ticks.map(String::from)).collect(),
            label: label.to_string(),
        }
    }

    /// `range` with about `n_ticks` round ticks; values within (−1, 1) are printed with their leading zero.
    pub(crate) fn linear(range: Range<f64>, n_ticks: u32, label: &str) -> Self {
        let step = nice_step((range.end - range.start) / f64::from(n_ticks));
        let digits = decimals_of(step);
        let mut ticks = Vec::new();
        let mut i = (range.start / step - 1e-6).ceil();
        while i * step <= range.end + step * 1e-6 {
            ticks.push((i * step, super::number::decimals(i * step, digits)));
            i += 1.0;
        }
        Self { range, ticks, label: label.to_string() }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range.clone()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            Vec::new()
        } else {
            self.ticks.iter().map(|(at, _)| *at).collect()
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks.iter().find(|(at, _)| at == value).map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

/// The least of 1, 2, 5 times a power of ten that is at least `step`.
pub(crate) fn nice_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0].map(|m| m * power).into_iter().find(|s| *s >= step * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

fn decimals_of(step: f64) -> usize {
    (0..12)
        .find(|digits| step * 10_f64.powi(*digits) > 1.0 - 1e-9)
        .map_or(12, |digits| digits.unsigned_abs() as usize)
}

/// Text of the plots' common size.
pub(crate) fn font() -> TextStyle<'static> {
    TextStyle::from(("sans-serif", FONT).into_font()).color(&INK)
}

/// Room for the labels of a vertical axis of numbers.
const LABELS: u32 = 124;

/// Axes, grid and labels, below room for a legend.
pub(crate) fn chart<'b, 'a>(area: &'b Area<'a>, x: &Axis, y: &Axis) -> Result<Chart<'b, 'a>, DrawError> {
    chart_beside(area, x, y, LABELS)
}

/// The same with so much room for the labels of the vertical axis.
pub(crate) fn chart_beside<'b, 'a>(
    area: &'b Area<'a>,
    x: &Axis,
    y: &Axis,
    labels: u32,
) -> Result<Chart<'b, 'a>, DrawError> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(64)
        .margin_right(42)
        .margin_left(6)
        .margin_bottom(6)
        .x_label_area_size(96)
        .y_label_area_size(labels)
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .bold_line_style(GRID.stroke_width(2))
        .light_line_style(TRANSPARENT)
        .axis_style(INK.stroke_width(2))
        .label_style(font())
        .axis_desc_style(font())
        .x_desc(&x.label)
        .y_desc(&y.label)
        .draw()?;
    Ok(chart)
}

/// How a legend shows an entry.
pub(crate) enum Swatch {
    /// A filled group.
    Filled,
    /// A curve.
    Line,
    /// A line to compare with.
    Dashed,
}

/// A row of names above the plot, each beside its colour.
pub(crate) fn legend(area: &Area<'_>, entries: &[(Swatch, RGBColor, &str)]) -> Result<(), DrawError> {
    let (y, swatch_width) = (30, 44);
    let mut x = 130;
    for (swatch, colour, name) in entries {
        let style = colour.stroke_width(CURVE);
        match swatch {
            Swatch::Filled => {
                let corners = [(x, y - 12), (x + swatch_width, y + 12)];
                area.draw(&Rectangle::new(corners, colour.mix(0.4).filled()))?;
                area.draw(&Rectangle::new(corners, colour.stroke_width(3)))?;
            }
            Swatch::Line => area.draw(&PathElement::new([(x, y), (x + swatch_width, y)], style))?,
            Swatch::Dashed => {
                for start in [x, x + 18, x + 36] {
                    area.draw(&PathElement::new([(start, y), (start + 9, y)], style))?;
                }
            }
        }
        x += swatch_width + 12;
        area.draw(&Text::new(*name, (x, y - 16), font()))?;
        x += i32::try_from(name.chars().count()).unwrap_or(0) * 16 + 36;
    }
    Ok(())
}

/// A dashed line between two points of the plot.
pub(crate) fn dashed(
    chart: &mut Chart<'_, '_>,
    points: [(f64, f64); 2],
    colour: RGBColor,
) -> Result<(), DrawError> {
    let series = DashedLineSeries::new(points, 12, 9, colour.stroke_width(3));
    chart.draw_series(series).map(|_| ())
}

/// A curve through `points`.
pub(crate) fn curve(
    chart: &mut Chart<'_, '_>,
    points: Vec<(f64, f64)>,
    style: impl Into<ShapeStyle>,
) -> Result<(), DrawError> {
    chart.draw_series([PathElement::new(points, style)]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let labels =
            |range, n| Axis::linear(range, n, "").ticks.into_iter().map(|(_, t)| t).collect::<Vec<_>>();
        assert_eq!(labels(-0.1..0.31, 5), ["−0.1", "0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(0.0..1500.0, 4), ["0", "500", "1000", "1500"]);
    }

    #[test]
    fn steps_round_up() {
        assert_eq!(
            [nice_step(1.0), nice_step(1.1), nice_step(30.0), nice_step(60.0)],
            [1.0, 2.0, 50.0, 100.0]
        );
    }
}
