//! Curves in one plot or in several with the same axes: medians as lines with marks, and how far the rounds or the worst case lie from
//! them as a thin line with a cap.
//!
//! The legend is beside a single plot, ordered as the curves end there, and above several.

use super::axis::{ABOVE, Axis, BELOW, Frame};
use super::canvas::{Anchor, Canvas};
use super::heading::{MARGIN, WIDTH};
use super::legend::{self, Entry};
use super::palette::{Look, Mark};
use super::text::Letter;

/// How far curves are moved apart sideways where thin lines would hide each other.
const ASIDE: f64 = 2.2;
/// What is kept free between plots one below the other.
const GAP: f64 = 18.0;

/// A measured point.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// From where to where the thin line goes.
    pub(crate) range: Option<(f64, f64)>,
    /// What is told to who points at it.
    pub(crate) tip: String,
}

/// A curve.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) look: Look,
    pub(crate) points: Vec<Point>,
    /// Every how manieth point has a mark.
    pub(crate) marks: usize,
}

/// A plot.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// Draws the plots, and says where they end.
pub(crate) fn draw(canvas: &mut Canvas, top: f64, height: f64, panels: &[Panel]) -> f64 {
    let entries = entries(panels);
    if let [panel] = panels {
        let key = legend::column_width(&entries, 260.0);
        let frame = inside(panel, (MARGIN, top), WIDTH - 2.0 * MARGIN - key - 22.0, height);
        plot(canvas, panel, &frame);
        let used = legend::column(canvas, (frame.right() + 22.0, frame.top), key, &ordered(panel));
        return (frame.bottom() + BELOW).max(frame.top + used);
    }
    let top = top + legend::rows(canvas, (MARGIN, top), WIDTH - 2.0 * MARGIN, &entries) + 8.0;
    let width = (WIDTH - 2.0 * MARGIN - 24.0) / 2.0;
    for (number, panel) in panels.iter().enumerate() {
        let at = (MARGIN + (number % 2) as f64 * (width + 24.0), top + (number / 2) as f64 * (height + GAP));
        let frame = inside(panel, at, width, height);
        plot(canvas, panel, &frame);
    }
    top + panels.len().div_ceil(2) as f64 * (height + GAP) - GAP
}

/// Everyone who has a curve somewhere, once.
fn entries(panels: &[Panel]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for series in panels.iter().flat_map(|panel| &panel.series) {
        if entries.iter().all(|entry| entry.name != series.name) {
            entries.push(Entry { name: series.name.clone(), look: series.look });
        }
    }
    entries
}

/// As the curves of a plot end, the highest first.
fn ordered(panel: &Panel) -> Vec<Entry> {
    let mut series: Vec<&Series> = panel.series.iter().collect();
    let end = |series: &Series| series.points.last().map_or((0.0, 0.0), |point| (point.x, point.y));
    series.sort_by(|a, b| {
        let (a, b) = (end(a), end(b));
        b.1.total_cmp(&a.1).then(b.0.total_cmp(&a.0))
    });
    series.into_iter().map(|series| Entry { name: series.name.clone(), look: series.look }).collect()
}

/// What is left for the curves of a plot of this place and size.
fn inside(panel: &Panel, (left, top): (f64, f64), width: f64, height: f64) -> Frame {
    let title = if panel.title.is_empty() { 0.0 } else { 22.0 };
    let numbers = panel.y.widest(((height - BELOW) / 24.0) as usize) + 8.0;
    let top = top + title + ABOVE;
    // Half of the last number below sticks out.
    Frame { left: left + numbers, top, width: width - numbers - 22.0, height: height - title - ABOVE - BELOW }
}

fn plot(canvas: &mut Canvas, panel: &Panel, frame: &Frame) {
    if !panel.title.is_empty() {
        let at = (frame.left, frame.top - ABOVE - 10.0);
        canvas.text(at, Anchor::Start, Letter::Head, &Letter::Head.fit(&panel.title, frame.width));
    }
    let crowded = panel.series.iter().any(|series| series.points.iter().any(|point| point.range.is_some()));
    let middle = (panel.series.len() as f64 - 1.0) / 2.0;
    let x_axis =
        Axis { inset: if crowded { middle * ASIDE + 8.0 } else { panel.x.inset }, ..panel.x.clone() };
    x_axis.draw_below(canvas, frame);
    panel.y.draw_left(canvas, frame);
    let (x, y) = (x_axis.across(frame), panel.y.upward(frame));
    // The boldest is drawn last, over the others, and what is not measured beneath them.
    let mut turns: Vec<(usize, &Series)> = panel.series.iter().enumerate().collect();
    turns.sort_by_key(|(number, series)| (series.look.mark != Mark::Nothing, series.look.ours(), *number));
    for (number, series) in turns {
        // What is not measured is where it is.
        let moved = crowded && series.look.mark != Mark::Nothing;
        let aside = if moved { (number as f64 - middle) * ASIDE } else { 0.0 };
        let across = |point: &Point| x.at(point.x) + aside;
        for point in &series.points {
            if let Some((low, high)) = point.range {
                let (at, low, high) = (across(point), y.at(low), y.at(high));
                canvas.stroke(series.look.colour, 1.1, (at, low), (at, high));
                canvas.stroke(series.look.colour, 2.0, (at - 3.5, high), (at + 3.5, high));
            }
        }
        let places: Vec<(f64, f64)> =
            series.points.iter().map(|point| (across(point), y.at(point.y))).collect();
        if places.len() > 1 {
            canvas.path(series.look.colour, series.look.weight, series.look.dash, &places);
        }
        let every = series.marks.max(1);
        for (step, (point, place)) in series.points.iter().zip(&places).enumerate() {
            // Marks of curves that lie on each other stand at different places.
            if step % every == (number * 5) % every {
                series.look.mark(canvas, *place, &point.tip);
            }
        }
    }
}
