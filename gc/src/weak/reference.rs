//! Weak references one by one: slots in a table, for a million of them.
//!
//! A slot holds its target's address, and who owns the slot: a [`WeakRef`], or an object of the heap ([`WeakSlot`]). Slots lie in
//! chunks that never move, each twice as large as the one before, in memory that no worker inherits: the marker does not look at
//! them, and a fork does not pay for them. Reading one takes no lock.
//!
//! # Why reading without a lock is right
//!
//! A read loads the slot, asks whether the target is alive ([`Core::read_weak`]), and loads the slot again. The collector clears the
//! slots of the dead before it says that the cycle is over. If the answer was wrong because the cycle was over by then, and the
//! target's memory perhaps another object's, then the second load comes after the clearing, and sees it.
//!
//! # Fresh slots
//!
//! A slot that is set while a cycle is at work refers to an object that the caller holds, and which this cycle keeps, even where
//! other references to it are cut: the caller may have it from the finalizer queue. So the four bits of the address that are
//! always zero hold the *epoch* in which the slot was set, and one of the current epoch is left alone. Epochs come round after
//! fifteen cycles. Each one that ends well takes the mark off all older slots, and fifteen in a row cannot fail.

use super::reads::Reading;
use crate::core::Core;
use crate::embedder::Embedder;
use crate::error::{Error, OutOfMemory};
use crate::mutator::Mutator;
use crate::roots::AsRoots;
use crate::unit::GRANULE;
use palimpsest_runtime::host_fork::Group;
use palimpsest_runtime::mapping::Private;
use palimpsest_runtime::sys::lock::{HoldAcrossFork, Mutex};
use palimpsest_runtime::{Address, Bytes};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

/// Slots in the first chunk.
const FIRST: usize = 1024;

/// Chunks: four thousand million slots.
const CHUNKS: usize = 22;

/// Slots that are cleared before the lock is given to others.
const PIECE: usize = 2048;

/// Owners that are no object. The word of a free slot leads to the next one.
const FREE: u64 = 1;
const NATIVE: u64 = 2;

/// Where the epoch is in a word.
const EPOCH: u64 = GRANULE as u64 - 1;

/// A slot: the target with its epoch, or 0; and the owner.
type Slot = [AtomicU64; 2];

/// All weak references of a heap.
#[derive(Debug)]
pub(crate) struct WeakRefs {
    chunks: [OnceLock<Private<Slot>>; CHUNKS],
    places: Mutex<Places>,
    /// From 1 to 15.
    epoch: AtomicU64,
}

/// Slots ever used; and the first free one among these, plus one.
#[derive(Debug, Default)]
struct Places {
    used: u32,
    free: u32,
}

impl Default for WeakRefs {
    fn default() -> Self {
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
            places: Mutex::default(),
            epoch: AtomicU64::new(1),
        }
    }
}

impl WeakRefs {
    /// Which chunk a slot is in, and where in it.
    fn place(at: u32) -> (usize, usize) {
        let chunk = (at as usize / FIRST + 1).ilog2() as usize;
        (chunk, at as usize - FIRST * ((1 << chunk) - 1))
    }

    fn slot(&self, at: u32) -> Option<&Slot> {
        let (chunk, place) = Self::place(at);
        self.chunks.get(chunk)?.get()?.get(place)
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(SeqCst)
    }

    /// The world is stopped, and a snapshot is taken: slots that are set from here on are fresh.
    pub(crate) fn begin_marking(&self) {
        self.epoch.store(self.epoch() % EPOCH + 1, SeqCst);
    }

