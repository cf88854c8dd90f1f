//! What the collector has done, for people and for programs.

use crate::events::Pause;
use crate::histogram::Histogram;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::barrier::DeliveryKind;
use palimpsest_runtime::ladder::{Ladder, Snapshot};
use palimpsest_runtime::sys::lock::{HoldAcrossFork, Mutex};
use std::fmt;
use std::time::Duration;

/// How much a cycle looks at.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Scope {
    /// All that is reachable. Whatever is not is reclaimed.
    Full,
    /// What was allocated since the snapshot of the last cycle, as far as it is reachable from the roots and from old objects
    /// that were written to since. Old objects stay, dead ones too.
    Young,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Full => "full",
            Scope::Young => "young",
        })
    }
}

/// One cycle.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CycleRecord {
    /// Its number; the heap's first is 1.
    pub number: u64,
    /// How much it looked at.
    #[cfg_attr(feature = "serde", serde(serialize_with = "text"))]
    pub scope: Scope,
    /// How the heap was kept while it was marked.
    #[cfg_attr(feature = "serde", serde(serialize_with = "text"))]
    pub snapshot: Snapshot,
    /// Why the cycle marked in the stopped world although the heap is set to do better.
    pub fallback: Option<String>,
    /// Why the cycle failed. Nothing was reclaimed then, and nothing lost.
    pub failure: Option<String>,
    /// Rounds of arming before the pause, and pages armed in them.
    pub rounds: u32,
    /// Pages armed before the pause.
    pub armed_pages: u64,
    /// Pages armed in the pause.
    pub armed_in_pause: u32,
    /// From the request to stop until the threads ran again, in milliseconds.
    pub pause_ms: f64,
    /// The part of the pause until all threads had stopped.
    pub stop_ms: f64,
    /// The part of the pause that armed pages.
    pub arm_ms: f64,
    /// The part of the pause that forked the worker.
    pub fork_ms: f64,
    /// From the snapshot until marking was complete, in milliseconds.
    pub mark_ms: f64,
    /// Whether all was marked in the pause, which was short enough for that.
    pub in_pause: bool,
    /// Objects that were marked in the pause when that took too long, before a worker was forked in another one.
    pub handed_over: u64,
    /// How long that pause was, in milliseconds.
    pub tried_ms: f64,
    /// What listeners are told of its pauses.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) pauses: Vec<Pause>,
    /// Bytes that had been allocated in the heap's life when the snapshot was taken.
    pub allocated_bytes: u64,
    /// CPU time of the worker, in milliseconds.
    pub worker_cpu_ms: f64,
    /// Workers that were to mark; 0 in the stopped world.
    pub workers_wanted: u32,
    /// Workers that marked.
    pub workers: u32,
    /// Why there were fewer than wanted.
    pub fewer_workers: Option<String>,
    /// Workers that ended in the middle of marking, which went on without them.
    pub lost_workers: u32,
    /// How often the first worker took over what one of those held, and marked again from what was marked.
    pub takeovers: u32,
    /// Packets of references that were passed on to workers with nothing to do.
    pub shared_packets: u64,
    /// Objects marked by each of several workers. Of a lost one, and in [`CycleRecord::marked_objects`], what it marked since it
    /// last had nothing to do is missing.
    pub worker_objects: Vec<u64>,
    /// Objects marked: all that are reachable, or the reachable young ones.
    pub marked_objects: u64,
    /// Bytes they occupy.
    pub marked_bytes: u64,
    /// Pages that may have been written to since the last snapshot; what a cycle of the young looks at beside the roots.
    pub remembered_pages: u64,
    /// Old objects on them, and pieces of large ones, that a cycle of the young scanned.
    pub remembered_objects: u64,
    /// Pre-images stored for this snapshot.
    pub preimages: u32,
    /// Pages of the heap that the worker inherited, in a snapshot that the kernel keeps.
    pub inherited_pages: u64,
    /// Pages that were written since the last cycle, where the heap tracks that afterwards (delivery `async`).
    pub written_pages: Option<u64>,
    /// Why those are not known, although the heap tracks them.
    pub untracked: Option<String>,
    /// Blocks that were scanned again because packets ran out.
    pub rescanned_blocks: u64,
    /// References from precise places to what is not an object: the embedder's mistake.
    pub stray_references: u64,
    /// Memory of the heap in use when the cycle ended, before sweeping.
    pub used_bytes: u64,
    /// The most memory that the worker was seen to have for itself; nothing where it was done before it was looked at.
    pub worker_private_bytes: Option<u64>,
    /// Weak references that were cut: their targets had died, or were queued for finalization.
    pub weak_refs_cleared: u64,
    /// Entries of dead objects that were removed from weak tables and maps.
    pub weak_entries_cleared: u64,
    /// Registrations that were queued for finalization.
    pub finalizers_queued: u64,
    /// Registrations that the program took from the queue since the cycle before was marked.
    pub finalizers_taken: u64,
}

