//! A weak hash set: what a language interns its strings in.
//!
//! An open-addressing table of hash and object, in memory that no worker inherits. Its entries are not roots. After a cycle
//! the collector clears the entries of dead objects, a piece at a time so that no thread waits long for the table's
//! lock, and before anything is swept.

use super::reads::Reading;
use crate::core::Core;
use crate::embedder::Embedder;
use crate::error::{Error, OutOfMemory};
use crate::heap::Heap;
use crate::mutator::Mutator;
use palimpsest_runtime::crash::violated;
use palimpsest_runtime::host_fork::{Group, Home, stop_without_heap};
use palimpsest_runtime::mapping::Private;
use palimpsest_runtime::sys::lock::{HoldAcrossFork, Mutex};
use palimpsest_runtime::{Address, Bytes};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// Slots of a new table.
const LEAST: usize = 1024;

/// Slots that are cleared before the lock is given to others.
const PIECE: usize = 2048;

const EMPTY: u64 = 0;
const REMOVED: u64 = 1;

/// Slots: hash, and the object's address, or [`EMPTY`], or [`REMOVED`].
#[derive(Debug)]
struct Slots {
    slots: Private<[AtomicU64; 2]>,
    live: usize,
    removed: usize,
    /// Changes when the slots are laid out anew.
    generation: u64,
    /// The heap's.
    group: Group,
}

impl Slots {
    fn new(capacity: usize, generation: u64, group: Group) -> Result<Self, Error> {
        let slots = group.with(|| Private::new(capacity))?;
        Ok(Self { slots, live: 0, removed: 0, generation, group })
    }

    /// The slots to look at for a hash, in order. There is always an empty one.
    fn probe(&self, hash: u64) -> impl Iterator<Item = &[AtomicU64; 2]> {
        let mask = self.slots.len() - 1;
        // Hashes of embedders are not always spread over all bits.
        let first = (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        (0..self.slots.len()).map(move |k| &self.slots[(first + k) & mask])
    }

    fn insert(&mut self, hash: u64, object: u64) {
        let free = self.probe(hash).find(|slot| slot[1].load(Relaxed) <= REMOVED);
        // `make_room` leaves a third of the slots empty.
        let slot = free.unwrap_or_else(|| violated(None, format_args!("a weak table has no empty slot")));
        let was_removed = slot[1].load(Relaxed) == REMOVED;
        slot[0].store(hash, Relaxed);
        slot[1].store(object, Relaxed);
        self.removed -= usize::from(was_removed);
        self.live += 1;
    }

    /// Makes room for one more: at most two thirds of the slots are ever in use.
    fn make_room(&mut self) -> Result<(), Error> {
        if (self.live + self.removed + 1) * 3 <= self.slots.len() * 2 {
            return Ok(());
        }
        let capacity = (self.live * 3).next_power_of_two().max(LEAST);
        let mut larger = Slots::new(capacity, self.generation + 1, self.group)?;
        for [hash, object] in self.slots.iter() {
            let object = object.load(Relaxed);
            if object > REMOVED {
                larger.insert(hash.load(Relaxed), object);
            }
        }
        *self = larger;
        Ok(())
    }

    /// Removes what is dead among slots from `from` on. How many, and where to go on, unless that was all.
    fn clear_piece(&mut self, from: usize, is_dead: impl Fn(Address) -> bool) -> (usize, Option<usize>) {
        let live = self.live;
        let to = (from + PIECE).min(self.slots.len());
        for [_, object] in &self.slots[from..to] {
            let held = object.load(Relaxed);
            if held > REMOVED && is_dead(Address::new(held as usize)) {
                object.store(REMOVED, Relaxed);
                self.live -= 1;
                self.removed += 1;
            }
        }
        (live - self.live, (to < self.slots.len()).then_some(to))
    }
}

type Table = Arc<Mutex<Slots>>;

/// All weak tables of a heap.
#[derive(Debug, Default)]
pub(crate) struct WeakTables {
    all: Mutex<Vec<Weak<Mutex<Slots>>>>,
    /// Those that are held for a fork.
    held: Mutex<Vec<Table>>,
}

impl WeakTables {
    fn register(&self, table: &Table) {
        let mut all = self.all.lock();
        if all.len() == all.capacity() {
            // Cycles do that too, if there are any.
            all.retain(|table| table.strong_count() > 0);
        }
        all.push(Arc::downgrade(table));
    }

