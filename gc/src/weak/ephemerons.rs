//! Ephemerons (Hayes, "Ephemerons: a New Finalization Mechanism", 1997): a key and a value, where the value is kept alive only
//! while the key is, by something else than the ephemeron's own value.
//!
//! Entries lie flat in tables in ordinary native memory: one for each [`WeakMap`](super::WeakMap), one for all single
//! [`Ephemeron`](super::Ephemeron)s. A worker has them as they were at the fork, and scans them one after another. Only attached
//! threads change what a marker looks at, between safepoints, so that in the stopped world, and at the fork, no change is
//! halfway; the lock of a table is between those threads and the collector's, which clears entries between two cycles.
//!
//! # Marking
//!
//! When all else is marked, every entry is looked at once. Where the key is alive, the value is marked. The others are *pending*
//! and go into an index by key, chains of entries that hang on a table of heads. From then on the marker looks up every
//! object that it paints: pending entries whose key this is become *ready*, and their values are marked when the marker
//! has run dry. So each entry is handled once, whatever the order, and the work is linear in the entries and in the objects that are
//! reached through them.
//!
//! A marker in another process may paint a key too, and has no index. So whenever nothing is ready any more, the pending entries
//! are gone through once more, and the rounds are over when that finds nothing. They are as many as the longest chain at worst.
//!
//! None of this allocates. Chains run through the entries, in the worker's own copy of them, and the heads are a table of the heap.
//!
//! # Why it is right while the program goes on
//!
//! The marker takes the entries of the snapshot. Whoever reads an entry holds its key. That was reachable at the snapshot, then the
//! value which the entry had there is marked with it, also if the entry is changed or removed meanwhile. Or it was read
//! through a weak reference, an entry's key among these: then it went through the queue of [`WeakReads`](super::WeakReads), and
//! the queue closes only when all values of marked keys are marked. Or it is younger than the snapshot, and so are its
//! entries. What is put into an entry after the snapshot is in the program's hands, and marked, queued, or young.

use crate::core::Core;
use crate::embedder::Embedder;
use crate::error::Error;
use crate::mark::{Marker, Source};
use palimpsest_runtime::Address;
use palimpsest_runtime::mapping::{Region, Shared};
use palimpsest_runtime::sys::lock::Mutex;
use std::collections::TryReserveError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// Keys that are none: of an entry that was never used, and of one that was removed or whose key has died.
pub(super) const EMPTY: u64 = 0;
pub(super) const REMOVED: u64 = 1;

/// Entries that are cleared before the lock is given to others.
const PIECE: usize = 2048;

/// Entries between two signs of life.
const SIGN: usize = 4096;

/// Chains, at most. With more pending entries the chains get longer.
const HEADS: usize = 1 << 18;

/// Links: of an entry that is not pending; added to that of one which is ready, or has been. 0 ends a chain.
const SETTLED: u64 = u64::MAX;
const HANDLED: u64 = 1 << 63;

/// One ephemeron.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(super) key: AtomicU64,
    /// A word, as a traced object holds it.
    pub(super) value: AtomicU64,
    /// The marker's. In a worker its own.
    link: AtomicU64,
}

impl Entry {
    pub(super) fn key(&self) -> Option<Address> {
        Some(self.key.load(Acquire)).filter(|key| *key > REMOVED).map(|key| Address::new(key as usize))
    }
}

/// A table's entries.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(super) slots: Vec<Entry>,
    /// Entries that were removed, or whose key has died.
    pub(super) removed: usize,
    /// Changes when the entries are laid out anew.
    pub(super) generation: u64,
}

impl Entries {
    /// Makes room for `more` entries behind those there are.
    pub(super) fn extend(&mut self, more: usize) -> Result<(), TryReserveError> {
        self.slots.try_reserve_exact(more)?;
        self.slots.resize_with(self.slots.len() + more, Entry::default);
        Ok(())
    }
}

/// A table of ephemerons.
#[derive(Debug, Default)]
pub(crate) struct EphemeronTable {
    pub(super) entries: Mutex<Entries>,
    /// Entries with a key.
    pub(super) len: AtomicUsize,
}

impl EphemeronTable {
    /// The entries, for a marker.
    ///
    /// # Safety
    /// The world is stopped, or this is a worker forked from a stopped world.
    unsafe fn frozen(&self) -> &[Entry] {
        // SAFETY: the vector is changed by attached threads only, between safepoints.
        unsafe { &(*self.entries.data_ptr()).slots }
    }

    /// Removes entries whose keys are dead. How many.
    fn clear(&self, is_dead: impl Fn(Address) -> bool) -> u64 {
        let mut generation = self.entries.lock().generation;
        let (mut from, mut cleared) = (0, 0);
        loop {
            let mut entries = self.entries.lock();
            if entries.generation != generation {
                (generation, from) = (entries.generation, 0);
            }
            let to = entries.slots.len().min(from + PIECE);
            let mut dead = 0;
            for entry in &entries.slots[from..to] {
                if entry.key().is_some_and(&is_dead) {
                    entry.key.store(REMOVED, Release);
                    dead += 1;
                }
            }
            entries.removed += dead;
            cleared += dead as u64;
            self.len.fetch_sub(dead, Relaxed);
            if to == entries.slots.len() {
                return cleared;
            }
            from = to;
        }
    }
}

