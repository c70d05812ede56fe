//! Proposition 1's two bounds around each held-in user's measured statistic.

use plotters::prelude::*;

use super::ReportError;
use super::canvas::{self, Axis, GUIDE, HELD_IN, Swatch};
use crate::results::BoundRow;

/// Draws users in the order of what lies between the bounds, or nothing without users.
pub(crate) fn plot(users: &[BoundRow], what: &str) -> Result<Option<String>, ReportError> {
    if users.is_empty() {
        return Ok(None);
    }
    let x = Axis {
        range: -0.5..users.len() as f64 - 0.5,
        ticks: Vec::new(),
        label: format!("held-in users, by {what}"),
    };
    let values = || users.iter().flat_map(|user| [user.lower, user.measured, user.upper]);
    let (least, most) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let room = ((most - least) * 0.06).max(1e-3);
    let y = Axis::linear(least - room..most + room, 6, "nats per example");
    canvas::svg("bounds", &format!("Proposition 1: bounds and {what} of held-in users"), |area| {
        canvas::legend(area, &[(Swatch::Line, HELD_IN, what), (Swatch::Line, GUIDE, "bounds")])?;
        let mut chart = canvas::chart(area, &x, &y)?;
        for (at, user) in users.iter().enumerate() {
            let ends = [user.lower, user.upper].map(|end| (at as f64, end)).to_vec();
            canvas::curve(&mut chart, ends, GUIDE.stroke_width(2))?;
        }
        let dots = users.iter().enumerate().map(|(at, user)| (at as f64, user.measured));
        chart.draw_series(dots.map(|dot| Circle::new(dot, 5, HELD_IN.filled()))).map(|_| ())
    })
    .map(Some)
}
