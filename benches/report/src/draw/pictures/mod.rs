//! One file for each picture, and what they have in common.

mod histogram;
mod latency;
mod live_heap;
mod lower_bound;
mod memory;
mod mutation;
mod threads;
mod throughput;
mod timeline;
mod utilisation;

use super::canvas::Canvas;
use super::error::Error;
use super::heading::{WIDTH, heading};
use super::lines::{Point, Series};
use super::number::Unit;
use super::palette::Palette;
use crate::measure::{Group, Table, tables};
use crate::results::{Part, Results};

/// A picture, drawn.
#[derive(Debug)]
pub(crate) struct Picture {
    /// The name of its file, and of its place in the page.
    pub(crate) name: String,
    pub(crate) title: String,
    /// How to read it.
    pub(crate) caption: String,
    /// What there is to see, for who cannot.
    pub(crate) desc: String,
    canvas: Canvas,
    height: f64,
}

impl Picture {
    /// Draws one: `draw` gets the place below the heading, and says where it has ended.
    fn new(
        name: &str,
        title: &str,
        subtitle: &str,
        caption: &str,
        desc: &str,
        draw: impl FnOnce(&mut Canvas, f64) -> f64,
    ) -> Self {
        let mut canvas = Canvas::new();
        let top = heading(&mut canvas, title, subtitle);
        let height = draw(&mut canvas, top) + 12.0;
        let [name, title, caption, desc] = [name, title, caption, desc].map(str::to_owned);
        Self { name, title, caption, desc, canvas, height }
    }

    /// The SVG; with a style of its own if it is to be a file.
    pub(crate) fn svg(self, own_style: bool) -> Result<String, Error> {
        self.canvas.finish(&self.name, &self.title, &self.desc, (WIDTH, self.height), own_style)
    }
}

/// All pictures for which there is something to draw, in the order of the page.
pub(crate) fn all(results: &Results) -> Vec<Picture> {
    let palette = Palette::of(results);
    let mut pictures = Vec::new();
    pictures.extend(live_heap::pauses(results, &palette));
    pictures.extend(throughput::programs(results, &palette));
    pictures.extend(lower_bound::overheads(results, &palette));
    pictures.extend(memory::peaks(results, &palette));
    pictures.extend(histogram::pauses(results, &palette));
    pictures.extend(utilisation::curves(results, &palette));
    pictures.extend(latency::percentiles(results, &palette));
    pictures.extend(live_heap::walls(results, &palette));
    pictures.extend(mutation::walls(results, &palette));
    pictures.extend(threads::walls(results, &palette));
    pictures.extend(throughput::lox(results, &palette));
    pictures.extend(timeline::cycle(results));
    pictures
}

/// The workloads of a scaling part, each with its tables from the least `x` on.
fn scaling(results: &Results, part: Part) -> Vec<(String, Vec<Table<'_>>)> {
    let mut workloads: Vec<(String, Vec<Table<'_>>)> = Vec::new();
    for table in tables(results, part).into_iter().filter(|table| table.x.is_finite()) {
        match workloads.iter().position(|(workload, _)| workload == table.workload) {
            Some(known) => workloads[known].1.push(table),
            None => workloads.push((table.workload.to_owned(), vec![table])),
        }
    }
    // Tables are in the order of `x`, and which workload has the least is chance.
    workloads.sort_by(|a, b| a.0.cmp(&b.0));
    workloads
}

/// A curve for each peer, with the points that `point` gives: height and thin line.
fn curves(
    tables: &[Table<'_>],
    palette: &Palette,
    units: (Unit, &str),
    point: impl Fn(&Group<'_>) -> Option<(f64, Option<(f64, f64)>)>,
) -> Vec<Series> {
    let series = palette.peers().into_iter().map(|peer| {
        let points = tables.iter().filter_map(|table| {
            let (y, range) = point(table.of(peer)?)?;
            let to =
                range.map_or_else(String::new, |(_, high)| format!(", up to {}", Unit::Plain.figure(high)));
            let tip = format!("{peer}, {}: {}{to} {}", units.0.tick(table.x), Unit::Plain.figure(y), units.1);
            Some(Point { x: table.x, y, range, tip })
        });
        Series { name: peer.to_owned(), look: palette.look(peer), points: points.collect(), marks: 1 }
    });
    series.filter(|series| !series.points.is_empty()).collect()
}

/// All heights of curves, with the ends of their thin lines.
fn heights(series: &[Series]) -> Vec<f64> {
    let points = series.iter().flat_map(|series| &series.points);
    points
        .flat_map(|point| [Some(point.y), point.range.map(|range| range.0), point.range.map(|range| range.1)])
        .flatten()
        .collect()
}

/// What a curve does, in a sentence: where it begins and where it ends.
fn told(series: &[Series], x: Unit, y: &str) -> String {
    let ends = series.iter().filter_map(|series| {
        let (first, last) = (series.points.first()?, series.points.last()?);
        let at = |point: &Point| format!("{} {y} at {}", Unit::Plain.figure(point.y), x.tick(point.x));
        Some(if first.x == last.x {
            format!("{}: {}.", series.name, at(first))
        } else {
            format!("{}: {}, {}.", series.name, at(first), at(last))
        })
    });
    ends.collect::<Vec<_>>().join(" ")
}

/// The wall time of a group: the median, and the least and the greatest.
fn wall(group: &Group<'_>) -> Option<(f64, Option<(f64, f64)>)> {
    let wall = group.summary(|run| run.wall_s)?;
    Some((wall.median, (wall.count > 1).then_some((wall.min, wall.max))))
}