    fn take(&self, group: Group, target: u64, owner: u64) -> Result<u32, Error> {
        let mut places = self.places.lock();
        let at = match places.free.checked_sub(1) {
            Some(at) => at,
            None => places.used,
        };
        let (chunk, _) = Self::place(at);
        if let Some(chunk_at) = self.chunks.get(chunk)
            && chunk_at.get().is_none()
        {
            // Nobody else sets it: the lock is held.
            let _ = chunk_at.set(group.with(|| Private::new(FIRST << chunk))?);
        }
        let Some(slot) = self.slot(at) else { return Err(Error::TooManyWeakRefs) };
        match places.free {
            0 => places.used += 1,
            _ => places.free = slot[0].load(Relaxed) as u32,
        }
        slot[0].store(target | self.epoch(), SeqCst);
        slot[1].store(owner, SeqCst);
        Ok(at)
    }

    fn put(&self, at: u32) {
        let mut places = self.places.lock();
        if let Some(slot) = self.slot(at) {
            Self::free(slot, at, &mut places);
        }
    }

    fn free(slot: &Slot, at: u32, places: &mut Places) {
        slot[1].store(FREE, SeqCst);
        slot[0].store(places.free.into(), SeqCst);
        places.free = at + 1;
    }

    /// After complete marking: cuts the references to the dead, and frees the slots of dead owners.
    pub(crate) fn clear(&self, is_dead: impl Fn(u64, Reading) -> bool) -> u64 {
        let (mut from, mut cut) = (0, 0);
        loop {
            let mut places = self.places.lock();
            let to = places.used.min(from + PIECE as u32);
            for at in from..to {
                let Some(slot) = self.slot(at) else { continue };
                let owner = slot[1].load(SeqCst);
                if owner == FREE {
                    continue;
                }
                if owner != NATIVE && is_dead(owner, Reading::Entry) {
                    Self::free(slot, at, &mut places);
                    continue;
                }
                let word = slot[0].load(SeqCst);
                if word == 0 || word & EPOCH == self.epoch() {
                    continue;
                }
                let new = if is_dead(word & !EPOCH, Reading::Reference) { 0 } else { word & !EPOCH };
                // A slot that is set, or cut by a reader, in this moment is as it should be.
                if slot[0].compare_exchange(word, new, SeqCst, SeqCst).is_ok() && new == 0 {
                    cut += 1;
                }
            }
            if to == places.used {
                return cut;
            }
            from = to;
        }
    }

    /// Before a fork whose child gets a copy: takes the lock.
    pub(crate) fn hold(&self) {
        self.places.hold();
    }

    /// Gives it back, on both sides. Async-signal-safe.
    ///
    /// # Safety
    /// Held by this thread or the one that it is the image of.
    pub(crate) unsafe fn let_go(&self) {
        // SAFETY: passed on to the caller.
        unsafe { self.places.let_go() };
    }
}

impl<E: Embedder> Core<E> {
    fn set_weak(&self, at: u32, target: Address) {
        self.must_be_object(target);
        if let Some(slot) = self.weak.refs.slot(at).filter(|slot| slot[1].load(SeqCst) != FREE) {
            slot[0].store(target.as_usize() as u64 | self.weak.refs.epoch(), SeqCst);
        }
    }

    fn get_weak(&self, at: u32) -> Option<Address> {
        let refs = &self.weak.refs;
        let slot = refs.slot(at)?;
        loop {
            let word = slot[0].load(SeqCst);
            let target = Address::new((word & !EPOCH) as usize);
            let granule = self.geometry.start_granule(target.as_usize())?;
            let is_alive = word & EPOCH == refs.epoch() || self.read_weak(granule, Reading::Reference);
            // The second load: see the module.
            if slot[0].load(SeqCst) != word {
                continue;
            }
            if is_alive {
                return Some(target);
            }
            // Nobody sees it again, also if the cycle fails.
            let _ = slot[0].compare_exchange(word, 0, SeqCst, SeqCst);
            return None;
        }
    }

    fn new_weak(&self, target: Address, owner: u64) -> Result<u32, OutOfMemory> {
        self.must_be_object(target);
        let taken = self.weak.refs.take(self.group, target.as_usize() as u64, owner);
        taken.map_err(|_| self.no_memory_for(Bytes(size_of::<Slot>())))
    }
}