    /// Before a fork whose child gets a copy: takes the locks of all tables, and of the list. None goes away meanwhile.
    pub(crate) fn hold(&self) {
        self.all.hold();
        // SAFETY: held.
        let tables: Vec<Table> = unsafe { self.all.held() }.iter().filter_map(Weak::upgrade).collect();
        tables.iter().for_each(|table| table.hold());
        *self.held.lock() = tables;
    }

    /// After all else, in the parent; in the child, when it runs code that may free memory.
    pub(crate) fn forget_held(&self) {
        let tables = std::mem::take(&mut *self.held.lock());
        drop(tables);
    }

    /// Gives the locks back, on both sides. Async-signal-safe.
    ///
    /// # Safety
    /// Held by this thread or the one that it is the image of.
    pub(crate) unsafe fn let_go(&self) {
        // SAFETY: passed on to the caller.
        unsafe {
            self.held.lock().iter().for_each(|table| table.let_go());
            self.all.let_go();
        }
    }

    /// Removes the entries of dead objects from all tables. How many.
    pub(crate) fn clear(&self, is_dead: impl Fn(Address) -> bool) -> u64 {
        let mut cleared = 0;
        let tables: Vec<Table> = {
            let mut tables = self.all.lock();
            tables.retain(|table| table.strong_count() > 0);
            tables.iter().filter_map(Weak::upgrade).collect()
        };
        for table in tables {
            let mut generation = table.lock().generation;
            let mut at = Some(0);
            while let Some(from) = at {
                let mut slots = table.lock();
                if slots.generation != generation {
                    // Laid out anew by an insertion meanwhile: start over.
                    (generation, at) = (slots.generation, Some(0));
                    continue;
                }
                let (dead, next) = slots.clear_piece(from, &is_dead);
                (at, cleared) = (next, cleared + dead as u64);
            }
        }
        cleared
    }
}

/// A hash set of objects that does not keep them alive. Entries of dead objects vanish.
///
/// An object that waits for its finalizer is alive, and its entry stays; so does that of one which only such an object refers to.
///
/// For threads attached to its heap. Operations take a lock for a short time; they are no safepoints.
#[derive(Debug)]
pub struct WeakTable {
    table: Table,
    /// The heap it was made for, to refuse mutators of another.
    heap: u64,
    home: Arc<Home>,
}

impl WeakTable {
    /// An empty table of this heap.
    pub fn new<E: Embedder>(heap: &Heap<E>) -> Result<Self, Error> {
        heap.core().must_be_ours("WeakTable::new");
        let table = Arc::new(Mutex::new(Slots::new(LEAST, 0, heap.core().group)?));
        heap.core().weak_tables.register(&table);
        Ok(Self { table, heap: heap.core().id, home: heap.core().home.clone() })
    }

