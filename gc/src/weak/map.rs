//! A map from objects to words that keeps no key alive, and a value only as long as its key.
//!
//! An open-addressing table by the key's address, which never changes. What it does to marking is said in
//! [`ephemerons`](super::ephemerons).

use super::ephemerons::{EMPTY, Entries, Entry, EphemeronTable, REMOVED};
use super::reads::Reading;
use crate::core::Core;
use crate::embedder::Embedder;
use crate::error::OutOfMemory;
use crate::mutator::Mutator;
use crate::roots::AsRoots;
use palimpsest_runtime::crash::violated;
use palimpsest_runtime::host_fork::stop_without_heap;
use palimpsest_runtime::{Address, Bytes};
use std::collections::TryReserveError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::Release};

/// Entries of a map when the first is put in.
const LEAST: usize = 16;

impl Entries {
    /// The entries to look at for a key, in order.
    fn probe(&self, key: u64) -> impl Iterator<Item = &Entry> {
        let mask = self.slots.len().wrapping_sub(1);
        let first = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        (0..self.slots.len()).map(move |k| &self.slots[first.wrapping_add(k) & mask])
    }

    fn find(&self, key: Address) -> Option<&Entry> {
        let key = key.as_usize() as u64;
        let is_on_the_way = |entry: &&Entry| entry.key.load(Relaxed) != EMPTY;
        self.probe(key).take_while(is_on_the_way).find(|entry| entry.key.load(Relaxed) == key)
    }

    /// Puts a key in that is not there, where there is room. Whether it came where one had been removed.
    fn put(&self, key: u64, value: u64) -> bool {
        let free = self.probe(key).find(|entry| entry.key.load(Relaxed) <= REMOVED);
        // `make_room` leaves a third of the entries empty.
        let entry = free.unwrap_or_else(|| violated(None, format_args!("a weak map has no empty entry")));
        let was_removed = entry.key.load(Relaxed) == REMOVED;
        entry.value.store(value, Relaxed);
        entry.key.store(key, Release);
        was_removed
    }

    /// Makes room for one more beside `len`: at most two thirds of the entries are ever in use.
    fn make_room(&mut self, len: usize) -> Result<(), TryReserveError> {
        if (len + self.removed + 1) * 3 <= self.slots.len() * 2 {
            return Ok(());
        }
        let mut larger = Self { generation: self.generation + 1, ..Self::default() };
        larger.extend((len * 3).next_power_of_two().max(LEAST))?;
        for entry in &self.slots {
            if let Some(key) = entry.key() {
                larger.put(key.as_usize() as u64, entry.value.load(Relaxed));
            }
        }
        *self = larger;
        Ok(())
    }
}

/// A map whose keys are objects and whose values are kept alive by it only while their keys are alive otherwise: a table of
/// *ephemerons*. A value may refer to its own key, and keys of one map may be reached through values of another: what is
/// reachable only in such a round goes.
///
/// Keys are told apart by identity. A value is a word as a traced object holds it, and goes through
/// [`Embedder::decode`](crate::Embedder::decode): a reference, or anything else that the language has values for.
///
/// For threads attached to its heap. Operations take a lock for a short time; they are no safepoints. The map may be dropped on
/// any thread; its values are garbage then, unless something else refers to them. It does not keep the heap, and may be dropped after
/// that has gone away.
///
/// A key that is queued for finalization is alive, and its entry stays: a finalizer finds what the map has for its object.
///
/// # Costs
/// An entry takes 36 to 144 bytes, in ordinary native memory, which a worker inherits: the fork in the pause copies its page
/// tables, 7 to 11 ms a gibibyte where that was measured. A cycle scans all entries.
///
/// ```
/// # use palimpsest::{Address, Heap, Kind, PlainPointers, StackScan, WeakMap};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let heap = Heap::builder(PlainPointers).limit(16 << 20).build()?;
/// let mut mutator = heap.attach(StackScan::None)?;
/// let notes = WeakMap::new(&mut mutator)?;
/// let key = Address::from_ptr(mutator.alloc(Kind::LEAF, 16)?.as_ptr());
/// let root = heap.handle(key);
/// // Refers to its key, which does not matter.
/// let note = mutator.alloc(Kind::UNIFORM, 16)?.cast::<usize>();
/// // SAFETY: a new object of two words.
/// unsafe { note.write(key.as_usize()) };
/// notes.insert(&mut mutator, key, note.as_ptr() as u64)?;
/// mutator.collect();
/// assert_eq!(notes.get(&mut mutator, key), Some(note.as_ptr() as u64));
/// drop(root);
/// mutator.collect();
/// assert!(notes.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WeakMap {
    owner: Arc<dyn AsRoots>,
    heap: u64,
    table: Arc<EphemeronTable>,
    at: u32,
}

