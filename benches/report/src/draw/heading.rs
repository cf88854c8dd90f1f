//! What stands above and below every picture.

use super::canvas::{Anchor, Canvas};
use super::text::Letter;

/// How wide pictures are.
pub(crate) const WIDTH: f64 = 920.0;
/// How much is kept free at each side.
pub(crate) const MARGIN: f64 = 16.0;

/// Writes the title and what is to be known before reading, and says where the picture may begin.
pub(crate) fn heading(canvas: &mut Canvas, title: &str, subtitle: &str) -> f64 {
    let room = WIDTH - 2.0 * MARGIN;
    canvas.text((MARGIN, 22.0), Anchor::Start, Letter::Title, &Letter::Title.fit(title, room));
    paragraph(canvas, 36.0, subtitle) + 8.0
}

/// Writes lines of small print, and says where they end.
pub(crate) fn paragraph(canvas: &mut Canvas, top: f64, text: &str) -> f64 {
    let mut y = top;
    for line in Letter::Plain.wrap(text, WIDTH - 2.0 * MARGIN) {
        canvas.faint((MARGIN, y + 9.0), Anchor::Start, Letter::Plain, &line);
        y += 18.0;
    }
    y
}
