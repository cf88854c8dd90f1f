//! What refers to objects without keeping them alive: weak references, tables and maps, ephemerons, finalizers; and the rules for
//! reading these during a snapshot.
//!
//! A cycle decides what dies by what was reachable at the snapshot. A mutator that reads a weak reference while the cycle is
//! marked makes its target reachable again, and no scan of roots comes later that would see it (there is no remark
//! pause). So the read itself has to tell the marker: [`WeakReads`] is a queue in shared memory that the worker drains
//! before it ends. Ending is one atomic step, *closing* the queue, which fails while something is in it:
//!
//! * a read whose target went into the queue before it closed keeps its target: it will be marked;
//! * a read that finds the queue closed looks at the target's colour, which is final: marked, it lives; otherwise it is
//!   dead, and the read says so, also before the table has been cleared.
//!
//! What a read finds dead it removes from the table at once, so that nobody sees it again, not even if the cycle fails. In a
//! cycle that fails before the queue is closed nothing dies, and every read succeeds.
//!
//! # What is where
//!
//! | file | its subject |
//! | --- | --- |
//! | `reads` | the queue |
//! | `ending` | the end of marking, below |
//! | `reference` | [`WeakRef`] and [`WeakSlot`]: cut when their target is queued for finalization |
//! | `table` | [`WeakTable`]: its entries last as long as their objects |
//! | `ephemerons` | what a marker does with [`WeakMap`] (`map`) and [`Ephemeron`] (`ephemeron`) |
//! | `finalizers` | who is queued for finalization, and why weak reads are not misled by what that keeps alive |
//! | `kept` | which objects are alive for that reason only |
//!
//! # The end of marking
//!
//! ```text
//!   roots ─▶ drain ─▶ weak reads, ephemerons ─▶ decide ─▶ registered and not marked ─▶ drain ─▶ weak reads, ephemerons ─▶ close
//!              ▲             │ any                          (kept for finalizers)        ▲             │ any
//!              └─────────────┘                                                           └─────────────┘
//! ```
//!
//! After that, on the collector's thread: weak references are cut, entries of the dead are removed, finalizers are queued, and only
//! then is anything swept. A failed cycle does none of this.

mod ending;
mod ephemeron;
mod ephemerons;
mod finalizers;
mod kept;
mod map;
mod reads;
mod reference;
mod table;

pub use ephemeron::Ephemeron;
pub(crate) use ephemerons::{Ephemerons, Pending};
pub use finalizers::Finalizer;
pub(crate) use finalizers::Finalizers;
pub(crate) use kept::Kept;
pub use map::WeakMap;
pub(crate) use reads::{Reading, WeakReads};
pub(crate) use reference::WeakRefs;
pub use reference::{WeakRef, WeakSlot};
pub use table::WeakTable;
pub(crate) use table::WeakTables;

use crate::core::Core;
use crate::embedder::Embedder;
use crate::error::{Error, OutOfMemory};
use crate::mark::{Marker, Source};
use crate::roots::RootSet;
use crate::stats::CycleRecord;
use ending::Ending;
use ephemerons::EphemeronIndex;
use finalizers::Waiting;
use palimpsest_runtime::mapping::Region;
use palimpsest_runtime::{Address, Bytes};

/// What a heap has for all this beside its tables and its roots.
#[derive(Debug)]
pub(crate) struct WeakState {
    pub(crate) refs: WeakRefs,
    pub(crate) kept: Kept,
    index: EphemeronIndex,
    pub(crate) waiting: Waiting,
}

impl WeakState {
    /// For a heap of so many granules.
    pub(crate) fn new(granules: usize) -> Result<Self, Error> {
        Ok(Self {
            refs: WeakRefs::default(),
            kept: Kept::new(granules)?,
            index: EphemeronIndex::new()?,
            waiting: Waiting::default(),
        })
    }

    /// Where its tables are, for workers.
    pub(crate) fn regions(&self) -> [Region<'_>; 2] {
        [self.kept.region(), self.index.region()]
    }
}

