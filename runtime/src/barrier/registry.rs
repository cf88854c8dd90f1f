//! Which barriers this process has, readable from the signal handler.
//!
//! A fixed array of pointers, each holding a share of its barrier. The handler counts itself in, finds the barrier
//! whose range holds the address, counts itself in with that one too, and leaves the array again.

use super::Barrier;
use super::epoch::Epoch;
use crate::crash;
use crate::error::Error;
use crate::sys::lock::{HoldAcrossFork, Mutex};
use crate::unit::{PAGE_SIZE, PageIndex};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

/// How many barriers a process may have at a time.
pub const MAX_BARRIERS: usize = 256;

static BARRIERS: [AtomicPtr<Barrier>; MAX_BARRIERS] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; MAX_BARRIERS];
static LOOKING: Epoch = Epoch::new();
static CHANGING: Mutex<()> = Mutex::new(());

pub(super) fn register(barrier: &Arc<Barrier>) -> Result<(), Error> {
    let _guard = CHANGING.lock();
    let free = BARRIERS.iter().find(|b| b.load(Ordering::Relaxed).is_null());
    let free = free.ok_or(Error::TooManyHeaps(MAX_BARRIERS))?;
    // Pairs with the load in `with_barrier`.
    free.store(Arc::into_raw(barrier.clone()).cast_mut(), Ordering::Release);
    Ok(())
}

pub(super) fn unregister(barrier: &Arc<Barrier>) {
    let _guard = CHANGING.lock();
    let own = Arc::as_ptr(barrier).cast_mut();
    if let Some(slot) = BARRIERS.iter().find(|b| b.load(Ordering::Relaxed) == own) {
        slot.store(std::ptr::null_mut(), Ordering::SeqCst);
        LOOKING.synchronize();
        // SAFETY: this share was leaked by `register`; no handler can find it any more.
        drop(unsafe { Arc::from_raw(own) });
    }
}

/// Before the host forks: nobody is in the middle of a change.
pub(super) fn before_fork() {
    CHANGING.hold();
}

/// After it, in the parent.
pub(super) fn after_fork() {
    // SAFETY: held by `before_fork`.
    unsafe { CHANGING.let_go() };
}

/// After it, in the child, which has none of these barriers. Their shares are leaked: nothing of theirs is to be dropped
/// here. Async-signal-safe.
pub(super) fn begin_anew() {
    for slot in &BARRIERS {
        slot.store(std::ptr::null_mut(), Ordering::SeqCst);
    }
    // Threads that were looking do not exist here.
    LOOKING.reset();
    after_fork();
}

/// In a child that has a copy of the barrier's heap: it is there again, with the share that was leaked. Async-signal-safe.
pub(super) fn keep(barrier: &Arc<Barrier>) {
    // There are as many places as in the parent.
    if let Some(free) = BARRIERS.iter().find(|b| b.load(Ordering::Relaxed).is_null()) {
        free.store(Arc::as_ptr(barrier).cast_mut(), Ordering::SeqCst);
    }
}

/// The hook of the handlers for faults. Async-signal-safe.
pub(super) fn on_fault(address: usize) -> bool {
    let resolved = with_barrier(address, |barrier| {
        let page = PageIndex(((address - barrier.heap.base().as_usize()) / PAGE_SIZE) as u32);
        let resolved = barrier.trap(page);
        if !resolved {
            crash::explain(address, Some(&barrier.state(page)));
        }
        resolved
    });
    resolved.unwrap_or_else(|| {
        crash::explain(address, None);
        false
    })
}

/// Calls `f` with the barrier whose traced half holds the address. Async-signal-safe.
#[inline]
pub(super) fn with_barrier<R>(address: usize, f: impl FnOnce(&Barrier) -> R) -> Option<R> {
    let looking = LOOKING.enter();
    for slot in &BARRIERS {
        let barrier = slot.load(Ordering::SeqCst);
        if barrier.is_null() {
            continue;
        }
        // SAFETY: `unregister` waits, after clearing the slot, for all who are looking before it drops its share.
        let barrier = unsafe { &*barrier };
        let base = barrier.heap.base().as_usize();
        if address.wrapping_sub(base) < barrier.heap.half().0 {
            // From here on `Barrier::retire` waits for this handler.
            let _inside = barrier.handlers.enter();
            drop(looking);
            return Some(f(barrier));
        }
    }
    None
}
