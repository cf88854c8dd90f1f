//! What grows with the live heap: the picture that explains the project, and its price.
//!
//! A collector that marks or copies page tables in its pauses has a line that rises with the heap; one whose pause arms and forks has
//! a flat one.

use super::{Picture, curves, heights, scaling, told, wall};
use crate::draw::axis::Axis;
use crate::draw::lines::{self, Panel, Series};
use crate::draw::number::Unit;
use crate::draw::palette::Palette;
use crate::draw::scale::{Kind, Scale};
use crate::results::{Part, Results};

/// Pauses against live heap.
pub(crate) fn pauses(results: &Results, palette: &Palette) -> Option<Picture> {
    let panels = panels(results, "pause, ms (log scale)", |tables| {
        curves(tables, palette, (Unit::Mib, "ms"), |group| {
            let longest = group.pause(1.0)?;
            let median = group.pause(0.5)?;
            Some((median, (longest > median).then_some((median, longest))))
        })
    });
    draw(
        panels,
        "pauses-by-heap",
        "Pause against live heap",
        "Median of all pauses (marks), and the longest one (cap of the thin line). Lower is better, and flat is the point.",
        "Both axes are logarithmic: a line that rises by one square for each square to the right is a pause in proportion to the heap. \
         What keeps the pages' old contents by arming and forking does not depend on the heap; what copies page tables (forkcow) or \
         marks in the pause (stw) does. Each mark is the median of the pauses of all rounds; the cap above it is the longest pause.",
        "ms",
    )
}

/// Wall time against live heap.
pub(crate) fn walls(results: &Results, palette: &Palette) -> Option<Picture> {
    let panels =
        panels(results, "wall time, s (log scale)", |tables| curves(tables, palette, (Unit::Mib, "s"), wall));
    draw(
        panels,
        "wall-by-heap",
        "Time against live heap",
        "Median of the rounds, with the fastest and the slowest. Lower is better.",
        "The price of short pauses: the same work on the same heaps, in seconds. The work itself grows with the heap, so curves are to \
         be compared with each other at the same heap, not along themselves.",
        "s",
    )
}

fn panels(
    results: &Results,
    y: &str,
    curves: impl Fn(&[crate::measure::Table<'_>]) -> Vec<Series>,
) -> Vec<Panel> {
    let workloads = scaling(results, Part::LiveHeap);
    let alone = workloads.len() == 1;
    let plots = workloads.into_iter().filter_map(|(workload, tables)| {
        let series = curves(&tables);
        let across = series.iter().flat_map(|series| series.points.iter().map(|point| point.x));
        let x = Axis::new(Scale::around(Kind::Doubling, across)?, Unit::Mib, "live heap (log scale)");
        let y = Axis::new(Scale::around(Kind::Log, heights(&series))?, Unit::Plain, y);
        Some(Panel { title: if alone { String::new() } else { workload }, x, y, series })
    });
    plots.collect()
}

fn draw(
    panels: Vec<Panel>,
    name: &str,
    title: &str,
    subtitle: &str,
    caption: &str,
    unit: &str,
) -> Option<Picture> {
    if panels.is_empty() {
        return None;
    }
    let desc: Vec<String> = panels.iter().map(|panel| told(&panel.series, Unit::Mib, unit)).collect();
    Some(Picture::new(name, title, subtitle, caption, &desc.join(" "), |canvas, top| {
        lines::draw(canvas, top, 470.0, &panels)
    }))
}
