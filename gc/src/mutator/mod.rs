//! A thread's side of the heap: allocation and safepoints.
//!
//! Read [`Mutator::alloc_uninit`] first: that is the fast path, a bump of a pointer and one or two bytes of metadata. All
//! that is rare is in `slow.rs`; a heap at its limit in `shortage.rs`.

mod inline;
mod place;
mod slow;

pub use inline::InlineAlloc;
use place::Place;
use slow::Patience;

use crate::core::Core;
use crate::cycle::mailbox::{Ticket, Wanted};
use crate::embedder::Embedder;
use crate::error::{Error, OutOfMemory};
use crate::events::Reason;
use crate::fallible;
use crate::heap::Heap;
use crate::kernel_io::KernelIo;
use crate::kind::Kind;
use crate::local::{Local, LocalPtr};
use crate::space::Claim;
use crate::stats::{CycleRecord, Ledger};
use crate::unit::{GRANULE, Granules, SMALL_MAX};
use palimpsest_runtime::mutator::MutatorState;
use palimpsest_runtime::{Address, Bytes};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// More than what attaching takes from the host's allocator, in bytes.
const ATTACHING: usize = 1024;

/// Whether a thread's stack and registers hold references.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum StackScan {
    /// They are scanned: every word that is the address of an object, or of a place in one, keeps it alive.
    Conservative,
    /// They are not: all references are in root ranges and handles at safepoints.
    None,
}

/// An attached thread. Dropping it detaches the thread.
pub struct Mutator<E: Embedder> {
    heap: Heap<E>,
    state: Arc<MutatorState>,
    /// Made by `Box::into_raw`; also in `Core::locals`, for the collector.
    local: *mut Local,
    /// The heap's base and its metadata's first byte, at hand for the fast path.
    base: usize,
    metadata: *const AtomicU8,
    /// Whether this thread may use the reserve.
    pub(crate) claim: Claim,
    /// How often this thread has taken memory from the spaces; as [`Core::claims`].
    pub(crate) claims: u64,
    /// The last cycle that the stress mode asked for.
    stress: Option<Ticket>,
    place: Place,
    /// Bound to its thread.
    not_send: PhantomData<*mut ()>,
}

impl<E: Embedder> Mutator<E> {
    pub(crate) fn attach(heap: Heap<E>, stack: StackScan) -> Result<Self, Error> {
        if palimpsest_runtime::host_fork::does_this_thread_collect() {
            return Err(Error::CollectorThread);
        }
        let core = heap.core();
        let no_memory = || Error::NoMemory("an attached thread's state");
        let room = fallible::boxed().filter(|_| fallible::has_room(ATTACHING)).ok_or_else(no_memory)?;
        // SAFETY: the mutator keeps the heap, and with it the registry, and the state, and detaches when it is dropped, on
        // this thread. (A mutator that is forgotten keeps them for ever.)
        let state = unsafe {
            core.registry.attach(
                stack == StackScan::Conservative,
                core.barrier.as_ref().and_then(|barrier| barrier.delivery().fault()),
            )
        };
        let state = state.map_err(|error| match error {
            palimpsest_runtime::Error::NoMemory(what) => Error::NoMemory(what),
            other => other.into(),
        })?;
        // The world does not stop before this thread polls: the colour is the current one.
        let local = Box::into_raw(Box::write(room, Local::new(core.living().young)));
        let listed = {
            let mut locals = core.locals.lock();
            locals.try_reserve(1).map(|()| locals.push(LocalPtr::new(local)))
        };
        if listed.is_err() {
            core.registry.detach(&state);
            // SAFETY: made above, and nobody else has it.
            drop(unsafe { Box::from_raw(local) });
            return Err(no_memory());
        }
        let (base, metadata) = (core.geometry.base, core.metadata.as_ptr());
        let claim = Claim::Ordinary;
        Ok(Self {
            state,
            local,
            base,
            metadata,
            claim,
            claims: 0,
            stress: None,
            place: Place::Inside,
            not_send: PhantomData,
            heap,
        })
    }

