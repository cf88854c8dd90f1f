//! What the collector has done, for people and for programs.

mod ledger;
mod record;

pub(crate) use ledger::Ledger;
pub use record::{ArmRound, CycleRecord, Scope};

use palimpsest_runtime::Bytes;
use palimpsest_runtime::ladder::Snapshot;
use std::fmt;
use std::time::Duration;

/// What a heap has done since it was made.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// How cycles keep the heap while they mark it, unless they fall back.
    #[cfg_attr(feature = "serde", serde(serialize_with = "text"))]
    pub snapshot: Snapshot,
    /// How writes are noticed: `signal`, `monitor`, `protect`, `async`, or `none`.
    pub delivery: &'static str,
    /// The rung of the ladder, with the way to the userfaultfd: `preimage/signal/user-call`, for one.
    pub rung: String,
    /// The same with all that was tried before it, and why that was refused.
    pub ladder: String,
    /// Why the heap does less than it was asked to, if it does.
    pub degraded: Option<String>,
    /// Cycles that ended well.
    pub cycles: u64,
    /// Those of them that were of the young.
    pub young_cycles: u64,
    /// Cycles that marked in the stopped world although the heap is set to do better.
    pub fallbacks: u64,
    /// Cycles that failed.
    pub failures: u64,
    /// Why the last such cycle fell back or failed, or lost track of the written pages, or had fewer workers than it wanted.
    pub last_trouble: Option<String>,
    /// Collector pauses: half were not longer.
    pub pause_p50_ms: f64,
    /// Collector pauses: 9 of 10 were not longer.
    pub pause_p90_ms: f64,
    /// Collector pauses: 99 of 100 were not longer.
    pub pause_p99_ms: f64,
    /// Collector pauses: 999 of 1000 were not longer.
    pub pause_p999_ms: f64,
    /// The longest collector pause.
    pub pause_max_ms: f64,
    /// All pauses together.
    pub pause_total_ms: f64,
    /// Writes that trapped.
    pub trapped_pages: u64,
    /// Those between snapshots, which save nothing.
    pub traps_between: u64,
    /// Those in snapshots.
    pub traps_in_snapshot: u64,
    /// Those in blocks of small objects.
    pub traps_small: u64,
    /// Those in blocks that a thread was allocating in.
    pub traps_allocation: u64,
    /// Those in large objects.
    pub traps_large: u64,
    /// Those on pages that had trapped since the snapshot before the last as well.
    pub traps_recurrent: u64,
    /// Those on pages next to one that had trapped since the last snapshot.
    pub traps_neighbouring: u64,
    /// Pages that were opened in bulk, without a trap.
    pub opened_pages: u64,
    /// Pre-images stored.
    pub preimages: u64,
    /// Traps that waited for the pre-image pool.
    pub pool_stalls: u64,
    /// How long traps waited for the pre-image pool, all together.
    pub pool_stalled_ms: f64,
    /// Bytes of objects marked, all cycles together.
    pub marked_bytes: u64,
    /// Objects marked, all cycles together.
    pub marked_objects: u64,
    /// Time from snapshots to the end of marking, all cycles together.
    pub mark_ms: f64,
    /// CPU time of workers.
    pub worker_cpu_ms: f64,
    /// Workers that ended in the middle of marking, which went on without them.
    pub lost_workers: u64,
    /// How often another worker took over what one of those held.
    pub takeovers: u64,
    /// Bytes allocated since the heap was made, as far as threads have reported them.
    pub allocated_bytes: u64,
    /// Memory of the heap in use now, garbage not yet found included.
    pub used_bytes: u64,
    /// Most memory of the heap in use at the end of a cycle.
    pub peak_used_bytes: u64,
    /// The heap limit.
    pub limit_bytes: u64,
    /// Populated memory of the heap: what objects occupy, garbage and free blocks included. Pages that were never written to
    /// are not counted, so this may be less than [`Stats::used_bytes`].
    pub resident_bytes: u64,
    /// The same of the half with references.
    pub resident_traced_bytes: u64,
    /// The same of the half without references.
    pub resident_leaf_bytes: u64,
    /// Memory of free blocks given back to the system since the heap was made.
    pub returned_bytes: u64,
    /// Populated memory beside the heap: metadata, page states, pre-images, packets of references.
    pub tables_bytes: u64,
    /// The part of that which pre-images occupy, or which is kept for them.
    pub preimage_bytes: u64,
    /// Weak references that were cut, all cycles together.
    pub weak_refs_cleared: u64,
    /// Entries of dead objects that were removed from weak tables and maps, all cycles together.
    pub weak_entries_cleared: u64,
    /// Registrations for finalization that there are now, and are not queued.
    pub finalizers_registered: u64,
    /// Registrations that were queued for finalization, all cycles together.
    pub finalizers_queued: u64,
    /// Registrations that were taken from the queue.
    pub finalizers_taken: u64,
    /// Registrations that are in the queue now.
    pub finalizable: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |n: u64| Bytes(n as usize);
        writeln!(f, "snapshot {}, delivery {}, rung {}", self.snapshot, self.delivery, self.ladder)?;
        if let Some(why) = &self.degraded {
            writeln!(f, "degraded: {why}")?;
        }
        writeln!(
            f,
            "cycles {}, {} of the young ({} fell back to stop-the-world, {} failed)",
            self.cycles, self.young_cycles, self.fallbacks, self.failures
        )?;
        if let Some(why) = &self.last_trouble {
            writeln!(f, "last trouble: {why}")?;
        }
        writeln!(
            f,
            "pauses p50 {:.3} ms, p90 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, max {:.3} ms, {:.1} ms in all",
            self.pause_p50_ms,
            self.pause_p90_ms,
            self.pause_p99_ms,
            self.pause_p999_ms,
            self.pause_max_ms,
            self.pause_total_ms
        )?;
        writeln!(
            f,
            "pages: {} trapped, {} opened in bulk, {} pre-images, {} waits for room ({:.1} ms)",
            self.trapped_pages, self.opened_pages, self.preimages, self.pool_stalls, self.pool_stalled_ms
        )?;
        writeln!(
            f,
            "traps: {} between snapshots, {} in them; {} on small objects, {} in allocation, {} on large objects; {} \
             recurrent, {} neighbouring",
            self.traps_between,
            self.traps_in_snapshot,
            self.traps_small,
            self.traps_allocation,
            self.traps_large,
            self.traps_recurrent,
            self.traps_neighbouring
        )?;
        writeln!(
            f,
            "marked {} objects, {}, in {:.1} ms; workers used {:.1} ms of CPU; {} lost, {} taken over from",
            self.marked_objects,
            bytes(self.marked_bytes),
            self.mark_ms,
            self.worker_cpu_ms,
            self.lost_workers,
            self.takeovers
        )?;
        write!(
            f,
            "allocated {}; in use {} of {}, at most {}; populated {}, returned {}; tables {}",
            bytes(self.allocated_bytes),
            bytes(self.used_bytes),
            bytes(self.limit_bytes),
            bytes(self.peak_used_bytes),
            bytes(self.resident_bytes),
            bytes(self.returned_bytes),
            bytes(self.tables_bytes)
        )?;
        if self.weak_refs_cleared + self.weak_entries_cleared > 0 {
            let (refs, entries) = (self.weak_refs_cleared, self.weak_entries_cleared);
            write!(f, "\ncleared {refs} weak references and {entries} weak entries")?;
        }
        if self.finalizers_registered + self.finalizers_queued > 0 {
            write!(
                f,
                "\nfinalizers: {} registered, {} queued in all, {} taken, {} waiting",
                self.finalizers_registered, self.finalizers_queued, self.finalizers_taken, self.finalizable
            )?;
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
fn text<S: serde::Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
