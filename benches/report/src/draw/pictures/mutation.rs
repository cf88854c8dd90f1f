//! What a program pays for writing to old objects: where each first write to a page is a trap, or a card is marked, or nothing is.

use super::{Picture, curves, heights, scaling, told, wall};
use crate::draw::axis::Axis;
use crate::draw::lines::{self, Panel};
use crate::draw::number::Unit;
use crate::draw::palette::Palette;
use crate::draw::scale::{Kind, Scale};
use crate::results::{Part, Results};

/// Wall time against mutation rate.
pub(crate) fn walls(results: &Results, palette: &Palette) -> Option<Picture> {
    let workloads = scaling(results, Part::MutationRate);
    let alone = workloads.len() == 1;
    let panels: Vec<Panel> = workloads
        .iter()
        .filter_map(|(workload, tables)| {
            let series = curves(tables, palette, (Unit::Plain, "s"), wall);
            let across = series.iter().flat_map(|series| series.points.iter().map(|point| point.x));
            let x = Scale::around(Kind::Log, across)?;
            let x = Axis::new(
                x,
                Unit::Plain,
                "operations of 1000 that also write to a random old object (log scale)",
            );
            let y = Axis::new(
                Scale::around(Kind::Log, heights(&series))?,
                Unit::Plain,
                "wall time, s (log scale)",
            );
            Some(Panel { title: if alone { String::new() } else { workload.clone() }, x, y, series })
        })
        .collect();
    if panels.is_empty() {
        return None;
    }
    let desc: Vec<String> = panels.iter().map(|panel| told(&panel.series, Unit::Plain, "s")).collect();
    let caption = "Left, a program that leaves its old objects alone; right, one whose every operation stores into one of them, each likely \
         on another page. A page-table barrier is free on the left and costs a trap for each page and cycle on the right; the slope is \
         its price. Nothing stands between 0 and the least rate: a logarithmic axis has no zero, and the first tick is a place for it.";
    let subtitle = "Median of the rounds, with the fastest and the slowest. Lower is better.";
    Some(Picture::new(
        "mutation-rate",
        "Time against mutation rate",
        subtitle,
        caption,
        &desc.join(" "),
        |canvas, top| lines::draw(canvas, top, 430.0, &panels),
    ))
}