    /// The heap this thread is attached to.
    pub fn heap(&self) -> &Heap<E> {
        &self.heap
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> &Core<E> {
        self.heap.core()
    }

    /// This thread's allocation state. The reference is not kept across a safepoint.
    #[inline(always)]
    fn local(&mut self) -> &mut Local {
        // SAFETY: made by `attach`, freed by `drop`; other threads look at it while this one is stopped only.
        unsafe { &mut *self.local }
    }

    /// A new object of `bytes` bytes, zeroed and aligned to 16 bytes, in memory that never moves.
    ///
    /// This is a safepoint: objects that are not reachable from a root when it is called may be reclaimed, and the thread
    /// may be stopped in it. An object of a layout with a mask is at least as long as the mask says.
    ///
    /// # Errors
    /// [`OutOfMemory`] if the heap limit leaves no room: a full cycle that began after this call had found none did not make
    /// enough. That other threads were quicker to use what a cycle freed is no reason, as long as cycles leave room. The heap
    /// goes on working, and [`Mutator::with_reserve`] has memory for what the embedder does now.
    #[inline(always)]
    pub fn alloc(&mut self, kind: Kind, bytes: usize) -> Result<NonNull<u8>, OutOfMemory> {
        if bytes > SMALL_MAX {
            return self.alloc_large(kind, bytes, true, Patience::Waits);
        }
        // SAFETY: zeroed at once, before the next safepoint.
        let object = unsafe { self.alloc_uninit(kind, bytes) }?;
        // SAFETY: the new object's own granules.
        unsafe { object.write_bytes(0, Granules::for_bytes(bytes).bytes()) };
        Ok(object)
    }

    /// The same, with arbitrary contents.
    ///
    /// # Errors
    /// As [`Mutator::alloc`].
    ///
    /// # Safety
    /// Before this thread's next safepoint, every word that the kind says may be a reference has been written.
    #[inline(always)]
    pub unsafe fn alloc_uninit(&mut self, kind: Kind, bytes: usize) -> Result<NonNull<u8>, OutOfMemory> {
        if self.core().registry.stop_wanted() {
            return self.alloc_slow(kind, bytes, Patience::Waits);
        }
        match self.alloc_fast(kind, bytes) {
            Some(object) => Ok(object),
            None => self.alloc_slow(kind, bytes, Patience::Waits),
        }
    }

    /// The same without a safepoint: references that only this thread's stack holds stay good. For code that cannot say at every
    /// allocation where its references are; it does so at a safepoint of its own choice, often enough
    /// ([`Mutator::poll`], [`Mutator::collect`]), since a cycle waits for that.
    ///
    /// # Errors
    /// [`OutOfMemory`] as soon as there is no room: no cycle is waited for.
    ///
    /// # Safety
    /// As for [`Mutator::alloc_uninit`].
    #[inline(always)]
    pub unsafe fn alloc_no_safepoint(
        &mut self,
        kind: Kind,
        bytes: usize,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        match self.alloc_fast(kind, bytes) {
            Some(object) => Ok(object),
            None => self.alloc_slow(kind, bytes, Patience::Never),
        }
    }

    #[inline(always)]
    fn alloc_fast(&mut self, kind: Kind, bytes: usize) -> Option<NonNull<u8>> {
        let size = Granules::for_bytes(bytes);
        let local = self.local();
        let colour = local.colour();
        let run = &mut local.runs(kind == Kind::LEAF).main;
        let at = run.cursor;
        // Not `at + size <= limit`, which could overflow; large objects never fit.
        if bytes > SMALL_MAX || run.limit - at < size.bytes() {
            return None;
        }
        run.cursor = at + size.bytes();
        // What `Metadata::record` does, without looking for the table's bounds again.
        let first = self.metadata.wrapping_add((at - self.base) / GRANULE);
        let start = kind.bits() | colour.bits();
        const END: u8 = 0x80;
        // SAFETY: the run lies in the heap, whose metadata has a byte for every granule.
        unsafe {
            if size.0 == 1 {
                (*first).store(start | END, Relaxed);
            } else {
                (*first).store(start, Relaxed);
                (*first.wrapping_add(size.0 - 1)).store(END, Relaxed);
            }
        }
        clear_pad(at, bytes);
        // SAFETY: an address in the heap is not null.
        Some(unsafe { NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut(at)) })
    }

    /// A safepoint: a load and a branch when nothing is to do. A thread that waits here is stopped for all heaps that it runs in, so this
    /// is a safepoint of those too, as is every other call that may wait.
    #[inline(always)]
    pub fn poll(&mut self) {
        if self.core().registry.stop_wanted() {
            self.park();
        }
    }

