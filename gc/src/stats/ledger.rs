//! Where cycles are entered, and totals come from.

use super::{CycleRecord, Scope, Stats, ms};
use crate::histogram::Histogram;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::barrier::DeliveryKind;
use palimpsest_runtime::ladder::Ladder;
use palimpsest_runtime::sys::lock::{HoldAcrossFork, Mutex};

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

#[cfg(test)]
mod tests {
    use super::*;

    use palimpsest_runtime::ladder::{self, By, Snapshot};

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
