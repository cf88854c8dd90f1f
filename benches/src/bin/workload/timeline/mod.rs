//! One cycle in detail, for the report's picture of it.
//!
//! What the collector did and when is in the records of its cycles; how often the program ran into armed pages meanwhile is
//! counted by a thread that looks every half millisecond ([`recorder`]). This module chooses a cycle and lays it out in rows. The
//! types are those of the report's `results.json`, and a test reads one as such.

mod recorder;

use std::io;
use std::path::Path;

use palimpsest::events::Sweep;
use palimpsest::{CycleRecord, Scope, Snapshot};
use serde::Serialize;

pub(crate) use recorder::{Recorder, Sampler, Samples};

/// The length of an interval in which traps are counted.
const EVERY_MS: f64 = 0.5;

/// What went on in one cycle, in milliseconds from its beginning.
#[derive(Serialize)]
pub(crate) struct Timeline {
    of: String,
    rows: Vec<(String, Vec<Span>)>,
    traps: Vec<(f64, u64)>,
    traps_every_ms: f64,
}

#[derive(Serialize)]
struct Span {
    name: String,
    from_ms: f64,
    to_ms: f64,
}

/// Writes it as JSON.
pub(crate) fn write(file: &Path, timeline: &Timeline) -> io::Result<()> {
    let because = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    std::fs::write(file, serde_json::to_vec(timeline)?).map_err(because)
}

impl Timeline {
    /// Of the longest full cycle that was marked by a worker. An error says that there was none.
    pub(crate) fn new(
        of: String,
        cycles: &[CycleRecord],
        sweeps: &[Sweep],
        samples: &Samples,
    ) -> Result<Self, String> {
        let whole = |cycle: &&CycleRecord| {
            cycle.scope == Scope::Full && cycle.snapshot != Snapshot::StopTheWorld && cycle.failure.is_none()
        };
        let length = |cycle: &CycleRecord| cycle.ended_ms - cycle.began_ms;
        let cycle = cycles
            .iter()
            .filter(whole)
            .max_by(|one, other| length(one).total_cmp(&length(other)))
            .ok_or_else(|| {
                format!("no timeline: none of {} cycles was full and kept its snapshot", cycles.len())
            })?;
        let sweep = sweeps.iter().find(|sweep| sweep.cycle == cycle.number);
        let end_ms = sweep.map_or(cycle.ended_ms, |sweep| sweep.began_ms + sweep.ms);
        let count = ((end_ms - cycle.began_ms) / EVERY_MS).ceil() as u64;
        let traps = (0..count)
            .map(|interval| {
                let from = interval as f64 * EVERY_MS;
                (from, samples.between(cycle.began_ms + from, cycle.began_ms + from + EVERY_MS))
            })
            .collect();
        Ok(Self { of, rows: rows(cycle, sweep), traps, traps_every_ms: EVERY_MS })
    }
}

/// The program, the collector's thread, and the workers.
fn rows(cycle: &CycleRecord, sweep: Option<&Sweep>) -> Vec<(String, Vec<Span>)> {
    let span = |name: &str, from_ms: f64, ms: f64| {
        let from_ms = from_ms - cycle.began_ms;
        (ms > 0.0).then(|| Span { name: name.into(), from_ms, to_ms: from_ms + ms })
    };
    let pause_end = cycle.pause_began_ms + cycle.pause_ms - cycle.wake_ms;
    // In the pause, arming and forking come last, one right after the other.
    let fork_began = pause_end - cycle.fork_ms;
    let mark_end = pause_end + cycle.mark_ms;

    let program = span("pause", cycle.pause_began_ms, cycle.pause_ms);
    let rounds = cycle.arm_rounds.iter().zip(1..);
    let rounds = rounds.map(|(round, number)| span(&format!("arm round {number}"), round.began_ms, round.ms));
    let in_pause = [
        span("stop", cycle.pause_began_ms, cycle.stop_ms),
        span("arm", fork_began - cycle.arm_ms, cycle.arm_ms),
        span("fork", fork_began, cycle.fork_ms),
        span("wake", pause_end, cycle.wake_ms),
    ];
    let after = [
        span("finish", mark_end, cycle.ended_ms - mark_end),
        sweep.and_then(|sweep| span("sweep", sweep.began_ms, sweep.ms)),
    ];
    let marking = span("marking", pause_end, cycle.mark_ms);
    let workers = if cycle.workers > 1 { format!("{} workers", cycle.workers) } else { "worker".into() };
    vec![
        ("program".into(), program.into_iter().collect()),
        ("collector".into(), rounds.chain(in_pause).chain(after).flatten().collect()),
        (workers, marking.into_iter().collect()),
    ]
}
