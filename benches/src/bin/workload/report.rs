//! The result: one JSON object with the names that the programs for other collectors use.
//!
//! `cpu_s` is the process and the children that it has waited for, which is where a worker's time goes once the
//! collector has reaped it; a worker that still marks when the workload ends is not in it. `peak_rss_mib` is the
//! process' own. `alloc_mib` is what the collector has counted.

use std::time::Duration;

use palimpsest::Stats;
use serde::Serialize;

use crate::latency::Latency;
use crate::options::Workload;

/// What a workload hands back.
pub(crate) struct Outcome {
    /// Of what was read through pointers.
    pub(crate) checksum: u64,
    /// The time of the build, where a workload has one apart.
    pub(crate) build: Option<Duration>,
    /// The times of the operations, where a workload has any.
    pub(crate) latency: Option<Latency>,
}

impl Outcome {
    /// The outcome of a workload that times nothing itself.
    pub(crate) fn new(checksum: u64) -> Self {
        Self { checksum, build: None, latency: None }
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
            checksum: outcome.checksum,
            gc,
        }
    }
}

impl Quantiles {
    fn new(latency: &Latency) -> Self {
        let milliseconds = |time: Duration| decimals(time.as_secs_f64() * 1e3, 6);
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
