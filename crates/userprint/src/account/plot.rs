//! The trade-off curve of a guarantee as a picture of its own.

use plotters::prelude::*;
use userprint_privacy::TradeOff;

use crate::report::canvas::{self, Axis, CURVE, GUIDE, HELD_IN, HELD_OUT, Swatch};

/// Points of a curve; denser where it is steep.
const N_POINTS: u32 = 400;

/// The most that any attack on one unit can reach: by the whole profile, and by epsilon and delta alone.
pub(super) fn trade_off(curve: &TradeOff, epsilon: f64, delta: f64) -> anyhow::Result<String> {
    let fprs: Vec<f64> = (0..=N_POINTS).map(|i| (f64::from(i) / f64::from(N_POINTS)).powi(3)).collect();
    let points = |curve: &TradeOff| -> anyhow::Result<Vec<(f64, f64)>> {
        Ok(fprs.iter().copied().zip(curve.max_tprs(&fprs)?).collect())
    };
    let (whole, alone) = (points(curve)?, points(&TradeOff::epsilon_delta(epsilon, delta)?)?);
    let (x, y) = (Axis::rate("false positive rate"), Axis::rate("largest true positive rate"));
    let name = format!("ε = {epsilon:.3}, δ = {delta:e}");
    let svg = canvas::svg("trade-off", "Largest true positive rate of any attack on one unit", |area| {
        let entries = [
            (Swatch::Line, HELD_IN, "guarantee"),
            (Swatch::Line, HELD_OUT, &*name),
            (Swatch::Dashed, GUIDE, "guessing"),
        ];
        canvas::legend(area, &entries)?;
        let mut chart = canvas::chart(area, &x, &y)?;
        canvas::dashed(&mut chart, [(0.0, 0.0), (1.0, 1.0)], GUIDE)?;
        canvas::curve(&mut chart, alone, HELD_OUT.stroke_width(CURVE))?;
        canvas::curve(&mut chart, whole, HELD_IN.stroke_width(CURVE))
    })?;
    Ok(canvas::alone(&svg))
}