    /// Runs `f`, which does not touch the heap, without the collector having to wait for it: for system calls, native code
    /// and locks. A safepoint before and after. References that only `f` holds, in what it captures or returns, are no roots
    /// meanwhile.
    ///
    /// In other heaps that it is attached to the thread goes on running: `f` may use those, and holds up their cycles unless it comes to a
    /// safepoint of theirs. The end of this is one.
    ///
    /// # Panics
    /// In a thread that is pinned ([`Mutator::step_in_pinned`]) or has stepped out.
    pub fn blocking<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.must_be_able_to_wait("Mutator::blocking");
        self.close_runs();
        let result = self.core().registry.blocking(&self.state, f);
        self.open_runs();
        result
    }

    /// Opens memory of a traced object for system calls that write to it, until the guard drops. Without it, `read(2)` into
    /// such an object fails with `EFAULT` in most deliveries. Leaf objects need no guard, and with one there is no cost.
    ///
    /// The pages count as written all the while, and at every cycle they are copied in the pause: keep the guard for the
    /// time of a system call. A snapshot that is taken in the middle of one holds either the old or the new bytes of what
    /// the kernel is writing, in any mixture; so the call writes data, or it ends before this thread's next safepoint.
    ///
    /// The caller keeps the object alive. May wait for the pre-image pool, as a store may.
    ///
    /// ```
    /// # use palimpsest::{Address, Heap, Kind, PlainPointers, StackScan};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let heap = Heap::builder(PlainPointers).limit(16 << 20).build()?;
    /// # let mut mutator = heap.attach(StackScan::None)?;
    /// use std::io::Read;
    /// let record = mutator.alloc(Kind::CONSERVATIVE, 64)?;
    /// let _root = heap.handle(Address::from_ptr(record.as_ptr()));
    /// let io = mutator.kernel_io(Address::from_ptr(record.as_ptr()), 64);
    /// // SAFETY: 64 bytes of an object that the handle keeps alive.
    /// let bytes = unsafe { std::slice::from_raw_parts_mut(record.as_ptr(), 64) };
    /// let read = mutator.blocking(|| std::fs::File::open("/proc/self/stat")?.read(bytes))?;
    /// drop(io);
    /// assert!(read > 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the range is not memory of this heap.
    pub fn kernel_io(&mut self, at: Address, bytes: usize) -> KernelIo {
        KernelIo::new(self.core_for("Mutator::kernel_io"), at, Bytes(bytes))
    }

    /// Makes a full cycle that begins after this call, waits until it has ended, and returns its record. A cycle that fails is
    /// followed by another. A safepoint, also of other heaps that the thread runs in.
    ///
    /// # Panics
    /// In a thread that is pinned ([`Mutator::step_in_pinned`]) or has stepped out.
    pub fn collect(&mut self) -> CycleRecord {
        self.heap.look_around("Mutator::collect");
        self.cycle(Wanted::Full, Reason::Explicit, Ledger::last_full)
    }

    /// The same for a cycle of the young, or for a full one where there can be none: where the heap does not remember what is
    /// written, before the first full cycle, and after one that failed.
    ///
    /// # Panics
    /// As [`Mutator::collect`].
    pub fn collect_young(&mut self) -> CycleRecord {
        self.heap.look_around("Mutator::collect_young");
        self.cycle(Wanted::Young, Reason::Explicit, Ledger::last_complete)
    }

    fn cycle(
        &mut self,
        wanted: Wanted,
        reason: Reason,
        last: impl Fn(&Ledger) -> Option<CycleRecord>,
    ) -> CycleRecord {
        self.must_be_able_to_wait("Mutator::collect");
        loop {
            let ticket = self.core().mailbox.request(wanted, reason);
            self.wait(ticket);
            let last = last(&self.core().ledger);
            if let Some(record) = last.filter(|record| record.number >= ticket.number()) {
                return record;
            }
        }
    }

    /// As [`Mutator::collect`], for want of room; tells the number of the cycle and what it marked, and asks for no memory.
    pub(crate) fn complete_cycle(&mut self) -> (u64, Bytes) {
        loop {
            let ticket = self.core().mailbox.request(Wanted::Full, Reason::Limit);
            self.wait(ticket);
            if let Some(last) = self.core().ledger.last_marked().filter(|last| last.0 >= ticket.number()) {
                return last;
            }
        }
    }

    pub(crate) fn wait(&mut self, ticket: Ticket) {
        self.core().registry.waiting(&self.state, || self.core().mailbox.wait(ticket));
    }

    /// Runs `f`, which waits for something of the collector's, without a cycle of this heap, or of another that the thread runs in,
    /// having to wait for it.
    pub(crate) fn waiting<R>(&mut self, operation: &str, f: impl FnOnce() -> R) -> R {
        self.must_be_able_to_wait(operation);
        self.core().registry.waiting(&self.state, f)
    }

    /// Waits until the work after a cycle is over, so that all it has freed can be had.
    pub(crate) fn wait_for_rest(&mut self, ticket: Ticket) {
        self.core().registry.waiting(&self.state, || self.core().mailbox.wait_for_rest(ticket));
    }
}

/// Clears what an object's size leaves over, its last word or, where it has no bytes, both: it is traced with the rest, and nobody
/// else writes it.
#[inline(always)]
fn clear_pad(object: usize, bytes: usize) {
    let over = bytes % GRANULE;
    if bytes == 0 {
        // SAFETY: the first word of a new object's own granule.
        unsafe { std::ptr::with_exposed_provenance_mut::<u64>(object).write(0) };
    }
    if bytes == 0 || (over != 0 && over <= 8) {
        let last = object + Granules::for_bytes(bytes).bytes() - 8;
        // SAFETY: the last word of a new object's own granules.
        unsafe { std::ptr::with_exposed_provenance_mut::<u64>(last).write(0) };
    }
}

impl<E: Embedder> Drop for Mutator<E> {
    fn drop(&mut self) {
        let core = self.heap.core().clone();
        if !core.is_ours() {
            return;
        }
        if self.place == Place::Outside {
            // The collector may be taking the blocks away this moment.
            core.registry.step_in(&self.state, false);
        }
        let local = self.local();
        core.count_allocated(local.take_allocated());
        for (run, leaf) in local.all_runs() {
            core.retire(run, leaf);
        }
        core.locals.lock().retain(|other| *other != LocalPtr::new(self.local));
        // SAFETY: made by `attach`, and from here on nobody else has the pointer.
        drop(unsafe { Box::from_raw(self.local) });
        core.registry.detach(&self.state);
    }
}

impl<E: Embedder> fmt::Debug for Mutator<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mutator of {:?}", self.heap)
    }
}
