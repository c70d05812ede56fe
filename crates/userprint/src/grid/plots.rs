//! The plots of a grid: how exposed each row is, exposure against utility, and curves.

use plotters::prelude::*;

use super::outcome::{KnowledgeOutcome, Outcome, RowOutcome};
use crate::report::canvas::{self, Axis, CURVE, GUIDE, HELD_IN, HELD_OUT, Swatch, alone};
use crate::report::{ReportError, bounds};
use crate::results::{BoundRow, ExactRow};

/// Width of a letter, in the units of the drawing.
const LETTER: u32 = 15;

/// Each plot with the name of its file.
pub(super) fn plots(outcome: &Outcome) -> Result<Vec<(&'static str, String)>, ReportError> {
    let mut plots = Vec::new();
    if let Some(corpus) = &outcome.corpus {
        let (users, documents) = (&corpus.users_by_documents, &corpus.documents_by_words);
        plots.push(("documents.svg", alone(&by_powers("documents", users, "documents a user", "users")?)));
        plots.push(("words.svg", alone(&by_powers("words", documents, "words a document", "documents")?)));
    }
    if !outcome.rows.is_empty() {
        let published = outcome.published_on.as_ref().map(|corpus| format!("published, {corpus}"));
        let published = published.as_deref().unwrap_or("published");
        plots.push(("exposure.svg", alone(&exposure(&outcome.rows, published)?)));
    }
    let own: Vec<&RowOutcome> = outcome.rows.iter().filter(|row| row.name == row.variant).collect();
    if own.len() > 1 {
        plots.push(("trade-off.svg", alone(&trade_off(outcome, &own)?)));
    }
    if outcome.variants.iter().any(|variant| !variant.curves.is_empty()) {
        plots.push(("training.svg", alone(&training(outcome)?)));
    }
    if outcome.variants.iter().any(|variant| variant.knowledge.len() > 1) {
        plots.push(("knowledge.svg", alone(&knowledge(outcome)?)));
    }
    let exact =
        outcome.variants.first().map_or(Vec::new(), |variant| variant.exact.iter().map(bound).collect());
    if let Some(plot) = bounds::plot(&exact, "exact exposure")? {
        plots.push(("bounds.svg", alone(&plot)));
    }
    Ok(plots)
}

/// Exact exposure in the place of a measured statistic.
fn bound(row: &ExactRow) -> BoundRow {
    let ExactRow { share, lower, exposure, upper, .. } = *row;
    BoundRow { share, lower, measured: exposure, upper, is_inside: lower <= exposure && exposure <= upper }
}

/// How many there are from each power of 2 to below the next.
fn by_powers(
    plot: &'static str,
    counts: &[(u64, u64)],
    label: &str,
    what: &str,
) -> Result<String, ReportError> {
    let most = counts.iter().map(|(_, n)| *n).max().unwrap_or(1) as f64;
    let at = |power: u64| (power as f64).log2();
    let (first, last) = (counts.first().map_or(0.0, |c| at(c.0)), counts.last().map_or(0.0, |c| at(c.0)));
    let every = counts.len().div_ceil(9);
    let x = Axis {
        range: first - 0.1..last + 1.1,
        ticks: counts.iter().step_by(every).map(|(power, _)| (at(*power), power.to_string())).collect(),
        label: label.to_owned(),
    };
    let y = Axis::linear(0.0..most * 1.08, 6, what);
    canvas::svg(plot, &format!("{what} by {label}, powers of 2"), |area| {
        let mut chart = canvas::chart(area, &x, &y)?;
        let bars = counts.iter().map(|(power, n)| {
            Rectangle::new(
                [(at(*power) + 0.04, 0.0), (at(*power) + 0.96, *n as f64)],
                HELD_IN.mix(0.6).filled(),
            )
        });
        chart.draw_series(bars).map(|_| ())
    })
}

