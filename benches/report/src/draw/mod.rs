//! The pictures of a report, and the page that has all of them.
//!
//! A picture is drawn from [`Results`] alone; the same results give the same bytes. What was not measured is not drawn: a peer that
//! is missing leaves no gap, and a picture without any data is left out. What every picture keeps to:
//!
//! * axes have a name, a unit, and plain numbers at their ticks; whatever spans powers of ten is on a logarithmic scale, and says so;
//! * a peer has one colour, mark and dash in all pictures, and is never told by its colour alone (`palette`);
//! * no text lies on another or outside: widths are estimated for a wide font (`text`), and a test checks all of them;
//! * a picture is readable alone, in a light and in a dark page, and tells who cannot see it what there is to see.
//!
//! `scale`, `number` and `text` compute, `canvas` writes the SVG, `axis`, `legend`, `lines` and `bars` are made of these, and each file
//! in `pictures` is one picture.

mod axis;
mod bars;
mod canvas;
mod error;
mod heading;
mod legend;
mod lines;
mod number;
mod page;
mod palette;
mod pictures;
mod scale;
mod text;

pub use error::Error;

use crate::results::Results;

/// All pictures for which there is something to draw: the name of a file, and the SVG that goes into it.
///
/// # Errors
///
/// [`Error::NotANumber`] if a picture would have a coordinate that is none. No results lead to that: it would be a mistake in here.
pub fn pictures(results: &Results) -> Result<Vec<(String, String)>, Error> {
    let pictures = pictures::all(results);
    pictures.into_iter().map(|picture| Ok((format!("{}.svg", picture.name), picture.svg(true)?))).collect()
}

/// The report as one page of HTML that needs nothing else: no script, no font, no network.
///
/// # Errors
///
/// Those of [`pictures`].
pub fn page(results: &Results) -> Result<String, Error> {
    page::page(results)
}
