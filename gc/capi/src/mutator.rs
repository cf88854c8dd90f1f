//! Attached threads: allocation, safepoints and cycles.
//!
//! The state of a mutator's shell is its thread's mark while it runs, and [`RESTS`] while it is in a blocking region or has stepped
//! out. So [`running`] is one comparison on the way to an object; what is wrong, if something is, is found out afterwards.

use crate::codec::Codec;
use crate::cycles::{fill, palimpsest_cycle};
use crate::heap::{Shared, palimpsest_heap};
use crate::kinds::palimpsest_kind;
use crate::opaque::{FREE, Opaque as _, RESTS, Shell, close, lend, lend_here, opaque, open, out, state_of};
use crate::opaque::{null, this_thread, was_freed};
use crate::status::{self, Answer, Status, entry, entry_or, fail, failed, palimpsest_status};
use palimpsest::{Address, CycleRecord, Mutator, OutOfMemory, StackScan};
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// An attached thread. It is used by that thread only.
pub struct palimpsest_mutator(Shell<Attached>);
opaque!(palimpsest_mutator, Attached, b"muta");

/// A mutator, and its heap.
pub struct Attached {
    pub(crate) heap: Arc<Shared>,
    own: UnsafeCell<Mutator<Codec>>,
    /// What leads to it now: in the middle of a callback that a method of the mutator makes, what that method passes on.
    current: Cell<*mut Mutator<Codec>>,
    /// Callbacks in which it is used, one in the other.
    callbacks: Cell<usize>,
    thread: usize,
    scans_stack: bool,
    is_outside: Cell<bool>,
    /// Whether somebody is being told that memory has run out.
    telling: Cell<bool>,
}

impl Attached {
    /// Uses the mutator for something that calls no function of C's.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Mutator<Codec>) -> R) -> R {
        // SAFETY: `own`, which is used by this thread alone; `f` does not come back here.
        f(unsafe { &mut *self.current.get() })
    }

    /// Runs `f`, which may use the mutator, with the reserve.
    pub(crate) fn with_reserve(&self, f: impl FnOnce()) {
        let outer = self.current.get();
        // SAFETY: as in `with`; whoever comes back uses what is passed on to him.
        unsafe { &mut *outer }.with_reserve(|inner| {
            self.current.set(inner);
            self.callbacks.set(self.callbacks.get() + 1);
            f();
            self.callbacks.set(self.callbacks.get() - 1);
        });
        self.current.set(outer);
    }

    /// An object's address, for what refers to it. Refuses addresses that are none.
    pub(crate) fn object(&self, object: *mut c_void, name: &str) -> Answer<Address> {
        if object.is_null() {
            return Err(null(name));
        }
        let address = Address::from_ptr(object);
        if self.with(|mutator| mutator.heap().is_object(address)) {
            return Ok(address);
        }
        let is_ours = self.with(|mutator| mutator.heap().has_memory(address, 0));
        let what =
            if is_ours { ", although it is memory of this heap" } else { ": it is no memory of this heap" };
        let why = format_args!("{name}: no object starts at {address}{what}");
        Err(fail(Status::PALIMPSEST_NOT_AN_OBJECT, why))
    }

    /// There is no room in the heap: tells those who listen.
    #[cold]
    fn out_of_memory(&self, error: &OutOfMemory) -> Status {
        // They may allocate too, and find none.
        if !self.telling.replace(true) {
            for listening in &self.heap.listening {
                listening.out_of_memory(error);
            }
            self.telling.set(false);
        }
        status::out_of_memory(error)
    }
}

/// The mutator, where it is used as it must be.
///
/// # Safety
/// As for [`lend`].
#[inline(always)]
pub(crate) unsafe fn running<'a>(mutator: *mut palimpsest_mutator) -> Answer<&'a Attached> {
    // SAFETY: passed on to the caller.
    match unsafe { lend_here(mutator) } {
        Some(attached) => attached.heap.must_be_here().map(|()| attached),
        // SAFETY: likewise.
        None => Err(unsafe { misused(mutator) }),
    }
}