/// AUROC of each row with its interval, and beside it what was published.
fn exposure(rows: &[RowOutcome], published: &str) -> Result<String, ReportError> {
    let ends =
        || rows.iter().flat_map(|row| row.auroc_interval).chain(rows.iter().filter_map(|row| row.published));
    let (least, most) = (ends().fold(0.5, f64::min), ends().fold(0.5, f64::max));
    let x = Axis::linear(least - 0.02..most + 0.02, 6, "AUROC");
    let at = |place: usize| rows.len() as f64 - place as f64;
    let y = Axis {
        range: 0.4..rows.len() as f64 + 0.6,
        ticks: rows.iter().enumerate().map(|(place, row)| (at(place), row.name.clone())).collect(),
        label: String::new(),
    };
    let letters = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0) as u32;
    canvas::svg("exposure", "AUROC of each row with its 95 % interval", |area| {
        let mut entries = vec![(Swatch::Line, HELD_IN, "95 % interval"), (Swatch::Dashed, GUIDE, "guessing")];
        if rows.iter().any(|row| row.published.is_some()) {
            entries.push((Swatch::Filled, HELD_OUT, published));
        }
        canvas::legend(area, &entries)?;
        let mut chart = canvas::chart_beside(area, &x, &y, letters * LETTER + 30)?;
        canvas::dashed(&mut chart, [(0.5, y.range.start), (0.5, y.range.end)], GUIDE)?;
        for (place, row) in rows.iter().enumerate() {
            let ends = row.auroc_interval.map(|end| (end, at(place))).to_vec();
            canvas::curve(&mut chart, ends, HELD_IN.stroke_width(CURVE))?;
            chart.draw_series([Circle::new((row.auroc, at(place)), 9, HELD_IN.filled())])?;
            if let Some(published) = row.published {
                let mark = TriangleMarker::new((published, at(place)), 12, HELD_OUT.filled());
                chart.draw_series([mark])?;
            }
        }
        Ok(())
    })
}

/// AUROC against the loss of held-out users, a point a variant.
fn trade_off(outcome: &Outcome, rows: &[&RowOutcome]) -> Result<String, ReportError> {
    let loss = |row: &RowOutcome| {
        outcome.variants.iter().find(|own| own.name == row.variant).map_or(f64::NAN, |own| own.held_out_loss)
    };
    let range = |values: &dyn Fn() -> Vec<f64>, room: f64| {
        let (least, most) =
            (values().into_iter().fold(f64::MAX, f64::min), values().into_iter().fold(f64::MIN, f64::max));
        let span = (most - least).max(1e-3);
        least - 0.06 * span..most + room * span
    };
    let x = range(&|| rows.iter().map(|row| loss(row)).collect(), 0.35);
    let x = Axis::linear(x, 5, "validation loss of held-out users, nats per token");
    let ends = || rows.iter().flat_map(|row| row.auroc_interval).chain([0.5]).collect();
    let y = Axis::linear(range(&ends, 0.12), 6, "AUROC");
    canvas::svg("trade-off", "AUROC against the loss of held-out users, by variant", |area| {
        let entries = [(Swatch::Line, HELD_IN, "95 % interval"), (Swatch::Dashed, GUIDE, "guessing")];
        canvas::legend(area, &entries)?;
        let mut chart = canvas::chart(area, &x, &y)?;
        canvas::dashed(&mut chart, [(x.range.start, 0.5), (x.range.end, 0.5)], GUIDE)?;
        for row in rows {
            let at = loss(row);
            let ends = row.auroc_interval.map(|end| (at, end)).to_vec();
            canvas::curve(&mut chart, ends, HELD_IN.mix(0.8).stroke_width(3))?;
            chart.draw_series([Circle::new((at, row.auroc), 9, HELD_IN.filled())])?;
            let text =
                EmptyElement::at((at, row.auroc)) + Text::new(row.name.clone(), (14, -40), canvas::font());
            chart.draw_series([text])?;
        }
        Ok(())
    })
}

