//! A listener that tells the crate `tracing`.
//!
//! A cycle is a span, `cycle`, of the target `palimpsest`; what happens in it are events in that span. The span is never
//! entered: it begins and ends in different calls, and the collector's thread has no other work that could belong to it.

use super::{CycleBegin, Listener, Pause};
use crate::error::OutOfMemory;
use crate::stats::CycleRecord;
use palimpsest_runtime::ladder::Ladder;
use palimpsest_runtime::sys::lock::Mutex;
use tracing::field::Empty;
use tracing::{Span, debug, debug_span, error, info, warn};

/// Tells `tracing` what the collector does: heaps and the end of cycles at the level `INFO`, their beginnings and pauses at
/// `DEBUG`, fallbacks, failures and degraded heaps at `WARN`, and `OutOfMemory` at `ERROR`.
///
/// Names of fields end with their units: `pause_ms`, `marked_bytes`. The subscriber is the process's, as it is on the
/// collector's thread; it does not write to the heap.
///
/// One listener serves one heap. With the feature `tracing`.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use palimpsest::{Heap, PlainPointers, events::Tracing};
/// let heap = Heap::builder(PlainPointers).limit(16 << 20).listener(Tracing::new()).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Tracing {
    /// The cycle at work. The lock is the collector's thread's alone, which rests while the process forks a copy.
    cycle: Mutex<Option<Span>>,
}

impl Tracing {
    /// A listener for one heap.
    pub fn new() -> Self {
        Self::default()
    }

    fn span(&self) -> Span {
        self.cycle.lock().clone().unwrap_or_else(Span::none)
    }
}

impl Listener for Tracing {
    fn heap_made(&self, ladder: &Ladder) {
        match ladder.degraded() {
            None => info!(target: "palimpsest", rung = %ladder.chosen(), "heap made"),
            Some(why) => {
                warn!(target: "palimpsest", rung = %ladder.chosen(), why, "heap made, lower than the best rung");
            }
        }
    }

    fn cycle_began(&self, cycle: &CycleBegin) {
        let reason = cycle.reason.name();
        let span = debug_span!(
            target: "palimpsest", parent: None, "cycle",
            number = cycle.number, reason, scope = %cycle.scope, failed = Empty
        );
        debug!(target: "palimpsest", parent: &span, number = cycle.number, reason, scope = %cycle.scope, "cycle began");
        *self.cycle.lock() = Some(span);
    }

    fn pause_ended(&self, pause: &Pause) {
        debug!(
            target: "palimpsest", parent: &self.span(),
            number = pause.cycle, snapshot = pause.snapshot.name(), pause_ms = pause.pause_ms, stop_ms = pause.stop_ms,
            arm_ms = pause.arm_ms, fork_ms = pause.fork_ms, mark_ms = pause.mark_ms, resume_ms = pause.resume_ms,
            "pause ended"
        );
    }

    fn fell_back(&self, cycle: u64, why: &str) {
        warn!(target: "palimpsest", parent: &self.span(), number = cycle, why, "cycle fell back to stopping the world");
    }

    fn worker_failed(&self, cycle: u64, why: &str) {
        warn!(target: "palimpsest", parent: &self.span(), number = cycle, why, "worker failed");
    }

    fn cycle_ended(&self, record: &CycleRecord) {
        let span = self.cycle.lock().take().unwrap_or_else(Span::none);
        span.record("failed", record.failure.is_some());
        info!(
            target: "palimpsest", parent: &span,
            number = record.number, failed = record.failure.is_some(), snapshot = record.snapshot.name(),
            pause_ms = record.pause_ms, mark_ms = record.mark_ms, worker_cpu_ms = record.worker_cpu_ms,
            marked_objects = record.marked_objects, marked_bytes = record.marked_bytes, used_bytes = record.used_bytes,
            armed_pages = record.armed_pages, preimages = record.preimages,
            "cycle ended"
        );
    }

    fn out_of_memory(&self, error: &OutOfMemory) {
        error!(
            target: "palimpsest",
            requested_bytes = error.requested.0 as u64, used_bytes = error.used.0 as u64, limit_bytes = error.limit.0 as u64,
            "out of memory"
        );
    }
}
