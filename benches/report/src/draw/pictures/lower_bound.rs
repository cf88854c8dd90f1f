//! What each peer costs over the least that the work has been seen to cost; see [`crate::measure::bound`].

use super::Picture;
use super::throughput::told;
use crate::draw::axis::Axis;
use crate::draw::bars::{self, Bar, Panel, Row};
use crate::draw::number::{Unit, figure};
use crate::draw::palette::Palette;
use crate::draw::scale::Scale;
use crate::measure::{bounds, tables};
use crate::results::{Part, Results};

/// Wall and processor time over the lower bounds.
pub(crate) fn overheads(results: &Results, palette: &Palette) -> Option<Picture> {
    let mut panels: Vec<(String, Vec<Row>)> = Vec::new();
    for table in tables(results, Part::Programs) {
        let Some(bounds) = bounds(&table) else { continue };
        let rows = bounds.overheads.iter().map(|overhead| {
            let (wall, cpu) = (1.0 + overhead.wall, 1.0 + overhead.cpu);
            let bars = [wall, cpu].map(|value| Bar { value, range: None }).to_vec();
            let figure = format!("{} {}", Unit::Times.figure(wall), Unit::Times.figure(cpu));
            Row {
                peer: overhead.peer.clone(),
                look: palette.look(&overhead.peer),
                bars,
                figure,
                tip: String::new(),
            }
        });
        let title =
            format!("{} (1× = {} s, {} CPU s)", table.name(), figure(bounds.wall.0), figure(bounds.cpu.0));
        panels.push((title, rows.filter(|row| row.bars.iter().all(|bar| bar.value.is_finite())).collect()));
    }
    let bars = panels.iter().flat_map(|(_, rows)| rows).flat_map(|row| &row.bars);
    let scale = Scale::close(bars.map(|bar| bar.value).chain([1.0]))?;
    let axis = Axis::new(scale, Unit::Times, "ratio (log scale)");
    let panels: Vec<Panel> = panels
        .into_iter()
        .map(|(title, rows)| Panel { title, axis: axis.clone(), base: 1.0, rows })
        .collect();
    if panels.iter().all(|panel| panel.rows.is_empty()) {
        return None;
    }
    let caption = "After Cai and others (2022): the work itself costs no more than the best peer took, less what that peer spent in pauses. \
         What a peer takes over this bound is the least that its memory management costs, with everything that pauses do not show: \
         barriers, allocation, concurrent marking, page faults. The scale is logarithmic and the same in all panels.";
    let subtitle = "Filled bar and first figure: wall time. Outlined bar and second figure: processor time, with the workers'. Shorter is better.";

    Some(Picture::new(
        "lower-bound",
        "Time over the lower bound",
        subtitle,
        caption,
        &told(&panels),
        |canvas, top| bars::draw(canvas, top, &panels),
    ))
}