/// AUROC and the gap of losses along training, each seed a curve.
fn training(outcome: &Outcome) -> Result<String, ReportError> {
    let curves: Vec<_> = outcome.variants.iter().flat_map(|variant| &variant.curves).collect();
    let points = || curves.iter().flat_map(|curve| curve.iter());
    let gap = |point: &super::outcome::CurvePoint| point.held_out_loss - point.held_in_loss;
    let most_epochs = points().map(|point| point.epoch).fold(0.0, f64::max);
    let values = || {
        points()
            .flat_map(|point| point.auroc_interval.into_iter().chain([point.auroc, gap(point)]))
            .chain([0.5])
    };
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    let room = 0.05 * (most - least);
    let x = Axis::linear(0.0..most_epochs * 1.02, 6, "epochs");
    let y = Axis::linear(least - room..most + room, 6, "AUROC; nats per token");
    canvas::svg("training", "AUROC and the gap of validation losses along training", |area| {
        let entries = [
            (Swatch::Line, HELD_IN, "AUROC, 95 %"),
            (Swatch::Line, HELD_OUT, "gap of losses"),
            (Swatch::Dashed, GUIDE, "guessing"),
        ];
        canvas::legend(area, &entries)?;
        let mut chart = canvas::chart(area, &x, &y)?;
        canvas::dashed(&mut chart, [(x.range.start, 0.5), (x.range.end, 0.5)], GUIDE)?;
        for curve in &curves {
            for point in curve.iter() {
                let ends = point.auroc_interval.map(|end| (point.epoch, end)).to_vec();
                canvas::curve(&mut chart, ends, HELD_IN.mix(0.35).stroke_width(3))?;
            }
            let aurocs = curve.iter().map(|point| (point.epoch, point.auroc));
            chart.draw_series(aurocs.clone().map(|at| Circle::new(at, 6, HELD_IN.filled())))?;
            canvas::curve(&mut chart, aurocs.collect(), HELD_IN.stroke_width(CURVE))?;
            let gaps = curve.iter().map(|point| (point.epoch, gap(point)));
            chart.draw_series(gaps.clone().map(|at| TriangleMarker::new(at, 9, HELD_OUT.filled())))?;
            canvas::curve(&mut chart, gaps.collect(), HELD_OUT.stroke_width(CURVE))?;
        }
        Ok(())
    })
}

/// AUROC by how many documents of a user the attacker has, on a scale of logarithms.
fn knowledge(outcome: &Outcome) -> Result<String, ReportError> {
    let curves: Vec<_> = outcome.variants.iter().map(|variant| &variant.knowledge).collect();
    let points = || curves.iter().flat_map(|curve| curve.iter());
    let most_examples = points().map(|point| point.n_examples).max().unwrap_or(1);
    let numbers = [1, 2, 5, 10, 20, 50, 100, 200, 500];
    let ticks =
        numbers.into_iter().filter(|&n| n <= most_examples).map(|n| (f64::from(n).ln(), n.to_string()));
    let x = Axis {
        range: -0.1..f64::from(most_examples).ln() + 0.1,
        ticks: ticks.collect(),
        label: "attack documents a user".to_owned(),
    };
    let ends = |point: &KnowledgeOutcome| [point.auroc - point.std_dev, point.auroc + point.std_dev];
    let values = || points().flat_map(ends).chain([0.5]);
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    let y = Axis::linear(least - 0.02..most + 0.03, 6, "AUROC");
    canvas::svg("knowledge", "AUROC by number of attack documents", |area| {
        let entries = [
            (Swatch::Line, HELD_IN, "mean and standard deviation of draws"),
            (Swatch::Dashed, GUIDE, "guessing"),
        ];
        canvas::legend(area, &entries)?;
        let mut chart = canvas::chart(area, &x, &y)?;
        canvas::dashed(&mut chart, [(x.range.start, 0.5), (x.range.end, 0.5)], GUIDE)?;
        for curve in &curves {
            for point in curve.iter() {
                let ends = ends(point).map(|end| (f64::from(point.n_examples).ln(), end)).to_vec();
                canvas::curve(&mut chart, ends, HELD_IN.mix(0.6).stroke_width(3))?;
            }
            let at = curve.iter().map(|point| (f64::from(point.n_examples).ln(), point.auroc));
            chart.draw_series(at.clone().map(|at| Circle::new(at, 8, HELD_IN.filled())))?;
            canvas::curve(&mut chart, at.collect(), HELD_IN.stroke_width(CURVE))?;
        }
        Ok(())
    })
}
