//! Finalizers: the program is told of objects that it cannot reach any more, and gets them back.
//!
//! A registration is an object and a token. When a cycle finds the object reachable from nowhere, the registration moves to a
//! queue, from which the program takes it when it likes: nothing of the program's runs on the collector's thread. The queue is a
//! root. So the object lives, with all that it refers to, and what is taken is an object like any other.
//!
//! # How a cycle decides
//!
//! The marker has marked all that is reachable, ephemerons and weak reads among it. It then closes the queue of weak reads for
//! references, the *decision* ([`WeakReads::decide`](super::WeakReads::decide)), which fails while a read waits. What is
//! registered and not marked by then is to be finalized. The marker marks it, with all that is reachable from it, by the
//! same rules, and notes of each object that it paints from here on that it is [`Kept`](super::Kept) only. The collector
//! reads the decision off these notes: a registration older than the snapshot whose object is noted moves to the queue.
//!
//! # Why no read is misled
//!
//! A read through a [`WeakRef`](super::WeakRef) after the decision finds its target marked without a note, then it was reachable
//! at the decision and lives; or marked with a note, or not marked: it was not. Which of the two changes while the marker goes
//! on, the answer does not. So who was told that a target is dead is right about it for good, and who was given one has an object
//! that is not queued. The note is made before the colour, and never for an object that was marked before.
//!
//! A read of a table's entry ([`Reading::Entry`](super::Reading)) may come until the marker ends. It returns what lives or will:
//! an object that is marked, for whatever reason, or is pushed into the queue, and is marked before that closes. So it
//! may return an object that is being queued, as it may after the cycle: entries last as long as their objects. Otherwise an
//! interned string that only a queued object refers to would be made a second time.
//!
//! A cycle that fails decides nothing. Registrations stay, and the next cycle finds the same again.

use crate::core::Core;
use crate::embedder::Embedder;
use crate::error::OutOfMemory;
use crate::heap::Heap;
use crate::mark::{Marker, Source};
use crate::mutator::Mutator;
use palimpsest_runtime::sys::lock::Condvar;
use palimpsest_runtime::{Address, Bytes};
use std::collections::{TryReserveError, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Registrations in a chunk: what is looked at before the lock is given to others.
const CHUNK: usize = 1024;

/// An object whose end somebody wants to know of.
#[derive(Copy, Clone, Debug)]
struct Registration {
    object: Address,
    token: u64,
    serial: u64,
    /// Whether the object has references outside of the heap.
    external: bool,
}

/// An object that is to be finalized.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Queued {
    object: Address,
    token: u64,
    external: bool,
}

impl From<Registration> for Queued {
    fn from(Registration { object, token, external, .. }: Registration) -> Self {
        Self { object, token, external }
    }
}

/// A registration for finalization, to take it back by ([`Mutator::unregister_finalizer`]).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Finalizer(u64);

impl Finalizer {
    /// As a number, for interfaces that cannot hold this.
    pub fn number(self) -> u64 {
        self.0
    }

    /// From the number. One that no registration has is not found.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// All registrations of a heap, and the queue.
#[derive(Debug, Default)]
pub(crate) struct Finalizers {
    /// In the order of registration. No chunk but the last is added to, and none is longer than [`CHUNK`].
    chunks: Vec<Vec<Registration>>,
    registered: usize,
    /// Has room for all that are registered.
    queue: VecDeque<Queued>,
    /// The next registration's serial number, and what that was at the snapshot.
    next: u64,
    at_snapshot: u64,
}

impl Finalizers {
    fn register(
        &mut self,
        object: Address,
        token: u64,
        external: bool,
    ) -> Result<Finalizer, TryReserveError> {
        self.queue.try_reserve(self.registered + 1)?;
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            let mut chunk = Vec::new();
            chunk.try_reserve_exact(CHUNK)?;
            self.chunks.try_reserve(1)?;
            self.chunks.push(chunk);
        }
        let serial = self.next;
        if let Some(last) = self.chunks.last_mut() {
            last.push(Registration { object, token, serial, external });
        }
        self.next += 1;
        self.registered += 1;
        Ok(Finalizer(serial))
    }

    fn unregister(&mut self, serial: u64) -> bool {
        let starts_before =
            |chunk: &&mut Vec<Registration>| chunk.first().is_some_and(|r| r.serial <= serial);
        let Some(chunk) = self.chunks.iter_mut().rev().find(starts_before) else { return false };
        let Ok(at) = chunk.binary_search_by_key(&serial, |r| r.serial) else { return false };
        // The collector may be in the middle of the list: an empty chunk stays until it comes by.
        chunk.remove(at);
        self.registered -= 1;
        true
    }