/// The table of single ephemerons, once there is one, and its free entries. Both are used under the lock of the roots.
#[derive(Debug, Default)]
pub(super) struct Singles {
    pub(super) table: Option<Arc<EphemeronTable>>,
    pub(super) free: Vec<u32>,
}

/// All tables of a heap.
#[derive(Debug, Default)]
pub(crate) struct Ephemerons {
    /// A table stays at its place.
    tables: Vec<Option<Arc<EphemeronTable>>>,
    free: Vec<u32>,
    pub(super) singles: Singles,
}

impl Ephemerons {
    /// Adds a table, and returns its place.
    pub(super) fn register(&mut self, table: Arc<EphemeronTable>) -> Result<u32, TryReserveError> {
        // Room for all places, so that giving one back needs none.
        self.tables.try_reserve(1)?;
        self.free.try_reserve(self.tables.len() + 1)?;
        let at = self.free.pop().unwrap_or(self.tables.len() as u32);
        match self.tables.get_mut(at as usize) {
            Some(place) => *place = Some(table),
            None => self.tables.push(Some(table)),
        }
        Ok(at)
    }

    /// Takes a table away.
    pub(super) fn unregister(&mut self, at: u32) -> Option<Arc<EphemeronTable>> {
        let table = self.tables.get_mut(at as usize)?.take();
        self.free.push(at);
        table
    }

    fn all(&self) -> impl Iterator<Item = (usize, &EphemeronTable)> {
        self.tables.iter().enumerate().filter_map(|(k, table)| Some((k, &**table.as_ref()?)))
    }

    /// The tables, to be cleared without a lock on the list.
    pub(super) fn tables(&self) -> Vec<Arc<EphemeronTable>> {
        self.tables.iter().flatten().cloned().collect()
    }

    /// Passes on the key and the value of every entry.
    ///
    /// # Safety
    /// The world is stopped.
    pub(crate) unsafe fn visit(&self, mut visit: impl FnMut(Address, u64)) {
        for (_, table) in self.all() {
            // SAFETY: passed on to the caller.
            for entry in unsafe { table.frozen() } {
                if let Some(key) = entry.key() {
                    visit(key, entry.value.load(Relaxed));
                }
            }
        }
    }

    /// The marker has run dry: discovers the values of entries whose keys are alive. Whether it has anything to do then. To be called until
    /// there are none, with the marker drained in between. Runs in a worker, or in the stopped world: allocates nothing, locks
    /// nothing. Where several markers are at work, one of them does this.
    ///
    /// # Safety
    /// The world is stopped, or this is a worker forked from a stopped world; and so it stays while the marker is used.
    pub(crate) unsafe fn trace<'a, E: Embedder, S: Source>(&'a self, marker: &mut Marker<'a, E, S>) -> bool {
        // SAFETY: passed on to the caller.
        unsafe {
            match &mut marker.pending {
                None => self.trace_all(marker),
                Some(pending) => match pending.take_ready() {
                    0 => self.trace_pending(marker),
                    first => self.trace_ready(marker, first),
                },
            }
        }
    }

    /// Looks at all entries, and links those that are pending.
    ///
    /// # Safety
    /// As for [`Ephemerons::trace`].
    unsafe fn trace_all<'a, E: Embedder, S: Source>(&'a self, marker: &mut Marker<'a, E, S>) -> bool {
        // SAFETY: passed on to the caller.
        let entries: usize = self.all().map(|(_, table)| unsafe { table.frozen() }.len()).sum();
        if entries == 0 {
            return false;
        }
        let core = marker.core();
        marker.pending = Some(Pending::new(self, &core.weak.index, entries));
        marker.attends = true;
        let mut found = false;
        for (k, table) in self.all() {
            // SAFETY: passed on to the caller.
            for (at, entry) in unsafe { table.frozen() }.iter().enumerate() {
                if at % SIGN == SIGN - 1 {
                    // What is discovered here is not marked yet: the marker has not run dry.
                    found |= marker.now_and_then();
                    if marker.is_late() {
                        return true;
                    }
                }
                entry.link.store(SETTLED, Relaxed);
                let Some(key) = entry.key() else { continue };
                if core.is_live_object(key) {
                    found |= marker.discover_value(entry.value.load(Relaxed));
                } else if let Some(pending) = &mut marker.pending {
                    pending.link(key, entry, k, at);
                }
            }
        }
        found
    }

    /// Looks at all pending entries: another marker may have painted a key.
    ///
    /// # Safety
    /// As for [`Ephemerons::trace`].
    unsafe fn trace_pending<'a, E: Embedder, S: Source>(&'a self, marker: &mut Marker<'a, E, S>) -> bool {
        let core = marker.core();
        let mut found = false;
        for (_, table) in self.all() {
            // SAFETY: passed on to the caller.
            for (at, entry) in unsafe { table.frozen() }.iter().enumerate() {
                if at % SIGN == SIGN - 1 {
                    // What is discovered here is not marked yet: the marker has not run dry.
                    found |= marker.now_and_then();
                    if marker.is_late() {
                        return true;
                    }
                }
                let link = entry.link.load(Relaxed);
                // A handled entry's link has the bit, too.
                if link & HANDLED == 0 && entry.key().is_some_and(|key| core.is_live_object(key)) {
                    entry.link.store(link | HANDLED, Relaxed);
                    found |= marker.discover_value(entry.value.load(Relaxed));
                }
            }
        }
        found
    }

    /// Discovers the values of entries whose keys the marker has painted.
    ///
    /// # Safety
    /// As for [`Ephemerons::trace`].
    unsafe fn trace_ready<'a, E: Embedder, S: Source>(
        &'a self,
        marker: &mut Marker<'a, E, S>,
        first: u64,
    ) -> bool {
        let (mut next, mut count) = (first, 0);
        // SAFETY: passed on to the caller.
        while let Some(entry) = unsafe { self.entry(next) } {
            count += 1;
            if count % SIGN == 0 {
                marker.now_and_then();
                if marker.is_late() {
                    return true;
                }
            }
            next = entry.link.swap(SETTLED, Relaxed) & !HANDLED;
            marker.discover_value(entry.value.load(Relaxed));
        }
        // Also where the values were marked: others may be ready by now.
        true
    }

    /// The entry that a link leads to.
    ///
    /// # Safety
    /// As for [`Ephemerons::trace`].
    unsafe fn entry(&self, link: u64) -> Option<&Entry> {
        let link = link.checked_sub(1)?;
        let table = self.tables.get((link >> 32) as usize)?.as_ref()?;
        // SAFETY: passed on to the caller.
        unsafe { table.frozen() }.get(link as u32 as usize)
    }
}

