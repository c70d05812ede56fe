//! ROC of the headline attack, on linear and on logarithmic axes.

use plotters::prelude::*;
use userprint_stats::Roc;

use super::ReportError;
use super::canvas::{self, Axis, CURVE, DrawError, GUIDE, HELD_IN, Swatch};
use super::number;

/// Fractions of a decade are labelled up to this many decades.
const MANY_DECADES: f64 = 2.2;

/// `(fpr, tpr)` at every threshold, from (0, 0) to (1, 1).
pub(super) fn roc_points(held_in: &[f64], held_out: &[f64]) -> Result<Vec<(f64, f64)>, ReportError> {
    let roc = Roc::new(held_in, held_out).map_err(|source| ReportError::Roc { source })?;
    let points = roc.points();
    let mut points: Vec<_> = points.iter().map(|point| (point.fpr, point.tpr)).collect();
    points.extend([(0.0, 0.0), (1.0, 1.0)]);
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup();
    Ok(points)
}

/// Draws the ROC on linear axes, with the AUROC beside it.
pub(super) fn plot_linear(points: &[(f64, f64)], auroc: f64) -> Result<String, ReportError> {
    let (x, y) = (Axis::rate("false positive rate"), Axis::rate("true positive rate"));
    canvas::svg("roc", "ROC of the headline attack, linear axes", |area| {
        draw_legend(area)?;
        let mut chart = canvas::chart(area, &x, &y)?;
        canvas::dashed(&mut chart, [(0.0, 0.0), (1.0, 1.0)], GUIDE)?;
        canvas::curve(&mut chart, points.to_vec(), HELD_IN.stroke_width(CURVE))?;
        let text = format!("AUROC {}", number::probability(auroc, 3));
        chart.draw_series([Text::new(text, (0.68, 0.14), canvas::font())]).map(|_| ())
    })
}

/// Draws the ROC on logarithmic axes, from the least rates that so many users resolve.
pub(super) fn plot_log(
    points: &[(f64, f64)],
    n_held_in: usize,
    n_held_out: usize,
) -> Result<String, ReportError> {
    let (least_fpr, least_tpr) = (least_rate(n_held_out), least_rate(n_held_in));
    let x = log_axis(least_fpr, "false positive rate, log");
    let y = log_axis(least_tpr, "true positive rate, log");
    let from = least_fpr.max(least_tpr).log10();
    canvas::svg("log roc", "ROC of the headline attack, logarithmic axes", |area| {
        draw_legend(area)?;
        let mut chart = canvas::chart(area, &x, &y)?;
        canvas::dashed(&mut chart, [(from, from), (0.0, 0.0)], GUIDE)?;
        let steps = log_steps(points, least_fpr, y.range.start);
        canvas::curve(&mut chart, steps, HELD_IN.stroke_width(CURVE))
    })
}

fn draw_legend(area: &canvas::Area<'_>) -> Result<(), DrawError> {
    canvas::legend(area, &[(Swatch::Line, HELD_IN, "attack"), (Swatch::Dashed, GUIDE, "guessing")])
}

/// One user of `n`, or one half where that leaves no axis to draw.
fn least_rate(n: usize) -> f64 {
    (1.0 / n.max(1) as f64).min(0.5)
}

/// Staircase in log10 units from `least_fpr` on: at each false positive rate the best true positive rate at no
/// more than it, as `tpr_at_fpr` has it. Where that is 0 the stairs stand on `floor`.
fn log_steps(points: &[(f64, f64)], least_fpr: f64, floor: f64) -> Vec<(f64, f64)> {
    let height = |tpr: f64| if tpr > 0.0 { tpr.log10().max(floor) } else { floor };
    let reached = points.iter().filter(|p| p.0 <= least_fpr).fold(0.0, |best: f64, p| best.max(p.1));
    let mut steps = vec![(least_fpr.log10(), height(reached))];
    let mut last = height(reached);
    for (fpr, tpr) in points.iter().filter(|p| p.0 > least_fpr) {
        steps.push((fpr.log10(), last));
        last = last.max(height(*tpr));
        steps.push((fpr.log10(), last));
    }
    steps
}

/// log10 of rates from `least` to 1, with room for a curve along the edge.
fn log_axis(least: f64, label: &str) -> Axis {
    let decades = -least.log10();
    let multiples: &[f64] = if decades > MANY_DECADES { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let mut ticks = Vec::new();
    for power in (0..=decades.ceil() as i32).rev() {
        for multiple in multiples {
            let rate = multiple * 10_f64.powi(-power);
            if rate >= least * (1.0 - 1e-9) && rate <= 1.0 + 1e-9 {
                ticks.push((rate.log10(), rate_text(rate, power)));
            }
        }
    }
    let room = decades * 0.015;
    Axis { range: least.log10() - room..room, ticks, label: label.to_string() }
}

fn rate_text(rate: f64, power: i32) -> String {
    if power == 0 {
        return "1".to_string();
    }
    format!("{rate:.*}", power.unsigned_abs() as usize).trim_start_matches('0').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(held_in: &[f64], held_out: &[f64]) -> Vec<(f64, f64)> {
        let points = roc_points(held_in, held_out).unwrap();
        assert!(plot_linear(&points, 0.5).unwrap().contains("</svg>"));
        assert!(plot_log(&points, held_in.len(), held_out.len()).unwrap().contains("</svg>"));
        log_steps(&points, least_rate(held_out.len()), -3.0)
    }

    #[test]
    fn log_plot_copes_with_perfect_separation() {
        let up = steps(&[3.0, 4.0, 5.0], &[0.0, 1.0, 2.0]);
        assert!(up.iter().all(|step| step.1 == 0.0), "{up:?}");
    }

    #[test]
    fn log_plot_copes_with_all_ties() {
        let flat = steps(&[1.0; 5], &[1.0; 5]);
        assert_eq!(flat.first().unwrap().1, -3.0);
        assert_eq!(flat.last().unwrap(), &(0.0, 0.0));
    }

    #[test]
    fn log_plot_copes_with_two_users_a_side_and_with_one() {
        assert_eq!(steps(&[1.0, 3.0], &[0.0, 2.0]).last().unwrap(), &(0.0, 0.0));
        assert_eq!(steps(&[1.0], &[2.0]).last().unwrap(), &(0.0, 0.0));
    }

    #[test]
    fn log_ticks_are_the_rates_that_fit() {
        let labels = |least| log_axis(least, "").ticks.into_iter().map(|tick| tick.1).collect::<Vec<_>>();
        assert_eq!(labels(1.0 / 24.0), [".05", ".1", ".2", ".5", "1"]);
        assert_eq!(labels(1.0 / 5000.0), [".001", ".01", ".1", "1"]);
        assert_eq!(labels(0.5), [".5", "1"]);
    }
}