    /// An object with this hash for which `eq` holds. It is alive, and stays so if it is reachable from a root at the
    /// calling thread's next safepoint.
    ///
    /// `eq` is called on objects with the same hash, dead ones not yet removed among them, and may read them. It must
    /// not use this table or the mutator.
    ///
    /// # Panics
    /// If the mutator is another heap's.
    pub fn find<E: Embedder>(
        &self,
        mutator: &mut Mutator<E>,
        hash: u64,
        mut eq: impl FnMut(Address) -> bool,
    ) -> Option<Address> {
        let core = self.core_of(mutator);
        let mut slots = self.table.lock();
        let mut dead = 0;
        let mut found = None;
        for [with_hash, object] in slots.probe(hash) {
            let held = object.load(Relaxed);
            if held == EMPTY {
                break;
            }
            let candidate = Address::new(held as usize);
            if held != REMOVED
                && with_hash.load(Relaxed) == hash
                && eq(candidate)
                && let Some(granule) = core.geometry.start_granule(candidate.as_usize())
            {
                if core.read_weak(granule, Reading::Entry) {
                    found = Some(candidate);
                    break;
                }
                object.store(REMOVED, Relaxed);
                dead += 1;
            }
        }
        slots.live -= dead;
        slots.removed += dead;
        found
    }

    /// Adds an object, which the caller has looked for and not found.
    ///
    /// # Errors
    /// Where the table has to grow and memory for that cannot be had.
    ///
    /// # Panics
    /// If the mutator is another heap's, or the address not one of an object of this heap.
    pub fn insert<E: Embedder>(
        &self,
        mutator: &mut Mutator<E>,
        hash: u64,
        object: Address,
    ) -> Result<(), OutOfMemory> {
        let core = self.core_of(mutator);
        assert!(
            core.geometry.start_granule(object.as_usize()).is_some(),
            "{object} is no object of this heap"
        );
        let mut slots = self.table.lock();
        slots.make_room().map_err(|_| OutOfMemory {
            requested: Bytes(slots.slots.len() * 2 * size_of::<[u64; 2]>()),
            used: core.used(),
            limit: core.options.limit,
        })?;
        slots.insert(hash, object.as_usize() as u64);
        Ok(())
    }

    /// Entries, some of which may be of objects that are dead and not yet found to be.
    pub fn len(&self) -> usize {
        self.must_be_ours();
        self.table.lock().live
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn must_be_ours(&self) {
        if self.home.is_past() {
            stop_without_heap("WeakTable");
        }
    }

    fn core_of<'m, E: Embedder>(&self, mutator: &'m Mutator<E>) -> &'m Core<E> {
        self.must_be_ours();
        let core = mutator.core_for("WeakTable");
        assert_eq!(core.id, self.heap, "a weak table was used with a mutator of another heap");
        core
    }
}

impl Drop for WeakTable {
    fn drop(&mut self) {
        if self.home.is_past() {
            // Another thread may have been laying it out anew when the process forked: nothing is freed here.
            std::mem::forget(self.table.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_growth_and_dead_ones_go() {
        let mut slots = Slots::new(LEAST, 0, Group::NONE).unwrap();
        for k in 1..=5_000u64 {
            slots.make_room().unwrap();
            slots.insert(k % 100, k * 16);
        }
        let found = |slots: &Slots, k: u64| {
            slots
                .probe(k % 100)
                .take_while(|s| s[1].load(Relaxed) != EMPTY)
                .any(|s| s[0].load(Relaxed) == k % 100 && s[1].load(Relaxed) == k * 16)
        };
        assert!((1..=5_000).all(|k| found(&slots, k)));
        let mut at = Some(0);
        while let Some(from) = at {
            (_, at) = slots.clear_piece(from, |object| object.as_usize() % 32 == 0);
        }
        assert!((1..=5_000).all(|k| found(&slots, k) == (k % 2 == 1)));
        assert_eq!((slots.live, slots.removed), (2_500, 2_500));
    }

    #[test]
    fn a_table_of_removed_entries_is_laid_out_anew_instead_of_growing() {
        let mut slots = Slots::new(LEAST, 0, Group::NONE).unwrap();
        for k in 1..=100_000u64 {
            slots.make_room().unwrap();
            slots.insert(k, k * 16);
            let mut at = Some(0);
            while let Some(from) = at.filter(|_| k % 100 == 0) {
                (_, at) = slots.clear_piece(from, |_| true);
            }
        }
        assert_eq!(slots.slots.len(), LEAST);
    }
}
