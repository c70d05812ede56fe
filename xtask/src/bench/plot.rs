//! Tokens per second against the length of texts, as SVG.

use plotters::prelude::*;

/// Told apart by people who see few colours too.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x22, 0x22, 0x22),
    RGBColor(0xE6, 0x9F, 0x00),
];
const SIZE: (u32, u32) = (760, 480);
const FONT: (&str, u32) = ("sans-serif", 17);

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// Length and tokens per second.
    pub(super) points: Vec<(f64, f64)>,
}

/// Lengths on a scale of powers of two, rates from 0 up.
pub(super) fn svg(lines: &[Line]) -> anyhow::Result<String> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let lengths = points().map(|(length, _)| length.log2());
    let (least, most) = lengths.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    let fastest = points().map(|(_, rate)| *rate).fold(0.0, f64::max);
    // The names stand above the curves.
    let top = fastest * (1.08 + 0.07 * lines.len() as f64);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(18)
            .x_label_area_size(48)
            .y_label_area_size(78)
            .build_cartesian_2d(least - 0.1..most + 0.1, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style(FONT)
            .x_labels((most - least) as usize + 1)
            .x_label_formatter(&|length| format!("{:.0}", length.exp2()))
            .y_label_formatter(&|rate| super::table::grouped(*rate))
            .x_desc("tokens of a text")
            .y_desc("tokens/s")
            .draw()?;
        for (line, colour) in lines.iter().zip(COLOURS.into_iter().cycle()) {
            let points: Vec<(f64, f64)> =
                line.points.iter().map(|(length, rate)| (length.log2(), *rate)).collect();
            let circles = points.iter().map(|point| Circle::new(*point, 4, colour.filled()));
            chart.draw_series(circles)?;
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font(FONT)
            .background_style(WHITE)
            .draw()?;
        area.present()?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_named_and_lengths_are_labelled() {
        let line = |name: &str| Line { name: name.to_owned(), points: vec![(16.0, 900.0), (2048.0, 700.0)] };
        let svg = svg(&[line("cpu f32"), line("cpu bf16")]).unwrap();
        for text in ["cpu f32", "cpu bf16", "tokens/s", "16", "2048"] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
