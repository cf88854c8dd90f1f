//! Minimum mutator utilisation; see [`crate::measure::mmu`](mod@crate::measure::mmu).

use super::Picture;
use crate::draw::axis::Axis;
use crate::draw::lines::{self, Panel, Point, Series};
use crate::draw::number::{Unit, figure};
use crate::draw::palette::Palette;
use crate::draw::scale::{Kind, Scale};
use crate::measure::{Group, tables};
use crate::results::{Part, Results};

/// How many windows are looked at for each tenfold of their length.
const EACH_DECADE: i32 = 16;

/// A curve for each peer that paused, on each workload.
pub(crate) fn curves(results: &Results, palette: &Palette) -> Option<Picture> {
    let tables = tables(results, Part::Programs);
    let mut plots: Vec<(String, Vec<Series>)> = Vec::new();
    for table in &tables {
        let series = table.groups.iter().filter_map(|group| {
            let points = curve(group)?;
            Some(Series {
                name: group.peer.to_owned(),
                look: palette.look(group.peer),
                points,
                marks: EACH_DECADE as usize,
            })
        });
        let series: Vec<Series> = series.collect();
        if !series.is_empty() {
            plots.push((table.name(), series));
        }
    }
    let across = plots
        .iter()
        .flat_map(|(_, series)| series)
        .flat_map(|series| series.points.iter().map(|point| point.x));
    let x = Axis::new(Scale::close(across)?, Unit::Plain, "window, ms (log scale)");
    let y = Axis::new(Scale::between(Kind::Linear, 0.0, 1.0), Unit::Share, "least share left to the program");
    let desc: Vec<String> = plots.iter().map(|(title, series)| told(title, series)).collect();
    let panels: Vec<Panel> = plots
        .into_iter()
        .map(|(title, series)| Panel { title, x: x.clone(), y: y.clone(), series })
        .collect();
    let caption = "For a window of each length: of all such windows in a run, the one in which the program had the least time for itself \
         (Cheng and Blelloch 2001). A curve leaves zero at the longest pause and ends at the share that pauses left of the whole run. A \
         curve that is further left and higher is better. It counts stopped time only: traps and marking that shares a processor with \
         the program are not in it, see the latencies for these. Who never paused has no curve.";
    let subtitle =
        "Minimum mutator utilisation: the worst window of each length, over all rounds. Higher is better.";
    Some(Picture::new(
        "mmu",
        "What pauses leave to the program",
        subtitle,
        caption,
        &desc.join(" "),
        |canvas, top| lines::draw(canvas, top, 320.0, &panels),
    ))
}

/// From windows a little shorter than the longest pause (zero up to there) to the whole run.
fn curve(group: &Group<'_>) -> Option<Vec<Point>> {
    let longest = group.pause(1.0).filter(|longest| *longest > 0.0)?;
    let wall = group.median(|run| run.wall_s * 1e3).filter(|wall| *wall > longest)?;
    let step = |window: f64| (window.log10() * f64::from(EACH_DECADE)).round() as i32;
    let windows: Vec<f64> = (step(longest) - 1..=step(wall))
        .map(|step| 10f64.powf(f64::from(step) / f64::from(EACH_DECADE)))
        .collect();
    let point = |(window, share): (&f64, f64)| {
        let tip = format!("{}, {} ms: {}", group.peer, figure(*window), Unit::Share.figure(share));
        Point { x: *window, y: share, range: None, tip }
    };
    Some(windows.iter().zip(group.mmu(&windows)?).map(point).collect())
}

fn told(title: &str, series: &[Series]) -> String {
    let curve = |series: &Series| {
        let leaves = series.points.iter().find(|point| point.y > 0.0)?;
        let whole = series.points.last()?;
        Some(format!(
            "{} leaves zero at {} ms and ends at {}",
            series.name,
            figure(leaves.x),
            Unit::Share.figure(whole.y)
        ))
    };
    format!("{title}: {}.", series.iter().filter_map(curve).collect::<Vec<_>>().join(", "))
}
