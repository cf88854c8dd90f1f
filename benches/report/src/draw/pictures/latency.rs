//! Latencies of operations by percentile: where a curve bends up is how often the collector is in the way, and how far is how much.
//!
//! The horizontal axis gives each further nine the same room, since what happens once in ten thousand operations is what is
//! looked for. Who asks for ten thousand things a minute meets it every minute.

use super::Picture;
use crate::draw::axis::Axis;
use crate::draw::lines::{self, Panel, Point, Series};
use crate::draw::number::{Unit, figure};
use crate::draw::palette::Palette;
use crate::draw::scale::{Kind, Scale};
use crate::measure::{Table, tables};
use crate::results::{Part, Results};

/// The latencies of a peer: shares of operations, ascending, each with its latency; 1 for the longest.
struct Curve {
    peer: String,
    points: Vec<(f64, f64)>,
}

/// The curves of a workload.
struct Plot {
    title: String,
    curves: Vec<Curve>,
}

/// What stands before the names of latencies of the service alone.
const SERVICE: &str = "service ";

/// Latency percentiles of all workloads that time their operations.
pub(crate) fn percentiles(results: &Results, palette: &Palette) -> Option<Picture> {
    let tables = tables(results, Part::Programs);
    let mut plots: Vec<Plot> = Vec::new();
    for table in &tables {
        let name = table.name();
        let service = curves(table, palette, SERVICE);
        // What is most important first: a title that is too long loses its end.
        let metered = format!("{} from arrival: {}", table.workload, table.params);
        let title = if service.is_empty() { name } else { metered };
        plots.push(Plot { title, curves: curves(table, palette, "") });
        let title = format!("{} service alone: {}", table.workload, table.params);
        plots.push(Plot { title, curves: service });
    }
    plots.retain(|plot| !plot.curves.is_empty());
    let points = || plots.iter().flat_map(|plot| &plot.curves).flat_map(|curve| &curve.points);
    // The greatest stands one nine beyond the last percentile: where on such an axis it belongs depends on the number of operations.
    let last = points().map(|point| point.0).filter(|share| *share < 1.0).fold(0.5, f64::max);
    let end = 1.0 - (1.0 - last) / 10.0;
    let x = Scale::between(Kind::Nines, points().map(|point| point.0).fold(0.9, f64::min), end);
    let mut x = Axis::new(x, Unit::Share, "percentile of operations");
    x.named = Some((end, "longest"));
    let y = Axis::new(
        Scale::around(Kind::Log, points().map(|point| point.1))?,
        Unit::Plain,
        "latency, ms (log scale)",
    );
    let panel = |plot: &Plot| {
        let series = plot.curves.iter().map(|Curve { peer, points }| {
            let points = points.iter().map(|(share, latency)| {
                let which = if *share < 1.0 { Unit::Share.tick(*share) } else { "longest".to_owned() };
                Point {
                    x: share.min(end),
                    y: *latency,
                    range: None,
                    tip: format!("{peer}, {which}: {} ms", figure(*latency)),
                }
            });
            Series { name: peer.clone(), look: palette.look(peer), points: points.collect(), marks: 1 }
        });
        Panel { title: plot.title.clone(), x: x.clone(), y: y.clone(), series: series.collect() }
    };
    let panels: Vec<Panel> = plots.iter().map(panel).collect();
    let caption = "Read a curve from the left: half of all operations are faster than its first mark, 99.9% are faster than the mark over \
         99.9%, and the last mark is the longest operation of all rounds. Latency from the scheduled arrival includes the time that a \
         request waited because earlier ones were late (no coordinated omission); that of the service alone does not, and looks better \
         than what a client sees.";
    let subtitle =
        "Medians of the rounds for each percentile; the longest of all rounds at the right. Lower is better.";
    Some(Picture::new("latency", "Latency of operations", subtitle, caption, &told(&plots), |canvas, top| {
        lines::draw(canvas, top, 350.0, &panels)
    }))
}

/// A curve for each peer that has latencies whose names begin so.
fn curves(table: &Table<'_>, palette: &Palette, before: &str) -> Vec<Curve> {
    let curve = |peer: &str| {
        let group = table.of(peer)?;
        let mut names: Vec<&str> =
            group.runs.iter().flat_map(|run| run.latency_ms.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let point = |name: &&str| Some((share(name.strip_prefix(before)?)?, group.latency(name)?));
        let mut points: Vec<(f64, f64)> = names.iter().filter_map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        (!points.is_empty()).then(|| Curve { peer: peer.to_owned(), points })
    };
    palette.peers().into_iter().filter_map(curve).collect()
}

/// The share of operations that a name of a latency stands for.
fn share(name: &str) -> Option<f64> {
    if name == "max" {
        return Some(1.0);
    }
    let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
    (0.0..100.0).contains(&percent).then_some(percent / 100.0)
}

fn told(plots: &[Plot]) -> String {
    let curve = |curve: &Curve| {
        let (first, last) = (curve.points.first()?, curve.points.last()?);
        Some(format!("{} from {} to {} ms", curve.peer, figure(first.1), figure(last.1)))
    };
    let plot = |plot: &Plot| {
        format!("{}: {}.", plot.title, plot.curves.iter().filter_map(curve).collect::<Vec<_>>().join(", "))
    };
    plots.iter().map(plot).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn names_are_shares() {
        assert_eq!(["p50", "p99.9", "max"].map(share), [Some(0.5), Some(0.9990000000000001), Some(1.0)]);
        assert_eq!(["service p50", "p100", "mean", "p"].map(share), [None; 4]);
    }
}