/// The marker has discovered what the roots refer to: marks the rest, and ends the marking. A marker with a deadline returns when
/// that has passed, and the marking is given up.
///
/// # Safety
/// As for [`RootSet::visit`].
pub(crate) unsafe fn complete<'a, E: Embedder, S: Source>(
    core: &Core<E>,
    roots: &'a RootSet,
    marker: &mut Marker<'a, E, S>,
) {
    let mut rest = Rest { roots, marker };
    if ending::end(&core.weak_reads, &mut rest) {
        marker.is_done();
    }
}

/// What a marker has left to do. Made by [`complete`] only, under its contract.
struct Rest<'m, 'a, E, S> {
    roots: &'a RootSet,
    marker: &'m mut Marker<'a, E, S>,
}

impl<E: Embedder, S: Source> Ending for Rest<'_, '_, E, S> {
    fn drain(&mut self) -> bool {
        self.marker.drain();
        !self.marker.is_late()
    }

    fn look_further(&mut self) -> bool {
        // SAFETY: the contract of `complete`.
        self.marker.take_weak_reads() || unsafe { self.roots.ephemerons.trace(self.marker) }
    }

    fn resurrect(&mut self) {
        self.roots.finalizers.resurrect(self.marker);
    }
}

impl<E: Embedder> Core<E> {
    /// With the world stopped: a snapshot is taken.
    pub(crate) fn begin_weak(&self) {
        // A marking that was begun in this pause, and is begun anew, may have left something.
        self.weak.kept.wipe();
        self.weak_reads.begin_marking();
        self.weak.refs.begin_marking();
        self.roots.lock().finalizers.begin_marking();
    }

    /// After complete marking: cuts what refers to the dead, and queues what is to be finalized. Only after that may the memory of
    /// dead objects be used again.
    pub(crate) fn clear_weak(&self, record: &mut CycleRecord) {
        self.weak_reads.begin_clearing();
        let is_dead = |object: Address, reading| {
            let granule = self.geometry.start_granule(object.as_usize());
            granule.is_none_or(|granule| self.is_dead(granule, reading))
        };
        // References before finalizers: what is taken from the queue may be referred to anew.
        record.weak_refs_cleared =
            self.weak.refs.clear(|object, reading| is_dead(Address::new(object as usize), reading));
        record.weak_entries_cleared = self.weak_tables.clear(|object| is_dead(object, Reading::Entry));
        record.weak_entries_cleared += self.clear_ephemerons();
        record.finalizers_queued = self.queue_finalizable();
        self.end_weak();
    }

    /// Reads through a weak reference: whether the object that starts at `granule` is alive, in which case it stays so as
    /// long as the caller has a reference that is a root at its next safepoint. Called by an attached thread, between
    /// safepoints, on an object that has not been swept.
    pub(crate) fn read_weak(&self, granule: usize, reading: Reading) -> bool {
        let may_be_misled = || self.barrier.as_ref().is_some_and(|barrier| barrier.is_broken());
        self.weak_reads.read(granule, reading, || self.is_dead(granule, reading), may_be_misled)
    }

    /// Whether a weak reference to this object is to be cleared: after complete marking, or when a read is too late.
    pub(crate) fn is_dead(&self, granule: usize, reading: Reading) -> bool {
        // The colour first: see `Kept::note`.
        !self.is_live(granule) || (reading == Reading::Reference && self.weak.kept.has(granule))
    }

    /// The cycle is over, or has failed, and there is no worker.
    pub(crate) fn end_weak(&self) {
        self.weak_reads.end();
        self.weak.kept.wipe();
    }

    /// This heap, which an object outside it was made for.
    fn must_be(&self, heap: u64, what: &str) -> &Self {
        self.must_be_ours(what);
        assert_eq!(self.id, heap, "a {what} was used with a mutator of another heap");
        self
    }

    fn must_be_object(&self, object: Address) {
        let start = self.geometry.start_granule(object.as_usize());
        assert!(start.is_some(), "{object} is no object of this heap");
    }

    fn no_memory_for(&self, requested: Bytes) -> OutOfMemory {
        OutOfMemory { requested, used: self.used(), limit: self.options.limit }
    }
}