impl CycleRecord {
    pub(crate) fn new(number: u64, scope: Scope, snapshot: Snapshot) -> Self {
        Self {
            number,
            scope,
            snapshot,
            fallback: None,
            failure: None,
            rounds: 0,
            armed_pages: 0,
            armed_in_pause: 0,
            pause_ms: 0.0,
            stop_ms: 0.0,
            arm_ms: 0.0,
            fork_ms: 0.0,
            mark_ms: 0.0,
            in_pause: false,
            handed_over: 0,
            tried_ms: 0.0,
            pauses: Vec::new(),
            allocated_bytes: 0,
            worker_cpu_ms: 0.0,
            workers_wanted: 0,
            workers: 0,
            fewer_workers: None,
            lost_workers: 0,
            takeovers: 0,
            shared_packets: 0,
            worker_objects: Vec::new(),
            marked_objects: 0,
            marked_bytes: 0,
            remembered_pages: 0,
            remembered_objects: 0,
            preimages: 0,
            inherited_pages: 0,
            written_pages: None,
            untracked: None,
            rescanned_blocks: 0,
            stray_references: 0,
            used_bytes: 0,
            worker_private_bytes: None,
            weak_refs_cleared: 0,
            weak_entries_cleared: 0,
            finalizers_queued: 0,
            finalizers_taken: 0,
        }
    }
}

impl fmt::Display for CycleRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cycle {} {} {}: pause {:.3} ms (stop {:.3}, arm {:.3} for {} pages, fork {:.3}); armed {} pages in {} rounds; \
             marked {} objects, {} in {:.1} ms; {} pre-images; {} in use",
            self.number,
            self.scope,
            self.snapshot,
            self.pause_ms,
            self.stop_ms,
            self.arm_ms,
            self.armed_in_pause,
            self.fork_ms,
            self.armed_pages,
            self.rounds,
            self.marked_objects,
            Bytes(self.marked_bytes as usize),
            self.mark_ms,
            self.preimages,
            Bytes(self.used_bytes as usize),
        )?;
        if self.in_pause {
            f.write_str("; marked in the pause")?;
        }
        if self.tried_ms > 0.0 {
            write!(f, "; {} objects in a pause of {:.3} ms before", self.handed_over, self.tried_ms)?;
        }
        if self.scope == Scope::Young {
            write!(f, "; remembered {} pages, {} objects", self.remembered_pages, self.remembered_objects)?;
        }
        if self.inherited_pages > 0 {
            write!(f, "; {} pages inherited", self.inherited_pages)?;
        }
        if let Some(pages) = self.written_pages {
            write!(f, "; {pages} pages written since the last cycle")?;
        }
        if let Some(why) = &self.untracked {
            write!(f, "; written pages unknown: {why}")?;
        }
        if self.weak_refs_cleared + self.weak_entries_cleared > 0 {
            let (refs, entries) = (self.weak_refs_cleared, self.weak_entries_cleared);
            write!(f, "; {refs} weak references and {entries} weak entries cleared")?;
        }
        if self.finalizers_queued > 0 {
            write!(f, "; {} to be finalized", self.finalizers_queued)?;
        }
        if self.workers > 0 && self.workers_wanted > 1 {
            write!(f, "; {} workers marked {:?} objects", self.workers, self.worker_objects)?;
            write!(f, ", {} packets passed on", self.shared_packets)?;
        }
        if self.lost_workers > 0 {
            write!(f, "; {} workers lost, {} taken over from", self.lost_workers, self.takeovers)?;
        }
        if let Some(why) = &self.fewer_workers {
            write!(f, "; fewer workers than {}: {why}", self.workers_wanted)?;
        }
        if self.stray_references > 0 {
            write!(f, "; {} stray references", self.stray_references)?;
        }
        if let Some(why) = &self.fallback {
            write!(f, "; fell back to stop-the-world: {why}")?;
        }
        if let Some(why) = &self.failure {
            write!(f, "; failed: {why}")?;
        }
        Ok(())
    }
}

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