/// A weak reference in native memory: it leads to an object as long as something else keeps that alive.
///
/// Cheap: sixteen bytes of a table, and reading takes no lock. It may be dropped on any thread, and be used by those that are
/// attached to its heap. It does not keep the heap, and may be dropped after that has gone away.
///
/// **Finalizers.** When an object is queued for finalization ([`Mutator::register_finalizer`]), weak references to it are cut, and
/// those to what only such objects refer to: nothing leads there any more but the queue, until somebody takes the object
/// from it. References made after that lead to it again. [`WeakSlot`]s are no different in this; the entries of a
/// [`WeakTable`](crate::WeakTable) or a [`WeakMap`](crate::WeakMap) are: they last as long as their objects.
///
/// ```
/// # use palimpsest::{Address, Heap, Kind, PlainPointers, StackScan, WeakRef};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let heap = Heap::builder(PlainPointers).limit(16 << 20).build()?;
/// let mut mutator = heap.attach(StackScan::None)?;
/// let object = Address::from_ptr(mutator.alloc(Kind::LEAF, 64)?.as_ptr());
/// let weak = WeakRef::new(&mut mutator, object)?;
/// let handle = heap.handle(object);
/// mutator.collect();
/// assert_eq!(weak.get(&mut mutator), Some(object));
/// drop(handle);
/// mutator.collect();
/// assert_eq!(weak.get(&mut mutator), None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WeakRef {
    owner: Arc<dyn AsRoots>,
    heap: u64,
    at: u32,
}

impl WeakRef {
    /// A weak reference to `target`, which is alive.
    ///
    /// # Errors
    /// Where the table has to grow and memory for that cannot be had.
    ///
    /// # Panics
    /// If `target` is not the address of an object of this heap.
    pub fn new<E: Embedder>(mutator: &mut Mutator<E>, target: Address) -> Result<Self, OutOfMemory> {
        let core = mutator.heap().core();
        mutator.core_for("WeakRef::new");
        let at = core.new_weak(target, NATIVE)?;
        Ok(Self { owner: core.clone(), heap: core.id, at })
    }

    /// The target, if it is alive. It stays so if it is reachable from a root at the calling thread's next safepoint.
    ///
    /// # Panics
    /// If the mutator is another heap's.
    pub fn get<E: Embedder>(&self, mutator: &mut Mutator<E>) -> Option<Address> {
        self.core_of(mutator).get_weak(self.at)
    }

    /// Makes this a reference to another object, which is alive.
    ///
    /// # Panics
    /// If the mutator is another heap's, or `target` is not the address of an object of this heap.
    pub fn set<E: Embedder>(&self, mutator: &mut Mutator<E>, target: Address) {
        self.core_of(mutator).set_weak(self.at, target);
    }

    fn core_of<'m, E: Embedder>(&self, mutator: &'m Mutator<E>) -> &'m Core<E> {
        mutator.core_for("WeakRef").must_be(self.heap, "WeakRef")
    }
}

impl Drop for WeakRef {
    fn drop(&mut self) {
        if let Some(refs) = self.owner.weak_refs() {
            refs.put(self.at);
        }
    }
}

/// A weak reference that belongs to an object of the heap: for a language's own weak-reference objects.
///
/// The object keeps the [`number`](WeakSlot::number) in a word that is not traced. When it dies, the slot is free, and its number
/// is given to another: so a number is good for as long as the object that it was made for is alive.
///
/// ```
/// # use palimpsest::{Address, Heap, Kind, PlainPointers, StackScan, WeakSlot};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let heap = Heap::builder(PlainPointers).limit(16 << 20).build()?;
/// # let mut mutator = heap.attach(StackScan::None)?;
/// // A weak-reference object of the language: a leaf with a number.
/// let object = mutator.alloc(Kind::LEAF, 16)?.cast::<u32>();
/// let root = heap.handle(Address::from_ptr(object.as_ptr()));
/// let target = Address::from_ptr(mutator.alloc(Kind::LEAF, 64)?.as_ptr());
/// let slot = WeakSlot::new(&mut mutator, root.get(), target)?;
/// // SAFETY: a new object with room for the number.
/// unsafe { object.write(slot.number()) };
///
/// // SAFETY: the number of a live object.
/// let slot = WeakSlot::from_number(unsafe { object.read() });
/// assert_eq!(slot.get(&mut mutator), Some(target));
/// mutator.collect();
/// assert_eq!(slot.get(&mut mutator), None);
/// # Ok(())
/// # }
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct WeakSlot(u32);