    /// The world is stopped, and a snapshot is taken.
    pub(crate) fn begin_marking(&mut self) {
        self.at_snapshot = self.next;
    }

    /// Passes on the objects in the queue.
    pub(crate) fn visit_queue(&self, mut visit: impl FnMut(Address)) {
        self.queue.iter().for_each(|queued| visit(queued.object));
    }

    /// For a cycle of the young: scans the old objects among those registered that have references outside of the heap, where no
    /// page tells of writes. So too those in the queue: the program may have them all the same, from the entry of a weak table, or
    /// since all were queued, reachable or not.
    pub(crate) fn visit_external<E: Embedder, S: Source>(&self, marker: &mut Marker<'_, E, S>) {
        for chunk in &self.chunks {
            Self::visit_those(chunk.iter().filter(|r| r.external).map(|r| r.object), marker);
        }
        let (first, second) = self.queue.as_slices();
        for queued in first.chunks(CHUNK).chain(second.chunks(CHUNK)) {
            Self::visit_those(queued.iter().filter(|q| q.external).map(|q| q.object), marker);
        }
    }

    fn visit_those<E: Embedder, S: Source>(
        objects: impl Iterator<Item = Address>,
        marker: &mut Marker<'_, E, S>,
    ) {
        for object in objects {
            if marker.is_late() {
                return;
            }
            marker.visit_external(object);
            // Packets hold what one object refers to, and what that reaches.
            marker.work();
        }
        marker.now_and_then();
    }

    /// After the decision: discovers the registered objects that are not marked. Runs in a worker, or in the stopped world:
    /// allocates nothing, locks nothing.
    pub(crate) fn resurrect<E: Embedder, S: Source>(&self, marker: &mut Marker<'_, E, S>) {
        let core = marker.core();
        core.weak.kept.begin();
        marker.attends = true;
        for chunk in &self.chunks {
            marker.now_and_then();
            if marker.is_late() {
                return;
            }
            for registration in chunk {
                if !core.is_live_object(registration.object) {
                    marker.discover(registration.object);
                }
            }
        }
    }

    /// After complete marking: queues what is to be finalized in the chunk at `at`. How many, and where to go on, unless that was
    /// all.
    fn queue_chunk(&mut self, at: usize, is_unreachable: impl Fn(Address) -> bool) -> (u64, Option<usize>) {
        let (queue, at_snapshot) = (&mut self.queue, self.at_snapshot);
        let Some(chunk) = self.chunks.get_mut(at) else { return (0, None) };
        let before = chunk.len();
        chunk.retain(|r| {
            let is_due = r.serial < at_snapshot && is_unreachable(r.object);
            if is_due {
                queue.push_back(Queued::from(*r));
            }
            !is_due
        });
        let (left, queued) = (chunk.len(), before - chunk.len());
        self.registered -= queued;
        // Half-empty chunks are joined.
        if at > 0 && self.chunks[at - 1].len() + left <= CHUNK {
            let chunk = self.chunks.remove(at);
            self.chunks[at - 1].extend(chunk);
            return (queued as u64, Some(at));
        }
        (queued as u64, Some(at + 1))
    }

    /// Queues all that is registered.
    fn queue_all(&mut self) {
        for r in std::mem::take(&mut self.chunks).into_iter().flatten() {
            self.queue.push_back(r.into());
        }
        self.registered = 0;
    }
}

/// What can be known of the queue without its lock, and where threads wait for it.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queued: AtomicUsize,
    arrived: Condvar,
    /// Taken from the queue: ever, and since the last cycle was entered.
    taken: AtomicU64,
    taken_lately: AtomicU64,
}

impl Waiting {
    /// How many are queued.
    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    /// How many were ever taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// How many were taken since this was asked last.
    pub(crate) fn take_lately(&self) -> u64 {
        self.taken_lately.swap(0, Relaxed)
    }
}

impl<E: Embedder> Core<E> {
    /// After complete marking, when weak references are cut: queues what is to be finalized. How many.
    pub(super) fn queue_finalizable(&self) -> u64 {
        if !self.weak.kept.has_any() {
            return 0;
        }
        let is_unreachable = |object: Address| {
            let granule = self.geometry.start_granule(object.as_usize());
            granule.is_some_and(|granule| self.weak.kept.has(granule))
        };
        let (mut at, mut all) = (Some(0), 0);
        while let Some(from) = at {
            let finalizers = &mut self.roots.lock().finalizers;
            let (queued, next) = finalizers.queue_chunk(from, is_unreachable);
            self.weak.waiting.queued.store(finalizers.queue.len(), Relaxed);
            (at, all) = (next, all + queued);
        }
        if all > 0 {
            self.weak.waiting.arrived.notify_all();
        }
        all
    }