/// Where cycles are entered.
pub(crate) struct Ledger {
    totals: Mutex<Totals>,
    pub(crate) ladder: Ladder,
}

#[derive(Debug)]
struct Totals {
    pauses: Histogram,
    /// The part of each until all threads had stopped.
    stops: Histogram,
    pause_total_ms: f64,
    cycles: u64,
    young_cycles: u64,
    fallbacks: u64,
    failures: u64,
    marked_bytes: u64,
    marked_objects: u64,
    mark_ms: f64,
    worker_cpu_ms: f64,
    lost_workers: u64,
    takeovers: u64,
    peak_used: u64,
    worker_private_peak: Option<u64>,
    weak_refs_cleared: u64,
    weak_entries_cleared: u64,
    finalizers_queued: u64,
    last_trouble: Option<String>,
    /// The last cycle that ended well.
    last_complete: Option<CycleRecord>,
    /// The last full one that did.
    last_full: Option<CycleRecord>,
}

impl Ledger {
    pub(crate) fn new(ladder: Ladder) -> Self {
        let totals = Totals {
            pauses: Histogram::new(),
            stops: Histogram::new(),
            pause_total_ms: 0.0,
            cycles: 0,
            young_cycles: 0,
            fallbacks: 0,
            failures: 0,
            marked_bytes: 0,
            marked_objects: 0,
            mark_ms: 0.0,
            worker_cpu_ms: 0.0,
            lost_workers: 0,
            takeovers: 0,
            peak_used: 0,
            worker_private_peak: None,
            weak_refs_cleared: 0,
            weak_entries_cleared: 0,
            finalizers_queued: 0,
            last_trouble: None,
            last_complete: None,
            last_full: None,
        };
        Self { totals: Mutex::new(totals), ladder }
    }

    /// Enters a cycle.
    pub(crate) fn enter(&self, record: &CycleRecord) {
        let mut totals = self.totals.lock();
        let t = &mut *totals;
        if record.failure.is_some() {
            t.failures += 1;
        } else {
            t.cycles += 1;
            t.young_cycles += u64::from(record.scope == Scope::Young);
        }
        t.fallbacks += u64::from(record.fallback.is_some());
        if record.tried_ms > 0.0 {
            t.pauses.record_ms(record.tried_ms);
            t.pause_total_ms += record.tried_ms;
        }
        t.pauses.record_ms(record.pause_ms);
        t.stops.record_ms(record.stop_ms);
        t.pause_total_ms += record.pause_ms;
        t.marked_bytes += record.marked_bytes;
        t.marked_objects += record.marked_objects;
        t.mark_ms += record.mark_ms;
        t.worker_cpu_ms += record.worker_cpu_ms;
        t.lost_workers += u64::from(record.lost_workers);
        t.takeovers += u64::from(record.takeovers);
        t.weak_refs_cleared += record.weak_refs_cleared;
        t.weak_entries_cleared += record.weak_entries_cleared;
        t.finalizers_queued += record.finalizers_queued;
        t.peak_used = t.peak_used.max(record.used_bytes);
        t.worker_private_peak = t.worker_private_peak.max(record.worker_private_bytes);
        let trouble = [&record.failure, &record.fallback, &record.untracked, &record.fewer_workers];
        if let Some(trouble) = trouble.into_iter().flatten().next() {
            t.last_trouble = Some(trouble.clone());
        }
        if record.failure.is_none() {
            if record.scope == Scope::Full {
                t.last_full = Some(record.clone());
            }
            t.last_complete = Some(record.clone());
        }
    }

    /// The times of all pauses.
    pub(crate) fn pauses(&self) -> Histogram {
        self.totals.lock().pauses.clone()
    }

    /// The part of each until all threads had stopped.
    pub(crate) fn stops(&self) -> Histogram {
        self.totals.lock().stops.clone()
    }

    /// Before a fork whose child gets a copy.
    pub(crate) fn hold(&self) {
        self.totals.hold();
    }

