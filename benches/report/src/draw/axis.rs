//! Axes: ticks with plain numbers, as many as have room, lines across the plot, and what is counted in which unit.
//!
//! The name of the vertical axis stands above it and not turned by its side: it is read before the curve and without tilting the head.

use super::canvas::{Anchor, Canvas};
use super::number::Unit;
use super::scale::Scale;
use super::text::Letter;

/// The height that the ticks and the name of a horizontal axis take.
pub(crate) const BELOW: f64 = 44.0;
/// The height that the name of a vertical axis takes.
pub(crate) const ABOVE: f64 = 22.0;

/// What is told about an axis.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) scale: Scale,
    pub(crate) unit: Unit,
    /// What it counts, and in which unit.
    pub(crate) name: String,
    /// A value that has a name of its own instead of a number.
    pub(crate) named: Option<(f64, &'static str)>,
}

/// The inside of a plot.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Frame {
    /// Its right edge.
    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    /// Its lower edge.
    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

impl Axis {
    /// An axis.
    pub(crate) fn new(scale: Scale, unit: Unit, name: &str) -> Self {
        Self { scale, unit, name: name.to_owned(), named: None }
    }

    /// The same, spread over these pixels.
    pub(crate) fn onto(&self, from: f64, to: f64) -> Self {
        Self { scale: self.scale.onto(from, to), ..self.clone() }
    }

    fn label(&self, value: f64) -> String {
        match self.named {
            Some((named, name)) if (named - value).abs() < 1e-9 => name.to_owned(),
            _ if self.scale.zero().is_some_and(|zero| value <= zero * 1.001) => "0".to_owned(),
            _ => self.unit.tick(value),
        }
    }

    /// The widest of the numbers.
    pub(crate) fn widest(&self, ticks: usize) -> f64 {
        self.scale
            .ticks(ticks)
            .into_iter()
            .map(|tick| Letter::Small.width(&self.label(tick)))
            .fold(0.0, f64::max)
    }

    /// Draws it along the lower edge, with lines up through the plot.
    pub(crate) fn draw_below(&self, canvas: &mut Canvas, frame: &Frame) {
        let axis = self.onto(frame.left, frame.right());
        let (y, ends) = (frame.bottom(), axis.scale.ends());
        canvas.rule("axis", (ends.0, y), (ends.1, y));
        let mut free_from = f64::NEG_INFINITY;
        for tick in axis.scale.ticks((frame.width / 46.0) as usize) {
            let (x, label) = (axis.scale.at(tick), axis.label(tick));
            canvas.rule("grid", (x, frame.top), (x, y));
            canvas.rule("axis", (x, y), (x, y + 4.0));
            let half = Letter::Small.width(&label) / 2.0;
            if x - half > free_from {
                canvas.faint((x, y + 13.0), Anchor::Middle, Letter::Small, &label);
                free_from = x + half + 4.0;
            }
        }
        canvas.text(
            ((ends.0 + ends.1) / 2.0, y + 32.0),
            Anchor::Middle,
            Letter::Small,
            &Letter::Small.fit(&self.name, frame.width + 60.0),
        );
    }

    /// Draws it along the left edge, with lines across the plot and its name above.
    pub(crate) fn draw_left(&self, canvas: &mut Canvas, frame: &Frame) {
        let axis = self.onto(frame.bottom(), frame.top);
        canvas.rule("axis", (frame.left, frame.top), (frame.left, frame.bottom()));
        let ticks = (frame.height / 24.0) as usize;
        for tick in axis.scale.ticks(ticks) {
            let y = axis.scale.at(tick);
            canvas.rule("grid", (frame.left, y), (frame.right(), y));
            canvas.faint((frame.left - 6.0, y), Anchor::End, Letter::Small, &axis.label(tick));
        }
        let from = frame.left - axis.widest(ticks) - 6.0;
        canvas.text(
            (from, frame.top - 14.0),
            Anchor::Start,
            Letter::Small,
            &Letter::Small.fit(&self.name, frame.right() - from),
        );
    }
}
