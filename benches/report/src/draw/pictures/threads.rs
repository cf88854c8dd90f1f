//! How programs scale over threads, beside what they would take if nothing were shared.

use super::{Picture, curves, heights, scaling, told, wall};
use crate::draw::axis::Axis;
use crate::draw::lines::{self, Panel, Point, Series};
use crate::draw::number::Unit;
use crate::draw::palette::{Look, Mark, Palette};
use crate::draw::scale::{Kind, Scale};
use crate::results::{Part, Results};

/// The workloads in which each thread brings its own work: their ideal is a level line, and not one that falls.
const WORK_GROWS: [&str; 1] = ["larson"];

/// Wall time against threads.
pub(crate) fn walls(results: &Results, palette: &Palette) -> Option<Picture> {
    let workloads = scaling(results, Part::Threads);
    let mut desc = Vec::new();
    let panels: Vec<Panel> = workloads
        .iter()
        .filter_map(|(workload, tables)| {
            let mut series = curves(tables, palette, (Unit::Plain, "s"), wall);
            desc.push(format!("{workload}: {}", told(&series, Unit::Plain, "s with threads")));
            let grows = WORK_GROWS.contains(&workload.as_str());
            series.extend(ideal(&series, grows));
            let across = series.iter().flat_map(|series| series.points.iter().map(|point| point.x));
            let x = Axis::new(Scale::around(Kind::Doubling, across)?, Unit::Plain, "threads (log scale)");
            let y = Axis::new(
                Scale::around(Kind::Log, heights(&series))?,
                Unit::Plain,
                "wall time, s (log scale)",
            );
            let what = if grows { "work grows with the threads" } else { "work is shared out" };
            Some(Panel { title: format!("{workload}: {what}"), x, y, series })
        })
        .collect();
    if panels.is_empty() {
        return None;
    }
    let caption = "The broad pale line is what our one-thread run would take if every thread had a processor and threads had nothing to do with \
         each other: it falls where the same work is shared out, and is level where each thread brings its own. With more threads than \
         processors nobody can follow it. Compare slopes: a peer whose curve bends up before the others do has threads that wait for each \
         other.";
    let subtitle = "Median of the rounds, with the fastest and the slowest. Lower is better.";
    Some(Picture::new(
        "threads",
        "Time against threads",
        subtitle,
        caption,
        &desc.join(" "),
        |canvas, top| lines::draw(canvas, top, 380.0, &panels),
    ))
}

/// Ours on the fewest threads, if more of them cost nothing.
fn ideal(series: &[Series], grows: bool) -> Option<Series> {
    let ours = series.iter().find(|series| series.look.ours()).or(series.first())?;
    let first = ours.points.first().filter(|first| first.x > 0.0)?;
    let points = ours.points.iter().map(|point| {
        let y = if grows { first.y } else { first.y * first.x / point.x };
        Point { x: point.x, y, range: None, tip: String::new() }
    });
    let points: Vec<Point> = points.collect();
    let look = Look { colour: "pale", mark: Mark::Nothing, solid: true, dash: "", weight: 6.0 };
    (points.len() > 1).then(|| Series { name: "ideal".to_owned(), look, points, marks: usize::MAX })
}