    /// After it, on both sides.
    ///
    /// # Safety
    /// Held by this thread or the one that it is the image of.
    pub(crate) unsafe fn let_go(&self) {
        // SAFETY: passed on to the caller.
        unsafe { self.totals.let_go() };
    }

    /// The most memory that a worker was seen to have for itself.
    pub(crate) fn worker_private_peak(&self) -> Option<Bytes> {
        self.totals.lock().worker_private_peak.map(|bytes| Bytes(bytes as usize))
    }

    /// The number of the last full cycle that ended well, and what it marked; needs no memory.
    pub(crate) fn last_marked(&self) -> Option<(u64, Bytes)> {
        let totals = self.totals.lock();
        totals.last_full.as_ref().map(|record| (record.number, Bytes(record.marked_bytes as usize)))
    }

    /// The last cycle that ended well.
    pub(crate) fn last_complete(&self) -> Option<CycleRecord> {
        self.totals.lock().last_complete.clone()
    }

    /// The last full cycle that ended well.
    pub(crate) fn last_full(&self) -> Option<CycleRecord> {
        self.totals.lock().last_full.clone()
    }

    /// All that is entered; what the heap knows of itself is left at zero.
    pub(crate) fn stats(&self) -> Stats {
        let t = self.totals.lock();
        let quantile = |q| ms(t.pauses.quantile(q));
        Stats {
            snapshot: self.ladder.chosen().snapshot,
            delivery: self.ladder.chosen().delivery.map_or("none", DeliveryKind::name),
            rung: self.ladder.chosen().to_string(),
            ladder: self.ladder.to_string(),
            degraded: self.ladder.degraded(),
            cycles: t.cycles,
            young_cycles: t.young_cycles,
            fallbacks: t.fallbacks,
            failures: t.failures,
            last_trouble: t.last_trouble.clone(),
            pause_p50_ms: quantile(0.5),
            pause_p90_ms: quantile(0.9),
            pause_p99_ms: quantile(0.99),
            pause_p999_ms: quantile(0.999),
            pause_max_ms: ms(t.pauses.max()),
            pause_total_ms: t.pause_total_ms,
            trapped_pages: 0,
            traps_between: 0,
            traps_in_snapshot: 0,
            traps_small: 0,
            traps_allocation: 0,
            traps_large: 0,
            traps_recurrent: 0,
            traps_neighbouring: 0,
            opened_pages: 0,
            preimages: 0,
            pool_stalls: 0,
            pool_stalled_ms: 0.0,
            marked_bytes: t.marked_bytes,
            marked_objects: t.marked_objects,
            mark_ms: t.mark_ms,
            worker_cpu_ms: t.worker_cpu_ms,
            lost_workers: t.lost_workers,
            takeovers: t.takeovers,
            allocated_bytes: 0,
            used_bytes: 0,
            peak_used_bytes: t.peak_used,
            limit_bytes: 0,
            resident_bytes: 0,
            resident_traced_bytes: 0,
            resident_leaf_bytes: 0,
            returned_bytes: 0,
            tables_bytes: 0,
            preimage_bytes: 0,
            weak_refs_cleared: t.weak_refs_cleared,
            weak_entries_cleared: t.weak_entries_cleared,
            finalizers_registered: 0,
            finalizers_queued: t.finalizers_queued,
            finalizers_taken: 0,
            finalizable: 0,
        }
    }
}

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use palimpsest_runtime::ladder::{self, By};

    #[test]
    fn the_ledger_adds_up_and_keeps_trouble_visible() {
        let half = Bytes::mib(2);
        let (footing, ladder) =
            ladder::climb(Snapshot::StopTheWorld.into(), By::Builder, half, half).expect("a rung");
        footing.leave();
        let ledger = Ledger::new(ladder);
        for number in 1..=100 {
            let mut record = CycleRecord::new(number, Scope::Full, Snapshot::Preimage);
            record.pause_ms = number as f64 / 100.0;
            record.failure = (number == 7).then(|| "worker was killed by signal 9".into());
            ledger.enter(&record);
        }
        let stats = ledger.stats();
        assert_eq!((stats.cycles, stats.failures, stats.fallbacks), (99, 1, 0));
        assert!((stats.pause_p50_ms - 0.5).abs() < 0.01 && (stats.pause_max_ms - 1.0).abs() < 0.01);
        assert!(stats.to_string().contains("signal 9"));
        assert_eq!(ledger.last_complete().unwrap().number, 100);
    }
}
