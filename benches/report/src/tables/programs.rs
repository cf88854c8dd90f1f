//! The tables of the workloads: for each, what it took, how long the program stood still, and how long its operations were.

use super::Sheet;
use super::number::{figure, maybe, percent};
use crate::measure::{Group, Table, bounds, tables};
use crate::results::{Part, Results};
use std::fmt::{self, Write};

/// The windows of the utilisation, in milliseconds.
const WINDOWS: [f64; 3] = [1.0, 10.0, 100.0];

/// The latencies that have columns, in their order.
const LATENCIES: [&str; 12] = [
    "p50",
    "p90",
    "p99",
    "p99.9",
    "p99.99",
    "max",
    "service p50",
    "service p90",
    "service p99",
    "service p99.9",
    "service p99.99",
    "service max",
];

pub(super) fn write(results: &Results, text: &mut String) -> fmt::Result {
    let tables = tables(results, Part::Programs);
    if tables.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n### Programs")?;
    for table in &tables {
        writeln!(text, "\n#### {}\n", table.name())?;
        write!(text, "{}", costs(table))?;
        for sheet in [pauses(table), latencies(table)].into_iter().filter(|sheet| !sheet.is_empty()) {
            write!(text, "\n{sheet}")?;
        }
    }
    Ok(())
}

/// What it took: medians, and what they are of the best and of malloc's.
fn costs(table: &Table<'_>) -> Sheet {
    let mut sheet = Sheet::new([
        "peer",
        "wall s",
        "spread",
        "of the best",
        "of malloc",
        "CPU s",
        "memory MiB",
        "wall over the bound",
        "CPU over the bound",
    ]);
    let best = table.best(|run| run.wall_s);
    let malloc = table.of("malloc").and_then(|group| group.median(|run| run.wall_s));
    let bounds = bounds(table);
    for group in &table.groups {
        let wall = group.summary(|run| run.wall_s);
        let ratio = |to: Option<f64>| match (wall, to) {
            (Some(wall), Some(to)) if to > 0.0 => figure(wall.median / to),
            _ => "-".into(),
        };
        let over = bounds.iter().flat_map(|bounds| &bounds.overheads).find(|over| over.peer == group.peer);
        let share = |value: Option<f64>| value.map_or_else(|| "-".into(), percent);
        sheet.push(vec![
            group.peer.into(),
            maybe(wall.map(|wall| wall.median)),
            share(wall.map(|wall| wall.spread())),
            ratio(best),
            ratio(malloc),
            maybe(group.median(|run| run.cpu_s)),
            memory(group),
            share(over.map(|over| over.wall)),
            share(over.map(|over| over.cpu)),
        ]);
    }
    sheet
}

/// The proportional set, or where it was not looked at, the resident one.
fn memory(group: &Group<'_>) -> String {
    match group.pss_mib() {
        Some(pss) => figure(pss),
        None => group
            .median(|run| run.rss_mib)
            .map_or_else(|| "-".into(), |rss| format!("{} (resident)", figure(rss))),
    }
}

/// How long the program stood still, for peers that do that.
fn pauses(table: &Table<'_>) -> Sheet {
    let windows = WINDOWS.map(|window| format!("MMU {window} ms"));
    let heads = ["pauses", "collections", "p50 ms", "p99 ms", "max ms", "of the time"].map(str::to_owned);
    let mut sheet = Sheet::new(heads.into_iter().chain(windows));
    for group in table.groups.iter().filter(|group| group.runs.iter().any(|run| !run.pauses_ms.is_empty())) {
        let stopped: f64 = group.runs.iter().map(|run| crate::measure::bound::stopped_s(run)).sum();
        let all: f64 = group.runs.iter().map(|run| run.wall_s).sum();
        let mut row = vec![
            group.peer.to_owned(),
            group.median(|run| run.gcs as f64).map_or_else(|| "-".into(), |count| format!("{count:.0}")),
            maybe(group.pause(0.5)),
            maybe(group.pause(0.99)),
            maybe(group.pause(1.0)),
            format!("{:.2} %", if all > 0.0 { stopped / all * 100.0 } else { 0.0 }),
        ];
        row.extend(group.mmu(&WINDOWS).into_iter().flatten().map(percent));
        sheet.push(row);
    }
    sheet
}

/// How long operations took, where they were timed. Columns that nobody has are left out.
fn latencies(table: &Table<'_>) -> Sheet {
    let has = |name: &&str| table.groups.iter().any(|group| group.latency(name).is_some());
    let names: Vec<&str> = LATENCIES.into_iter().filter(has).collect();
    let heads = ["operations".to_owned()].into_iter().chain(names.iter().map(|name| format!("{name} ms")));
    let mut sheet = Sheet::new(heads);
    for group in table.groups.iter().filter(|group| names.iter().any(|name| group.latency(name).is_some())) {
        let figures = names.iter().map(|name| maybe(group.latency(name)));
        sheet.push([group.peer.to_owned()].into_iter().chain(figures).collect());
    }
    sheet
}
