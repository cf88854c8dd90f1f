//! Axes: ticks with plain numbers, as many as have room, lines across the plot, and what is counted in which unit.
//!
//! The name of the vertical axis stands above it and not turned by its side: it is read before the curve and without tilting the head.

use super::canvas::{Anchor, Canvas};
use super::number::Unit;
use super::scale::Scale;
use super::text::Letter;

/// The height that the ticks and the name of a horizontal axis take, below or above.
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
    /// How much is kept free inside of both ends, for marks that stand beside their place.
    pub(crate) inset: f64,
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
        Self { scale, unit, name: name.to_owned(), named: None, inset: 0.0 }
    }

    /// Where values stand along the lower edge of a plot.
    pub(crate) fn across(&self, frame: &Frame) -> Scale {
        self.scale.onto(frame.left + self.inset, frame.right() - self.inset)
    }

    /// Where values stand along its left edge.
    pub(crate) fn upward(&self, frame: &Frame) -> Scale {
        self.scale.onto(frame.bottom(), frame.top)
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
        self.draw_along(canvas, frame, frame.bottom(), 1.0);
    }

    /// Draws it along the upper edge, with lines down through the plot.
    pub(crate) fn draw_above(&self, canvas: &mut Canvas, frame: &Frame) {
        self.draw_along(canvas, frame, frame.top, -1.0);
    }

    /// As many ticks as have room for their labels; one, if no two have.
    fn roomy_ticks(&self, scale: &Scale, width: f64) -> Vec<f64> {
        let half = |tick: f64| Letter::Small.width(&self.label(tick)) / 2.0;
        let apart =
            |pair: &[f64]| scale.at(pair[0]) + half(pair[0]) + 9.0 <= scale.at(pair[1]) - half(pair[1]);
        let most = ((width / 30.0) as usize).min(12);
        let fits = |most: &usize| scale.ticks(*most).windows(2).all(apart);
        match (2..=most.max(2)).rev().find(fits) {
            Some(most) => scale.ticks(most),
            None => scale.ticks(2).into_iter().take(1).collect(),
        }
    }

    fn draw_along(&self, canvas: &mut Canvas, frame: &Frame, y: f64, outward: f64) {
        let scale = self.across(frame);
        canvas.rule("axis", (frame.left, y), (frame.right(), y));

        for tick in self.roomy_ticks(&scale, frame.width) {
            let (x, label) = (scale.at(tick), self.label(tick));
            canvas.rule("grid", (x, frame.top), (x, frame.bottom()));
            canvas.rule("axis", (x, y), (x, y + outward * 4.0));
            canvas.faint((x, y + outward * 13.0), Anchor::Middle, Letter::Small, &label);
        }
        let middle = (frame.left + frame.right()) / 2.0;
        let name = Letter::Small.fit(&self.name, frame.width + 60.0);
        canvas.text((middle, y + outward * 32.0), Anchor::Middle, Letter::Small, &name);
    }

    /// Draws it along the left edge, with lines across the plot and its name above.
    pub(crate) fn draw_left(&self, canvas: &mut Canvas, frame: &Frame) {
        let scale = self.upward(frame);
        canvas.rule("axis", (frame.left, frame.top), (frame.left, frame.bottom()));
        let ticks = (frame.height / 24.0) as usize;
        for tick in scale.ticks(ticks) {
            let y = scale.at(tick);
            canvas.rule("grid", (frame.left, y), (frame.right(), y));
            canvas.faint((frame.left - 6.0, y), Anchor::End, Letter::Small, &self.label(tick));
        }
        let from = frame.left - self.widest(ticks) - 6.0;
        canvas.text(
            (from, frame.top - 14.0),
            Anchor::Start,
            Letter::Small,
            &Letter::Small.fit(&self.name, frame.right() - from),
        );
    }
}