    /// How many objects are registered.
    pub(crate) fn registered_finalizers(&self) -> usize {
        self.roots.lock().finalizers.registered
    }
}

impl<E: Embedder> Heap<E> {
    /// How many registrations wait in the queue of those that are to be finalized. A load: cheap enough to be looked at now and
    /// then by an interpreter that runs finalizers itself.
    ///
    /// When a cycle has queued some, [`CycleRecord::finalizers_queued`](crate::CycleRecord::finalizers_queued) says so, to
    /// whoever listens ([`HeapBuilder::on_cycle`](crate::HeapBuilder::on_cycle)).
    pub fn finalizable(&self) -> usize {
        self.core().must_be_ours("Heap::finalizable");
        self.core().weak.waiting.queued()
    }
}

/// Finalizers.
///
/// ```
/// # use palimpsest::{Address, Heap, Kind, PlainPointers, StackScan};
/// # use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let heap = Heap::builder(PlainPointers).limit(16 << 20).build()?;
/// let mut mutator = heap.attach(StackScan::None)?;
/// let file = mutator.alloc(Kind::LEAF, 16)?;
/// mutator.register_finalizer(Address::from_ptr(file.as_ptr()), 42)?;
/// assert_eq!(mutator.take_finalizable(), None);
/// // Nothing refers to it.
/// mutator.collect();
/// assert!(mutator.wait_finalizable(Some(Duration::from_secs(1))));
/// while let Some((object, token)) = mutator.take_finalizable() {
///     assert_eq!((object.as_ptr(), token), (file.as_ptr(), 42));
/// }
/// # Ok(())
/// # }
/// ```
impl<E: Embedder> Mutator<E> {
    /// Registers `object`, which is alive, for finalization: when a cycle finds it reachable from nowhere, it is queued, with the
    /// token, for [`Mutator::take_finalizable`]. The registration is used up by that. It does not keep the object alive.
    ///
    /// The token means nothing to the collector: a function's number, say.
    ///
    /// * An object may be registered several times, also again after it was taken. All its registrations are queued at once.
    /// * What a cycle finds is queued in the order of registration. There is no order between an object and what it refers to:
    ///   a finalizer may meet objects whose own has run. An embedder that wants one registers a small object of its own, to
    ///   which the object refers, and which refers to what the finalizer needs.
    /// * The queue is a root. A queued object lives, with all that it refers to, until it is taken; then it is an object like any
    ///   other, and may be kept. If it is not, a later cycle reclaims it.
    /// * Weak references to a queued object are cut; entries of weak tables and maps stay. See [`WeakRef`](crate::WeakRef).
    /// * When the heap goes away, nothing is finalized: see [`Mutator::queue_all_finalizers`].
    ///
    /// 56 to 80 bytes of native memory a registration, with its room in the queue. The worker scans all registrations; see
    /// [`WeakMap`](crate::WeakMap) for what their memory costs in the pause.
    ///
    /// # Errors
    /// Where there is no memory for it.
    ///
    /// # Panics
    /// If `object` is not the address of an object of this heap.
    pub fn register_finalizer(&mut self, object: Address, token: u64) -> Result<Finalizer, OutOfMemory> {
        self.register(object, token, false)
    }

    /// The same for an object that has references outside of the heap, in a `Vec` that it owns, say, where its native layout
    /// ([`Embedder::trace`]) finds them. No page tells of what is written there, so every cycle of the young traces the object,
    /// for as long as it is registered or queued.
    ///
    /// Whoever frees that memory, when the object was taken from the queue, first has the object forget it: something else that
    /// was taken may refer to the object, and it is traced again.
    ///
    /// It is registered before the first safepoint at which it has such a reference to an object; and, if it is kept when it has been
    /// taken from the queue, again before the next one.
    ///
    /// # Errors
    /// Where there is no memory for it.
    ///
    /// # Panics
    /// If `object` is not the address of an object of this heap.
    pub fn register_external(&mut self, object: Address, token: u64) -> Result<Finalizer, OutOfMemory> {
        self.register(object, token, true)
    }

