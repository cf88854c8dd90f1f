//! Horizontal bars, in panels of one workload each. Each bar has its peer's name before it and its figure behind it, so that no legend
//! is needed and nothing is told by a colour alone.

use super::axis::{Axis, BELOW, Frame};
use super::canvas::{Anchor, Canvas};
use super::heading::{MARGIN, WIDTH};
use super::palette::Look;
use super::text::Letter;

/// The height of a row.
const ROW: f64 = 19.0;
/// The height of the title of a panel.
const TITLE: f64 = 26.0;

/// A bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) value: f64,
    /// The least and the greatest of the rounds.
    pub(crate) range: Option<(f64, f64)>,
}

/// A peer's bars: the second one is drawn as an outline.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: String,
    pub(crate) look: Look,
    pub(crate) bars: Vec<Bar>,
    /// What stands behind them.
    pub(crate) figure: String,
    /// What else is told to who points at them.
    pub(crate) tip: String,
}

/// A workload.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) axis: Axis,
    /// Where bars begin.
    pub(crate) base: f64,
    pub(crate) rows: Vec<Row>,
}

/// Draws the panels in two columns, and says where they end.
pub(crate) fn draw(canvas: &mut Canvas, top: f64, panels: &[Panel]) -> f64 {
    let rows = || panels.iter().flat_map(|panel| &panel.rows);
    let columns = if panels.len() > 1 { 2 } else { 1 };
    let gap = 28.0;
    let width = (WIDTH - 2.0 * MARGIN - gap * (columns - 1) as f64) / columns as f64;
    let letter = |row: &Row| if row.look.ours() { Letter::Head } else { Letter::Plain };
    let names = rows().map(|row| letter(row).width(&row.peer)).fold(0.0, f64::max).min(width * 0.45) + 8.0;
    let figures =
        rows().map(|row| Letter::Small.width(&row.figure)).fold(0.0, f64::max).min(width * 0.3) + 8.0;
    let mut y = top;
    for pair in panels.chunks(columns) {
        let most = pair.iter().map(|panel| panel.rows.len()).max().unwrap_or(0) as f64;
        for (column, panel) in pair.iter().enumerate() {
            let left = MARGIN + column as f64 * (width + gap);
            canvas.text(
                (left, y + 12.0),
                Anchor::Start,
                Letter::Head,
                &Letter::Head.fit(&panel.title, width),
            );
            let frame = Frame {
                left: left + names,
                top: y + TITLE,
                width: width - names - figures,
                height: panel.rows.len() as f64 * ROW,
            };
            for (number, _) in panel.rows.iter().enumerate().filter(|(_, row)| row.look.ours()) {
                canvas.filled("band", (left - 4.0, frame.top + number as f64 * ROW), (width + 8.0, ROW));
            }
            panel.axis.draw_below(canvas, &frame);
            for (number, row) in panel.rows.iter().enumerate() {
                let middle = frame.top + (number as f64 + 0.5) * ROW;
                canvas.text(
                    (left, middle),
                    Anchor::Start,
                    letter(row),
                    &letter(row).fit(&row.peer, names - 8.0),
                );
                let figure = Letter::Small.fit(&row.figure, figures - 8.0);
                canvas.text((left + width, middle), Anchor::End, Letter::Small, &figure);
                bars(canvas, panel, &frame, row, middle);
            }
            let base = panel.axis.across(&frame).at(panel.base);
            canvas.rule("axis", (base, frame.top), (base, frame.bottom()));
        }
        y += TITLE + most * ROW + BELOW + 8.0;
    }
    y
}

fn bars(canvas: &mut Canvas, panel: &Panel, frame: &Frame, row: &Row, middle: f64) {
    let scale = panel.axis.across(frame);
    let room = ROW - 5.0;
    let height = room / row.bars.len().max(1) as f64;
    for (number, bar) in row.bars.iter().enumerate() {
        let top = middle - room / 2.0 + number as f64 * height;
        let (base, end) = (scale.at(panel.base), scale.at(bar.value));
        // A bar of no length is there all the same.
        let (from, length) = (base.min(end), (base - end).abs().max(1.5));
        let tip = format!("{}: {} {}", row.peer, row.figure, row.tip);
        canvas.bar(row.look.colour, number == 0, (from, top), (length, height), &tip);
        if let Some((low, high)) = bar.range {
            let (low, high, at) = (scale.at(low), scale.at(high), top + height / 2.0);
            canvas.stroke("ink", 1.2, (low, at), (high, at));
            for end in [low, high] {
                canvas.stroke("ink", 1.2, (end, at - 3.5), (end, at + 3.5));
            }
        }
    }
}