impl WeakMap {
    /// An empty map.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new<E: Embedder>(mutator: &mut Mutator<E>) -> Result<Self, OutOfMemory> {
        let core = mutator.heap().core();
        mutator.core_for("WeakMap::new");
        let table = Arc::<EphemeronTable>::default();
        let at = core.roots.lock().ephemerons.register(table.clone());
        let at = at.map_err(|_| core.no_memory_for(Bytes(size_of::<EphemeronTable>())))?;
        Ok(Self { owner: core.clone(), heap: core.id, table, at })
    }

    /// Puts in a value for a key, which is alive, and returns the one that was there.
    ///
    /// # Errors
    /// Where the map has to grow and memory for that cannot be had. The map is as before.
    ///
    /// # Panics
    /// If the mutator is another heap's, or `key` is not the address of an object of this heap.
    pub fn insert<E: Embedder>(
        &self,
        mutator: &mut Mutator<E>,
        key: Address,
        value: u64,
    ) -> Result<Option<u64>, OutOfMemory> {
        let core = self.core_of(mutator);
        core.must_be_object(key);
        let mut entries = self.table.entries.lock();
        if let Some(entry) = entries.find(key) {
            return Ok(Some(entry.value.swap(value, Relaxed)));
        }
        let size = (entries.slots.len() * 2).max(LEAST) * size_of::<Entry>();
        entries.make_room(self.table.len.load(Relaxed)).map_err(|_| core.no_memory_for(Bytes(size)))?;
        let was_removed = entries.put(key.as_usize() as u64, value);
        entries.removed -= usize::from(was_removed);
        self.table.len.fetch_add(1, Relaxed);
        Ok(None)
    }

    /// The value for a key, which is alive.
    ///
    /// # Panics
    /// If the mutator is another heap's.
    pub fn get<E: Embedder>(&self, mutator: &mut Mutator<E>, key: Address) -> Option<u64> {
        self.core_of(mutator);
        Some(self.table.entries.lock().find(key)?.value.load(Relaxed))
    }

    /// Takes out a key, and returns its value.
    ///
    /// # Panics
    /// If the mutator is another heap's.
    pub fn remove<E: Embedder>(&self, mutator: &mut Mutator<E>, key: Address) -> Option<u64> {
        self.core_of(mutator);
        let mut entries = self.table.entries.lock();
        let entry = entries.find(key)?;
        let value = entry.value.load(Relaxed);
        entry.key.store(REMOVED, Release);
        entries.removed += 1;
        self.table.len.fetch_sub(1, Relaxed);
        Some(value)
    }

    /// The keys, in no order. They are alive, and each stays so if it is reachable from a root at the calling thread's next
    /// safepoint.
    ///
    /// While a cycle is marked, all of them are kept by it.
    ///
    /// # Errors
    /// Where there is no memory for the list.
    ///
    /// # Panics
    /// If the mutator is another heap's.
    pub fn keys<E: Embedder>(&self, mutator: &mut Mutator<E>) -> Result<Vec<Address>, OutOfMemory> {
        let core = self.core_of(mutator);
        let mut entries = self.table.entries.lock();
        let mut keys = Vec::new();
        let len = self.table.len.load(Relaxed);
        keys.try_reserve_exact(len).map_err(|_| core.no_memory_for(Bytes(len * size_of::<Address>())))?;
        let mut dead = 0;
        for entry in &entries.slots {
            let Some(key) = entry.key() else { continue };
            let granule = core.geometry.start_granule(key.as_usize());
            if granule.is_some_and(|granule| core.read_weak(granule, Reading::Entry)) {
                keys.push(key);
            } else {
                // Nobody sees it again, also if the cycle fails.
                entry.key.store(REMOVED, Release);
                dead += 1;
            }
        }
        entries.removed += dead;
        self.table.len.fetch_sub(dead, Relaxed);
        Ok(keys)
    }

    /// Entries, some of which may be of keys that are dead and not yet found to be.
    pub fn len(&self) -> usize {
        self.roots_or_stop();
        self.len_counter().load(Relaxed)
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len_counter(&self) -> &AtomicUsize {
        &self.table.len
    }

    fn roots_or_stop(&self) {
        if self.owner.roots().is_none() {
            stop_without_heap("WeakMap");
        }
    }

    fn core_of<'m, E: Embedder>(&self, mutator: &'m Mutator<E>) -> &'m Core<E> {
        mutator.core_for("WeakMap").must_be(self.heap, "WeakMap")
    }
}

impl Drop for WeakMap {
    fn drop(&mut self) {
        match self.owner.roots() {
            Some(roots) => {
                let table = roots.lock().ephemerons.unregister(self.at);
                // Large tables are freed under no lock.
                drop(table);
            }
            // Another thread may have been in the middle of an operation when the process forked: nothing is freed here.
            None => std::mem::forget(self.table.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_growth_and_removed_ones_make_room() {
        let (mut entries, mut len) = (Entries::default(), 0);
        let key = |k: u64| Address::new(k as usize * 16);
        assert!(entries.find(key(1)).is_none());
        for k in 1..=10_000 {
            entries.make_room(len).unwrap();
            entries.removed -= usize::from(entries.put(k * 16, k));
            len += 1;
            if k > 100 {
                entries.find(key(k - 100)).unwrap().key.store(REMOVED, Relaxed);
                entries.removed += 1;
                len -= 1;
            }
        }
        let found = |k| entries.find(key(k)).map(|entry| entry.value.load(Relaxed));
        assert!((1..=9_900).all(|k| found(k).is_none()));
        assert!((9_901..=10_000).all(|k| found(k) == Some(k)));
        assert!(entries.slots.len() <= 512, "{} entries for a hundred keys", entries.slots.len());
    }
}