/// What is wrong with a mutator that is not attached to this thread and running.
///
/// # Safety
/// As for [`lend`].
#[cold]
pub(crate) unsafe fn misused(mutator: *const palimpsest_mutator) -> Status {
    // SAFETY: passed on to the caller.
    let state = match unsafe { state_of(mutator) } {
        Ok(state) => state.load(Relaxed),
        Err(status) => return status,
    };
    match state {
        FREE => was_freed(mutator),
        RESTS => fail(
            Status::PALIMPSEST_BLOCKED,
            format_args!(
                "the mutator is in a blocking region or has stepped out, and its thread touches no object: call this \
                 afterwards"
            ),
        ),
        _ => wrong_thread(),
    }
}

#[cold]
fn wrong_thread() -> Status {
    let name = palimpsest_mutator::NAME;
    let why = format_args!("the {name} belongs to another thread; attach this one too");
    fail(Status::PALIMPSEST_WRONG_THREAD, why)
}

/// Attaches the calling thread. The mutator cannot leave it, and is freed there by `palimpsest_detach`.
///
/// With `scan_stack`, every word of the thread's stack and registers that is the address of an object, or of a place in one,
/// keeps it alive; the thread runs on the stack that it was created with. Without, all references are in root ranges, handles and
/// reachable objects at every safepoint.
///
/// Fails where the thread is attached to this heap already, blocks the barrier's signal, or is a collector's (in an event).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_attach(
    heap: *const palimpsest_heap,
    scan_stack: bool,
    mutator: *mut *mut palimpsest_mutator,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (heap, place) = unsafe { (lend(heap)?, out(mutator, "mutator")?) };
        heap.must_be_here()?;
        let scan = if scan_stack { StackScan::Conservative } else { StackScan::None };
        let own = heap.heap.attach(scan).map_err(|why| failed(&why))?;
        let attached = Attached {
            heap: heap.clone(),
            own: UnsafeCell::new(own),
            current: Cell::new(null_mut()),
            callbacks: Cell::new(0),
            thread: this_thread(),
            scans_stack: scan_stack,
            is_outside: Cell::new(false),
            telling: Cell::new(false),
        };
        let shell: NonNull<palimpsest_mutator> = open(attached, this_thread())?;
        // SAFETY: just opened, on this thread.
        let attached = unsafe { lend_here(shell.as_ptr()) };
        // Where it stays.
        attached.into_iter().for_each(|attached: &Attached| attached.current.set(attached.own.get()));
        place.write(shell.as_ptr());
        Ok(())
    })
}

/// Detaches the calling thread. Every attached thread does this before it ends: a thread that has ended attached is waited for,
/// for ever, by the next cycle. NULL is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_detach(mutator: *mut palimpsest_mutator) -> palimpsest_status {
    entry(|| {
        if mutator.is_null() {
            return Ok(());
        }
        // SAFETY: what C passes; see the crate.
        let attached: Option<&Attached> = unsafe { lend_here(mutator) };
        // SAFETY: likewise.
        let attached = attached.ok_or_else(|| unsafe { misused(mutator) })?;
        attached.must_be_outside("palimpsest_detach")?;
        // SAFETY: likewise.
        unsafe { close(mutator) }.map(drop)
    })
}

impl Attached {
    /// Refuses what may not be done in a callback that was given the mutator.
    pub(crate) fn must_be_outside(&self, what: &str) -> Answer {
        if self.callbacks.get() == 0 && !self.telling.get() {
            return Ok(());
        }
        let why = format_args!("{what} in a callback that uses the mutator: call it when that has returned");
        Err(fail(Status::PALIMPSEST_BLOCKED, why))
    }
}

/// Begins a blocking region without a function: from here to `palimpsest_step_in` the thread touches no object, the collector does
/// not wait for it, and calls with this mutator fail. For threads whose stack is not scanned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_step_out(mutator: *mut palimpsest_mutator) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, state) = unsafe { (running(mutator)?, state_of(mutator)?) };
        if attached.scans_stack {
            let why = "this thread's stack is scanned, and could not be told while it is outside; use palimpsest_blocking";
            return Err(fail(Status::PALIMPSEST_INVALID, format_args!("{why}")));
        }
        attached.must_be_outside("palimpsest_step_out")?;
        attached.with(Mutator::step_out);
        attached.is_outside.set(true);
        state.store(RESTS, Relaxed);
        Ok(())
    })
}

