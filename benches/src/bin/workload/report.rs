//! The result: one JSON object with the names that the programs for other collectors use.
//!
//! `cpu_s` is the process and the children that it has waited for, which is where a worker's time goes once the
//! collector has reaped it; a worker that still marks when the workload ends is not in it. `peak_rss_mib` is the
//! process' own. `alloc_mib` is what the collector has counted. `pauses_ms` and `slow_ops_ms` have the start and the length of
//! each, in milliseconds from the start of the workload.

use std::collections::BTreeMap;
use std::time::Duration;

use palimpsest::Stats;
use serde::Serialize;

use crate::latency::Latency;
use crate::options::Workload;
use crate::slow::Slow;

/// What a workload hands back.
pub(crate) struct Outcome {
    /// Of what was read through pointers.
    pub(crate) checksum: u64,
    /// The time of the build, where a workload has one apart.
    pub(crate) build: Option<Duration>,
    /// The times of the operations, where a workload has any; for a server those from the scheduled arrival.
    pub(crate) latency: Option<Latency>,
    /// For a server, those that requests were worked at.
    pub(crate) service: Option<Latency>,
}

impl Outcome {
    /// The outcome of a workload that times nothing itself.
    pub(crate) fn new(checksum: u64) -> Self {
        Self { checksum, build: None, latency: None, service: None }
    }
}

/// The line of output.
#[derive(Serialize)]
pub(crate) struct Report {
    peer: String,
    workload: &'static str,
    params: String,
    wall_s: f64,
    cpu_s: f64,
    peak_rss_mib: f64,
    alloc_mib: f64,
    gcs: u64,
    gc_max_pause_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_s: Option<f64>,
    #[serde(flatten)]
    quantiles: Option<Quantiles>,
    latency_ms: BTreeMap<String, f64>,
    /// Entered when the heap is gone.
    pub(crate) pauses_ms: Vec<(f64, f64)>,
    slow_ops_ms: Vec<(f64, f64)>,
    /// Slow operations that are missing in the list, which has room for 100,000.
    slow_ops_left_out: u64,
    checksum: u64,
    gc: Stats,
}

#[derive(Serialize)]
struct Quantiles {
    max_pause_ms: f64,
    p999_ms: f64,
    p99_ms: f64,
    p50_ms: f64,
}

impl Report {
    /// Takes the process' figures as of now.
    pub(crate) fn new(workload: &Workload, wall: Duration, outcome: Outcome, gc: Stats) -> Self {
        // A server's requests are slow where they were worked at for long: those that waited behind them are in the histogram.
        let slow = outcome.service.as_ref().or(outcome.latency.as_ref()).map(|latency| &latency.slow);
        let (own, children) = (usage(libc::RUSAGE_SELF), usage(libc::RUSAGE_CHILDREN));
        Self {
            peer: std::env::var("PEER").unwrap_or_else(|_| "palimpsest".into()),
            workload: workload.name(),
            params: workload.sizes(),
            wall_s: decimals(wall.as_secs_f64(), 4),
            cpu_s: decimals(cpu_seconds(&own) + cpu_seconds(&children), 4),
            peak_rss_mib: decimals(own.ru_maxrss as f64 / 1024.0, 1),
            alloc_mib: decimals(gc.allocated_bytes as f64 / f64::from(1 << 20), 1),
            gcs: gc.cycles,
            gc_max_pause_ms: gc.pause_max_ms,
            build_s: outcome.build.map(|time| decimals(time.as_secs_f64(), 4)),
            quantiles: outcome.latency.as_ref().map(Quantiles::new),
            latency_ms: latencies(&outcome),
            pauses_ms: Vec::new(),
            slow_ops_ms: slow.map(Slow::in_ms).unwrap_or_default(),
            slow_ops_left_out: slow.map_or(0, Slow::left_out),
            checksum: outcome.checksum,
            gc,
        }
    }
}

/// Latencies under their names in the report.
fn latencies(outcome: &Outcome) -> BTreeMap<String, f64> {
    let portions = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];
    let mut named = BTreeMap::new();
    for (prefix, latency) in [("", &outcome.latency), ("service ", &outcome.service)] {
        let Some(latency) = latency else { continue };
        for (name, portion) in portions {
            named.insert(format!("{prefix}{name}"), milliseconds(latency.quantile(portion)));
        }
        named.insert(format!("{prefix}max"), milliseconds(latency.longest()));
    }
    named
}

fn milliseconds(time: Duration) -> f64 {
    decimals(time.as_secs_f64() * 1e3, 6)
}

impl Quantiles {
    fn new(latency: &Latency) -> Self {
        Self {
            max_pause_ms: milliseconds(latency.longest()),
            p999_ms: milliseconds(latency.quantile(0.999)),
            p99_ms: milliseconds(latency.quantile(0.99)),
            p50_ms: milliseconds(latency.quantile(0.5)),
        }
    }
}

fn usage(who: i32) -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::uninit();
    // SAFETY: room for the structure that the call fills in; it fails only for another `who`.
    unsafe {
        assert_eq!(libc::getrusage(who, usage.as_mut_ptr()), 0);
        usage.assume_init()
    }
}

fn cpu_seconds(usage: &libc::rusage) -> f64 {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Rounds for the reader: more digits than the clock means would only be noise.
fn decimals(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