impl WeakSlot {
    /// A weak reference from `owner` to `target`, both of which are alive.
    ///
    /// # Errors
    /// As for [`WeakRef::new`].
    ///
    /// # Panics
    /// If one of them is not the address of an object of this heap.
    pub fn new<E: Embedder>(
        mutator: &mut Mutator<E>,
        owner: Address,
        target: Address,
    ) -> Result<Self, OutOfMemory> {
        let core = mutator.heap().core();
        mutator.core_for("WeakSlot::new");
        core.must_be_object(owner);
        Ok(Self(core.new_weak(target, owner.as_usize() as u64)?))
    }

    /// The target, as for [`WeakRef::get`]. The owner is alive, and the slot is this heap's; of another number the answer is any
    /// live object, or none.
    pub fn get<E: Embedder>(self, mutator: &mut Mutator<E>) -> Option<Address> {
        mutator.core_for("WeakSlot::get").get_weak(self.0)
    }

    /// Makes this a reference to another object, which is alive. The owner is alive.
    ///
    /// # Panics
    /// If `target` is not the address of an object of this heap.
    pub fn set<E: Embedder>(self, mutator: &mut Mutator<E>, target: Address) {
        mutator.core_for("WeakSlot::set").set_weak(self.0, target);
    }

    /// What to keep in the object.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The slot of this number.
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_place() {
        let places: Vec<_> = [0, 1023, 1024, 3071, 3072, u32::MAX - FIRST as u32].map(WeakRefs::place).into();
        assert_eq!(places[..5], [(0, 0), (0, 1023), (1, 0), (1, 2047), (2, 0)]);
        assert!(places[5].0 < CHUNKS && places[5].1 < FIRST << places[5].0);
    }

    #[test]
    fn slots_are_used_again() {
        let refs = WeakRefs::default();
        let all: Vec<_> = (0..5_000).map(|k| refs.take(Group::NONE, (k + 1) * 16, NATIVE).unwrap()).collect();
        assert_eq!(all, (0..5_000).collect::<Vec<_>>());
        refs.begin_marking();
        assert_eq!(refs.clear(|target, _| target % 32 == 0), 2_500);
        refs.put(7);
        refs.put(4_000);
        assert_eq!([0; 3].map(|_| refs.take(Group::NONE, 16, NATIVE).unwrap()), [4_000, 7, 5_000]);
    }

    #[test]
    fn a_slot_is_fresh_until_the_next_cycle_however_many_failed() {
        let refs = WeakRefs::default();
        for failed in 0..14 {
            let at = refs.take(Group::NONE, 16, NATIVE).unwrap();
            assert_eq!(refs.clear(|_, _| true), 0, "set since the snapshot");
            let other = refs.take(Group::NONE, 16, NATIVE).unwrap();
            (0..failed).for_each(|_| refs.begin_marking());
            refs.begin_marking();
            assert_eq!(refs.clear(|_, _| true), 2);
            refs.put(at);
            refs.put(other);
        }
    }

    #[test]
    fn a_dead_owner_gives_its_slot_back() {
        let refs = WeakRefs::default();
        let (live, dead) =
            (refs.take(Group::NONE, 16, 160).unwrap(), refs.take(Group::NONE, 16, 320).unwrap());
        refs.clear(|object, _| object == 320);
        assert_eq!(refs.take(Group::NONE, 16, NATIVE).unwrap(), dead);
        assert_eq!(refs.slot(live).unwrap()[1].load(SeqCst), 160);
    }
}
