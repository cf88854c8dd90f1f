//! What a report has measured, as it stands in `results.json`: everything that the tables and the pictures are made of.
//!
//! A file is self-contained: who draws it needs neither the machine nor the programs that it came from.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// When it began, in UTC: `2026-11-22 09:15`.
    pub date: String,
    /// The command line that made it.
    pub command: String,
    /// The commit of the checkout, with `+` where it had changes; empty where it is not known.
    pub commit: String,
    /// Where it ran: names and values, in the order in which they are shown (`processor`, `kernel`, `memory`, ..).
    pub machine: Vec<(String, String)>,
    /// Versions of the peers and of the compilers, likewise.
    pub versions: Vec<(String, String)>,
    /// Peers that were asked for and could not be had, and why.
    pub skipped: Vec<(String, String)>,
    /// What a reader should know before believing a figure: a loaded machine, a checksum that differed, a run that failed.
    pub warnings: Vec<String>,
    /// Every run, in the order in which they ran, without warm-ups.
    pub runs: Vec<Run>,
    /// One cycle of ours in detail, for the timeline.
    pub timeline: Option<Timeline>,
}

/// What part of the report a run is for.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The workloads side by side.
    Programs,
    /// A workload whose live heap grows.
    LiveHeap,
    /// A workload that writes to old objects more and more often.
    MutationRate,
    /// A workload on more and more threads.
    Threads,
    /// The Lox interpreter's programs.
    Lox,
}

/// One run of one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// What it is for.
    pub part: Part,
    /// Who ran: `palimpsest` (the best rung), `palimpsest preimage/monitor` and so on, `bdwgc`, `bdwgc-par`, `bdwgc-inc`, `malloc`, ..
    pub peer: String,
    /// The workload: `gcbench`.
    pub workload: String,
    /// Its sizes: `18 20`.
    pub params: String,
    /// For the scaling parts what the horizontal axis shows: MiB of live heap, written objects in a thousand operations, threads.
    pub x: f64,
    /// 0, 1, ..; all peers of a round ran one after the other.
    pub round: u32,
    /// Seconds of the workload alone.
    pub wall_s: f64,
    /// Processor seconds of the process and of its children.
    pub cpu_s: f64,
    /// The largest proportional set, workers included, in MiB; only in runs made for it, since looking disturbs.
    pub pss_mib: Option<f64>,
    /// `getrusage`'s figure, in MiB.
    pub rss_mib: f64,
    /// Collections.
    pub gcs: u64,
    /// When each pause of the collector began, and how long it was, in milliseconds from the start of the workload.
    pub pauses_ms: Vec<(f64, f64)>,
    /// Operations of more than a tenth of a millisecond, likewise; for workloads that time them.
    pub slow_ops_ms: Vec<(f64, f64)>,
    /// Latencies of operations in milliseconds: `p50`, `p90`, `p99`, `p99.9`, `p99.99`, `max`; for `server` those that are metered from the scheduled
    /// arrival, with those of the service alone under `service p50` and so on. Empty where the workload times none.
    pub latency_ms: BTreeMap<String, f64>,
    /// What was read through pointers.
    pub checksum: String,
    /// The collector's own statistics, as it prints them; null for peers without any.
    pub gc: serde_json::Value,
    /// Whether the machine was busy with something else meanwhile.
    pub noisy: bool,
}

/// What went on in one cycle, in milliseconds from its beginning.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Timeline {
    /// The run that it is from: `graph 512`.
    pub of: String,
    /// Rows from above, each with its name and its spans.
    pub rows: Vec<(String, Vec<Span>)>,
    /// Traps in each interval: where it begins, and how many.
    pub traps: Vec<(f64, u64)>,
    /// The length of an interval.
    pub traps_every_ms: f64,
}

/// One bar of a timeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Span {
    /// What it is: `arm round 1`, `pause`, `marking`, `sweep`.
    pub name: String,
    /// When it began.
    pub from_ms: f64,
    /// When it ended.
    pub to_ms: f64,
}
