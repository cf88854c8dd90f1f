//! What each peer costs over the least that the work has been seen to cost; see [`crate::measure::bound`].

use super::Picture;
use super::throughput::told;
use crate::draw::axis::Axis;
use crate::draw::bars::{self, Bar, Panel, Row};
use crate::draw::number::{Unit, figure};
use crate::draw::palette::Palette;
use crate::draw::scale::{Kind, Scale};
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
            Row { peer: overhead.peer.clone(), look: palette.look(&overhead.peer), bars, figure }
        });
        let title =
            format!("{} (1× = {} s, {} CPU s)", table.name(), figure(bounds.wall.0), figure(bounds.cpu.0));
        panels.push((title, rows.filter(|row| row.bars.iter().all(|bar| bar.value.is_finite())).collect()));
    }
    let bars = panels.iter().flat_map(|(_, rows)| rows).flat_map(|row| &row.bars);
    let scale = Scale::around(Kind::Log, bars.map(|bar| bar.value).chain([1.0]))?;
    let axis = Axis::new(scale, Unit::Times, "time over the lower bound (log scale)");
    let panels: Vec<Panel> = panels
        .into_iter()
        .map(|(title, rows)| Panel { title, axis: axis.clone(), base: 1.0, rows })
        .collect();
    if panels.iter().all(|panel| panel.rows.is_empty()) {
        return None;
    }
    let caption = "After Cai and others (2022): the work itself costs no more than the best peer took, less what that peer spent in pauses. \
         What a peer takes over this bound is the least that its memory management costs, with everything that pauses do not show: \
         barriers, allocation, concurrent marking, page faults. The filled bar and the first figure are wall time, the outline and the \
         second figure are processor time, with that of all threads and worker processes.";
    let subtitle = "Filled: wall time. Outlined: processor time, workers included. Shorter is better; nobody can be left of 1× by much.";
    let subtitle =
        if panels.len() == 1 { subtitle.to_owned() } else { format!("{subtitle} One scale for all panels.") };
    Some(Picture::new(
        "lower-bound",
        "Time over the lower bound",
        &subtitle,
        caption,
        &told(&panels),
        |canvas, top| bars::draw(canvas, top, &panels),
    ))
}
