//! How long programs take, beside explicit frees: bars of ratios. A ratio is on a logarithmic scale, where twice as long and half as long
//! are equally far from one.

use super::Picture;
use crate::draw::axis::Axis;
use crate::draw::bars::{self, Bar, Panel, Row};
use crate::draw::number::{Unit, figure};
use crate::draw::palette::Palette;
use crate::draw::scale::Scale;
use crate::measure::{Table, tables};
use crate::results::{Part, Results};

/// The workloads side by side.
pub(crate) fn programs(results: &Results, palette: &Palette) -> Option<Picture> {
    draw(
        "throughput",
        "Time of whole programs",
        "Wall time of each peer over that of malloc with explicit frees; where malloc did not run, over that of the fastest. \
         Shorter and further left is faster.",
        &tables(results, Part::Programs),
        palette,
        true,
    )
}

/// The Lox interpreter's programs.
pub(crate) fn lox(results: &Results, palette: &Palette) -> Option<Picture> {
    let subtitle = "Wall time by how the snapshot is kept, over that of the fastest. Shorter is faster.";
    draw("lox", "Time of Lox programs", subtitle, &tables(results, Part::Lox), palette, false)
}

fn draw(
    name: &str,
    title: &str,
    subtitle: &str,
    tables: &[Table<'_>],
    palette: &Palette,
    malloc: bool,
) -> Option<Picture> {
    let mut panels: Vec<(String, Vec<Row>)> = Vec::new();
    for table in tables {
        let frees = table.of("malloc").filter(|_| malloc).and_then(|group| group.median(|run| run.wall_s));
        let best =
            table.groups.iter().filter_map(|group| group.median(|run| run.wall_s)).filter(|wall| *wall > 0.0);
        let reference = frees.filter(|wall| *wall > 0.0).map(|wall| (wall, "malloc"));
        let Some((one, whose)) =
            reference.or_else(|| best.min_by(f64::total_cmp).map(|wall| (wall, "fastest")))
        else {
            continue;
        };
        let rows: Vec<Row> = table
            .groups
            .iter()
            .filter_map(|group| {
                let wall = group.summary(|run| run.wall_s)?;
                let range = (wall.count > 1).then_some((wall.min / one, wall.max / one));
                let bar = Bar { value: wall.median / one, range };
                let (ratio, tip) = (Unit::Times.figure(bar.value), format!("{} s", figure(wall.median)));
                Some(Row {
                    peer: group.peer.to_owned(),
                    look: palette.look(group.peer),
                    bars: vec![bar],
                    figure: ratio,
                    tip,
                })
            })
            .collect();
        panels.push((format!("{} (1× = {whose}, {} s)", table.name(), figure(one)), rows));
    }
    let bars = panels.iter().flat_map(|(_, rows)| rows).flat_map(|row| &row.bars);
    let values = bars.flat_map(|bar| {
        [
            bar.value,
            bar.range.map_or(bar.value, |range| range.0),
            bar.range.map_or(bar.value, |range| range.1),
        ]
    });
    let scale = Scale::close(values.chain([1.0]))?;
    let axis = Axis::new(scale, Unit::Times, "ratio (log scale)");
    let panels: Vec<Panel> = panels
        .into_iter()
        .map(|(title, rows)| Panel { title, axis: axis.clone(), base: 1.0, rows })
        .collect();
    if panels.is_empty() {
        return None;
    }
    let caption = "Bars begin at 1× and end at the median of the rounds; the thin line goes from the fastest round to the slowest. Where \
         thin lines of two peers overlap, the difference between them is not to be trusted. The scale is logarithmic and the same in \
         all panels.";
    Some(Picture::new(name, title, subtitle, caption, &told(&panels), |canvas, top| {
        bars::draw(canvas, top, &panels)
    }))
}

/// All figures of bars, for who cannot see them.
pub(super) fn told(panels: &[Panel]) -> String {
    let panel = |panel: &Panel| {
        let rows = panel.rows.iter().map(|row| format!("{} {}", row.peer, row.figure));
        format!("{}: {}.", panel.title, rows.collect::<Vec<_>>().join(", "))
    };
    panels.iter().map(panel).collect::<Vec<_>>().join(" ")
}
