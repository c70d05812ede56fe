//! Histogram of the user statistic: held-in beside held-out, over shared bins.

use plotters::prelude::*;

use super::ReportError;
use super::canvas::{self, Axis, DrawError, HELD_IN, HELD_OUT, Swatch};
use super::number;

/// More bins than this cannot be told apart on the page.
const MAX_BINS: usize = 40;

/// Shares of two groups of users over the same bins.
struct Bins {
    start: f64,
    width: f64,
    held_in: Vec<f64>,
    held_out: Vec<f64>,
}

/// Draws the histogram; `label` says what the statistic is and its unit.
pub(super) fn plot(held_in: &[f64], held_out: &[f64], label: &str) -> Result<String, ReportError> {
    let bins = Bins::new(held_in, held_out);
    let most = bins.held_in.iter().chain(&bins.held_out).fold(0.0, |most: f64, share| most.max(*share));
    let (start, end) = (bins.edge(0), bins.edge(bins.held_in.len()));
    let x = Axis::linear(start - bins.width..end + bins.width, 6, label);
    let y = Axis::linear(0.0..most * 1.08, 7, "share of the group's users");
    canvas::svg("histogram", "Histogram of the user statistic, held-in and held-out users", |area| {
        let held_in_name = format!("held-in ({})", number::grouped(held_in.len() as u64));
        let held_out_name = format!("held-out ({})", number::grouped(held_out.len() as u64));
        let entries =
            [(Swatch::Filled, HELD_IN, &*held_in_name), (Swatch::Filled, HELD_OUT, &*held_out_name)];
        canvas::legend(area, &entries)?;
        let mut chart = canvas::chart(area, &x, &y)?;
        for (shares, colour) in [(&bins.held_out, HELD_OUT), (&bins.held_in, HELD_IN)] {
            draw_group(&mut chart, bins.outline(shares), colour)?;
        }
        Ok(())
    })
}

fn draw_group(
    chart: &mut canvas::Chart<'_, '_>,
    outline: Vec<(f64, f64)>,
    colour: RGBColor,
) -> Result<(), DrawError> {
    chart.draw_series([Polygon::new(outline.clone(), colour.mix(0.4).filled())])?;
    canvas::curve(chart, outline, colour.stroke_width(3))
}

impl Bins {
    /// Bins of a round width near Freedman and Diaconis' rule, over the range of both groups.
    fn new(held_in: &[f64], held_out: &[f64]) -> Self {
        let mut pooled: Vec<f64> = held_in.iter().chain(held_out).copied().collect();
        pooled.sort_by(f64::total_cmp);
        let (least, most) = (pooled.first().copied().unwrap_or(0.0), pooled.last().copied().unwrap_or(0.0));
        let quartiles = pooled[pooled.len() * 3 / 4] - pooled[pooled.len() / 4];
        // Where all values tie there is no scale to take a width from.
        let floor = least.abs().max(most.abs()).max(1e-6) * if least == most { 0.1 } else { 1e-6 };
        // The rule says 2; rounding up to a round width more than doubles it at worst.
        let by_rule = 0.8 * quartiles / (pooled.len() as f64).cbrt();
        let width = canvas::nice_step(by_rule.max((most - least) / (MAX_BINS as f64 - 2.0)).max(floor));
        let first = (least / width).floor();
        let n_bins = ((most / width).floor() - first) as usize + 1;
        let shares = |values: &[f64]| {
            let mut shares = vec![0.0; n_bins];
            for value in values {
                let bin = ((value / width).floor() - first) as usize;
                shares[bin.min(n_bins - 1)] += 1.0 / values.len() as f64;
            }
            shares
        };
        Self { start: first * width, width, held_in: shares(held_in), held_out: shares(held_out) }
    }

    fn edge(&self, bin: usize) -> f64 {
        self.start + self.width * bin as f64
    }

    /// The upper edge of the bars from the group's first user to its last, closed on the base line.
    fn outline(&self, shares: &[f64]) -> Vec<(f64, f64)> {
        let occupied = |share: &f64| *share > 0.0;
        let first = shares.iter().position(occupied).unwrap_or(0);
        let end = shares.iter().rposition(occupied).map_or(first, |last| last + 1);
        let bars = shares.iter().enumerate().take(end).skip(first);
        let tops = bars.flat_map(|(i, share)| [(self.edge(i), *share), (self.edge(i + 1), *share)]);
        let base = |bin| std::iter::once((self.edge(bin), 0.0));
        base(first).chain(tops).chain(base(end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_is_in_a_bin() {
        for (held_in, held_out) in [
            (vec![0.1, 0.2, 0.2, 0.5], vec![-0.3, 0.0]),
            (vec![0.0, 0.0], vec![0.0, 0.0]),
            (vec![1e9, 1e9], vec![1e9]),
            (vec![1.0, 100.0], vec![1.0, 1.0, 1.0]),
        ] {
            let bins = Bins::new(&held_in, &held_out);
            assert!((bins.held_in.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!((bins.held_out.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(bins.held_in.len() <= MAX_BINS);
        }
    }
}
