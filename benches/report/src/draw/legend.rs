//! The key to a picture: beside it or beneath it, never in it.

use super::canvas::{Anchor, Canvas};
use super::palette::Look;
use super::text::Letter;

/// The height of a line of it.
const LINE: f64 = 20.0;
/// The width of the sample before a name.
const SAMPLE: f64 = 36.0;

/// An entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) look: Look,
}

fn letter(look: &Look) -> Letter {
    if look.ours() { Letter::Head } else { Letter::Plain }
}

fn entry(canvas: &mut Canvas, (x, y): (f64, f64), room: f64, entry: &Entry) {
    let Entry { name, look } = entry;
    canvas.path(look.colour, look.weight, look.dash, &[(x, y), (x + SAMPLE - 8.0, y)]);
    look.mark(canvas, (x + (SAMPLE - 8.0) / 2.0, y), name);
    let letter = letter(look);
    canvas.text((x + SAMPLE, y), Anchor::Start, letter, &letter.fit(name, room - SAMPLE));
}

/// How wide a column of these names has to be, up to `most`.
pub(crate) fn column_width(entries: &[Entry], most: f64) -> f64 {
    entries
        .iter()
        .map(|entry| SAMPLE + letter(&entry.look).width(&entry.name) + 4.0)
        .fold(0.0, f64::max)
        .min(most)
}

/// Draws them one below the other, and says how high they are.
pub(crate) fn column(canvas: &mut Canvas, (x, y): (f64, f64), width: f64, entries: &[Entry]) -> f64 {
    for (number, item) in entries.iter().enumerate() {
        entry(canvas, (x, y + (number as f64 + 0.5) * LINE), width, item);
    }
    entries.len() as f64 * LINE
}

/// Draws them in rows of equal columns, and says how high they are.
pub(crate) fn rows(canvas: &mut Canvas, (x, y): (f64, f64), width: f64, entries: &[Entry]) -> f64 {
    let column = column_width(entries, width) + 18.0;
    let columns = ((width + 18.0) / column).floor().max(1.0) as usize;
    // As few rows as there are, evenly filled.
    let rows = entries.len().div_ceil(columns);
    let columns = entries.len().div_ceil(rows.max(1)).max(1);
    for (number, item) in entries.iter().enumerate() {
        let (right, down) = ((number % columns) as f64, (number / columns) as f64);
        entry(canvas, (x + right * column, y + (down + 0.5) * LINE), column - 18.0, item);
    }
    rows as f64 * LINE
}
