//! Explicit cycles, one thread. Before each but the first the program writes to every 32nd page of nodes.

use std::error::Error;
use std::time::Duration;

use palimpsest::{CycleRecord, Heap, PlainPointers, Stats, Wish};
use serde_json::{Value, json};

use crate::graph::Graph;
use crate::mark::{Mark, mark};

/// How many cycles the tracer sees.
const CYCLES: usize = 9;

/// In so long the collector's thread has swept and waits.
const SETTLED: Duration = Duration::from_millis(30);

pub fn run(rung: Wish) -> Result<Value, Box<dyn Error>> {
    let mut graph = Graph::new(PlainPointers, rung)?;
    // The first cycle arms everything, and tables are populated.
    let first = graph.mutator.collect();
    let mut cycles = Vec::new();
    for _ in 0..CYCLES {
        let before = graph.mutator.heap().stats();
        let written = graph.write(0, 32);
        let after = graph.mutator.heap().stats();
        mark(Mark::Begin, 0);
        let record = graph.mutator.collect();
        mark(Mark::Returned, 0);
        graph.mutator.blocking(|| std::thread::sleep(SETTLED));
        mark(Mark::End, 0);
        cycles.push(figures(written, &before, &after, &record)?);
    }
    let stats = graph.mutator.heap().stats();
    let used_mib = stats.used_bytes as f64 / (1 << 20) as f64;
    let heap = json!({
        "tables, bytes for each MiB of heap in use": (stats.tables_bytes as f64 / used_mib).round(),
        "bytes in use": stats.used_bytes,
        "pages armed by the first cycle": first.armed_pages + u64::from(first.armed_in_pause),
        "blocks scanned again, with two packets": scanned_again(rung)?,
    });
    Ok(json!({ "cycles": cycles, "heap": heap }))
}

/// What a marker does that runs out of packets: how many blocks it scans again.
fn scanned_again(rung: Wish) -> Result<u64, Box<dyn Error>> {
    let mut graph = Graph::with(Heap::builder(PlainPointers).mark_packets(2), rung)?;
    Ok(graph.mutator.collect().rescanned_blocks)
}

fn figures(
    written: usize,
    before: &Stats,
    after: &Stats,
    record: &CycleRecord,
) -> Result<Value, Box<dyn Error>> {
    if let Some(why) = record.failure.as_ref().or(record.fallback.as_ref()) {
        return Err(format!("a cycle that does not count: {why}").into());
    }
    Ok(json!({
        "marked objects": record.marked_objects,
        "marked bytes": record.marked_bytes,
        "pages written between cycles": written,
        "traps between cycles": after.trapped_pages - before.trapped_pages,
        "pages armed": record.armed_pages + u64::from(record.armed_in_pause),
        "pages armed in the pause": record.armed_in_pause,
        "rounds of arming": record.rounds,
        "pre-images": record.preimages,
        "pages inherited": record.inherited_pages,
        "pages found written": record.written_pages.unwrap_or(0),
        "packets passed on": record.shared_packets,
        "blocks scanned again": record.rescanned_blocks,
    }))
}
