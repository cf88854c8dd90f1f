//! Histograms of pauses: a strip for each peer, one above the other on one logarithmic axis, so that they are compared by eye.

use super::Picture;
use crate::draw::axis::{Axis, BELOW, Frame};
use crate::draw::canvas::{Anchor, Canvas};
use crate::draw::heading::{MARGIN, WIDTH};
use crate::draw::number::{Unit, figure};
use crate::draw::palette::Palette;
use crate::draw::scale::{Kind, Scale};
use crate::draw::text::Letter;
use crate::measure::{Table, quantile, tables};
use crate::results::{Part, Results};

/// How many buckets there are for each tenfold.
const EACH_DECADE: f64 = 8.0;
/// The height of a strip.
const STRIP: f64 = 46.0;

/// What stands beside a strip.
const COLUMNS: [&str; 4] = ["pauses", "50%, ms", "99%, ms", "longest, ms"];
/// The widths of these.
const WIDTHS: [f64; 4] = [58.0, 62.0, 62.0, 84.0];

/// The pauses of a peer.
struct Strip {
    peer: String,
    /// Ascending.
    pauses: Vec<f64>,
    /// Bucket, and the share of the pauses that are in it.
    shares: Vec<(i32, f64)>,

    /// Under [`COLUMNS`].
    figures: [String; 4],
}

/// A picture for each workload that somebody paused in.
pub(crate) fn pauses(results: &Results, palette: &Palette) -> Vec<Picture> {
    let tables = tables(results, Part::Programs);
    let mut pictures: Vec<Picture> = Vec::new();
    for table in &tables {
        let Some(picture) = histogram(table, palette) else { continue };
        let taken = pictures.iter().filter(|earlier| earlier.name.starts_with(&picture.name)).count();
        // The same workload with other sizes.
        let name = if taken > 0 { format!("{}-{}", picture.name, taken + 1) } else { picture.name.clone() };
        pictures.push(Picture { name, ..picture });
    }
    pictures
}

fn histogram(table: &Table<'_>, palette: &Palette) -> Option<Picture> {
    let samples: Vec<(&str, Vec<f64>)> = table
        .groups
        .iter()
        .map(|group| (group.peer, group.pauses()))
        .filter(|(_, pauses)| !pauses.is_empty())
        .collect();
    let scale = Scale::around(Kind::Log, samples.iter().flat_map(|(_, pauses)| pauses.iter().copied()))?;
    let strips: Vec<Strip> =
        samples.into_iter().map(|(peer, pauses)| strip_of(peer, pauses, &scale)).collect();
    let most = strips.iter().flat_map(|strip| &strip.shares).map(|(_, share)| *share).fold(0.0, f64::max);
    let desc: Vec<String> = strips.iter().map(Strip::told).collect();
    let caption = "Each strip has all pauses of one peer, of all rounds. What stands further left is shorter; a long tail to the right is what \
         a percentile hides. The dark line is the median, and the mark the longest pause.";
    let title = format!("Pauses in {}", table.name());
    let subtitle = format!(
        "Share of each peer's pauses by their length; the tallest bar is {} of them. Further left is better.",
        Unit::Share.figure(most)
    );
    let name: String = table.workload.chars().filter(char::is_ascii_alphanumeric).collect();
    Some(Picture::new(
        &format!("pauses-{}", name.to_lowercase()),
        &title,
        &subtitle,
        caption,
        &desc.join(" "),
        |canvas, top| draw(canvas, top, &strips, scale, most, palette),
    ))
}

impl Strip {
    /// Its figures in a sentence.
    fn told(&self) -> String {
        let figures = COLUMNS.iter().zip(&self.figures).map(|(column, figure)| format!("{column} {figure}"));
        format!("{}: {}.", self.peer, figures.collect::<Vec<_>>().join(", "))
    }
}

fn strip_of(peer: &str, pauses: Vec<f64>, scale: &Scale) -> Strip {
    let lowest = scale.zero().unwrap_or(f64::MIN_POSITIVE);
    let mut shares: Vec<(i32, f64)> = Vec::new();
    for pause in &pauses {
        let bucket = (pause.max(lowest).log10() * EACH_DECADE + 1e-9).floor() as i32;
        match shares.last_mut() {
            Some((last, count)) if *last == bucket => *count += 1.0,
            _ => shares.push((bucket, 1.0)),
        }
    }
    for (_, share) in &mut shares {
        *share /= pauses.len() as f64;
    }
    let at = |q: f64| figure(quantile(&pauses, q).unwrap_or(0.0));
    let count = pauses.len();
    let figures = [count.to_string(), at(0.5), at(0.99), at(1.0)];
    Strip { peer: peer.to_owned(), pauses, shares, figures }
}

fn draw(canvas: &mut Canvas, top: f64, strips: &[Strip], scale: Scale, most: f64, palette: &Palette) -> f64 {
    let names =
        strips.iter().map(|strip| Letter::Head.width(&strip.peer)).fold(0.0, f64::max).min(230.0) + 14.0;
    let figures: f64 = WIDTHS.iter().sum();
    let top = top + 22.0;
    let frame = Frame {
        left: MARGIN + names,
        top,
        width: WIDTH - 2.0 * MARGIN - names - figures,
        height: strips.len() as f64 * STRIP,
    };
    let axis = Axis::new(scale, Unit::Plain, "pause, ms (log scale)");
    axis.draw_below(canvas, &frame);
    let x = scale.onto(frame.left, frame.right());
    for (number, strip) in strips.iter().enumerate() {
        let look = palette.look(&strip.peer);
        let ground = top + (number as f64 + 1.0) * STRIP;
        canvas.rule("axis", (frame.left, ground), (frame.right(), ground));
        for (bucket, share) in &strip.shares {
            let edge = |bucket: i32| x.at(10f64.powf(f64::from(bucket) / EACH_DECADE));
            let (from, to, height) =
                (edge(*bucket), edge(bucket + 1), (share / most * (STRIP - 8.0)).max(1.0));
            let tip = format!("{}: {}", strip.peer, Unit::Share.figure(*share));
            canvas.bar(
                look.colour,
                true,
                (from, ground - height),
                ((to - from - 1.0).max(1.0), height),
                &tip,
            );
        }
        let at = |q: f64| x.at(quantile(&strip.pauses, q).unwrap_or(0.0));
        canvas.stroke("ink", 2.0, (at(0.5), ground - STRIP + 6.0), (at(0.5), ground + 3.0));
        look.mark(canvas, (at(1.0), ground), "longest");
        let letter = if look.ours() { Letter::Head } else { Letter::Plain };
        canvas.text(
            (MARGIN, ground - STRIP / 2.0),
            Anchor::Start,
            letter,
            &letter.fit(&strip.peer, names - 14.0),
        );
        columns(canvas, &frame, ground - STRIP / 2.0, strip.figures.each_ref().map(String::as_str));
    }
    columns(canvas, &frame, top - 14.0, COLUMNS);
    frame.bottom() + BELOW
}

/// A row of texts under each other's columns, right of the strips.
fn columns(canvas: &mut Canvas, frame: &Frame, y: f64, texts: [&str; 4]) {
    let mut x = frame.right();
    for (text, width) in texts.into_iter().zip(WIDTHS) {
        x += width;
        canvas.faint((x, y), Anchor::End, Letter::Small, &Letter::Small.fit(text, width - 4.0));
    }
}
