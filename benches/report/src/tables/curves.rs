//! The tables of the parts in which one thing grows: a row for each peer, a column for each step.

use super::Sheet;
use super::number::{Times, figure};
use crate::measure::{Group, Table, tables};
use crate::results::{Part, Results};
use std::fmt::{self, Write};

/// A figure of a group, as a text.
type Cell = fn(&Group<'_>) -> Option<String>;

/// A part: its heading, the unit of what grows, and its tables with their titles.
struct Curve {
    part: Part,
    heading: &'static str,
    unit: &'static str,
    cells: [(&'static str, Cell); 2],
}

pub(super) fn write(results: &Results, text: &mut String) -> fmt::Result {
    let wall: Cell = |group| Some(Times(group.summary(|run| run.wall_s)?).to_string());
    let cpu: Cell = |group| Some(Times(group.summary(|run| run.cpu_s)?).to_string());
    let pause: Cell = |group| Some(format!("{} / {}", figure(group.pause(0.5)?), figure(group.pause(1.0)?)));
    let costs = [("Wall seconds (spread)", wall), ("CPU seconds (spread)", cpu)];
    let heap = [("Pauses in ms, median / longest", pause), ("Wall seconds (spread)", wall)];
    let curves = [
        Curve { part: Part::LiveHeap, heading: "Live heap", unit: "MiB", cells: heap },
        Curve { part: Part::MutationRate, heading: "Stores into old objects", unit: "of 1000", cells: costs },
        Curve { part: Part::Threads, heading: "Threads", unit: "threads", cells: costs },
    ];
    for Curve { part, heading, unit, cells } in curves {
        let tables = tables(results, part);
        if tables.is_empty() {
            continue;
        }
        writeln!(text, "\n### {heading}")?;
        for workload in workloads(&tables) {
            let steps: Vec<&Table<'_>> = tables.iter().filter(|table| table.workload == workload).collect();
            for (title, cell) in cells {
                let sheet = sheet(&steps, unit, cell);
                if !sheet.is_empty() {
                    write!(text, "\n{title}, `{workload}`:\n\n{sheet}")?;
                }
            }
        }
    }
    let lox = tables(results, Part::Lox);
    if !lox.is_empty() {
        writeln!(text, "\n### Lox")?;
        for (title, cell) in costs {
            write!(text, "\n{title}:\n\n{}", by_workload(&lox, cell))?;
        }
    }
    Ok(())
}

fn workloads<'a>(tables: &[Table<'a>]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for table in tables {
        if !names.contains(&table.workload) {
            names.push(table.workload);
        }
    }
    names
}

/// Peers downwards, steps to the right; peers that have the figure nowhere are left out.
fn sheet(steps: &[&Table<'_>], unit: &str, cell: Cell) -> Sheet {
    let heads = ["peer".to_owned()].into_iter().chain(steps.iter().map(|step| format!("{} {unit}", step.x)));
    let mut sheet = Sheet::new(heads);
    for peer in peers(steps.iter().copied()) {
        let cells: Vec<Option<String>> = steps.iter().map(|step| step.of(peer).and_then(cell)).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".into()));
            sheet.push([peer.to_owned()].into_iter().chain(cells).collect());
        }
    }
    sheet
}

/// Workloads downwards, peers to the right.
fn by_workload(tables: &[Table<'_>], cell: Cell) -> Sheet {
    let peers = peers(tables.iter());
    let mut sheet = Sheet::new(["program"].into_iter().chain(peers.iter().copied()));
    for table in tables {
        let cells = peers.iter().map(|peer| table.of(peer).and_then(cell).unwrap_or_else(|| "-".into()));
        sheet.push([table.name()].into_iter().chain(cells).collect());
    }
    sheet
}

/// All peers of these tables, in their order.
fn peers<'a, 't: 'a>(tables: impl Iterator<Item = &'a Table<'t>>) -> Vec<&'a str> {
    let mut peers: Vec<&str> = tables.flat_map(|table| table.groups.iter().map(|group| group.peer)).collect();
    peers.sort_by_key(|peer| crate::measure::group::rank(peer));
    peers.dedup();
    peers
}
