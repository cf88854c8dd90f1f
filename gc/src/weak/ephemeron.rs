//! One ephemeron at a time.

use super::ephemerons::{EphemeronTable, Ephemerons, REMOVED};
use super::reads::Reading;
use crate::core::Core;
use crate::embedder::Embedder;
use crate::error::OutOfMemory;
use crate::mutator::Mutator;
use crate::roots::AsRoots;
use palimpsest_runtime::{Address, Bytes};
use std::collections::TryReserveError;
use std::sync::Arc;
use std::sync::atomic::{Ordering::Relaxed, Ordering::Release};

/// Entries of the table at first.
const LEAST: usize = 16;

impl Ephemerons {
    fn add_single(&mut self, key: Address, value: u64) -> Result<u32, TryReserveError> {
        let table = match &self.singles.table {
            Some(table) => table.clone(),
            None => {
                let table = Arc::<EphemeronTable>::default();
                self.register(table.clone())?;
                self.singles.table.insert(table).clone()
            }
        };
        let mut entries = table.entries.lock();
        if self.singles.free.is_empty() {
            let (first, more) = (entries.slots.len(), entries.slots.len().max(LEAST));
            // Room for all, so that giving one back needs none.
            self.singles.free.try_reserve(first + more)?;
            entries.extend(more)?;
            self.singles.free.extend((first as u32..(first + more) as u32).rev());
        }
        // The list was just filled if it was empty.
        let at = self.singles.free.pop().unwrap_or_default();
        let entry = &entries.slots[at as usize];
        entry.value.store(value, Relaxed);
        entry.key.store(key.as_usize() as u64, Release);
        table.len.fetch_add(1, Relaxed);
        Ok(at)
    }

    fn remove_single(&mut self, at: u32) {
        if let Some(table) = &self.singles.table {
            let was = table.entries.lock().slots[at as usize].key.swap(REMOVED, Relaxed);
            table.len.fetch_sub(usize::from(was > REMOVED), Relaxed);
            self.singles.free.push(at);
        }
    }
}

/// A key and a value, of which the value is kept alive only while the key is alive otherwise: one entry of a
/// [`WeakMap`](crate::WeakMap), in whose documentation the rest is said. It may be dropped after its heap has gone away.
///
/// ```
/// # use palimpsest::{Address, Ephemeron, Heap, Kind, PlainPointers, StackScan};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let heap = Heap::builder(PlainPointers).limit(16 << 20).build()?;
/// # let mut mutator = heap.attach(StackScan::None)?;
/// let key = Address::from_ptr(mutator.alloc(Kind::LEAF, 16)?.as_ptr());
/// let root = heap.handle(key);
/// let value = mutator.alloc(Kind::LEAF, 16)?.as_ptr() as u64;
/// let ephemeron = Ephemeron::new(&mut mutator, key, value)?;
/// mutator.collect();
/// assert_eq!(ephemeron.get(&mut mutator), Some((key, value)));
/// drop(root);
/// mutator.collect();
/// assert_eq!(ephemeron.get(&mut mutator), None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Ephemeron {
    owner: Arc<dyn AsRoots>,
    heap: u64,
    at: u32,
}

impl Ephemeron {
    /// An ephemeron of a key, which is alive, and a value.
    ///
    /// # Errors
    /// Where there is no memory for it.
    ///
    /// # Panics
    /// If `key` is not the address of an object of this heap.
    pub fn new<E: Embedder>(mutator: &mut Mutator<E>, key: Address, value: u64) -> Result<Self, OutOfMemory> {
        let core = mutator.heap().core();
        mutator.core_for("Ephemeron::new");
        core.must_be_object(key);
        let at = core.roots.lock().ephemerons.add_single(key, value);
        let at = at.map_err(|_| core.no_memory_for(Bytes(LEAST)))?;
        Ok(Self { owner: core.clone(), heap: core.id, at })
    }

    /// Key and value, while the key is alive. Both stay so if they are reachable from a root at the calling thread's next
    /// safepoint.
    ///
    /// # Panics
    /// If the mutator is another heap's.
    pub fn get<E: Embedder>(&self, mutator: &mut Mutator<E>) -> Option<(Address, u64)> {
        let core = self.core_of(mutator);
        self.with(core, |key, value| {
            let granule = core.geometry.start_granule(key.as_usize());
            // Under the locks: the collector has not cleared the entry.
            granule.is_some_and(|granule| core.read_weak(granule, Reading::Entry)).then_some((key, value))
        })
    }

    /// The table's entry under its locks; one whose key `f` finds dead is removed.
    fn with<E: Embedder, R>(&self, core: &Core<E>, f: impl FnOnce(Address, u64) -> Option<R>) -> Option<R> {
        let roots = core.roots.lock();
        let table = roots.ephemerons.singles.table.as_ref()?;
        let entries = table.entries.lock();
        let entry = entries.slots.get(self.at as usize)?;
        let result = f(entry.key()?, entry.value.load(Relaxed));
        if result.is_none() {
            entry.key.store(REMOVED, Release);
            table.len.fetch_sub(1, Relaxed);
        }
        result
    }

    /// Gives the key, while it is alive, another value. Whether it is.
    ///
    /// # Panics
    /// If the mutator is another heap's.
    pub fn set_value<E: Embedder>(&self, mutator: &mut Mutator<E>, value: u64) -> bool {
        let core = self.core_of(mutator);
        let roots = core.roots.lock();
        let Some(table) = &roots.ephemerons.singles.table else { return false };
        let entries = table.entries.lock();
        let entry = entries.slots.get(self.at as usize).filter(|entry| entry.key().is_some());
        entry.inspect(|entry| entry.value.store(value, Relaxed)).is_some()
    }

    fn core_of<'m, E: Embedder>(&self, mutator: &'m Mutator<E>) -> &'m Core<E> {
        mutator.core_for("Ephemeron").must_be(self.heap, "Ephemeron")
    }
}

impl Drop for Ephemeron {
    fn drop(&mut self) {
        if let Some(roots) = self.owner.roots() {
            roots.lock().ephemerons.remove_single(self.at);
        }
    }
}