/// Ends what `palimpsest_step_out` began. Waits while the world is stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_step_in(mutator: *mut palimpsest_mutator) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, state): (&Attached, _) = unsafe { (lend(mutator)?, state_of(mutator)?) };
        attached.heap.must_be_here()?;
        if attached.thread != this_thread() {
            return Err(wrong_thread());
        }
        if !attached.is_outside.get() {
            let why = format_args!("this thread has not stepped out (palimpsest_step_out)");
            return Err(fail(Status::PALIMPSEST_INVALID, why));
        }
        attached.with(Mutator::step_in);
        attached.is_outside.set(false);
        state.store(this_thread(), Relaxed);
        Ok(())
    })
}

/// A new object of `bytes` bytes, zeroed and aligned to 16 bytes, in memory that never moves. NULL where there is none;
/// `palimpsest_last_status` says `PALIMPSEST_OUT_OF_MEMORY` where the heap limit leaves no room.
///
/// This is a safepoint: objects that are not reachable from a root when it is called may be reclaimed, and the thread may be
/// stopped in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_alloc(
    mutator: *mut palimpsest_mutator,
    kind: palimpsest_kind,
    bytes: usize,
) -> *mut c_void {
    entry_or(null_mut(), || {
        // SAFETY: what C passes; see the crate.
        let attached = unsafe { running(mutator)? };
        let kind = attached.heap.kinds.of(kind, bytes)?;
        let object = attached.with(|mutator| mutator.alloc(kind, bytes));
        object.map(|object| object.as_ptr().cast()).map_err(|error| attached.out_of_memory(&error))
    })
}

/// The same, with arbitrary contents. Before this thread's next safepoint, every word that the kind says may be a reference has
/// been written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_alloc_uninit(
    mutator: *mut palimpsest_mutator,
    kind: palimpsest_kind,
    bytes: usize,
) -> *mut c_void {
    entry_or(null_mut(), || {
        // SAFETY: what C passes; see the crate.
        let attached = unsafe { running(mutator)? };
        let kind = attached.heap.kinds.of(kind, bytes)?;
        // SAFETY: the caller writes the object.
        let object = attached.with(|mutator| unsafe { mutator.alloc_uninit(kind, bytes) });
        object.map(|object| object.as_ptr().cast()).map_err(|error| attached.out_of_memory(&error))
    })
}

/// The same without a safepoint: references that only this thread's stack holds stay good. NULL as soon as there is no room, without
/// waiting for a cycle, and without the event `out_of_memory`, whose function could reach a safepoint. For code that cannot say at
/// every allocation where its references are; it does so at a safepoint of its own choice, often enough, since a cycle waits for
/// that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_alloc_no_safepoint(
    mutator: *mut palimpsest_mutator,
    kind: palimpsest_kind,
    bytes: usize,
) -> *mut c_void {
    entry_or(null_mut(), || {
        // SAFETY: what C passes; see the crate.
        let attached = unsafe { running(mutator)? };
        let kind = attached.heap.kinds.of(kind, bytes)?;
        // SAFETY: the caller writes the object.
        let object = attached.with(|mutator| unsafe { mutator.alloc_no_safepoint(kind, bytes) });
        object.map(|object| object.as_ptr().cast()).map_err(|error| status::out_of_memory(&error))
    })
}

/// A safepoint, for loops that do not allocate: a few instructions when nothing is to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_poll(mutator: *mut palimpsest_mutator) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        unsafe { running(mutator)? }.with(Mutator::poll);
        Ok(())
    })
}

/// Makes a full cycle that begins after this call, and waits until it has ended. What it did is stored in `cycle`, unless that is
/// NULL; its `size` is set by the caller. A cycle that fails is followed by another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_collect(
    mutator: *mut palimpsest_mutator,
    cycle: *mut palimpsest_cycle,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe { collect(mutator, cycle, Mutator::collect) }
}

/// The same for a cycle of the young, or for a full one where there can be none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_collect_young(
    mutator: *mut palimpsest_mutator,
    cycle: *mut palimpsest_cycle,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe { collect(mutator, cycle, Mutator::collect_young) }
}

/// Makes a cycle.
///
/// # Safety
/// See the crate.
unsafe fn collect(
    mutator: *mut palimpsest_mutator,
    cycle: *mut palimpsest_cycle,
    how: impl FnOnce(&mut Mutator<Codec>) -> CycleRecord,
) -> Status {
    entry(|| {
        // SAFETY: passed on to the caller.
        let attached = unsafe { running(mutator)? };
        let record = attached.with(how);
        if cycle.is_null() {
            return Ok(());
        }
        // SAFETY: likewise.
        unsafe { fill(cycle, palimpsest_cycle::from(&record)) }
    })
}