/// Heads of the chains of pending entries. In shared memory, so that it is there wherever a marker runs; nothing in it counts
/// from one cycle to the next.
#[derive(Debug)]
pub(crate) struct EphemeronIndex(Shared<AtomicU64>);

impl EphemeronIndex {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self(Shared::scratch("palimpsest-ephemerons", HEADS)?))
    }

    pub(super) fn region(&self) -> Region<'_> {
        self.0.region()
    }
}

/// The pending entries of a marking, and those that are ready.
pub(crate) struct Pending<'a> {
    all: &'a Ephemerons,
    heads: &'a [AtomicU64],
    /// The first entry that is ready.
    ready: u64,
}

impl<'a> Pending<'a> {
    fn new(all: &'a Ephemerons, index: &'a EphemeronIndex, entries: usize) -> Self {
        let heads = &index.0[..entries.next_power_of_two().min(HEADS)];
        heads.iter().for_each(|head| head.store(0, Relaxed));
        Self { all, heads, ready: 0 }
    }

    fn head(&self, key: Address) -> &'a AtomicU64 {
        let hash = (key.as_usize() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.heads[hash as usize & (self.heads.len() - 1)]
    }

    fn link(&mut self, key: Address, entry: &Entry, table: usize, at: usize) {
        let head = self.head(key);
        entry.link.store(head.load(Relaxed), Relaxed);
        head.store(((table as u64) << 32 | at as u64) + 1, Relaxed);
    }

    fn take_ready(&mut self) -> u64 {
        std::mem::take(&mut self.ready)
    }

    /// An object is about to be painted: pending entries with this key become ready.
    ///
    /// # Safety
    /// As for [`Ephemerons::trace`].
    pub(crate) unsafe fn painted(&mut self, key: Address) {
        let mut from = self.head(key);
        loop {
            let at = from.load(Relaxed);
            // SAFETY: passed on to the caller.
            let Some(entry) = (unsafe { self.all.entry(at & !HANDLED) }) else { return };
            let link = entry.link.load(Relaxed);
            if link & HANDLED == 0 && entry.key() == Some(key) {
                // Out of the chain, with the bit of the one before left as it is.
                from.store(from.load(Relaxed) & HANDLED | link, Relaxed);
                entry.link.store(self.ready | HANDLED, Relaxed);
                self.ready = at & !HANDLED;
            } else {
                from = &entry.link;
            }
        }
    }
}

impl<E: Embedder> Core<E> {
    /// Whether the object that starts at this address is alive, as far as the marker knows.
    pub(crate) fn is_live_object(&self, object: Address) -> bool {
        self.geometry.start_granule(object.as_usize()).is_some_and(|granule| self.is_live(granule))
    }

    /// After complete marking: removes the entries whose keys are dead. How many.
    pub(super) fn clear_ephemerons(&self) -> u64 {
        let tables = self.roots.lock().ephemerons.tables();
        tables.iter().map(|table| table.clear(|key| !self.is_live_object(key))).sum()
    }
}
