//! The figures of the pictures, as tables.

use super::many;
use crate::draw::number::{Unit, figure};
use crate::measure::{Group, Table, bounds, tables};
use crate::results::{Part, Results, Run};
use maud::{Markup, html};

/// What stands above the tables.
pub(super) const HOW_TO_READ: &str = "Medians of the rounds. ± is the range of the rounds, the slowest less the fastest, in per cent of the median: \
     differences below it are noise. Pauses and operations are in milliseconds, pauses those of all rounds together. A dash stands for what a peer does not have or was not \
     measured.";

/// What stands for a figure that there is none of.
const NONE: &str = "–";

/// What a column shows of a peer.
type Cell<'a> = Box<dyn Fn(&Group<'_>) -> Option<String> + 'a>;

/// A column: its name, what it means for who points at it, and its cell for a peer.
struct Column<'a> {
    name: &'a str,
    means: &'a str,
    cell: Cell<'a>,
}

/// A table for each workload of each part; those of the parts that repeat a workload many times are folded.
pub(super) fn all(results: &Results) -> Vec<Markup> {
    let parts = [
        (Part::Programs, ""),
        (Part::LiveHeap, "Live heap"),
        (Part::MutationRate, "Mutation rate"),
        (Part::Threads, "Threads"),
        (Part::Lox, "Lox programs"),
    ];
    let part = |(part, name): (Part, &str)| {
        let tables: Vec<Markup> = tables(results, part).iter().map(one).collect();
        match tables.len() {
            0 => None,
            _ if name.is_empty() => Some(html! { @for table in &tables { (table) } }),
            count => Some(html! {
                details { summary { (name) ": " (many(count, "table")) } @for table in &tables { (table) } }
            }),
        }
    };
    parts.into_iter().filter_map(part).collect()
}

fn one(table: &Table<'_>) -> Markup {
    let mut columns = columns(table);
    // What nobody has is not asked of anybody.
    columns.retain(|column| table.groups.iter().any(|group| (column.cell)(group).is_some()));
    let rows = table.groups.iter().map(|group| {
        let cells = columns.iter().map(|column| (column.cell)(group).unwrap_or_else(|| NONE.to_owned()));
        html! {
            tr class=[(group.peer == "palimpsest").then_some("ours")] {
                th scope="row" { (group.peer) }
                @for cell in cells { td { (cell) } }
            }
        }
    });
    html! {
        div class="wide" tabindex="0" role="group" aria-label="Table; scrolls sideways in a small window" {
            table {
                caption { (table.name()) }
                thead { tr { th scope="col" { "peer" } @for column in &columns { th scope="col" title=(column.means) { (column.name) } } } }
                tbody { @for row in rows { (row) } }
            }
        }
    }
}

fn columns<'a>(table: &Table<'_>) -> Vec<Column<'a>> {
    fn column<'a>(
        name: &'a str,
        means: &'a str,
        cell: impl Fn(&Group<'_>) -> Option<String> + 'a,
    ) -> Column<'a> {
        Column { name, means, cell: Box::new(cell) }
    }
    let wall = |group: &Group<'_>| group.median(|run| run.wall_s);
    let over = |one: Option<f64>| {
        let one = one.filter(|one| *one > 0.0);
        move |group: &Group<'_>| Some(Unit::Times.figure(wall(group)? / one?))
    };
    let bounds = bounds(table);
    let overhead = move |group: &Group<'_>| {
        let overhead = bounds.as_ref()?.overheads.iter().find(|overhead| overhead.peer == group.peer)?;
        (overhead.wall.is_finite() && overhead.cpu.is_finite()).then(|| {
            format!("{} {}", Unit::Times.figure(1.0 + overhead.wall), Unit::Times.figure(1.0 + overhead.cpu))
        })
    };
    let median = |of: fn(&Run) -> f64| move |group: &Group<'_>| group.median(of).map(figure);
    let pause = |q: f64| move |group: &Group<'_>| group.pause(q).map(figure);
    let latency = |name: &'static str| move |group: &Group<'_>| group.latency(name).map(figure);
    let spread = |group: &Group<'_>| {
        let wall = group.summary(|run| run.wall_s)?;
        (wall.count > 1).then(|| format!("{:.0}%", wall.spread() * 100.0))
    };
    vec![
        column("wall, s", "elapsed seconds", median(|run| run.wall_s)),
        column("±", "range of the rounds over their median", spread),
        column("to best", "wall time over that of the fastest", over(table.best(|run| run.wall_s))),
        column(
            "to malloc",
            "wall time over that of malloc with explicit frees",
            over(table.of("malloc").and_then(wall)),
        ),
        column("to bound", "wall and processor time over their lower bounds", overhead),
        column("CPU, s", "processor seconds of all threads and processes", median(|run| run.cpu_s)),
        column("RSS, MiB", "largest resident set", median(|run| run.rss_mib)),
        column("PSS, MiB", "largest proportional set, workers included", |group| group.pss_mib().map(figure)),
        column("cycles", "collections", |group| {
            group
                .median(|run| run.gcs as f64)
                .filter(|cycles| *cycles > 0.0)
                .map(|cycles| format!("{cycles:.0}"))
        }),
        column("pause 50%", "median pause, ms", pause(0.5)),
        column("pause 99%", "pause that 99 of 100 do not exceed, ms", pause(0.99)),
        column("pause max", "longest pause, ms", pause(1.0)),
        column("op 99%", "latency that 99 of 100 operations do not exceed, ms", latency("p99")),
        column("op 99.9%", "latency that 999 of 1000 operations do not exceed, ms", latency("p99.9")),
        column("op max", "longest operation, ms", latency("max")),
    ]
}