    fn register(&mut self, object: Address, token: u64, external: bool) -> Result<Finalizer, OutOfMemory> {
        let core = self.core_for("Mutator::register_finalizer");
        core.must_be_object(object);
        let registered = core.roots.lock().finalizers.register(object, token, external);
        registered.map_err(|_| core.no_memory_for(Bytes(CHUNK * size_of::<Registration>())))
    }

    /// Takes a registration back. Whether it was still there: not, once the object is queued.
    pub fn unregister_finalizer(&mut self, finalizer: Finalizer) -> bool {
        let core = self.core_for("Mutator::unregister_finalizer");
        core.roots.lock().finalizers.unregister(finalizer.0)
    }

    /// Takes the next object that is to be finalized from the queue, with the token that it was registered with. It stays alive
    /// if it is reachable from a root at this thread's next safepoint.
    ///
    /// Any number of threads may do this at once; each registration is taken by one of them.
    pub fn take_finalizable(&mut self) -> Option<(Address, u64)> {
        let core = self.core_for("Mutator::take_finalizable");
        let waiting = &core.weak.waiting;
        if waiting.queued() == 0 {
            return None;
        }
        let finalizers = &mut core.roots.lock().finalizers;
        let taken = finalizers.queue.pop_front()?;
        waiting.queued.store(finalizers.queue.len(), Relaxed);
        waiting.taken.fetch_add(1, Relaxed);
        waiting.taken_lately.fetch_add(1, Relaxed);
        Some((taken.object, taken.token))
    }

    /// Waits until something is to be finalized, or `timeout` has passed. Whether something is; another thread may be faster to
    /// take it. For a thread that does nothing else: the collector does not wait for it meanwhile. A safepoint.
    ///
    /// # Panics
    /// As [`Mutator::collect`].
    pub fn wait_finalizable(&mut self, timeout: Option<Duration>) -> bool {
        self.heap().look_around("Mutator::wait_finalizable");
        let core = self.heap().core().clone();
        // A time that the clock does not reach is none.
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.waiting("Mutator::wait_finalizable", || {
            let mut roots = core.roots.lock();
            while roots.finalizers.queue.is_empty() {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                if left.is_some_and(|left| left.is_zero()) {
                    return false;
                }
                core.weak.waiting.arrived.wait_for(&mut roots, left);
            }
            true
        })
    }

    /// Queues all that is registered, reachable or not, in the order of registration: for languages that run finalizers at exit.
    /// How many are in the queue then.
    pub fn queue_all_finalizers(&mut self) -> usize {
        let core = self.core_for("Mutator::queue_all_finalizers");
        let finalizers = &mut core.roots.lock().finalizers;
        finalizers.queue_all();
        let queued = finalizers.queue.len();
        core.weak.waiting.queued.store(queued, Relaxed);
        core.weak.waiting.arrived.notify_all();
        queued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(k: u64) -> Address {
        Address::new((k as usize + 1) * 16)
    }

    /// Queues objects for which `is_unreachable` holds, as the collector does.
    fn queue(finalizers: &mut Finalizers, is_unreachable: impl Fn(Address) -> bool) -> u64 {
        let (mut at, mut all) = (Some(0), 0);
        while let Some(from) = at {
            let (queued, next) = finalizers.queue_chunk(from, &is_unreachable);
            (at, all) = (next, all + queued);
        }
        all
    }

    #[test]
    fn what_is_due_is_queued_in_order_and_the_rest_can_be_taken_back() {
        let mut finalizers = Finalizers::default();
        let all: Vec<_> = (0..10_000).map(|k| finalizers.register(object(k), k, false).unwrap()).collect();
        finalizers.begin_marking();
        let late = finalizers.register(object(0), 10_000, false).unwrap();
        let room = finalizers.queue.capacity();
        assert_eq!(queue(&mut finalizers, |o| o != object(9) && o.as_usize() % 32 == 16), 5_000);
        assert_eq!(finalizers.queue.capacity(), room, "queueing takes no memory");
        assert!(finalizers.queue.iter().map(|queued| queued.token).eq((0..10_000).step_by(2)));
        assert!(finalizers.chunks.len() <= 6, "{} chunks", finalizers.chunks.len());
        assert!(!finalizers.unregister(all[2].0), "queued");
        for k in (1..10_000).step_by(2) {
            assert!(finalizers.unregister(all[k].0));
            assert!(!finalizers.unregister(all[k].0));
        }
        assert_eq!(finalizers.registered, 1);
        assert_eq!(queue(&mut finalizers, |_| true), 0, "younger than the snapshot");
        assert!(finalizers.unregister(late.0));
    }
}
